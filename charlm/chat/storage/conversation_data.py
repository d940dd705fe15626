"""Everything that is kept of one conversation, without a model.

Owns how a `ConversationData` is read from the database and written into it, and how a `Conversation` is made of one.
What stands in which column is told in `charlm.chat.storage.rows`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from charlm.chat.conversation import Conversation, Journal
from charlm.chat.reply_sampler import restored
from charlm.chat.storage.rows import (
    SAID,
    SegmentReader,
    as_json,
    insert_conversation,
    lesson_from_json,
    new_key,
    update_conversation,
    whole,
    write_turn,
    write_visited,
)
from charlm.chat.turns import Turn
from charlm.config import ChatConfig
from charlm.errors import CharlmError, CheckpointError, NotFoundError
from charlm.inference.engine import Engine
from charlm.text.dialogue import Dialogue


@dataclass(eq=False)
class ConversationData:
    """A conversation as it is kept.

    Attributes:
        title: empty if nobody has given it one.
        model: the name of the model that spoke last.
        fingerprint: of that model.
        dialogue: how the text writes turns.
        you: who a person plays.
        bot: who the model plays.
        dials: as they stand.
        seed: what the random numbers were last begun with.
        rng: the state of the random numbers.
        root: where everything begins.
        turns: all but the root, parents before children; the whole tree, whatever is visible.
        moves: ids of turns where the head was, the oldest first.
        cursor: which of them it is.
        forgets: whether the next turn begins with a model that has learned nothing.
        created: when it began; seconds since 1970, as all times are.
        updated: when something last happened.
        times: when each turn began, by its id.
        key: tells it from others; empty if it does not come from the database.
        cut: a reply that a crash has cut off, if it is the last thing that happened; it is visible.
    """

    title: str
    model: str
    fingerprint: str
    dialogue: Dialogue
    you: str
    bot: str
    dials: ChatConfig
    seed: int
    rng: Mapping[str, Any]
    root: Turn
    turns: list[Turn]
    moves: list[int]
    cursor: int
    created: float
    updated: float
    times: dict[int, float] = field(default_factory=dict)
    key: str = ""
    cut: Turn | None = None
    forgets: bool = False

    @property
    def head(self) -> Turn:
        """The last turn that is visible."""
        if self.cut is not None:
            return self.cut
        known = {0: self.root} | {turn.id: turn for turn in self.turns}
        return known.get(self.moves[self.cursor], self.root)

    @property
    def path(self) -> list[Turn]:
        """The visible turns, from the first to the head."""
        turns = []
        turn = self.head
        while turn.parent is not None:
            turns.append(turn)
            turn = turn.parent
        return turns[::-1]

    @property
    def text(self) -> str:
        """What the visible turns come to, as the dialogue's format writes them, without what stands before them."""
        return self.dialogue.closing.join(self.dialogue.opening(turn.name) + turn.text for turn in self.path)

    def conversation(self, engine: Engine, journal: Journal | None = None) -> Conversation:
        """The conversation, ready to go on. It takes the turns over: a record makes only one.

        Args:
            engine: the model, not necessarily the one that spoke.
            journal: keeps what happens.
        """
        conversation = Conversation(engine, self.dialogue, dials=self.dials, seed=self.seed, journal=journal)
        # Not through the constructor, which completes names: these are what they are.
        conversation.you, conversation.bot = self.you, self.bot
        conversation.hand.rng = restored(self.rng)
        conversation.title = self.title
        conversation.forgets = self.forgets
        conversation.root.visited = self.root.visited
        for turn in self.turns:
            if turn.parent is self.root:
                turn.parent = conversation.root
        conversation.restore(self.turns, self.moves, self.cursor)
        return conversation

    @classmethod
    def of(cls, conversation: Conversation, model: str = "") -> ConversationData:
        """What is to be kept of a conversation, which goes on with its turns: for exports, not to make another of."""
        turns: list[Turn] = []
        branches = [conversation.root]
        while branches:
            children = branches.pop().children
            turns += children
            branches += children
        turns.sort(key=_age)
        return cls(
            title=conversation.title,
            model=model,
            fingerprint=conversation.engine.fingerprint,
            dialogue=conversation.dialogue,
            you=conversation.you,
            bot=conversation.bot,
            dials=conversation.dials,
            seed=conversation.seed,
            rng=conversation.hand.rng.bit_generator.state,
            root=conversation.root,
            turns=turns,
            moves=[turn.id for turn in conversation.moves],
            cursor=conversation.cursor,
            forgets=conversation.forgets,
            created=(now := time.time()),
            updated=now,
        )


