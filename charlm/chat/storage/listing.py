"""Lists of conversations, and the search in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from charlm.text.sanitize import replace_lone_surrogates

TITLE_CHARS: Final = 60  # of a title made from the first turn
TRIGRAM_CHARS: Final = 3  # a shorter query is not in the index, and is looked for in every text
MAX_QUERY_CHARS: Final = 1000
SNIPPET_CHARS: Final = (20, 60)  # before and after the match


@dataclass(frozen=True)
class ConversationSummary:
    """A conversation in a list."""

    number: int
    title: str  # the first words, if it has no title
    model: str  # name of the model that replied last
    format: str  # of the dialogue
    you: str
    bot: str
    turns: int  # number of visible turns
    characters: int  # of the visible turns, with the speakers
    created: float  # seconds since 1970
    updated: float
    snippet: str = ""  # surroundings of the match in a turn


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
    """Return the summary of a conversation; None if it is empty."""
    row = connection.execute(f"{_SUMMARY} AND id = ?", (number,)).fetchone()
    return None if row is None else _summary(row)


def newest(connection: sqlite3.Connection, model: str | None, limit: int) -> list[ConversationSummary]:
    """Return conversations, the newest first: all, or those with a model of this name."""
    values = {"model": model, "limit": limit}
    rows = connection.execute(f"{_SUMMARY} AND (:model IS NULL OR model = :model) {_NEWEST}", values)
    return [_summary(row) for row in rows]


def search(connection: sqlite3.Connection, query: str, limit: int) -> list[ConversationSummary]:
    """Return conversations with a text in their title or in a turn, visible or not, the newest first.

    Case is ignored. The query has at least one character that is not a space.
    """
    query = replace_lone_surrogates(query).replace("\0", "").strip()[:MAX_QUERY_CHARS]
    escaped = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    values = {"like": f"%{escaped}%", "quoted": '"' + query.replace('"', '""') + '"'}
    found = "SELECT id, conversation FROM turn WHERE id IN (SELECT rowid FROM words WHERE words MATCH :quoted)"
    if len(query) < TRIGRAM_CHARS:
        found = r"SELECT id, conversation FROM turn WHERE text LIKE :like ESCAPE '\'"
    rows = connection.execute(
        f"WITH found AS ({found}) {_SUMMARY}"
        rf" AND (id IN (SELECT conversation FROM found) OR title LIKE :like ESCAPE '\') {_NEWEST}",
        {**values, "limit": limit},
    ).fetchall()
    last = dict(connection.execute(f"SELECT conversation, max(id) FROM ({found}) GROUP BY conversation", values))
    texts = {
        number: connection.execute("SELECT text FROM turn WHERE id = ?", (last[number],)).fetchone()[0]
        for number in (row[0] for row in rows)
        if number in last
    }
    return [_summary(row, _snippet(texts[row[0]], query) if row[0] in texts else "") for row in rows]


def _summary(row: Iterable[Any], snippet: str = "") -> ConversationSummary:
    number, title, *others, opening = row
    columns: Iterable[Any] = (number, title or headline(opening) or f"conversation {number}", *others, snippet)
    return ConversationSummary(*columns)


def headline(text: str) -> str:
    """Return a title made from the first words of a text."""
    words = " ".join(text.split())
    if len(words) <= TITLE_CHARS:
        return words
    cut = words[:TITLE_CHARS]
    return (cut.rpartition(" ")[0] or cut) + "\u2026"


def _snippet(text: str, query: str) -> str:
    match = max(text.lower().find(query.lower()), 0)
    start, end = max(0, match - SNIPPET_CHARS[0]), match + len(query) + SNIPPET_CHARS[1]
    cut = " ".join(text[start:end].split())
    return ("\u2026" if start else "") + cut + ("\u2026" if end < len(text) else "")
