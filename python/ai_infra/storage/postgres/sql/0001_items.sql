-- What belongs to the schema as a whole: its version.
CREATE TABLE {schema}.meta (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

-- Items. Times are microseconds since 1970 UTC.
--   tenant  '' for a store without tenants.
--   ns      the parts of the namespace, each followed by a zero byte (which no part holds): injective, ordered as
--           the parts are, and a subtree is one range of the primary key.
--   value   canonical JSON: the truth. NUL stays as its escape, numbers as they were written.
--   doc     the same for filters, where numbers compare exactly and NUL has a stand-in (see documents.py).
--   change  the transaction of the last write; a search index asks for what its snapshot had not seen.
--   write   the client's name of the last write: a retry after a lost COMMIT recognises its own work.
CREATE TABLE {schema}.items (
    tenant     text COLLATE "C" NOT NULL,
    ns         bytea NOT NULL,
    key        text COLLATE "C" NOT NULL,
    value      text NOT NULL,
    doc        jsonb NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    expires_at bigint,
    version    bigint NOT NULL,
    change     xid8 NOT NULL DEFAULT pg_current_xact_id(),
    write      uuid NOT NULL,
    PRIMARY KEY (tenant, ns, key)
);
CREATE INDEX items_by_expiry ON {schema}.items (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX items_by_change ON {schema}.items (tenant, ns, change);
