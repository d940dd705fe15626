-- The tables of the conversations. Run by a process that finds a file without them; another one may do the same.
--
-- A turn of 60 characters takes about 5.2 kB with a 2x256 LSTM of 65 characters. Its context takes 4.4 kB: four arrays
-- of 256 floats, and 65 logits. `python -m tests.benchmarks.conversation` measures it.
--
-- Once a model has learned, a context would be as large as the model. Such turns have none and take 0.7 kB: the weights
-- are learned again from the turns, with the same bits. To make this rare, the weights at the end of the last long
-- conversations are stored in files, see `LearnedWeights`: 4.9 MB each with a 2x256 LSTM of 320 characters.

BEGIN IMMEDIATE;

CREATE TABLE IF NOT EXISTS conversation (  -- the speakers, the settings and the head
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
);

CREATE TABLE IF NOT EXISTS turn (  -- the tree
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
);

CREATE INDEX IF NOT EXISTS turn_conversation ON turn (conversation);

CREATE INDEX IF NOT EXISTS turn_parent ON turn (parent);

CREATE INDEX IF NOT EXISTS turn_draft ON turn (conversation) WHERE reason = 'draft';

-- The model's state and logits after a turn, see `context_to_bytes`.
CREATE TABLE IF NOT EXISTS context (turn INTEGER PRIMARY KEY REFERENCES turn ON DELETE CASCADE, data BLOB NOT NULL);

CREATE TABLE IF NOT EXISTS learned (  -- the learned weights after the last turn of a conversation
    conversation INTEGER PRIMARY KEY REFERENCES conversation ON DELETE CASCADE,
    turn INTEGER NOT NULL,         -- the last turn that was read
    written INTEGER NOT NULL,      -- counts up; the newest are kept
    digest TEXT NOT NULL,          -- of the differences from the trained weights: the file's name
    bytes INTEGER NOT NULL,        -- of that file
    state BLOB NOT NULL            -- two states, see `Learner.to_bytes`
);

-- Values that the interfaces store.
CREATE TABLE IF NOT EXISTS setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- A full-text index of the finished turns, which never change. Trigrams need no spaces between words.
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, content = 'turn', content_rowid = 'id', tokenize = 'trigram');

CREATE TRIGGER IF NOT EXISTS turn_inserted AFTER INSERT ON turn WHEN new.reason != 'draft' BEGIN
    INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;

CREATE TRIGGER IF NOT EXISTS turn_finished AFTER UPDATE OF reason ON turn
    WHEN old.reason = 'draft' AND new.reason != 'draft' BEGIN
    INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;

CREATE TRIGGER IF NOT EXISTS turn_deleted AFTER DELETE ON turn WHEN old.reason != 'draft' BEGIN
    INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
END;

PRAGMA application_id = 1667789421;  -- "chrm"
PRAGMA user_version = 2;
COMMIT;
