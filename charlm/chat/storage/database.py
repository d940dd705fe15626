"""The file that conversations are stored in.

Owns the connection, its transactions, and errors of SQLite. A full disk or a locked file becomes a `CharlmError`. A
damaged file is renamed, and a new one is started.

The journal is write-ahead (WAL). Readers never wait for a writer, a kill at any instant leaves whole transactions, and
several processes may have the file open. Only a power cut may take the last transactions (`synchronous` is NORMAL).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from charlm.errors import CheckpointError, OutputError

VERSION: Final = 2  # of the tables
SCHEMA: Final = Path(__file__).with_name("schema.sql")
PATIENCE_SECONDS: Final = 1.0  # to wait for another process that is writing
OPENING_PATIENCE_SECONDS: Final = 10.0  # to wait for another process that creates the tables
CLOSING_PATIENCE_SECONDS: Final = 10.0  # to wait when something would be lost
NOTICE_SECONDS: Final = 0.3  # a shorter wait needs no message

_APPLICATION: Final = 0x6368726D  # "chrm", in the file's header
_HEADER: Final = """
    SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
    FROM pragma_application_id, pragma_user_version
"""
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNUSABLE: Final = {
    sqlite3.SQLITE_FULL: ("the disk is full", "make room"),
    sqlite3.SQLITE_BUSY: ("another program holds it", "close what has it open"),
    sqlite3.SQLITE_LOCKED: ("another program holds it", "close what has it open"),
    sqlite3.SQLITE_READONLY: ("it is read-only", "make it and its folder writable"),
    sqlite3.SQLITE_PERM: ("permission is denied", "make it and its folder yours"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "check that its folder exists and is writable"),
    sqlite3.SQLITE_IOERR: ("the disk reports an error", "check the disk"),
}

Connect = Callable[..., sqlite3.Connection]


class DamagedFileError(CheckpointError):
    """The file was damaged. It has another name now, and a new one is in its place."""


class Database:
    """An open file of conversations. It is created if it does not exist. Any thread may use it, one at a time.

    Raises:
        OutputError: the file cannot be opened, read or written.
        DamagedFileError: the file was damaged; not when it is opened first.
        CheckpointError: a newer charlm has written it.
    """

    def __init__(self, path: Path, connect: Connect = sqlite3.connect) -> None:
        self.path = path
        self.notices: deque[str] = deque()  # messages for the person, oldest first
        self.generation = 0  # counts the files that were opened at this path
        self.lock = threading.RLock()  # held during each use; may be held for several in a row
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._file: tuple[int, int] | None = None  # device and inode of the open file
        with suppress(DamagedFileError), self._translated_errors():
            self._open()

    @contextmanager
    def writing(self, patience: float = PATIENCE_SECONDS) -> Iterator[sqlite3.Connection]:
        """Run a transaction: all of it is written, or nothing. Another process that writes is waited for."""
        with self.lock, self._translated_errors():
            connection = self._opened()
            connection.execute(f"PRAGMA busy_timeout = {round(1000 * patience)}")
            with _transaction(connection, "BEGIN IMMEDIATE"):
                yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read the contents of one moment, while other processes write."""
        with self.lock, self._translated_errors():
            connection = self._opened()
            with _transaction(connection, "BEGIN"):
                yield connection

    def close(self) -> None:
        with self.lock:
            self._closed = True
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._closed:
            raise OutputError(f"{self.path} has been closed")
        if self._connection is not None and self._file_at_path() != self._file:
            self._disconnect()  # another process has renamed it, or a person has moved it
        if self._connection is None:
            self._open()
        assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Private to the user. SQLite's other files get the mode of this one.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._file = self._file_at_path()
        except OSError as error:
            hint = "set CHARLM_HOME to another folder, or use charlm chat --no-save"
            raise OutputError(f"{self.path} cannot be opened: {error.strerror or error}", hint) from error
        timeout = OPENING_PATIENCE_SECONDS
        connection = self._connect(self.path, timeout=timeout, isolation_level=None, check_same_thread=False)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self.generation += 1

    def _set_up(self, connection: sqlite3.Connection) -> None:
        with _transaction(connection, "BEGIN"):  # another process may be creating the tables
            application, version, tables = connection.execute(_HEADER).fetchone()
        if tables and application != _APPLICATION:
            error = sqlite3.DatabaseError("not a file of charlm's")
            error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
            raise error
        if version > VERSION:
            hint = "upgrade charlm, or set CHARLM_HOME to another folder"
            raise CheckpointError(f"{self.path} was written by a newer charlm", hint)
        _set_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        if version < VERSION:
            connection.executescript(SCHEMA.read_text(encoding="utf-8"))

    def _file_at_path(self) -> tuple[int, int] | None:
        with suppress(OSError):
            found = self.path.stat()
            return found.st_dev, found.st_ino
        return None

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise a `CharlmError` for an error of SQLite's that is not a bug of ours."""
        try:
            yield
        except UnicodeDecodeError as error:  # SQLite's message about a damaged table has its name
            raise self._set_aside() from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if self._is_damage(code):
                raise self._set_aside() from error
            if code in _UNUSABLE:
                why, hint = _UNUSABLE[code]
                raise OutputError(f"{self.path} cannot be used: {why}", hint) from error
            if not code and "decode" in str(error):
                raise CheckpointError(f"a conversation in {self.path} is damaged: it contains invalid text") from error
            raise

    def _is_damage(self, code: int) -> bool:
        """Return whether an error of SQLite's comes from a damaged file."""
        return code in _DAMAGED or (code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT) and not self._is_sound())

    def _is_sound(self) -> bool:
        """Return whether the trees and the full-text index are in order, and the tables are those of `SCHEMA`."""
        if self._connection is None:  # it could not even be opened
            return False
        try:
            is_ordered = self._connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            with closing(sqlite3.connect(":memory:")) as other:
                other.executescript(SCHEMA.read_text(encoding="utf-8"))
                tables = [set(one.execute("SELECT name, sql FROM sqlite_schema")) for one in (self._connection, other)]
            self._connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")  # raises if it fails
            return is_ordered and tables[0] == tables[1]
        except (sqlite3.Error, UnicodeDecodeError):
            return False

    def _set_aside(self) -> DamagedFileError:
        """Rename a damaged file, and start a new one. Returns the error to raise."""
        self._disconnect()
        message = f"{self.path} was damaged, and a new one is started"
        if self._file_at_path() == self._file:  # else another process has renamed it
            aside = _free_name(self.path)
            message = f"{self.path} was damaged: it is now {aside}, and a new one is started"
            try:
                for suffix in ("-wal", "-shm", ""):
                    part = Path(f"{self.path}{suffix}")
                    if part.exists():
                        part.rename(f"{aside}{suffix}")
            except OSError as error:
                why = error.strerror or str(error)
                raise OutputError(f"{self.path} is damaged and cannot be renamed: {why}", "move it away") from error
        with self._translated_errors():
            self._open()
        self.notices.append(message)
        return DamagedFileError(message, "`sqlite3 FILE .recover` may read what is left of it")


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # the first error is the one to raise; it may have rolled back already
            connection.execute("ROLLBACK")
        raise


def _set_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for other processes that have just opened a new file and are about to do the same.
    until = time.monotonic() + OPENING_PATIENCE_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return  # a network's file system may not support it: then without


def _free_name(path: Path) -> Path:
    stem = f"{path.stem}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    names = [f"{stem}{number}{path.suffix}" for number in ("", *(f"-{k}" for k in range(2, 100)))]
    return next(one for one in map(path.with_name, names) if not one.exists())
