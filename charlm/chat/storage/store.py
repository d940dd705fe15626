"""The conversations on disk: started, opened, listed, searched, deleted.

See `charlm.chat.storage.autosave` for what happens in an open one, and `schema.sql` for the tables.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from charlm.adapt.adaptive_model import AdaptiveModel
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.storage import listing, rows
from charlm.chat.storage.autosave import Autosave
from charlm.chat.storage.database import (
    CLOSING_PATIENCE_SECONDS,
    NOTICE_SECONDS,
    PATIENCE_SECONDS,
    Connect,
    Database,
)
from charlm.chat.storage.documents import one_line
from charlm.chat.storage.learned_weights import LearnedWeights
from charlm.chat.storage.listing import ConversationSummary
from charlm.chat.storage.rows import LoadedConversation, Rows
from charlm.errors import CharlmError, NotFoundError
from charlm.files import home
from charlm.inference.engine import Engine
from charlm.text.dialogue import Dialogue
from charlm.text.sanitize import replace_lone_surrogates

FILE: Final = "conversations.db"
RESTORE_SECONDS: Final = 24 * 60 * 60.0  # until a deleted conversation is removed


class ConversationStore:
    """The conversations of one person, in one file. Any thread may use it.

    Methods raise `NotFoundError` if there is no such conversation, `OutputError` if the file cannot be used, and
    `CheckpointError` if it is damaged.
    """

    def __init__(
        self,
        path: Path | None = None,  # None takes the file in the user's data folder
        *,
        now: Callable[[], float] = time.time,  # seconds since 1970
        clock: Callable[[], float] = time.monotonic,  # seconds, see `Conversation`
        connect: Connect = sqlite3.connect,
        weights: LearnedWeights | None = None,  # None takes a folder next to the file
    ) -> None:
        self.path = home() / FILE if path is None else path
        self._now = now
        self._clock = clock
        self._weights = weights or LearnedWeights(self.path.with_name("learned"))
        self._database = Database(self.path, connect)
        self._autosaves: weakref.WeakSet[Autosave] = weakref.WeakSet()
        self._unsaved: set[Autosave] = set()  # referenced until they are written
        self._last_message: str | None = None  # about saving, from `news`
        self._is_closed = False
        with contextlib.suppress(CharlmError):  # next time, then
            self._purge()

    def _purge(self) -> None:
        expired = "FROM conversation WHERE deleted < ?", (self._now() - RESTORE_SECONDS,)
        with self._database.reading() as connection:
            found = connection.execute(f"SELECT 1 {expired[0]}", expired[1]).fetchone()
        if found is not None:
            with self._database.writing() as connection:
                connection.execute(f"DELETE {expired[0]}", expired[1])
                self._weights.prune(connection)

    def close(
        self, on_wait: Callable[[str], object] = lambda message: None, patience: float = CLOSING_PATIENCE_SECONDS
    ) -> bool:
        """Write what is not written yet, and close the file.

        Conversations that cannot be written there go into files to import, and `news` names them.

        Args:
            on_wait: called with a message before a long wait.
            patience: seconds to wait for another process that is writing.

        Returns:
            True if all is in the file.
        """
        if self._is_closed:
            return not self._unsaved
        self.save(NOTICE_SECONDS)
        if (error := self.error) is not None:
            on_wait(f"not saved yet: {error.message}; trying for {patience:.0f} seconds")
            self.save(patience)
        self._is_closed = True
        for one in self._unsaved:
            try:
                path = one.rescue()
            except CharlmError as failure:
                self._database.notices.append(f"a conversation is lost: {failure.message}")
            else:
                self._database.notices.append(f"charlm conversations import {path} brings it back")
        self._database.close()
        return not self._unsaved

    def save(self, patience: float = PATIENCE_SECONDS) -> None:
        """Write what is not written yet of open conversations, such as settings changed since the last turn."""
        with self._database.lock:
            for one in list(self._autosaves):
                one.save(patience)
            self._unsaved = {one for one in self._autosaves if one.error is not None}

    @property
    def error(self) -> CharlmError | None:
        """Why something is not saved yet; None if all is. Each turn tries again."""
        return next((one.error for one in self._autosaves if one.error is not None), None)

    def news(self) -> list[str]:
        """Return the messages for the person since the last call, a sentence each."""
        notices = [self._database.notices.popleft() for _ in range(len(self._database.notices))]
        error, news = self.error, list[str]()
        retry = "" if self._is_closed else "; the next turn tries again"
        message = None if error is None else f"not saved: {error.message}{retry}"
        if message != self._last_message:
            news.append(message or "everything is saved again")
            self._last_message = message
        return news + notices

    # -- one conversation ----------------------------------------------------------------------------------------------

    def create(self, model: str, engine: Engine, data: ConversationData) -> Conversation:
        """Start a conversation with the model of this name. Its first turn saves it."""
        self.save()
        return Conversation(engine, data, journal=partial(self._autosave, model, {}), clock=self._clock)

    def open(self, number: int, model: str, engine: Engine, dialogue: Dialogue) -> Conversation:
        """Go on with a conversation, byte for byte as if it had never been closed. It keeps its format."""
        self.save()
        loaded = self._load(number)
        if loaded.drafts:
            loaded = self._adopt_drafts(number)
        data = loaded.data
        if dialogue.writes_like(data.dialogue):
            data.dialogue = replace(dialogue, primer=data.dialogue.primer)  # it may have more names
        journal = partial(self._autosave, model, loaded.rows)
        return Conversation(engine, data, journal=journal, clock=self._clock)

    def _autosave(self, name: str, saved: Rows, data: ConversationData, model: AdaptiveModel) -> Autosave:
        one = Autosave(self._database, data, model, name, saved, self._now, self._weights)
        self._autosaves.add(one)
        return one

    def _load(self, number: int) -> LoadedConversation:
        with self._database.reading() as connection:
            self._find(connection, number)
            return rows.load(connection, number)

    def _adopt_drafts(self, number: int) -> LoadedConversation:
        """Save replies that a crash cut off as stopped ones, and load the conversation.

        They get new rows. If another process is still writing them, it goes on with the old ones.
        """
        with self._database.writing() as connection:
            self._find(connection, number)
            data, saved, drafts = rows.load(connection, number)
            for turn in [turn for turn, row in saved.items() if row in drafts]:
                del saved[turn]
                saved[turn] = rows.write_turn(connection, number, turn, saved)
            connection.executemany("DELETE FROM turn WHERE id = ?", [(row,) for row in drafts])
            rows.write_visited(connection, data.turns, saved)
            rows.update_conversation(connection, number, rows.conversation_row(data, saved))
        return LoadedConversation(data, saved, [])

    def load(self, number: int) -> ConversationData:
        """Return a conversation, to be read."""
        return self._load(number).data

    def add(self, data: ConversationData) -> int:
        """Save a conversation from elsewhere. Returns its number here. Its contexts are made when it goes on."""
        with self._database.writing() as connection:
            return rows.write_all(connection, data)

    def rename(self, number: int, title: str) -> None:
        """Set the title. With an empty one, lists show the first words."""
        self._update(number, "title = ?", one_line(title))

    def delete(self, number: int) -> None:
        """Hide a conversation. For a day, `restore` brings it back."""
        self._update(number, "deleted = ?", self._now())

    def restore(self, number: int) -> None:
        """Show a deleted conversation again."""
        self._update(number, "deleted = ?", None, deleted=True)

    def remove(self, number: int) -> None:
        """Delete a conversation for good."""
        with self._database.writing() as connection:
            self._find(connection, number, deleted=True)
            connection.execute("DELETE FROM conversation WHERE id = ?", (number,))
            self._weights.prune(connection)

    def _update(self, number: int, change: str, value: object, *, deleted: bool = False) -> None:
        with self._database.writing() as connection:
            self._find(connection, number, deleted=deleted)
            connection.execute(f"UPDATE conversation SET {change} WHERE id = ?", (value, number))

    def _find(self, connection: sqlite3.Connection, number: int, *, deleted: bool = False) -> None:
        hidden = "" if deleted else "WHERE deleted IS NULL"
        numbers = {one for (one,) in connection.execute(f"SELECT id FROM conversation {hidden}")}
        if number not in numbers:
            near = sorted(sorted(numbers, key=lambda one: abs(one - number))[:3])
            hint = f"did you mean {' or '.join(map(str, near))}?" if near else "charlm chat starts one"
            raise NotFoundError(f"there is no conversation {number}", hint)

    # -- several -------------------------------------------------------------------------------------------------------

    def summary(self, number: int) -> ConversationSummary:
        with self._database.reading() as connection:
            self._find(connection, number)
            found = listing.one(connection, number)
        if found is None:
            raise NotFoundError(f"conversation {number} is empty", "charlm conversations lists the others")
        return found

    def latest(self, model: str | None = None) -> ConversationSummary | None:
        """Return the conversation that was used last, of all or of a model."""
        with self._database.reading() as connection:
            return next(iter(listing.newest(connection, model, 1)), None)

    def search(self, query: str = "", limit: int = 200) -> list[ConversationSummary]:
        """Return at most `limit` conversations, the newest first: all, or those that `listing.search` finds."""
        with self._database.reading() as connection:
            if query.strip():
                return listing.search(connection, query, limit)
            return listing.newest(connection, None, limit)

    # -- settings ------------------------------------------------------------------------------------------------------

    def setting(self, key: str) -> str:
        """Return the value that `set_setting` stored, or an empty text."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
        return "" if row is None else str(row[0])

    def set_setting(self, key: str, value: str) -> None:
        """Store a setting of an interface."""
        with self._database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (key, replace_lone_surrogates(value)))
