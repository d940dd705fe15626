"""Rows of the database: how a conversation and its turns are written into columns, and read back.

Knows nothing of when that happens.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from charlm.chat.adaptive_reader import NO_LESSON, LearnPolicy
from charlm.chat.conversation_data import ConversationData
from charlm.chat.reply_sampler import SamplerCheckpoint, SamplerControls, Segment, restored
from charlm.chat.turns import Turn
from charlm.config import ChatConfig
from charlm.errors import CharlmError, CheckpointError, NotFoundError
from charlm.text.dialogue import Dialogue

OPENING_CHARS: Final = 200  # of the first turn, stored with the conversation: a title is made from them
MAX_SAVED_ADAPTATIONS: Final = 3  # learned weights are stored for the newest 3 conversations

Rows = Mapping[Turn, int]  # the row of each turn in the database


class LoadedConversation(NamedTuple):
    """A conversation from the database."""

    data: ConversationData
    rows: dict[Turn, int]
    drafts: bool  # whether replies were cut off by a crash


def replace_lone_surrogates(text: str) -> str:
    """Return a text that UTF-8 can encode. A terminal may send halves of surrogate pairs."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(title: str) -> str:
    """Return a title as it is stored."""
    return " ".join(replace_lone_surrogates(title).split())


def as_json(value: object) -> str:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":"))


# -- writing ----------------------------------------------------------------------------------------------------------


def conversation_row(data: ConversationData, rows: Rows) -> dict[str, object]:
    """Return the columns of a conversation, but `updated`."""
    first = data.root.visited
    return {
        "created": data.created,
        "title": one_line(data.title),
        "model": replace_lone_surrogates(data.model),
        "fingerprint": data.fingerprint,
        "dialogue": as_json(data.dialogue.to_dict()),
        "you": replace_lone_surrogates(data.you),
        "bot": replace_lone_surrogates(data.bot),
        "dials": as_json(data.controls.dials.to_dict()),
        "seed": str(data.seed),
        "rng": as_json(data.controls.rng.bit_generator.state),
        "moves": as_json([rows.get(turn, 0) for turn in data.moves]),
        "cursor": data.cursor,
        "forgets": int(data.forgets),
        "visited": None if first is None else rows.get(first),
        "turns": data.head.depth,
        "characters": data.head.characters,
        "opening": first.text[:OPENING_CHARS] if first is not None and data.head is not data.root else "",
    }


def insert_conversation(connection: sqlite3.Connection, row: Mapping[str, object], updated: float) -> int:
    """Write a conversation that has no row yet. Returns its number."""
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    cursor = connection.execute(
        f"INSERT INTO conversation ({names}, updated) VALUES ({values}, :updated)", {**row, "updated": updated}
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def update_conversation(connection: sqlite3.Connection, number: int, row: Mapping[str, object], updated: float) -> None:
    """Write the columns of a conversation."""
    names = ", ".join(f"{name} = :{name}" for name in row)
    connection.execute(
        f"UPDATE conversation SET {names}, updated = :updated WHERE id = :id", {**row, "updated": updated, "id": number}
    )


def write_turn(connection: sqlite3.Connection, number: int, turn: Turn, rows: Rows) -> int:
    """Write a turn, new or grown. Returns its row."""
    assert turn.parent is not None
    assert turn.parent in rows or turn.parent.parent is None, "parents are written before their children"
    text = turn.text
    # A draft that a crash cuts off is read from its text, not drawn again.
    segments = turn.passages if turn.reason != "draft" else (Segment(text),)
    cursor = connection.execute(
        "INSERT INTO turn (id, conversation, parent, author, name, text, segments, reason, created, learning)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET text = excluded.text, segments = excluded.segments, reason = excluded.reason",
        (
            rows.get(turn),
            number,
            rows.get(turn.parent),
            turn.author,
            replace_lone_surrogates(turn.name),
            text,
            as_json([[len(one.text), one.to_dict()["settings"], one.draws] for one in segments]),
            turn.reason,
            turn.created,
            as_json(turn.lesson.to_dict()) if turn.lesson != NO_LESSON else "",
        ),
    )
    assert cursor.lastrowid is not None
    return rows.get(turn, cursor.lastrowid)


def write_visited(connection: sqlite3.Connection, turns: Iterable[Turn], rows: Rows) -> None:
    """Write for each turn the child that was visible last."""
    connection.executemany(
        "UPDATE turn SET visited = ? WHERE id = ?",
        [(rows[turn.visited], rows[turn]) for turn in turns if turn.visited is not None and turn.parent is not None],
    )


def write_all(connection: sqlite3.Connection, data: ConversationData) -> tuple[int, dict[Turn, int]]:
    """Write a whole conversation as a new one, without snapshots. Returns its number and the rows of its turns."""
    rows: dict[Turn, int] = {}
    number = insert_conversation(connection, conversation_row(data, rows), data.updated)
    for turn in data.turns:
        rows[turn] = write_turn(connection, number, turn, rows)
    write_visited(connection, data.turns, rows)
    update_conversation(connection, number, conversation_row(data, rows), data.updated)
    return number, rows


def write_snapshot(connection: sqlite3.Connection, row: int, data: bytes) -> None:
    """Write the snapshot after a turn."""
    connection.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?)", (row, data))


