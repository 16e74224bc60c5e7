-- One row for each conversation. `ref` is never used again: a session deleted and made anew under the same id is
-- another one to a writer who still holds the old. `version` grows with every change. Times are microseconds since
-- 1970 UTC. `state` is canonical JSON.
CREATE TABLE sessions (
    ref        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    version    INTEGER NOT NULL,
    length     INTEGER NOT NULL,
    turns      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    state      TEXT
) STRICT;
CREATE INDEX sessions_by_change ON sessions (updated_at DESC, id);

-- The log: messages as canonical JSON, at positions 0, 1, 2, …
CREATE TABLE session_messages (
    ref      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    message  TEXT NOT NULL,
    PRIMARY KEY (ref, position)
) STRICT, WITHOUT ROWID;

-- Where each turn ends, and the id its writer gave it: a turn sent twice is appended once.
CREATE TABLE session_turns (
    ref     INTEGER NOT NULL,
    ends    INTEGER NOT NULL,
    starts  INTEGER NOT NULL,
    turn_id TEXT NOT NULL,
    PRIMARY KEY (ref, ends)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX session_turns_by_id ON session_turns (ref, turn_id);
