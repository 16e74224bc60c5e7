-- One row for each user who has had a conversation. `gen` grows with every change of one of them; a search index
-- compares it with its own. `ref` is never used again.
CREATE TABLE conversation_users (
    ref     INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL UNIQUE,
    gen     INTEGER NOT NULL
) STRICT;

-- `seq` is the user's `gen` at the conversation's last change. Times are microseconds since 1970 UTC; `metadata` is
-- canonical JSON.
CREATE TABLE conversations (
    ref        INTEGER PRIMARY KEY AUTOINCREMENT,
    user_ref   INTEGER NOT NULL,
    session_id TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    length     INTEGER NOT NULL,
    metadata   TEXT NOT NULL,
    starts     INTEGER,
    ends       INTEGER,
    summary    TEXT,
    summarized INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX conversations_by_id ON conversations (user_ref, session_id);

-- Messages as canonical JSON, at positions 0, 1, 2, …
CREATE TABLE conversation_messages (
    ref      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    message  TEXT NOT NULL,
    PRIMARY KEY (ref, position)
) STRICT, WITHOUT ROWID;

-- Vectors of passages by the hash of their text, where an embedder is asked (the built-in one is computed when an
-- index is loaded): f32, little-endian.
CREATE TABLE conversation_vectors (
    ref    INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    vector BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX conversation_vectors_by_hash ON conversation_vectors (ref, hash);
