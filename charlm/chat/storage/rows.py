"""How a conversation and its turns stand in the database's columns.

Owns what is written into which column and how passages are told there. Knows nothing of when it happens.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from charlm.chat.adaptive_reader import NO_LESSON, LearnPolicy
from charlm.chat.reply_sampler import SamplerCheckpoint, Segment
from charlm.chat.turns import Turn
from charlm.config import ChatConfig
from charlm.errors import CheckpointError
from charlm.text.dialogue import Dialogue

SAID: Final = 200  # characters of the first turn, from which a title may be made
LEARNED: Final = 3  # conversations of which it is kept what was learned at their end


def new_key() -> str:
    """What no other conversation is called."""
    return secrets.token_hex(16)


def whole(text: str) -> str:
    """A text without halves of characters, which a terminal may send and no database takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(title: str) -> str:
    """A title as it is kept."""
    return " ".join(whole(title).split())


def as_json(value: object) -> str:
    """For a column."""
    return json.dumps(value, separators=(",", ":"))


def insert_conversation(
    connection: sqlite3.Connection, key: str, title: str, dialogue: Dialogue, created: float
) -> int:
    """Make a conversation's row, to be filled by `update_conversation`; its number."""
    cursor = connection.execute(
        "INSERT INTO conversation (key, title, model, fingerprint, dialogue, you, bot, dials, seed, rng, moves, cursor,"
        " turns, characters, said, created, updated)"
        " VALUES (?, ?, '', '', ?, '', '', '', '', '', '', 0, 0, 0, '', ?, ?)",
        (key, one_line(title), as_json(dialogue.to_dict()), created, created),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def update_conversation(connection: sqlite3.Connection, number: int, values: Mapping[str, object]) -> None:
    """Fill columns of a conversation's row."""
    names = ", ".join(f"{name} = :{name}" for name in values)
    connection.execute(f"UPDATE conversation SET {names} WHERE id = :id", {**values, "id": number})


def write_turn(connection: sqlite3.Connection, number: int, turn: Turn, parent: int, created: float) -> int:
    """Write a turn, new or grown.

    Args:
        connection: in a transaction.
        number: of its conversation.
        turn: one without a row has an id that is not positive.
        parent: the row of the turn before it; 0 for the root.
        created: when it began, if it is new.

    Returns:
        Its row.
    """
    text = turn.text
    cursor = connection.execute(
        "INSERT INTO turn (id, conversation, parent, author, name, text, passages, reason, created, lesson)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET text = excluded.text, passages = excluded.passages, reason = excluded.reason",
        (
            turn.id if turn.id > 0 else None,
            number,
            parent or None,
            turn.author,
            whole(turn.name),
            text,
            # What a crash cuts off is read from its text, not drawn again.
            passages_to_json(turn.passages if turn.reason != "draft" else (Segment(text),)),
            turn.reason,
            created,
            lesson_to_json(turn.lesson),
        ),
    )
    assert cursor.lastrowid is not None
    return turn.id if turn.id > 0 else cursor.lastrowid


def write_visited(connection: sqlite3.Connection, turn: int, child: int) -> None:
    """Write which child of a turn was visible last."""
    connection.execute("UPDATE turn SET visited = ? WHERE id = ?", (child, turn))


def write_snapshot(connection: sqlite3.Connection, turn: int, data: bytes) -> None:
    """Write what the model remembers after a turn."""
    connection.execute(
        "INSERT INTO snapshot VALUES (?, ?) ON CONFLICT (turn) DO UPDATE SET data = excluded.data", (turn, data)
    )


def write_learned(connection: sqlite3.Connection, number: int, turn: int, memory: bytes, overlay: bytes) -> None:
    """Write what was learned up to a turn of a conversation, and give up what is kept of the oldest."""
    connection.execute(
        "INSERT OR REPLACE INTO learned SELECT ?, ?, coalesce(max(written), 0) + 1, ?, ? FROM learned",
        (number, turn, memory, overlay),
    )
    connection.execute(
        "DELETE FROM learned WHERE written NOT IN (SELECT written FROM learned ORDER BY written DESC LIMIT ?)",
        (LEARNED,),
    )


def lesson_to_json(lesson: LearnPolicy) -> str:
    """Empty for none."""
    document = lesson.to_dict()
    return as_json(document) if document else ""


def lesson_from_json(document: str) -> LearnPolicy:
    """Read back what `lesson_to_json` made.

    Raises:
        CheckpointError: it is damaged; other errors say so too, see `charlm.chat.storage.conversation_data.read`.
    """
    return LearnPolicy.from_dict(json.loads(document)) if document else NO_LESSON


def passages_to_json(passages: Sequence[Segment]) -> str:
    """Where each stretch of a text came from: how long it is, its settings, its draws. The text has its own column."""
    document = [[len(one.text), one.to_dict()["settings"], one.draws] for one in passages]
    return as_json(document)


class SegmentReader:
    """Reads what `passages_to_json` made, of many turns quickly.

    Dials that many turns share are made and checked once, and random numbers are not checked before they are used.
    """

    def __init__(self) -> None:
        self._dials: dict[tuple[Any, ...], ChatConfig] = {}

    def read(self, text: str, document: str) -> tuple[Segment, ...]:
        """The passages of a turn.

        Raises:
            CheckpointError: they are damaged; other errors say so too, see
            `charlm.chat.storage.conversation_data.read`.
        """
        passages, start = [], 0
        for length, settings, draws in json.loads(document):
            made = tuple([SamplerCheckpoint(draw, self._shared(dials), rng) for draw, dials, rng in settings])
            passages.append(Segment(text[start : start + length], made, draws))
            start += length
        if start != len(text):
            raise CheckpointError("a turn is not as long as it should be")
        return tuple(passages)

    def _shared(self, document: Mapping[str, Any]) -> ChatConfig:
        key = tuple(document.items())
        if key not in self._dials:
            self._dials[key] = ChatConfig.from_dict(document)
        return self._dials[key]
