"""What a list says of conversations, and the search in them.

Owns the summaries and what a query means. Knows nothing of who opens the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from charlm.chat.storage.documents import replace_lone_surrogates

TITLE: Final = 60  # characters of what was said first
TRIGRAM: Final = 3  # characters: what is shorter is not in the index, and looked for in the text itself
LONGEST: Final = 1000  # characters of a query
BEFORE, AFTER = 20, 60  # characters of a snippet around what was found


@dataclass(frozen=True)
class ConversationSummary:
    """What a list says of a conversation.

    Attributes:
        number: of the conversation.
        title: what it is called; what was said first, if nobody has given it a name.
        model: the name of the model that spoke last.
        format: of the dialogue.
        you: who a person plays.
        bot: who the model plays.
        turns: that are visible.
        characters: of what is visible, with the speakers.
        created: when it began; seconds since 1970.
        updated: when something last happened.
        snippet: where a search has found it; empty without one, or if it was the title.
    """

    number: int
    title: str
    model: str
    format: str
    you: str
    bot: str
    turns: int
    characters: int
    created: float
    updated: float
    snippet: str = ""


_SUMMARY: Final = """
    SELECT id, title, model, CASE WHEN json_valid(dialogue) THEN json_extract(dialogue, '$.format') END,
        you, bot, turns, characters, created, updated,
        coalesce(nullif(opening, ''), (
            SELECT substr(text, 1, 200) FROM turn
            WHERE conversation = conversation.id AND text != '' ORDER BY id LIMIT 1
        ), '')
    FROM conversation
    WHERE deleted IS NULL
        AND (turns > 0 OR EXISTS (SELECT 1 FROM turn WHERE turn.conversation = conversation.id AND text != ''))
"""
_NEWEST: Final = "ORDER BY updated DESC, id DESC LIMIT :limit"


def one(connection: sqlite3.Connection, number: int) -> ConversationSummary | None:
    """The summary of a conversation; None if nothing was said in it."""
    row = connection.execute(f"{_SUMMARY} AND id = ?", (number,)).fetchone()
    return None if row is None else _summary(row)


def newest(connection: sqlite3.Connection, model: str | None, limit: int) -> list[ConversationSummary]:
    """Conversations, the newest first; with a model, those of that name."""
    where = {"model": model, "limit": limit}
    rows = connection.execute(f"{_SUMMARY} AND (:model IS NULL OR model = :model) {_NEWEST}", where)
    return [_summary(row) for row in rows]


def search(connection: sqlite3.Connection, query: str, limit: int) -> list[ConversationSummary]:
    """Conversations in whose title or turns a text stands, the newest first.

    Args:
        connection: to the database.
        query: the text, as it is, in whatever case; at least a character that is no space.
        limit: so many at most.
    """
    query = replace_lone_surrogates(query).replace("\0", "").strip()[:LONGEST]
    found, where = _search(query)
    rows = connection.execute(
        f"WITH found AS ({found}) {_SUMMARY}"
        rf" AND (id IN (SELECT conversation FROM found) OR title LIKE :like ESCAPE '\') {_NEWEST}",
        {**where, "limit": limit},
    ).fetchall()
    last = dict(connection.execute(f"SELECT conversation, max(id) FROM ({found}) GROUP BY conversation", where))
    texts = {
        number: connection.execute("SELECT text FROM turn WHERE id = ?", (last[number],)).fetchone()[0]
        for number in (row[0] for row in rows)
        if number in last
    }
    return [_summary(row, snippet(texts[row[0]], query) if row[0] in texts else "") for row in rows]


def _summary(row: Iterable[Any], snippet: str = "") -> ConversationSummary:
    number, title, model, form, you, bot, turns, characters, created, updated, said = row
    title = title or headline(said) or f"conversation {number}"
    return ConversationSummary(number, title, model, form, you, bot, turns, characters, created, updated, snippet)


def headline(text: str) -> str:
    """A title from the words with which a text begins."""
    words = " ".join(text.split())
    if len(words) <= TITLE:
        return words
    cut = words[:TITLE]
    return (cut.rpartition(" ")[0] or cut) + "\u2026"


def _search(query: str) -> tuple[str, dict[str, str]]:
    """A selection of turns in which a text stands, and its parameters."""
    escaped = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    quoted = '"' + query.replace('"', '""') + '"'
    where = {"like": f"%{escaped}%", "quoted": quoted}
    if len(query) < TRIGRAM:
        return r"SELECT id, conversation FROM turn WHERE text LIKE :like ESCAPE '\'", where
    return "SELECT id, conversation FROM turn WHERE id IN (SELECT rowid FROM words WHERE words MATCH :quoted)", where


def snippet(text: str, query: str) -> str:
    """The surroundings of what was found, on one line."""
    place = max(text.lower().find(query.lower()), 0)
    start, end = max(0, place - BEFORE), place + len(query) + AFTER
    cut = " ".join(text[start:end].split())
    return ("\u2026" if start else "") + cut + ("\u2026" if end < len(text) else "")
