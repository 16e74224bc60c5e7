-- What belongs to the file as a whole: the embedding model and its size.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each namespace that has an item. `path` is the length-prefixed encoding, so a subtree is one
-- range of the unique index. `gen` grows with every change inside; a search index compares it with its own.
-- Ids are never reused: a namespace that was emptied and filled again is another one for every index.
CREATE TABLE namespaces (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    gen  INTEGER NOT NULL
) STRICT;

-- Times are microseconds since 1970 UTC. `value` is canonical JSON. `seq` is the generation of the namespace
-- at the item's last change.
CREATE TABLE items (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    ns_id      INTEGER NOT NULL,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER,
    version    INTEGER NOT NULL,
    seq        INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX items_by_key ON items (ns_id, key);
CREATE INDEX items_by_expiry ON items (expires_at) WHERE expires_at IS NOT NULL;

-- Vectors lie apart from the items, so that reading values does not read them: f16, little-endian.
CREATE TABLE item_vectors (
    item_id INTEGER PRIMARY KEY,
    vector  BLOB NOT NULL
) STRICT;

-- What was embedded once is not paid for twice: the SHA-256 of model and text, and the vector (f32).
CREATE TABLE embedding_cache (
    hash    BLOB NOT NULL PRIMARY KEY,
    vector  BLOB NOT NULL,
    used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
