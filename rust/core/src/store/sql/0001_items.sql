-- What belongs to the file as a whole: the embedding model and its size.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each namespace that has an item. `path` is the length-prefixed encoding, so a subtree is one
-- range of the unique index. `gen` grows with every change inside, and `deleted` is its reading at the last
-- deletion; a search index compares them with its own. Ids are never reused: a namespace that was emptied and
-- filled again is another one for every index.
CREATE TABLE namespaces (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    path    BLOB NOT NULL UNIQUE,
    gen     INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0
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
CREATE INDEX items_by_seq ON items (ns_id, seq);
CREATE INDEX items_by_expiry ON items (expires_at) WHERE expires_at IS NOT NULL;

-- Vectors of an embedder that must be asked (the built-in one is computed when an index is loaded). They lie
-- apart from the items, so that reading values does not read them: f32, little-endian. `hash` is that of the
-- text, so that the same text is never paid for twice.
CREATE TABLE item_vectors (
    item_id INTEGER PRIMARY KEY,
    hash    BLOB NOT NULL,
    vector  BLOB NOT NULL
) STRICT;
CREATE INDEX vectors_by_hash ON item_vectors (hash);
