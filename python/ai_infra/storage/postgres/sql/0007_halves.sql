-- Vectors are their direction from now on, in half the bytes. What is there stays as it is, and is read as it is: to write
-- it all anew would take longer than a table should be locked. `reembed` makes halves of everything.
COMMENT ON COLUMN {schema}.vectors.vector IS
    'little-endian: f16 values of length 1, or, where there are 4 bytes a dimension, f32 values of any length';
COMMENT ON COLUMN {schema}.conversation_vectors.vector IS
    'little-endian: f16 values of length 1, or, where there are 4 bytes a dimension, f32 values of any length';
