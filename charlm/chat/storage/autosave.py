"""Saving one conversation while it happens.

Owns when what is written. A reply is a row from its beginning on, as a draft that grows. When it is finished, its text,
its context and the head are one transaction. No method raises: turns that cannot be written stay on a list, and the
next transaction that succeeds writes them.

Several processes may write turns of the same conversation: the database gives out the rows, so that all grow one tree.
The last process to write decides where the head is.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from charlm.adapt.adaptive_model import AdaptiveModel
from charlm.adapt.learner import AdaptedContext
from charlm.chat.conversation_data import ConversationData
from charlm.chat.export import to_json
from charlm.chat.reply import Journal
from charlm.chat.storage import rows
from charlm.chat.storage.database import PATIENCE_SECONDS, DamagedFileError, Database
from charlm.chat.storage.learned_weights import LearnedWeights
from charlm.chat.turns import Turn, branch
from charlm.errors import CharlmError, CheckpointError, OutputError
from charlm.files import write_rescue
from charlm.inference.context import Context, context_from_bytes, context_to_bytes

DRAFT_PATIENCE_SECONDS: Final = 0.05  # the next draft comes soon


class Autosave(Journal):
    """Saves one conversation."""

    def __init__(
        self,
        database: Database,
        data: ConversationData,
        model: AdaptiveModel,
        name: str,  # of the model
        saved: rows.Rows,  # of the turns that are in the database already
        now: Callable[[], float],  # seconds since 1970
        weights: LearnedWeights,
    ) -> None:
        self.error: CharlmError | None = None  # why the last transaction failed
        self.data = data
        self._database = database
        self._model = model
        self._name = name
        self._rows = dict(saved)
        self._now = now
        self._weights = weights
        self._generation = database.generation
        self._row = rows.conversation_row(data, self._rows)  # as it was last written
        self._head = data.head  # at the last commit
        self._unsaved: dict[Turn, None] = {}  # in order, parents before children
        self._visits: set[Turn] = set()  # turns whose visited child has changed
        self._no_context: set[Turn] = set()  # saved turns whose context is missing, damaged or another model's
        self._learned: Turn | None = None  # the last turn whose learned weights are saved
        self._turns_since = 0  # that turn
        self._moved = False  # whether the head has moved since the last transaction

    # -- called by the conversation ------------------------------------------------------------------------------------

    def begin(self, turn: Turn) -> None:
        with self._database.lock:
            self._unsaved[turn] = None
            self._save(revive=True)

    def draft(self, turn: Turn) -> None:
        with self._database.lock:
            if self.error is None:  # else the turn is saved when it is finished
                self._unsaved[turn] = None
                self._save(patience=DRAFT_PATIENCE_SECONDS)

    def commit(self, turn: Turn | None) -> None:
        data = self.data
        with self._database.lock:
            self._moved = True
            if turn is not None:
                self._unsaved[turn] = None
                self._turns_since += 1
            self._visits.update([one.parent for one in branch(self._head, data.head) if one.parent is not None])
            self._head = data.head
            self._save(revive=turn is not None and turn not in self._rows)

    def withdraw(self, turn: Turn) -> None:
        with self._database.lock, contextlib.suppress(CharlmError):  # if it fails, opening the conversation deletes it
            self._unsaved.pop(turn, None)
            row = self._rows.pop(turn, None)
            if row is not None and self._generation == self._database.generation:
                with self._database.writing(DRAFT_PATIENCE_SECONDS) as connection:
                    connection.execute("DELETE FROM turn WHERE id = ? AND reason = 'draft'", (row,))

    def fetch(self, turn: Turn) -> Context | None:
        row = self._rows.get(turn)
        if row is None:
            return None
        try:
            with self._database.reading() as connection:
                saved = connection.execute("SELECT data FROM context WHERE turn = ?", (row,)).fetchone()
                learned = connection.execute(
                    "SELECT state, digest FROM learned WHERE conversation = ? AND turn = ?", (self.data.number, row)
                ).fetchone()
        except CharlmError as error:
            self.error = error
            return None
        with contextlib.suppress(CheckpointError):
            if saved is not None:
                return context_from_bytes(saved[0], self._model.base)
            if learned is not None:
                found = self._model.from_bytes(learned[0], self._weights.read(learned[1]))
                self._learned = turn
                return found
        with self._database.lock:
            self._no_context.add(turn)
        return None

    # -- called by the store -------------------------------------------------------------------------------------------

    def save(self, patience: float) -> None:
        """Save what is not saved yet: settings that were changed since the last turn, and the learned weights.

        Args:
            patience: seconds to wait for another process that is writing.
        """
        with self._database.lock:
            head = self.data.head
            if head.parent is not None and head not in self._rows:  # its commit, in another thread, waits for the lock
                self._unsaved[head] = None
            if self.data.number is None and not self._unsaved:
                return
            self._moved |= bool(self._unsaved) or rows.conversation_row(self.data, self._rows) != self._row
            if self._moved or self._unsaved_weights(leaving=True) is not None:
                self._save(leaving=True, patience=patience)

    def rescue(self) -> Path:
        """Write the conversation into a file to import; raise OutputError if that fails."""
        self.data.model, self.data.fingerprint = self._name, self._model.base.fingerprint
        return write_rescue("conversation.json", to_json(self.data))

    # -- transactions --------------------------------------------------------------------------------------------------

    def _save(self, *, revive: bool = False, leaving: bool = False, patience: float = PATIENCE_SECONDS) -> None:
        """Write what is not written yet.

        Args:
            revive: write the conversation even if another process has deleted it.
            leaving: write the learned weights too.
            patience: seconds to wait for another process that is writing.
        """
        if self.error is not None and not leaving:
            patience = DRAFT_PATIENCE_SECONDS  # the last transaction has waited for that process
        for _ in range(2):
            try:
                self._write(revive, leaving, patience)
            except DamagedFileError as error:  # once more, into the new file
                self.error = error
            except CharlmError as error:
                self.error = error
                return
            else:
                self.error = None
                return

    def _write(self, revive: bool, leaving: bool, patience: float) -> None:
        data = self.data
        learned, file = self._unsaved_weights(leaving=leaving), {}
        if learned is not None:
            state, weights = self._model.to_bytes(learned)
            with contextlib.suppress(OutputError):  # without room for them, only the turns are saved
                self._weights.write(learned.delta.digest, weights)
                file = {"digest": learned.delta.digest, "bytes": len(weights), "state": state}
        added: list[Turn] = []
        try:
            with self._database.writing(patience) as connection:
                if self._database.generation != self._generation:
                    self._start_over()
                elif data.number is not None and not self._is_saved(connection, revive):
                    if not revive:
                        return
                    self._start_over()
                number = self._write_turns(connection, added)
                if file:
                    place = {"conversation": number, "turn": self._rows[data.head]}
                    self._weights.list_file(connection, file | place)
                is_new, row = data.number is None, self._row
                if self._moved or is_new:
                    rows.write_visited(connection, self._visits, self._rows)
                    data.model, data.fingerprint, data.updated = self._name, self._model.base.fingerprint, self._now()
                    row = rows.conversation_row(data, self._rows)
                    # Another process may have given it a title.
                    unchanged = {"title"} if not is_new and row["title"] == self._row["title"] else set()
                    columns = {name: value for name, value in row.items() if name not in unchanged}
                    rows.update_conversation(connection, number, columns)
        except BaseException:
            for turn in added:
                del self._rows[turn]
            raise
        self._row = row
        data.number, self._generation, self._moved = number, self._database.generation, False
        if learned is not None:
            self._learned, self._turns_since = data.head, 0
        self._unsaved.clear()
        self._visits.clear()
        self._no_context.clear()

    def _write_turns(self, connection: sqlite3.Connection, added: list[Turn]) -> int:
        """Write unsaved turns and missing contexts. Adds new turns to `added`; returns the conversation's number."""
        data = self.data
        number = data.number or rows.insert_conversation(connection, rows.conversation_row(data, {}))
        for turn in self._unsaved:
            row = rows.write_turn(connection, number, turn, self._rows)
            if turn not in self._rows:
                self._rows[turn] = row
                added.append(turn)
        for turn in (*self._unsaved, *self._no_context):
            context = turn.context
            if context is not None and not isinstance(context, AdaptedContext) and turn.reason != "draft":
                values = self._rows[turn], context_to_bytes(context, self._model.base)
                connection.execute("INSERT OR REPLACE INTO context VALUES (?, ?)", values)
        return number

    def _unsaved_weights(self, *, leaving: bool) -> AdaptedContext | None:
        """Return the learned weights after the head, if they are to be saved now."""
        head = self.data.head
        context = head.context
        if not isinstance(context, AdaptedContext) or not context.delta or head is self._learned:
            return None
        is_due = leaving or self._turns_since >= self._weights.turns_between
        return context if is_due and head.characters >= self._weights.min_chars else None

    def _is_saved(self, connection: sqlite3.Connection, revive: bool) -> bool:
        """Return whether the conversation is still in the database; with `revive` also no longer marked as deleted."""
        number = self.data.number
        row = connection.execute("SELECT deleted FROM conversation WHERE id = ?", (number,)).fetchone()
        if row is not None and row[0] is not None and revive:
            connection.execute("UPDATE conversation SET deleted = NULL WHERE id = ?", (number,))
        return row is not None

    def _start_over(self) -> None:
        """Save the whole conversation again, as a new one."""
        self.data.number = None
        self._rows.clear()
        self._unsaved = dict.fromkeys(self.data.turns)
        self._no_context.clear()
        self._visits = {turn for turn in self.data.turns if turn.visited is not None}
