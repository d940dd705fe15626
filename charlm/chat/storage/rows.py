"""Rows of the database: statements that write a conversation and its turns, and read them back.

Knows nothing of when that happens. See `charlm.chat.storage.documents` for the fields.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Final, NamedTuple

from charlm.chat.conversation_data import ConversationData
from charlm.chat.storage import documents
from charlm.chat.turns import Turn
from charlm.errors import CheckpointError

OPENING_CHARS: Final = 200  # of the first turn, stored with the conversation: a title is made from them

_JSON: Final = ("dialogue", "dials", "rng", "moves", "segments", "learning")
_TURN: Final = tuple(one.name for one in fields(documents.TurnDocument))
_WRITE_TURN: Final = (
    f"INSERT INTO turn (conversation, {', '.join(_TURN)})"
    f" VALUES (:conversation, {', '.join(f':{one}' for one in _TURN)})"
    " ON CONFLICT (id) DO UPDATE SET text = excluded.text, segments = excluded.segments, reason = excluded.reason"
)

Rows = Mapping[Turn, int]  # the row of each turn in the database


class LoadedConversation(NamedTuple):
    """A conversation from the database."""

    data: ConversationData
    rows: dict[Turn, int]
    drafts: list[int]  # rows of replies that a crash cut off


def _columns(document: documents.ConversationDocument | documents.TurnDocument) -> dict[str, object]:
    values = vars(document).items()
    return {name: json.dumps(one, separators=(",", ":")) if name in _JSON else one for name, one in values}


# -- writing ----------------------------------------------------------------------------------------------------------


def conversation_row(data: ConversationData, rows: Rows) -> dict[str, object]:
    """Return the columns of a conversation."""
    opening = data.root.visited if data.head is not data.root else None
    return _columns(documents.conversation_document(data, rows)) | {
        "turns": data.head.depth,
        "characters": data.head.characters,
        "opening": opening.text[:OPENING_CHARS] if opening is not None else "",
    }


def insert_conversation(connection: sqlite3.Connection, row: Mapping[str, object]) -> int:
    """Write a conversation that has no row yet. Returns its number."""
    sql = f"INSERT INTO conversation ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"
    number = connection.execute(sql, row).lastrowid
    assert number is not None
    return number


def update_conversation(connection: sqlite3.Connection, number: int, row: Mapping[str, object]) -> None:
    """Write columns of a conversation."""
    names = ", ".join([f"{name} = :{name}" for name in row])
    connection.execute(f"UPDATE conversation SET {names} WHERE id = :id", {**row, "id": number})


def write_turn(connection: sqlite3.Connection, number: int, turn: Turn, rows: Rows) -> int:
    """Write a turn, new or grown. Returns its row."""
    values = _columns(documents.turn_document(turn, rows))
    values |= {"conversation": number, "id": rows.get(turn), "parent": values["parent"] or None, "visited": None}
    row = connection.execute(_WRITE_TURN, values).lastrowid
    assert row is not None
    return rows.get(turn, row)


def write_visited(connection: sqlite3.Connection, turns: Iterable[Turn], rows: Rows) -> None:
    """Write for each turn the child that was visible last."""
    visits = [(rows[turn.visited], rows[turn]) for turn in turns if turn.visited is not None and turn in rows]
    connection.executemany("UPDATE turn SET visited = ? WHERE id = ?", visits)


def write_all(connection: sqlite3.Connection, data: ConversationData) -> int:
    """Write a whole conversation as a new one, without contexts. Returns its number."""
    rows: dict[Turn, int] = {}
    number = insert_conversation(connection, conversation_row(data, rows))
    for turn in data.turns:
        rows[turn] = write_turn(connection, number, turn, rows)
    write_visited(connection, data.turns, rows)
    update_conversation(connection, number, conversation_row(data, rows))
    return number


# -- reading ----------------------------------------------------------------------------------------------------------


def load(connection: sqlite3.Connection, number: int) -> LoadedConversation:
    """Read a conversation. If a crash cut off its last reply, the head is there; drafts without text are left out."""
    names = [one.name for one in fields(documents.ConversationDocument)]
    row = connection.execute(f"SELECT {', '.join(names)} FROM conversation WHERE id = ?", (number,)).fetchone()
    drafts: list[int] = []
    try:
        values = {name: json.loads(one) if name in _JSON else one for name, one in zip(names, row, strict=True)}
        document = documents.parse(documents.ConversationDocument, values | {"forgets": bool(values["forgets"])})
        data, rows = documents.conversation(document, _load_turns(connection, number, drafts), is_trusted=True)
    except documents.DAMAGE as error:
        raise CheckpointError(f"conversation {number} is damaged in the database") from error
    data.number = number
    last = data.turns[-1] if data.turns else data.root
    if rows.get(last) in drafts:
        data.move(last, joins=last.parent is data.head)
    return LoadedConversation(data, rows, drafts)


def _load_turns(connection: sqlite3.Connection, number: int, drafts: list[int]) -> Iterator[documents.TurnDocument]:
    columns = ", ".join(_TURN).replace("parent", "coalesce(parent, 0)")
    sql = f"SELECT {columns} FROM turn WHERE conversation = ? ORDER BY id"
    found = connection.execute(sql, (number,)).fetchall()
    # One call for all rows takes half the time of a call for each.
    parsed = json.loads(f"[{','.join([f'[{row[5]},{row[9]}]' for row in found])}]")
    for row, (segments, learning) in zip(found, parsed, strict=True):
        index, parent, author, name, text, _, reason, created, visited, _ = row
        if reason == "draft":
            drafts.append(index)
            reason = "cancelled"
            if not text:
                continue
        yield documents.TurnDocument(index, parent, author, name, text, segments, reason, created, visited, learning)
