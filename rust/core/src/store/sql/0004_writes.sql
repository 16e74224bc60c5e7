-- Rows are written once and where they lie: ids count up by themselves (`item_ids` keeps the highest one that was
-- ever given away, so that none is used again), and what is new in a namespace is found by its id. Only a row that
-- was written over has a `seq`, the generation of its namespace at that moment, and a place in the index over it.
CREATE TABLE item_ids (last INTEGER NOT NULL) STRICT;
INSERT INTO item_ids (last) SELECT coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'items'), 0);

CREATE TABLE items_written (
    id         INTEGER PRIMARY KEY,
    ns_id      INTEGER NOT NULL,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER,
    version    INTEGER NOT NULL,
    seq        INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO items_written (id, ns_id, key, value, created_at, updated_at, expires_at, version, seq)
    SELECT id, ns_id, key, value, created_at, updated_at, expires_at, version, 0 FROM items ORDER BY id;
DROP TABLE items;
ALTER TABLE items_written RENAME TO items;
CREATE UNIQUE INDEX items_by_key ON items (ns_id, key);
CREATE INDEX items_by_expiry ON items (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX items_written_over ON items (ns_id, seq) WHERE seq > 0;

-- The generation at which everything in the namespace changed at once: an index from before it starts anew.
ALTER TABLE namespaces ADD COLUMN reset INTEGER NOT NULL DEFAULT 0;
