-- Vectors keep their direction only, all that a cosine needs: unit length, 16-bit floats, little-endian. `hash` is 32
-- bits of XXH3 of the text, for finding the vector of a text that is there already; the text itself is compared then. A store that
-- mirrors another one has none. The code of this step fills the table and drops the old one.
DROP INDEX vectors_by_hash;
ALTER TABLE item_vectors RENAME TO item_vectors_32;
CREATE TABLE item_vectors (
    item_id INTEGER PRIMARY KEY,
    hash    INTEGER,
    vector  BLOB NOT NULL
) STRICT;
CREATE INDEX vectors_by_hash ON item_vectors (hash);
