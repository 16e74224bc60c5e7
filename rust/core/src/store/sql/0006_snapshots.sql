-- What the last snapshot of an index, a file beside this one, begins with: 16 random bytes. A file that begins with
-- anything else is of another past than this row and is not used.
ALTER TABLE namespaces ADD COLUMN snapshot BLOB;
