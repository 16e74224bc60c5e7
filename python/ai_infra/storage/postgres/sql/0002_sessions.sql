-- One row for each conversation. `ref` is never used again: a session deleted and made anew under the same id is
-- another one to a writer who still holds the old. `version` grows with every change. `write` is the client's
-- name of the last change: a retry after a lost COMMIT recognises its own work.
CREATE TABLE {schema}.sessions (
    tenant     text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    ref        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    version    bigint NOT NULL,
    length     bigint NOT NULL,
    turns      bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    state      text,
    write      uuid NOT NULL,
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 80);
CREATE INDEX sessions_by_change ON {schema}.sessions (tenant, updated_at DESC, id);

-- The log: messages as canonical JSON, at positions 0, 1, 2, …
CREATE TABLE {schema}.session_messages (
    tenant   text COLLATE "C" NOT NULL,
    ref      bigint NOT NULL,
    position bigint NOT NULL,
    message  text NOT NULL,
    PRIMARY KEY (tenant, ref, position)
);

-- Where each turn ends, and the id its writer gave it: a turn sent twice is appended once.
CREATE TABLE {schema}.session_turns (
    tenant  text COLLATE "C" NOT NULL,
    ref     bigint NOT NULL,
    ends    bigint NOT NULL,
    starts  bigint NOT NULL,
    turn_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, ref, turn_id)
);
