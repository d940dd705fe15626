"""The tables of the conversations, and the migrations that bring a file up to this version.

A turn of 60 characters takes about 5.2 kB with a 2x256 LSTM of 65 characters. Its context takes 4.4 kB: four arrays of
256 floats, and 65 logits. `python -m tests.benchmarks.conversation` measures it.

Once a model has learned, a context would be as large as the model. Such turns have none and take 0.7 kB: the weights
are learned again from the turns, with the same bits. To make this rare, the weights at the end of the last three
conversations are stored: 4.9 MB each with a 2x256 LSTM of 320 characters.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

APPLICATION: Final = 0x6368726D  # "chrm", in the file's header

_TABLES: Final = (
    """
    CREATE TABLE conversation (  -- the speakers, the settings and the head
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        deleted REAL,                  -- since when it is hidden; seconds since 1970, as all times are
        created REAL NOT NULL,
        updated REAL NOT NULL,
        title TEXT NOT NULL,           -- empty: lists show `opening`
        model TEXT NOT NULL,           -- name of the model that replied last
        fingerprint TEXT NOT NULL,     -- of that model
        you TEXT NOT NULL,
        bot TEXT NOT NULL,
        turns INTEGER NOT NULL,        -- number of visible turns
        characters INTEGER NOT NULL,   -- of the visible turns, with the speakers
        opening TEXT NOT NULL,         -- the first characters of the first visible turn
        seed INTEGER NOT NULL,
        visited INTEGER,               -- the first turn that was visible last
        cursor INTEGER NOT NULL,       -- index of the head in `moves`
        dials TEXT NOT NULL,           -- JSON, as are the next three: settings of the replies
        rng TEXT NOT NULL,             -- state of the random number generator
        dialogue TEXT NOT NULL,        -- how turns are written, and the speakers
        moves TEXT NOT NULL,           -- rows of the turns where the head was; 0 is the beginning
        forgets INTEGER NOT NULL       -- whether learned weights are dropped before the next turn
    )
    """,
    """
    CREATE TABLE turn (  -- the tree
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
        parent INTEGER REFERENCES turn DEFERRABLE INITIALLY DEFERRED,  -- no cascade: SQLite limits its depth
        author TEXT NOT NULL,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        segments TEXT NOT NULL,        -- JSON: length, settings and draws of each stretch of the text
        reason TEXT NOT NULL,          -- "draft" until it is finished
        visited INTEGER,               -- the child that was visible last
        created REAL NOT NULL,
        learning TEXT NOT NULL         -- JSON, see `LearnPolicy`
    )
    """,
    "CREATE INDEX turn_conversation ON turn (conversation)",
    "CREATE INDEX turn_parent ON turn (parent)",
    "CREATE INDEX turn_draft ON turn (conversation) WHERE reason = 'draft'",
    # The model's state and logits after a turn, see `context_to_bytes`.
    "CREATE TABLE context (turn INTEGER PRIMARY KEY REFERENCES turn ON DELETE CASCADE, data BLOB NOT NULL)",
    """
    CREATE TABLE adaptation (  -- the learned weights after the last turn of a conversation
        conversation INTEGER PRIMARY KEY REFERENCES conversation ON DELETE CASCADE,
        turn INTEGER NOT NULL,         -- the last turn that was read
        written INTEGER NOT NULL,      -- counts up; the newest are kept
        state BLOB NOT NULL,           -- two states, see `Learner.to_bytes`
        weights BLOB NOT NULL          -- differences from the trained weights
    )
    """,
    # Values that the interfaces store.
    "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # A full-text index of the finished turns, which never change. Trigrams need no spaces between words.
    "CREATE VIRTUAL TABLE words USING fts5 (text, content = 'turn', content_rowid = 'id', tokenize = 'trigram')",
    """
    CREATE TRIGGER turn_inserted AFTER INSERT ON turn WHEN new.reason != 'draft' BEGIN
        INSERT INTO words (rowid, text) VALUES (new.id, new.text);
    END
    """,
    """
    CREATE TRIGGER turn_finished AFTER UPDATE OF reason ON turn
        WHEN old.reason = 'draft' AND new.reason != 'draft' BEGIN
        INSERT INTO words (rowid, text) VALUES (new.id, new.text);
    END
    """,
    """
    CREATE TRIGGER turn_deleted AFTER DELETE ON turn WHEN old.reason != 'draft' BEGIN
        INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
    END
    """,
)


def _create_tables(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")


Migration = Callable[[sqlite3.Connection], None]
MIGRATIONS: Final[Sequence[Migration]] = (_create_tables,)
"""Each makes the next version of the tables. One that was released never changes."""

VERSION: Final = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the tables up to the last version, in one transaction. Other processes may be about to do the same."""
    if version_of(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in migrations[version_of(connection) :]:
            migration(connection)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the tables; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_charlm_file(connection: sqlite3.Connection) -> bool:
    """Return whether the file is empty, or made by charlm."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION:
        return True
    return not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
