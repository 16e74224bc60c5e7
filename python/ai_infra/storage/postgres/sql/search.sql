-- Statements of search: what an index of a namespace is made of, and what changed since it was. Vectors are not joined
-- to items: such a plan depends on statistics, which new tables do not have. Of a namespace they are a second list,
-- because reading two ranges takes less than looking each vector up; of what comes piece by piece, or is little, they
-- are looked up.

-- The first three begin with a row that has no namespace: the snapshot of the database in place of a key, whose
-- vectors its items have in place of a value, its clock, when the server was started, and in place of a version how many
-- numbers the vectors have. A row without a value has the vector of the item with the same namespace and key, or, without a
-- vector, says that there is no such item.

-- name: load
SELECT NULL::bytea AS ns, pg_current_snapshot()::text AS key,
       (SELECT model FROM {schema}.embedders WHERE tenant = %(tenant)s) AS value,
       (SELECT at FROM {now} AS clock (at)) AS created_at,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS updated_at,
       NULL::bigint AS expires_at,
       (SELECT dimensions FROM {schema}.embedders WHERE tenant = %(tenant)s)::bigint AS version, NULL::bytea AS vector
UNION ALL (
    SELECT ns, key, value, created_at, updated_at, expires_at, version, NULL
    FROM {schema}.items WHERE tenant = %(tenant)s AND {where} LIMIT %(limit)s::bigint
) UNION ALL (
    SELECT ns, key, NULL, NULL, NULL, NULL, NULL, vector
    FROM {schema}.vectors WHERE tenant = %(tenant)s AND {where} LIMIT %(limit)s::bigint
)

-- name: load_all
DECLARE ai_infra_load NO SCROLL CURSOR FOR
SELECT NULL::bytea AS ns, pg_current_snapshot()::text AS key,
       (SELECT model FROM {schema}.embedders WHERE tenant = %(tenant)s) AS value,
       (SELECT at FROM {now} AS clock (at)) AS created_at,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS updated_at,
       NULL::bigint AS expires_at,
       (SELECT dimensions FROM {schema}.embedders WHERE tenant = %(tenant)s)::bigint AS version, NULL::bytea AS vector
UNION ALL (
    SELECT items.ns, items.key, value, created_at, updated_at, expires_at, version, (
        SELECT vector FROM {schema}.vectors AS held
        WHERE held.tenant = items.tenant AND held.ns = items.ns AND held.key = items.key)
    FROM {schema}.items
    WHERE items.tenant = %(tenant)s AND {where}
    ORDER BY created_at, items.ns, items.key
)

-- name: fetch
FETCH 5000 FROM ai_infra_load

-- name: changes
SELECT NULL::bytea AS ns, pg_current_snapshot()::text AS key,
       (SELECT model FROM {schema}.embedders WHERE tenant = %(tenant)s) AS value,
       (SELECT at FROM {now} AS clock (at)) AS created_at,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS updated_at,
       NULL::bigint AS expires_at,
       (SELECT dimensions FROM {schema}.embedders WHERE tenant = %(tenant)s)::bigint AS version, NULL::bytea AS vector
UNION ALL (
    SELECT items.ns, items.key, value, created_at, updated_at, expires_at, version, (
        SELECT vector FROM {schema}.vectors AS held
        WHERE held.tenant = items.tenant AND held.ns = items.ns AND held.key = items.key)
    FROM {schema}.items
    WHERE items.tenant = %(tenant)s AND {where} AND change >= %(oldest)s::xid8
      AND NOT pg_visible_in_snapshot(change, %(seen)s::pg_snapshot)
) UNION ALL (
    SELECT ns, key, NULL, NULL, NULL, NULL, NULL, NULL
    FROM {schema}.removals
    WHERE tenant = %(tenant)s AND {where} AND change >= %(oldest)s::xid8
      AND NOT pg_visible_in_snapshot(change, %(seen)s::pg_snapshot)
)

-- name: forget_removals
DELETE FROM {schema}.removals WHERE at < statement_timestamp() - interval '1 day'

-- name: adopt
INSERT INTO {schema}.embedders AS held (tenant, model)
SELECT %(tenant)s, %(model)s
WHERE %(model)s = 'local' OR NOT EXISTS (SELECT 1 FROM {schema}.items WHERE tenant = %(tenant)s)
ON CONFLICT (tenant) DO UPDATE SET model = excluded.model, dimensions = NULL
WHERE held.model <> excluded.model AND NOT EXISTS (SELECT 1 FROM {schema}.items WHERE items.tenant = held.tenant)

-- name: held
SELECT model, dimensions FROM {schema}.embedders WHERE tenant = %(tenant)s

