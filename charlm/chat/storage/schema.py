"""The tables of the conversations, and how each version of them became the next.

    conversation   one row each: with whom, how, and where the head is
    turn           the tree; `parent` is NULL where a conversation begins
    snapshot       what the model remembers after a turn: logits and state, see `Snapshot.to_bytes`
    learned        what the model remembers after the last turn of a conversation in which it has learned something
    words          an index of what finished turns say: trigrams, so that languages without spaces are found too
    setting        what a face of the chat remembers

A turn of 60 characters takes about 5.2 kB with a 2x256 LSTM of 65 characters: 4.4 kB are its snapshot (four arrays of
256 floats, and 65 logits), the rest is text, random numbers, dials and index. `python -m tests.benchmarks.conversation`
measures it.

Once something was learned, a turn has no snapshot, which would be as large as the model: what was learned is learned
again from the turns, to the bit, and a turn takes 0.7 kB. So that this need not happen whenever a conversation is
opened, what was learned at the end of the last three that were left is kept: 4.9 MB each with a 2x256 LSTM of 320
characters. It is written when a conversation is left, and after every 32 turns.
"""

from __future__ import annotations

import sqlite3
from typing import Final

APPLICATION: Final = 0x6368726C  # "chrl", in the file's header

_FIRST = (
    """
    CREATE TABLE conversation (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,             -- at random: tells it from one that got its number in another file
        deleted REAL,                  -- since when it is hidden; seconds since 1970, as all times are
        created REAL NOT NULL,
        updated REAL NOT NULL,
        title TEXT NOT NULL,           -- empty: what was said first stands for it
        model TEXT NOT NULL,           -- its name
        fingerprint TEXT NOT NULL,     -- of the model that spoke last
        you TEXT NOT NULL,
        bot TEXT NOT NULL,
        turns INTEGER NOT NULL,        -- visible ones
        characters INTEGER NOT NULL,   -- of them
        said TEXT NOT NULL,            -- how the first visible turn begins
        seed TEXT NOT NULL,            -- a number, which may be larger than SQLite's
        visited INTEGER,               -- the first turn that is visible
        cursor INTEGER NOT NULL,       -- which of the moves the head is at
        dials TEXT NOT NULL,           -- JSON
        rng TEXT NOT NULL,             -- JSON: the state of the random numbers
        dialogue TEXT NOT NULL,        -- JSON: how turns are written, and the speakers
        moves TEXT NOT NULL            -- JSON: turns where the head was
    )
    """,
    """
    CREATE TABLE turn (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
        parent INTEGER REFERENCES turn DEFERRABLE INITIALLY DEFERRED,  -- a cascade this deep SQLite refuses
        author TEXT NOT NULL,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        passages TEXT NOT NULL,        -- JSON: where each stretch of the text came from
        reason TEXT NOT NULL,          -- "draft" while it is under way
        visited INTEGER,               -- the child where the head was last
        created REAL NOT NULL
    )
    """,
    "CREATE INDEX turn_conversation ON turn (conversation)",
    "CREATE INDEX turn_parent ON turn (parent)",
    "CREATE INDEX turn_draft ON turn (conversation) WHERE reason = 'draft'",
    "CREATE TABLE snapshot (turn INTEGER PRIMARY KEY REFERENCES turn ON DELETE CASCADE, data BLOB NOT NULL)",
    "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE VIRTUAL TABLE words USING fts5 (text, content = 'turn', content_rowid = 'id', tokenize = 'trigram')",
    """
    CREATE TRIGGER turn_said AFTER INSERT ON turn WHEN new.reason != 'draft' BEGIN
        INSERT INTO words (rowid, text) VALUES (new.id, new.text);
    END
    """,
    """
    CREATE TRIGGER turn_unsaid AFTER DELETE ON turn WHEN old.reason != 'draft' BEGIN
        INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
    END
    """,
    # Two triggers, since a draft has not been indexed: nothing is to be taken out for it.
    """
    CREATE TRIGGER turn_changed AFTER UPDATE OF text, reason ON turn WHEN old.reason != 'draft' BEGIN
        INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
        INSERT INTO words (rowid, text) SELECT new.id, new.text WHERE new.reason != 'draft';
    END
    """,
    """
    CREATE TRIGGER turn_finished AFTER UPDATE OF text, reason ON turn
        WHEN old.reason = 'draft' AND new.reason != 'draft' BEGIN
        INSERT INTO words (rowid, text) VALUES (new.id, new.text);
    END
    """,
)

_LEARNING = (
    "ALTER TABLE turn ADD COLUMN lesson TEXT NOT NULL DEFAULT ''",  # JSON, see `Lesson`; empty for none
    "ALTER TABLE conversation ADD COLUMN forgets INTEGER NOT NULL DEFAULT 0",  # whether the next turn begins anew
    """
    CREATE TABLE learned (
        conversation INTEGER PRIMARY KEY REFERENCES conversation ON DELETE CASCADE,
        turn INTEGER NOT NULL,         -- after which
        written INTEGER NOT NULL,      -- counts up; the last few are kept
        memory BLOB NOT NULL,          -- two states, see `Learner.to_bytes`
        overlay BLOB NOT NULL          -- what every weight has moved by
    )
    """,
)

MIGRATIONS: Final = (_FIRST, _LEARNING)
"""What makes version 1 of an empty file, version 2 of version 1, and so on. One that was released never changes."""

VERSION: Final = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to this version, in one transaction; other processes may be about to do the same."""
    if version_of(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[version_of(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection, schema: str = "main") -> int:
    """Of the tables; 0 for an empty file."""
    return int(connection.execute(f"PRAGMA {schema}.user_version").fetchone()[0])


def is_ours(connection: sqlite3.Connection, schema: str = "main") -> bool:
    """Whether the file is empty, or charlm has made it."""
    if connection.execute(f"PRAGMA {schema}.application_id").fetchone()[0] == APPLICATION:
        return True
    return not connection.execute(f"SELECT count(*) FROM {schema}.sqlite_schema").fetchone()[0]
