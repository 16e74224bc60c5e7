-- What was deleted, for search indexes that hold it still. A sweep forgets entries of yesterday: an index that was
-- not asked for so long is loaded anew.
CREATE TABLE {schema}.removals (
    tenant  text COLLATE "C" NOT NULL,
    ns      bytea NOT NULL,
    key     text COLLATE "C" NOT NULL,
    change  xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at      timestamptz NOT NULL DEFAULT statement_timestamp()
);
CREATE INDEX removals_by_change ON {schema}.removals (tenant, ns, change);
CREATE INDEX removals_by_time ON {schema}.removals (at);

-- A trigger, so that rows deleted by hand are noticed as well.
CREATE FUNCTION {schema}.note_removals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.removals (tenant, ns, key) SELECT tenant, ns, key FROM gone;
    RETURN NULL;
END $$;
CREATE TRIGGER note_removals AFTER DELETE ON {schema}.items
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION {schema}.note_removals();

-- Which embedder's vectors a tenant's items have. Vectors of the built-in one are computed, not stored.
CREATE TABLE {schema}.embedders (
    tenant     text COLLATE "C" PRIMARY KEY,
    model      text NOT NULL,
    dimensions int
);

-- Vectors lie apart from the items, so that reading values does not read them: f32, little-endian, of any size.
-- `hash` is that of the text, so that the same text is never paid for twice.
CREATE TABLE {schema}.vectors (
    tenant text COLLATE "C" NOT NULL,
    ns     bytea NOT NULL,
    key    text COLLATE "C" NOT NULL,
    hash   bytea NOT NULL,
    vector bytea NOT NULL,
    PRIMARY KEY (tenant, ns, key),
    FOREIGN KEY (tenant, ns, key) REFERENCES {schema}.items ON DELETE CASCADE
);
CREATE INDEX vectors_by_hash ON {schema}.vectors (tenant, hash);