def write_adaptation(connection: sqlite3.Connection, number: int, row: int, state: bytes, weights: bytes) -> None:
    """Write the learned weights after a turn, and delete those of the conversations that were left longest ago."""
    connection.execute(
        "INSERT OR REPLACE INTO adaptation SELECT ?, ?, coalesce(max(written), 0) + 1, ?, ? FROM adaptation",
        (number, row, state, weights),
    )
    connection.execute(
        "DELETE FROM adaptation WHERE written NOT IN (SELECT written FROM adaptation ORDER BY written DESC LIMIT ?)",
        (MAX_SAVED_ADAPTATIONS,),
    )


# -- reading ----------------------------------------------------------------------------------------------------------


def load(connection: sqlite3.Connection, number: int) -> LoadedConversation:
    """Read a conversation. If a crash cut off its last reply, the head is there; drafts without text are left out.

    Raises:
        NotFoundError: there is none of that number.
        CheckpointError: it is damaged.
    """
    cursor = connection.execute("SELECT * FROM conversation WHERE id = ? AND deleted IS NULL", (number,))
    found = cursor.fetchone()
    if found is None:
        raise NotFoundError(f"there is no conversation {number}", "charlm conversations lists them")
    row = dict(zip([column[0] for column in cursor.description], found, strict=True))
    try:
        data = ConversationData(
            dialogue=Dialogue.from_dict(json.loads(row["dialogue"])),
            you=row["you"],
            bot=row["bot"],
            controls=SamplerControls(ChatConfig.from_dict(json.loads(row["dials"])), restored(json.loads(row["rng"]))),
            seed=int(row["seed"]),
            title=row["title"],
            forgets=bool(row["forgets"]),
            number=number,
            model=row["model"],
            fingerprint=row["fingerprint"],
            created=row["created"],
            updated=row["updated"],
        )
        turns, has_drafts = _load_turns(connection, data, row["visited"])
        moves = [int(move) for move in json.loads(row["moves"])]
        if not moves:
            raise CheckpointError("the head is missing")
        data.moves = [turns[move] for move in moves if move in turns] or [data.root]
        data.cursor = min(max(int(row["cursor"]), 0), len(data.moves) - 1)
        data.show(data.moves[data.cursor])
        last = data.turns[-1] if data.turns else data.root
        if last.reason == "draft":
            data.move(last, joins=last.parent is data.head)
    except (CharlmError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"conversation {number} is damaged in the database") from error
    for turn in data.turns:
        turn.reason = "cancelled" if turn.reason == "draft" else turn.reason
    return LoadedConversation(data, {turn: index for index, turn in turns.items() if turn is not data.root}, has_drafts)


def _load_turns(
    connection: sqlite3.Connection, data: ConversationData, first: int | None
) -> tuple[dict[int, Turn], bool]:
    """Attach the turns of a conversation. Returns them by row, and whether there are drafts."""
    turns: dict[int, Turn] = {0: data.root}
    visited: dict[Turn, int | None] = {data.root: first}
    reader = _SegmentReader()
    has_drafts = False
    rows = connection.execute(
        "SELECT id, parent, author, name, text, segments, reason, visited, created, learning FROM turn "
        "WHERE conversation = ? ORDER BY id",
        (data.number,),
    )
    for index, parent, author, name, text, segments, reason, child, created, learning in rows:
        has_drafts |= reason == "draft"
        if reason == "draft" and not text:
            continue
        lesson = LearnPolicy.from_dict(json.loads(learning)) if learning else NO_LESSON
        turn = Turn(0, turns[parent or 0], author, name, reader.read(text, segments), reason, lesson=lesson)
        turn.created = created
        data.attach(turn)
        turns[index], visited[turn] = turn, child
    for turn, child in visited.items():
        last = turns.get(child) if child is not None else None
        turn.visited = last if last is not None and last.parent is turn else None
    return turns, has_drafts


class _SegmentReader:
    """Reads the segments of many turns. Settings that turns share are made and checked once."""

    def __init__(self) -> None:
        self._settings: dict[tuple[Any, ...], ChatConfig] = {}

    def read(self, text: str, document: str) -> tuple[Segment, ...]:
        """Return the segments of a turn.

        Raises:
            CheckpointError: they do not fit the text; any other error means that they are damaged too.
        """
        segments, start = [], 0
        for length, settings, draws in json.loads(document):
            made = tuple([SamplerCheckpoint(draw, self._shared(dials), rng) for draw, dials, rng in settings])
            segments.append(Segment(text[start : start + length], made, draws))
            start += length
        if start != len(text):
            raise CheckpointError("a turn is not as long as its segments")
        return tuple(segments)

    def _shared(self, document: Mapping[str, Any]) -> ChatConfig:
        key = tuple(document.items())
        if key not in self._settings:
            self._settings[key] = ChatConfig.from_dict(document)
        return self._settings[key]
