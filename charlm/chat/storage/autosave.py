"""What keeps one conversation in the database while it happens.

Owns when what is written. A turn is a row from its beginning on, as a draft that grows; when it is finished, its text,
its snapshot and where the head stands are one transaction. Nothing here raises: what cannot be written stays on a list,
and goes into the next transaction that can be.

Rows of a conversation may come from several processes. Turns have numbers that the database gives out, so that all grow
the same tree; where the head stands is decided by the last to write.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from charlm.adapt.learner import AdaptiveState
from charlm.chat.adaptive_reader import Reader
from charlm.chat.conversation import Conversation
from charlm.chat.reply_sampler import Snapshot
from charlm.chat.storage.conversation_data import ConversationData
from charlm.chat.storage.database import PATIENCE, Database
from charlm.chat.storage.rows import (
    SAID,
    as_json,
    insert_conversation,
    new_key,
    one_line,
    update_conversation,
    whole,
    write_learned,
    write_snapshot,
    write_turn,
    write_visited,
)
from charlm.chat.turns import Turn, branch
from charlm.errors import CharlmError, CheckpointError

DRAFT_PATIENCE: Final = 0.05  # seconds; the next draft comes soon enough
LESSONS: Final = 32  # turns, after which it is written what was learned; else only when a conversation is left


class Autosave:
    """Keeps one conversation. See `charlm.chat.conversation.Journal`.

    Args:
        database: where.
        model: the name of the model.
        now: seconds since 1970.

    Attributes:
        number: of the conversation in the database; None before its first turn.
        model: the name of the model.
        trouble: why something is not written that should be; None if all is.
    """

    def __init__(self, database: Database, model: str, now: Callable[[], float]) -> None:
        self.number: int | None = None
        self.model = whole(model)
        self.trouble: CharlmError | None = None
        self._database = database
        self._now = now
        self._generation = database.generation
        self._conversation: Conversation | None = None
        self._key = new_key()
        self._title = ""  # as it was last written
        self._state: dict[str, Any] = {}  # of the conversation's row, as it was last written
        self._moved = False  # whether the row is to be written
        self._unsaved: list[Turn] = []  # parents before children
        self._head: Turn | None = None  # when it was last told of
        self._visits: set[Turn] = set()  # turns another child of which is visible now
        self._strange: list[Turn] = []  # whose snapshots were another model's, or damaged
        self._places: dict[Turn, tuple[int, str]] = {}  # how deep in the tree, and how its first turn begins
        self._unborn = 0  # turns that have begun but have no row
        self._learned: Turn | None = None  # the last one for which it was written what was learned
        self._lessons = 0  # turns since then
        self._leaves = False  # whether the conversation may be left now

    def attach(self, conversation: Conversation) -> None:
        """Keep this conversation from now on; if it has been read from the database, it stands there as it is."""
        self._conversation = conversation
        self._title = conversation.title
        if self.number is not None and not self._moved:
            self._state, self._head = self._state_of(conversation, {}), conversation.head

    def resume(self, number: int, record: ConversationData) -> None:
        """Go on with a conversation that has been read from the database."""
        self.number, self._key, self._title = number, record.key, record.title

    # -- what a conversation tells -------------------------------------------------------------------------------------

    def begin(self, conversation: Conversation, turn: Turn) -> int:
        """A turn has begun. Its id is negative if it could not be written, until that is made good."""
        with self._database.lock:
            self._conversation = conversation
            turn.id = self._unborn_id()
            self._unsaved.append(turn)
            self._save(begins=True)
            return turn.id

    def draft(self, turn: Turn) -> None:
        """A turn under way has grown."""
        with self._database.lock:
            if self.trouble is None:
                self._will_save(turn)
                self._save(patience=DRAFT_PATIENCE)

    def commit(self, conversation: Conversation, turn: Turn | None) -> None:
        """A turn is finished, or only the head has moved."""
        with self._database.lock:
            self._conversation = conversation
            self._moved = True
            if turn is not None:
                self._will_save(turn)
                self._lessons += 1
            for one in branch(self._head or conversation.root, conversation.head):
                assert one.parent is not None
                self._visits.add(one.parent)
            self._head = conversation.head
            self._save()

    def withdraw(self, turn: Turn) -> None:
        """A turn has said nothing. What cannot be deleted now is deleted when the conversation is opened."""
        with self._database.lock, contextlib.suppress(CharlmError):
            if turn in self._unsaved:
                self._unsaved.remove(turn)
            with self._database.writing(DRAFT_PATIENCE) as connection:
                if turn.id > 0 and self._generation == self._database.generation:
                    connection.execute("DELETE FROM turn WHERE id = ? AND reason = 'draft'", (turn.id,))

    def fetch(self, turn: Turn, reader: Reader) -> Snapshot | None:
        """The snapshot of a finished turn, if there is one that this model can use."""
        if turn.id <= 0:
            return None
        try:
            with self._database.reading() as connection:
                found = connection.execute("SELECT data FROM snapshot WHERE turn = ?", (turn.id,)).fetchone()
                learned = (
                    found
                    or connection.execute(
                        "SELECT memory, overlay FROM learned WHERE conversation = ? AND turn = ?",
                        (self.number, turn.id),
                    ).fetchone()
                )
        except CharlmError as error:
            self.trouble = error
            return None
        snapshot = None
        try:
            if found is not None:
                snapshot = Snapshot.from_bytes(reader.base, found[0])
            elif learned is not None:
                snapshot = reader.from_bytes(*learned)
                self._learned = turn
        except CheckpointError:
            snapshot = None
        if snapshot is None:
            with self._database.lock:
                self._strange.append(turn)
        return snapshot

    def save(self) -> None:
        """Write what is not yet written: dials that were turned since the last turn, and what could not be."""
        with self._database.lock:
            conversation = self._conversation
            if conversation is None or conversation.busy or (self.number is None and not self._unsaved):
                return
            self._leaves = True
            moved = self._state != self._state_of(conversation, {})
            if moved or self._moved or self._unsaved or self._to_learn(conversation) is not None:
                self._moved |= moved or bool(self._unsaved)
                self._save()
            self._leaves = False

    # -- how it is written ---------------------------------------------------------------------------------------------

    def _will_save(self, turn: Turn) -> None:
        if turn not in self._unsaved:
            self._unsaved.append(turn)

    def _unborn_id(self) -> int:
        self._unborn += 1
        return -self._unborn

    def _save(self, *, begins: bool = False, patience: float = PATIENCE) -> None:
        if self.trouble is not None:
            patience = DRAFT_PATIENCE  # once is enough to wait for whoever holds the file
        for _ in range(2):  # once more if what was wrong has been mended
            generation = self._database.generation
            try:
                self._write(begins=begins, patience=patience)
            except CharlmError as error:
                self.trouble = error
                if self._database.generation == generation:
                    return
            else:
                self.trouble = None
                return

    def _write(self, *, begins: bool, patience: float) -> None:
        conversation = self._conversation
        assert conversation is not None
        ids: dict[Turn, int] = {}
        with self._database.writing(patience) as connection:
            if self.number is not None and not self._is_there(connection, conversation, begins=begins):
                return
            made = self.number is None
            number = self.number or insert_conversation(
                connection, self._key, conversation.title, conversation.dialogue, self._now()
            )
            for turn in self._unsaved:
                ids[turn] = self._write_turn(connection, conversation, number, turn, ids)
            self._write_strange(connection, conversation)
            learned = self._to_learn(conversation)
            if learned is not None:
                memory, overlay = conversation.reader.to_bytes(learned)
                head = conversation.head
                write_learned(connection, number, ids.get(head, head.id), memory, overlay)
            title, state = self._title, self._state
            if self._moved or made:
                title, state = conversation.title, self._write_row(connection, conversation, number, ids)
        # Only now is it certain.
        for turn, index in ids.items():
            turn.id = index
        self.number, self._title, self._state = number, title, state
        self._generation, self._moved = self._database.generation, False
        if learned is not None:
            self._learned, self._lessons = conversation.head, 0
        self._unsaved.clear()
        self._visits.clear()
        self._strange.clear()

    def _to_learn(self, conversation: Conversation) -> AdaptiveState | None:
        """What the model remembers where the head is, if it has learned something and that is to be written now.

        It is as large as the model, and not needed as long as the conversation is open: not with every turn, then, but
        often enough for a crash to be soon made up for.
        """
        head = conversation.head
        memory = head.snapshot.memory if head.snapshot is not None else None
        if memory is None or not memory.overlay or head is self._learned:
            return None
        return memory if self._leaves or self._lessons >= LESSONS else None

    def _is_there(self, connection: sqlite3.Connection, conversation: Conversation, *, begins: bool) -> bool:
        """Whether there is something to write: not if another process has removed the conversation.

        Whoever goes on with a removed conversation has it kept anew, and so has everyone whose file went with a damage.
        """
        row = connection.execute(
            "SELECT deleted FROM conversation WHERE id = ? AND key = ?", (self.number, self._key)
        ).fetchone()
        other_file = self._generation != self._database.generation
        if row is None:
            if begins or other_file:
                self._disown(conversation, set())
                self.number = None
            return begins or other_file
        if row[0] is not None and begins:  # whoever goes on with a deleted one takes it back
            connection.execute("UPDATE conversation SET deleted = NULL WHERE id = ?", (self.number,))
        if other_file:
            kept = connection.execute("SELECT id FROM turn WHERE conversation = ?", (self.number,))
            self._disown(conversation, {index for (index,) in kept})
        return True

    def _disown(self, conversation: Conversation, kept: set[int]) -> None:
        """Turns that are not among the rows that were kept are to be written again, as new ones."""
        turns = ConversationData.of(conversation).turns
        known = set(turns)
        new = [turn for turn in self._unsaved if turn not in known]
        self._unsaved = [turn for turn in turns if turn.id not in kept or turn in self._unsaved] + new
        for turn in self._unsaved:
            if turn.id not in kept:
                turn.id = self._unborn_id()
        self._visits = {turn for turn in turns if turn.visited is not None}
        self._moved = True

    def _write_turn(
        self, connection: sqlite3.Connection, conversation: Conversation, number: int, turn: Turn, ids: dict[Turn, int]
    ) -> int:
        assert turn.parent is not None
        parent = ids.get(turn.parent, turn.parent.id)
        assert parent >= 0, "parents are written before their children"
        row = write_turn(connection, number, turn, parent, self._now())
        if turn.reason != "draft" and turn.snapshot is not None and turn.snapshot.memory is None:
            write_snapshot(connection, row, turn.snapshot.to_bytes(conversation.engine))
        return row

    def _write_strange(self, connection: sqlite3.Connection, conversation: Conversation) -> None:
        """What was read again because another model had read it need not be read a third time."""
        for turn in self._strange:
            if turn.snapshot is not None and turn.snapshot.memory is None and turn.id > 0:
                write_snapshot(connection, turn.id, turn.snapshot.to_bytes(conversation.engine))

    def _write_row(
        self, connection: sqlite3.Connection, conversation: Conversation, number: int, ids: dict[Turn, int]
    ) -> dict[str, Any]:
        for turn in self._visits:
            if turn.parent is not None and turn.visited is not None:
                write_visited(connection, ids.get(turn, turn.id), ids.get(turn.visited, turn.visited.id))
        state = self._state_of(conversation, ids)
        values = {"model": self.model, "fingerprint": conversation.engine.fingerprint, "updated": self._now()} | state
        if conversation.title != self._title:  # else another process may have given it one
            values["title"] = one_line(conversation.title)
        update_conversation(connection, number, values)
        return state

    def _state_of(self, conversation: Conversation, ids: dict[Turn, int]) -> dict[str, Any]:
        """What a conversation's row says of how it stands."""
        head, first = conversation.head, conversation.root.visited
        turns, said = self._place(head)
        return {
            "you": whole(conversation.you),
            "bot": whole(conversation.bot),
            "dials": as_json(conversation.dials.to_dict()),
            "seed": str(conversation.seed),
            "rng": as_json(conversation.hand.rng.bit_generator.state),
            "moves": as_json([ids.get(turn, turn.id) for turn in conversation.moves]),
            "cursor": conversation.cursor,
            "forgets": int(conversation.forgets),
            "visited": None if first is None else ids.get(first, first.id),
            "turns": turns,
            "characters": head.characters,
            "said": said,
        }

    def _place(self, turn: Turn) -> tuple[int, str]:
        """How many turns there are up to this one, and how the first of them begins."""
        above = []
        while turn.parent is not None and turn not in self._places:
            above.append(turn)
            turn = turn.parent
        depth, said = self._places.get(turn, (0, ""))
        for one in reversed(above):
            depth, said = depth + 1, said or whole(one.text[:SAID])
            self._places[one] = depth, said
        return depth, said
