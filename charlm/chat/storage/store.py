"""Where conversations are kept: made, found, opened again, deleted.

Owns the list of conversations and the search in it. What happens in one that is open is its journal's affair
(`charlm.chat.storage.autosave`); the tables are described in `charlm.chat.storage.schema`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from charlm.chat.adaptive_reader import Reader
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.storage import listing, rows
from charlm.chat.storage.autosave import TURNS_PER_ADAPTATION, Autosave
from charlm.chat.storage.database import Connect, Database
from charlm.chat.storage.documents import one_line, replace_lone_surrogates
from charlm.chat.storage.listing import ConversationSummary
from charlm.chat.storage.rows import LoadedConversation
from charlm.chat.turns import Turn
from charlm.config import ChatConfig
from charlm.errors import CharlmError, NotFoundError
from charlm.files import home
from charlm.inference.engine import Engine
from charlm.text.dialogue import Dialogue

FILE: Final = "conversations.db"
DAY: Final = 24 * 60 * 60.0  # for so long a deleted conversation can be brought back, in seconds


Sentences = list[str]
Summaries = list[ConversationSummary]  # a store has a method `list`


class OpenedConversation(NamedTuple):
    """A conversation that goes on."""

    conversation: Conversation
    reread: bool  # whether the model has changed since its last reply, so that it reads the text again


class ConversationStore:
    """The conversations of one person, in one file. Any thread may use it.

    A damaged file is renamed and a new one is started; `notice` or `news` says so.

    Args:
        path: the file; None takes that in the user's data folder.
        now: seconds since 1970.
        clock: seconds, see `Conversation`.
        connect: opens a connection to the database, as `sqlite3.connect` does.
        turns_per_adaptation: see `Autosave`.

    Raises:
        OutputError: it cannot be opened or created.
        CheckpointError: a newer charlm has written it.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        connect: Connect = sqlite3.connect,
        turns_per_adaptation: int = TURNS_PER_ADAPTATION,
    ) -> None:
        self.path = home() / FILE if path is None else path
        self._now = now
        self._clock = clock
        self._turns_per_adaptation = turns_per_adaptation
        self._database = Database(self.path, connect)
        self._autosaves: weakref.WeakSet[Autosave] = weakref.WeakSet()
        self._unsaved: set[Autosave] = set()  # kept alive until they are written
        self._told: str | None = None
        self.notice = "; ".join(self._database.notices)
        self._database.notices.clear()
        with contextlib.suppress(CharlmError):  # next time, then
            self._purge()

    def _purge(self) -> None:
        with self._database.reading() as connection:
            if not connection.execute(
                "SELECT 1 FROM conversation WHERE deleted < ? LIMIT 1", (self._now() - DAY,)
            ).fetchone():
                return
        with self._database.writing() as connection:
            connection.execute("DELETE FROM conversation WHERE deleted < ?", (self._now() - DAY,))

    def close(self) -> None:
        """Write what is not yet written, and let go of the file."""
        self.save()
        self._database.close()

    # -- what goes wrong -----------------------------------------------------------------------------------------------

    @property
    def trouble(self) -> CharlmError | None:
        """Why something that was said is not written yet; None if all is. It is tried again with every turn."""
        return next((one.error for one in self._autosaves if one.error is not None), None)

    def news(self) -> Sentences:
        """What a person must be told of the file since this was last asked, a sentence each."""
        news = [self._database.notices.popleft() for _ in range(len(self._database.notices))]
        trouble = self.trouble
        message = None if trouble is None else f"not saved: {trouble.message}; it is tried again with the next turn"
        if message != self._told:
            news.append(message or "everything is saved again")
            self._told = message
        return news

    def save(self) -> None:
        """Write what is not yet written of open conversations, such as dials turned since the last turn."""
        with self._database.lock:
            for one in list(self._autosaves):
                one.save()
            self._unsaved = {one for one in self._autosaves if one.error is not None}

    # -- conversations -------------------------------------------------------------------------------------------------

    def create(
        self,
        model: str,
        engine: Engine,
        dialogue: Dialogue,
        *,
        you: str | None = None,
        bot: str | None = None,
        dials: ChatConfig | None = None,
        seed: int | None = None,
    ) -> Conversation:
        """A new conversation; nothing is kept of it before its first turn.

        Args:
            model: its name.
            engine: the model.
            dialogue: how its text writes turns.
            you: see `Conversation`, as are the others.
            bot: the speaker that the model plays.
            dials: how replies are drawn.
            seed: of the random numbers.
        """
        self.save()
        return Conversation(
            engine,
            dialogue,
            you=you,
            bot=bot,
            dials=dials,
            seed=seed,
            journal=self._autosave(model),
            clock=self._clock,
        )

    def open(self, number: int, model: str, engine: Engine, dialogue: Dialogue) -> OpenedConversation:
        """Go on with a conversation, byte for byte as if it had never been closed.

        Args:
            number: of the conversation.
            model: the model's name.
            engine: the model.
            dialogue: how its text writes turns; the conversation goes on in the format in which it was begun.

        Raises:
            NotFoundError: there is no such conversation.
            CheckpointError: it is damaged.
        """
        self.save()
        loaded = self._load(number)
        if loaded.drafts:
            loaded = self._adopt_drafts(number)
        data = loaded.data
        if dialogue.writes_like(data.dialogue):
            data.dialogue = dialogue  # the names may have become more
        reread = data.fingerprint != engine.fingerprint
        conversation = Conversation(engine, data=data, journal=self._autosave(model, loaded.rows), clock=self._clock)
        return OpenedConversation(conversation, reread)

    def _autosave(
        self, model: str, saved: Mapping[Turn, int] | None = None
    ) -> Callable[[ConversationData, Reader], Autosave]:
        def start(data: ConversationData, reader: Reader) -> Autosave:
            autosave = Autosave(
                self._database,
                data,
                reader,
                model,
                saved=saved,
                now=self._now,
                turns_per_adaptation=self._turns_per_adaptation,
            )
            self._autosaves.add(autosave)
            return autosave

        return start

    def _load(self, number: int) -> LoadedConversation:
        with self._database.reading() as connection:
            self._find(connection, number)
            return rows.load(connection, number)

    def _adopt_drafts(self, number: int) -> LoadedConversation:
        """Save replies that a crash has cut off as stopped ones, and load the conversation.

        They get new rows. If their writer lives after all, in another process, it goes on with the old ones.
        """
        with self._database.writing() as connection:
            data, saved, drafts = rows.load(connection, number)
            for turn, row in list(saved.items()):
                if row in drafts:
                    del saved[turn]
                    saved[turn] = rows.write_turn(connection, number, turn, saved)
            connection.executemany("DELETE FROM turn WHERE id = ?", [(row,) for row in drafts])
            rows.write_visited(connection, data.turns, saved)
            rows.update_conversation(connection, number, rows.conversation_row(data, saved))
            return LoadedConversation(data, saved, [])

    def load(self, number: int) -> ConversationData:
        """Return a conversation, to be read.

        Raises:
            NotFoundError: there is no such conversation.
            CheckpointError: it is damaged.
        """
        return self._load(number).data

    def add(self, data: ConversationData) -> int:
        """Save a conversation from elsewhere. Returns its number here. Its snapshots are made when it goes on.

        Raises:
            OutputError: it cannot be written.
        """
        with self._database.writing() as connection:
            return rows.write_all(connection, data)

    def summary(self, number: int) -> ConversationSummary:
        """What a list says of one conversation.

        Raises:
            NotFoundError: there is none of that number; with near ones.
        """
        with self._database.reading() as connection:
            self._find(connection, number)
            found = listing.one(connection, number)
        if found is None:
            raise NotFoundError(f"nothing was said in conversation {number}", "charlm conversations lists the others")
        return found

    def latest(self, model: str | None = None) -> ConversationSummary | None:
        """The conversation in which something last happened, if there is one; with a model of that name."""
        with self._database.reading() as connection:
            return next(iter(listing.newest(connection, model, 1)), None)

    def list(self, query: str = "", limit: int = 200) -> Summaries:
        """Conversations, the newest first.

        Args:
            query: lists only those in which it stands, as it is, in whatever case: in the title, or in a turn, whether
                that is visible or not.
            limit: so many at most.
        """
        with self._database.reading() as connection:
            if query.strip():
                return listing.search(connection, query, limit)
            return listing.newest(connection, None, limit)

    def rename(self, number: int, title: str) -> None:
        """Give a conversation a name; an empty one gives it back the words with which it begins.

        Raises:
            NotFoundError: there is no such conversation.
            OutputError: it cannot be written.
        """
        self._update(number, "title = ?", one_line(title))

    def delete(self, number: int) -> None:
        """Hide a conversation. For a day it can be brought back by `restore`.

        Raises:
            NotFoundError: there is no such conversation.
            OutputError: it cannot be written.
        """
        self._update(number, "deleted = ?", self._now())

    def restore(self, number: int) -> None:
        """Bring back a conversation that was deleted.

        Raises:
            NotFoundError: there is no such conversation, or no longer.
            OutputError: it cannot be written.
        """
        self._update(number, "deleted = ?", None, deleted=True)

    def remove(self, number: int) -> None:
        """Take a conversation away for good, deleted or not.

        Raises:
            NotFoundError: there is no such conversation.
            OutputError: it cannot be written.
        """
        with self._database.writing() as connection:
            self._find(connection, number, deleted=True)
            connection.execute("DELETE FROM conversation WHERE id = ?", (number,))

    def _update(self, number: int, change: str, value: object, *, deleted: bool = False) -> None:
        with self._database.writing() as connection:
            self._find(connection, number, deleted=deleted)
            connection.execute(f"UPDATE conversation SET {change} WHERE id = ?", (value, number))

    def _find(self, connection: sqlite3.Connection, number: int, *, deleted: bool = False) -> None:
        hidden = "" if deleted else "WHERE deleted IS NULL"
        numbers = {one for (one,) in connection.execute(f"SELECT id FROM conversation {hidden}")}
        if number not in numbers:
            near = sorted(sorted(numbers, key=lambda one: abs(one - number))[:3])
            hint = f"did you mean {' or '.join(map(str, near))}?" if near else "charlm chat begins one"
            raise NotFoundError(f"there is no conversation {number}", hint)

    # -- settings ------------------------------------------------------------------------------------------------------

    def setting(self, key: str, default: str = "") -> str:
        """What `set_setting` was last given."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def set_setting(self, key: str, value: str) -> None:
        """Remember something for next time.

        Raises:
            OutputError: it cannot be written.
        """
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO setting VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, replace_lone_surrogates(value)),
            )


__all__ = ["FILE", "ConversationStore", "ConversationSummary", "OpenedConversation"]
