"""The file that conversations are kept in: opened, shared by threads, never given up on.

Owns the connection, its transactions, and what becomes of whatever goes wrong: a full disk or a locked file is a
sentence, a damaged file is set aside and what can be read of it is copied into a new one. Knows nothing of what a
conversation is but the names of its tables.

The journal is write-ahead (WAL): readers never wait for a writer, a kill at any instant leaves whole transactions, and
several processes may have the file open. Only a power cut may take the last transactions with it (`synchronous` is
NORMAL), never the file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from charlm.chat.storage.schema import VERSION, is_ours, migrate, version_of
from charlm.errors import CharlmError, CheckpointError, OutputError

PATIENCE: Final = 1.0  # seconds to wait for another process that is writing
OPENING_PATIENCE: Final = 10.0  # ... or that is making the tables

_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNUSABLE: Final = {
    sqlite3.SQLITE_FULL: ("the disk is full", "make room"),
    sqlite3.SQLITE_BUSY: ("another program holds it", "close what has it open"),
    sqlite3.SQLITE_LOCKED: ("another program holds it", "close what has it open"),
    sqlite3.SQLITE_READONLY: ("it may only be read", "let it and its folder be writable"),
    sqlite3.SQLITE_PERM: ("you may not open it", "let it and its folder be yours"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "is its folder there, and may you write in it?"),
    sqlite3.SQLITE_IOERR: ("the disk reports an error", "is the disk still there?"),
}


class Database:
    """An open file of conversations. Any thread may use it; one at a time does.

    Args:
        path: the file; it is made if it is not there.

    Attributes:
        path: the file.
        notices: what has happened to it that a person must know, in order; whoever tells it takes it away.
        generation: how often it was mended or begun anew; what was written before may no longer be there.
        lock: held while it is used; may be taken for several uses in a row.

    Raises:
        OutputError: it cannot be opened or made.
        CheckpointError: a newer charlm has written it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: deque[str] = deque()
        self.generation = 0
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._file: tuple[int, int] | None = None  # which file it was when it was opened
        with suppress(_SetAsideError), self._explained():
            self._open()

    @contextmanager
    def writing(self, patience: float = PATIENCE) -> Iterator[sqlite3.Connection]:
        """A transaction: all that is done within happens, or nothing.

        Args:
            patience: seconds to wait for another process that is writing.

        Raises:
            OutputError: it cannot be written.
            CheckpointError: it was damaged; `generation` tells whether that has been mended.
        """
        with self.lock, self._explained():
            connection = self._opened(fresh=True)
            connection.execute(f"PRAGMA busy_timeout = {round(1000 * patience)}")
            with _transaction(connection, "BEGIN IMMEDIATE"):
                yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The contents as they stand at one moment, whatever other processes write meanwhile.

        Raises:
            OutputError: it cannot be read.
            CheckpointError: it was damaged.
        """
        with self.lock, self._explained(), _transaction(self._opened(fresh=True), "BEGIN"):
            yield self._opened()

    def close(self) -> None:
        """Let go of the file."""
        with self.lock:
            self._closed = True
            self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self, *, fresh: bool = False) -> sqlite3.Connection:
        if self._closed:
            raise OutputError(f"{self.path} has been closed")
        if fresh and self._connection is not None and self._file_there() != self._file:
            # Another process has set it aside, or someone has moved or deleted it.
            self._let_go()
            self.generation += 1
        if self._connection is None:
            self._open()
        assert self._connection is not None
        return self._connection

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What people say is theirs alone; SQLite's other files get the mode of this one.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._file = self._file_there()
        except OSError as error:
            hint = "CHARLM_HOME names another folder; charlm chat --no-save keeps nothing"
            raise OutputError(f"{self.path} cannot be opened: {error.strerror or error}", hint) from error
        connection = sqlite3.connect(self.path, timeout=OPENING_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        with _transaction(connection, "BEGIN"):  # another process may be making the tables just now
            ours, version = is_ours(connection), version_of(connection)
        if not ours:
            error = sqlite3.DatabaseError("not charlm's")
            error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
            raise error
        if version > VERSION:
            hint = "upgrade charlm, or let CHARLM_HOME name another folder"
            raise CheckpointError(f"{self.path} was written by a newer charlm", hint)
        _set_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection)

    def _file_there(self) -> tuple[int, int] | None:
        with suppress(OSError):
            there = self.path.stat()
            return there.st_dev, there.st_ino
        return None

    # -- what may go wrong --------------------------------------------------------------------------------------------

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite complains of into a sentence, after what can be done about it."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code == sqlite3.SQLITE_CORRUPT_VTAB:
                raise self._index_again() from error
            if code & 0xFF in _DAMAGE:
                raise self._set_aside() from error
            if code & 0xFF in _UNUSABLE:
                why, hint = _UNUSABLE[code & 0xFF]
                raise OutputError(f"{self.path} cannot be used: {why}", hint) from error
            if not code and "decode" in str(error):
                raise CheckpointError(f"a conversation in {self.path} is damaged: it holds what is no text") from error
            raise  # our bug

    def _index_again(self) -> CharlmError:
        """Only the index of words is damaged: make it again from the turns."""
        connection = self._opened()
        try:
            with _transaction(connection, "BEGIN IMMEDIATE"):
                connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
        except sqlite3.Error:
            return self._set_aside()
        self.generation += 1
        return CheckpointError(f"the index of words in {self.path} was damaged and has been made again", "try again")

    def _set_aside(self) -> CharlmError:
        """Give a damaged file another name, begin a new one, and copy into it what can be read of the old."""
        self._let_go()
        aside = self._move_away()
        with self._explained():
            self._open()
        self.generation += 1
        message = f"{self.path.name} was damaged, and a new one is begun"
        if aside is not None:
            saved, known = _rescue(self._opened(), aside)
            message = f"{self.path.name} was damaged: it is set aside as {aside.name}, and a new one is begun"
            if known:
                message += f" with {saved} of its {known} conversations"
        self.notices.append(message)
        return _SetAsideError(message)

    def _move_away(self) -> Path | None:
        if self._file_there() != self._file:
            return None  # another process has done so
        aside = _free_name(self.path)
        try:
            for ending in ("-wal", "-shm", ""):
                part = Path(f"{self.path}{ending}")
                if part.exists():
                    part.rename(f"{aside}{ending}")
        except OSError as error:
            why = error.strerror or str(error)
            raise OutputError(f"{self.path} is damaged and cannot be set aside: {why}", "move it away") from error
        return aside


class _SetAsideError(CheckpointError):
    """The file was damaged, and a new one stands in its place."""


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the first complaint is the one to hear
                connection.execute("ROLLBACK")
        raise


def _set_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for others who have just opened a new file too and are about to do the same.
    until = time.monotonic() + OPENING_PATIENCE
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return  # a network's file system may not have it: then as it is


def _free_name(path: Path) -> Path:
    stem = f"{path.stem}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = [path.with_name(f"{stem}{number}{path.suffix}") for number in ("", *(f"-{k}" for k in range(2, 100)))]
    return next(one for one in candidates if not one.exists())


def _rescue(connection: sqlite3.Connection, damaged: Path) -> tuple[int, int]:
    """Copy each conversation that can be read whole; how many those are, and of how many there is a trace."""
    numbers: set[int] = set()
    saved = 0
    try:
        connection.execute("ATTACH ? AS damaged", (str(damaged),))
    except sqlite3.Error:
        return 0, 0
    try:
        if is_ours(connection, "damaged") and 0 < version_of(connection, "damaged") <= VERSION:
            for order in ("ASC", "DESC"):  # from both ends towards the damage
                with suppress(sqlite3.Error):
                    for (number,) in connection.execute(f"SELECT id FROM damaged.conversation ORDER BY id {order}"):
                        numbers.add(number)
            saved = sum(_copy(connection, number) for number in sorted(numbers))
            with suppress(sqlite3.Error):
                connection.execute("INSERT OR IGNORE INTO setting SELECT * FROM damaged.setting")
    except sqlite3.Error:
        return saved, len(numbers)
    finally:
        with suppress(sqlite3.Error):
            connection.execute("DETACH damaged")
    return saved, len(numbers)


def _copy(connection: sqlite3.Connection, number: int) -> bool:
    try:
        with _transaction(connection, "BEGIN IMMEDIATE"):
            for table, column in (("conversation", "id"), ("turn", "conversation")):
                # Their names: an older version has fewer of them.
                names = ", ".join(row[1] for row in connection.execute(f"PRAGMA damaged.table_info({table})"))
                connection.execute(
                    f"INSERT INTO main.{table} ({names})"
                    f" SELECT {names} FROM damaged.{table} WHERE {column} = ? ORDER BY id",
                    (number,),
                )
    except sqlite3.Error:
        return False
    with suppress(sqlite3.Error):  # what cannot be read of these is read again from the text
        connection.execute(
            "INSERT INTO snapshot SELECT * FROM damaged.snapshot "
            "WHERE turn IN (SELECT id FROM main.turn WHERE conversation = ?)",
            (number,),
        )
    return True
