-- Messages in tables with row ids. In one without, whatever is longer than a quarter of a page fills pages of its own:
-- messages of 2 kB took 4.6.
ALTER TABLE session_messages RENAME TO session_messages_before;
CREATE TABLE session_messages (
    ref      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    message  TEXT NOT NULL
) STRICT;
INSERT INTO session_messages SELECT ref, position, message FROM session_messages_before ORDER BY ref, position;
DROP TABLE session_messages_before;
CREATE UNIQUE INDEX session_messages_by_position ON session_messages (ref, position);

ALTER TABLE conversation_messages RENAME TO conversation_messages_before;
CREATE TABLE conversation_messages (
    ref      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    message  TEXT NOT NULL
) STRICT;
INSERT INTO conversation_messages SELECT ref, position, message FROM conversation_messages_before ORDER BY ref, position;
DROP TABLE conversation_messages_before;
CREATE UNIQUE INDEX conversation_messages_by_position ON conversation_messages (ref, position);