def _age(turn: Turn) -> tuple[bool, int]:
    # Turns that have no row yet are younger than those that have, and count downwards: see the journal.
    return turn.id < 0, abs(turn.id)


def read(connection: sqlite3.Connection, number: int) -> ConversationData:
    """Read a conversation. Drafts that say nothing are left out.

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
        root = Turn(0, None, "", "")
        times: dict[int, float] = {}
        turns = _read_turns(connection, number, root, row["visited"], times)
        restored(rng := json.loads(row["rng"]))
        moves = [int(move) for move in json.loads(row["moves"])]
        if not moves:
            raise CheckpointError("the head is nowhere")
        return ConversationData(
            title=row["title"],
            model=row["model"],
            fingerprint=row["fingerprint"],
            dialogue=Dialogue.from_dict(json.loads(row["dialogue"])),
            you=row["you"],
            bot=row["bot"],
            dials=ChatConfig.from_dict(json.loads(row["dials"])),
            seed=int(row["seed"]),
            rng=rng,
            root=root,
            turns=turns,
            moves=moves,
            cursor=min(max(int(row["cursor"]), 0), len(moves) - 1),
            created=row["created"],
            updated=row["updated"],
            times=times,
            key=row["key"],
            cut=turns[-1] if turns and turns[-1].reason == "draft" else None,
            forgets=bool(row["forgets"]),
        )
    except (CharlmError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"conversation {number} is damaged in the database") from error


def _read_turns(
    connection: sqlite3.Connection, number: int, root: Turn, first: int | None, times: dict[int, float]
) -> list[Turn]:
    known: dict[int | None, Turn] = {None: root}
    visited: dict[Turn, int | None] = {root: first}
    reader = SegmentReader()
    rows = connection.execute(
        "SELECT id, parent, author, name, text, passages, reason, visited, created, lesson FROM turn "
        "WHERE conversation = ? AND (reason != 'draft' OR text != '') ORDER BY id",
        (number,),
    )
    for index, parent, author, name, text, passages, reason, child, created, lesson in rows:
        turn = Turn(index, known[parent], author, name, reader.read(text, passages), reason)
        turn.lesson = lesson_from_json(lesson)
        known[index], visited[turn], times[index] = turn, child, created
    for turn, child in visited.items():
        there = known.get(child) if child is not None else None
        turn.visited = there if there is not None and there.parent is turn else None
    return [turn for turn in visited if turn is not root]


def write(connection: sqlite3.Connection, kept: ConversationData) -> int:
    """Write a conversation that was kept elsewhere, under new numbers; its number. Turns need no snapshots."""
    number = insert_conversation(connection, new_key(), kept.title, kept.dialogue, kept.created)
    rows = {0: 0}
    for turn in kept.turns:
        assert turn.parent is not None
        created = kept.times.get(turn.id, kept.created)
        new = Turn(0, turn.parent, turn.author, turn.name, turn.passages, turn.reason, lesson=turn.lesson)
        rows[turn.id] = write_turn(connection, number, new, rows[turn.parent.id], created)
    for turn in kept.turns:
        if turn.visited is not None:
            write_visited(connection, rows[turn.id], rows[turn.visited.id])
    path = kept.path
    first = kept.root.visited
    update_conversation(
        connection,
        number,
        {
            "model": whole(kept.model),
            "fingerprint": kept.fingerprint,
            "you": whole(kept.you),
            "bot": whole(kept.bot),
            "dials": as_json(kept.dials.to_dict()),
            "seed": str(kept.seed),
            "rng": as_json(kept.rng),
            "moves": as_json([rows[move] for move in kept.moves]),
            "cursor": kept.cursor,
            "forgets": int(kept.forgets),
            "visited": None if first is None else rows[first.id],
            "turns": len(path),
            "characters": len(kept.text),
            "said": path[0].text[:SAID] if path else "",
            "updated": kept.updated,
        },
    )
    return number
