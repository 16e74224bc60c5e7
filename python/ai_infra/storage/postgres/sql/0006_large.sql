-- Namespaces that are searched in the database, because no process should hold them: what a search index would hold,
-- made from the items by whoever searches, under an advisory lock. All of it can be made anew.
--   recursive  with everything below.
--   model      whose vectors these are.
--   seen       the snapshot of the database that this shows; NULL until everything was read once.
--   target     the snapshot that is being caught up with, and where reading goes on.
--   next       the number of the next document. Numbers are not used again.
CREATE TABLE {schema}.large (
    place     int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant    text COLLATE "C" NOT NULL,
    ns        bytea NOT NULL,
    recursive boolean NOT NULL,
    model     text NOT NULL,
    seen      text,
    target    text,
    after_ns  bytea NOT NULL DEFAULT '',
    after_key text COLLATE "C" NOT NULL DEFAULT '',
    next      int NOT NULL DEFAULT 0,
    documents bigint NOT NULL DEFAULT 0,
    words     bigint NOT NULL DEFAULT 0,
    at        timestamptz NOT NULL DEFAULT statement_timestamp(),
    UNIQUE (tenant, ns, recursive)
);

-- The vector is NULL for a text without words. Its type is that of PostgreSQL itself: pgvector takes it as its own.
CREATE TABLE {schema}.large_documents (
    tenant text COLLATE "C" NOT NULL,
    place  int NOT NULL,
    ns     bytea NOT NULL,
    key    text COLLATE "C" NOT NULL,
    number int NOT NULL,
    length int NOT NULL,
    vector real[],
    PRIMARY KEY (place, ns, key)
);
ALTER TABLE {schema}.large_documents ALTER COLUMN vector SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX large_documents_by_number ON {schema}.large_documents (place, number);

-- Which documents have a term, in lists of up to 4,096 with consecutive numbers; the core writes and reads them. Under
-- the empty term: which were removed.
CREATE TABLE {schema}.large_words (
    tenant text COLLATE "C" NOT NULL,
    place  int NOT NULL,
    term   text COLLATE "C" NOT NULL,
    block  int NOT NULL,
    list   bytea NOT NULL,
    PRIMARY KEY (place, term, block)
);
ALTER TABLE {schema}.large_words ALTER COLUMN list SET STORAGE EXTERNAL;