-- name: set_dimensions
UPDATE {schema}.embedders SET dimensions = %(size)s
WHERE tenant = %(tenant)s AND model = %(model)s AND dimensions IS NULL

-- name: known
SELECT asked.hash, held.vector, (SELECT dimensions FROM {schema}.embedders WHERE tenant = %(tenant)s)
FROM unnest(%(hash)b::bytea[]) AS asked (hash), LATERAL (
    SELECT vector FROM {schema}.vectors WHERE tenant = %(tenant)s AND vectors.hash = asked.hash LIMIT 1
) AS held

-- name: put_vectors
INSERT INTO {schema}.vectors AS old (tenant, ns, key, hash, vector)
SELECT %(tenant)s, ns, key, hash, vector
FROM unnest(%(ns)b::bytea[], %(key)s::text[], %(hash)b::bytea[], %(vector)b::bytea[]) AS new (ns, key, hash, vector)
ORDER BY ns, key COLLATE "C"
ON CONFLICT (tenant, ns, key) DO UPDATE SET hash = excluded.hash, vector = excluded.vector
WHERE old.hash <> excluded.hash

-- name: put_embedded
WITH held AS (
    SELECT 1 FROM {schema}.embedders
    WHERE tenant = %(tenant)s AND model = %(model)s AND dimensions = %(size)s
), done AS (
    INSERT INTO {schema}.items AS old
        (tenant, ns, key, value, doc, created_at, updated_at, expires_at, version, write)
    SELECT %(tenant)s, ns, key, value, coalesce(doc, value)::jsonb, at, at, at + life, 1, %(write)s
    FROM unnest(%(ns)b::bytea[], %(key)s::text[], %(value)s::text[], %(doc)s::text[], %(life)s::bigint[])
         AS new (ns, key, value, doc, life), {now} AS clock (at), held
    ORDER BY ns, key COLLATE "C"
    ON CONFLICT (tenant, ns, key) DO UPDATE SET
        value = excluded.value,
        doc = excluded.doc,
        created_at = CASE WHEN old.expires_at <= excluded.updated_at THEN excluded.created_at
                          ELSE old.created_at END,
        updated_at = CASE WHEN old.expires_at <= excluded.updated_at THEN excluded.updated_at
                          ELSE greatest(excluded.updated_at, old.created_at) END,
        version = CASE WHEN old.expires_at <= excluded.updated_at THEN 1
                       ELSE old.version + (old.write <> excluded.write)::int END,
        expires_at = excluded.expires_at,
        change = pg_current_xact_id(),
        write = excluded.write
    RETURNING ns, key, created_at, updated_at, expires_at, version
), kept AS (
    INSERT INTO {schema}.vectors AS old (tenant, ns, key, hash, vector)
    SELECT %(tenant)s, ns, key, hash, vector
    FROM unnest(%(ns)b::bytea[], %(key)s::text[], %(hash)b::bytea[], %(vector)b::bytea[])
         AS new (ns, key, hash, vector), held
    ORDER BY ns, key COLLATE "C"
    ON CONFLICT (tenant, ns, key) DO UPDATE SET hash = excluded.hash, vector = excluded.vector
    WHERE old.hash <> excluded.hash
)
SELECT * FROM done

-- name: drop_vectors
DELETE FROM {schema}.vectors AS old
USING unnest(%(ns)s::bytea[], %(key)s::text[]) AS place (ns, key)
WHERE old.tenant = %(tenant)s AND old.ns = place.ns AND old.key = place.key

-- name: everything
SELECT ns, key, change::text, value FROM {schema}.items WHERE tenant = %(tenant)s ORDER BY ns, key

-- name: quiet
LOCK TABLE {schema}.items IN SHARE ROW EXCLUSIVE MODE

-- name: unchanged
SELECT (SELECT count(*) FROM {schema}.items WHERE tenant = %(tenant)s) = cardinality(%(key)s::text[])
   AND NOT EXISTS (
    SELECT 1 FROM unnest(%(ns)s::bytea[], %(key)s::text[], %(change)s::text[]) AS seen (ns, key, change)
    LEFT JOIN {schema}.items AS old ON old.tenant = %(tenant)s AND old.ns = seen.ns AND old.key = seen.key
    WHERE old.change::text IS DISTINCT FROM seen.change)

-- name: clear_vectors
DELETE FROM {schema}.vectors WHERE tenant = %(tenant)s

-- name: give
INSERT INTO {schema}.embedders (tenant, model, dimensions) VALUES (%(tenant)s, %(model)s, %(size)s)
ON CONFLICT (tenant) DO UPDATE SET model = excluded.model, dimensions = excluded.dimensions

-- name: touch
UPDATE {schema}.items SET change = pg_current_xact_id() WHERE tenant = %(tenant)s
