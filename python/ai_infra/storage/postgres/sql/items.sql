-- Statements on items; {schema} is an identifier that was checked and quoted, {now} the clock, everything else
-- is a parameter.

-- name: put
INSERT INTO {schema}.items AS old
    (tenant, ns, key, value, doc, created_at, updated_at, expires_at, version, write)
SELECT %(tenant)s, ns, key, value, coalesce(doc, value)::jsonb, at, at, coalesce(until, at + life), times, %(write)s
FROM unnest(%(ns)b::bytea[], %(key)s::text[], %(value)s::text[], %(doc)s::text[], %(until)s::bigint[],
            %(life)s::bigint[], %(times)s::bigint[]) AS new (ns, key, value, doc, until, life, times),
     {now} AS clock (at)
ORDER BY ns, key COLLATE "C"
ON CONFLICT (tenant, ns, key) DO UPDATE SET
    value = excluded.value,
    doc = excluded.doc,
    created_at = CASE WHEN old.expires_at <= excluded.updated_at THEN excluded.created_at
                      ELSE old.created_at END,
    updated_at = CASE WHEN old.expires_at <= excluded.updated_at THEN excluded.updated_at
                      ELSE greatest(excluded.updated_at, old.created_at) END,
    version = CASE WHEN old.expires_at <= excluded.updated_at THEN excluded.version
                   WHEN old.write = excluded.write THEN old.version
                   ELSE old.version + excluded.version END,
    expires_at = excluded.expires_at,
    change = pg_current_xact_id(),
    write = excluded.write
RETURNING ns, key, created_at, updated_at, expires_at, version

-- name: put_new
INSERT INTO {schema}.items AS old
    (tenant, ns, key, value, doc, created_at, updated_at, expires_at, version, write)
SELECT %(tenant)s, ns, key, value, coalesce(doc, value)::jsonb, at, at, coalesce(until, at + life), 1, %(write)s
FROM unnest(%(ns)b::bytea[], %(key)s::text[], %(value)s::text[], %(doc)s::text[], %(until)s::bigint[],
            %(life)s::bigint[]) AS new (ns, key, value, doc, until, life),
     {now} AS clock (at)
ORDER BY ns, key COLLATE "C"
ON CONFLICT (tenant, ns, key) DO UPDATE SET
    value = excluded.value,
    doc = excluded.doc,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    version = 1,
    expires_at = excluded.expires_at,
    change = pg_current_xact_id(),
    write = excluded.write
WHERE old.expires_at <= excluded.updated_at OR old.write = excluded.write
RETURNING ns, key, created_at, updated_at, expires_at, version

-- name: put_over
UPDATE {schema}.items AS old SET
    value = new.value,
    doc = coalesce(new.doc, new.value)::jsonb,
    updated_at = greatest(at, old.created_at),
    version = new.expected + 1,
    expires_at = coalesce(until, at + life),
    change = pg_current_xact_id(),
    write = %(write)s
FROM unnest(%(ns)b::bytea[], %(key)s::text[], %(value)s::text[], %(doc)s::text[], %(until)s::bigint[],
            %(life)s::bigint[], %(expected)s::bigint[]) AS new (ns, key, value, doc, until, life, expected),
     {now} AS clock (at)
WHERE old.tenant = %(tenant)s AND old.ns = new.ns AND old.key = new.key
  AND (old.expires_at IS NULL OR old.expires_at > at)
  AND (old.version = new.expected OR (old.version = new.expected + 1 AND old.write = %(write)s))
RETURNING old.ns, old.key, old.created_at, old.updated_at, old.expires_at, old.version

-- name: restore
INSERT INTO {schema}.items AS old
    (tenant, ns, key, value, doc, created_at, updated_at, expires_at, version, write)
SELECT %(tenant)s, ns, key, value, coalesce(doc, value)::jsonb, created, updated, until, version, %(write)s
FROM unnest(%(ns)b::bytea[], %(key)s::text[], %(value)s::text[], %(doc)s::text[], %(until)s::bigint[],
            %(created)s::bigint[], %(updated)s::bigint[], %(version)s::bigint[])
     AS new (ns, key, value, doc, until, created, updated, version)
ORDER BY ns, key COLLATE "C"
ON CONFLICT (tenant, ns, key) DO UPDATE SET
    value = excluded.value,
    doc = excluded.doc,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    version = excluded.version,
    expires_at = excluded.expires_at,
    change = pg_current_xact_id(),
    write = excluded.write
RETURNING ns, key, created_at, updated_at, expires_at, version

-- name: get
SELECT ns, key, value, created_at, updated_at, expires_at, version
FROM {schema}.items
WHERE tenant = %(tenant)s AND ns = %(ns)s AND key = %(key)s
  AND (expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at)))

-- name: get_many
SELECT old.ns, old.key, value, created_at, updated_at, expires_at, version
FROM unnest(%(ns)b::bytea[], %(key)s::text[]) AS place (ns, key)
JOIN {schema}.items AS old ON old.tenant = %(tenant)s AND old.ns = place.ns AND old.key = place.key
WHERE expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at))

-- name: delete
DELETE FROM {schema}.items AS old
USING unnest(%(ns)b::bytea[], %(key)s::text[]) AS place (ns, key)
WHERE old.tenant = %(tenant)s AND old.ns = place.ns AND old.key = place.key
RETURNING old.ns, old.key, expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at))

-- name: select
SELECT ns, key, value, created_at, updated_at, expires_at, version
FROM {schema}.items
WHERE tenant = %(tenant)s AND {where}
  AND (expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at)))
ORDER BY ns, key
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint

-- name: count
SELECT count(*)
FROM {schema}.items
WHERE tenant = %(tenant)s AND {where}
  AND (expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at)))

-- name: namespaces
WITH RECURSIVE found AS (
    (SELECT ns FROM {schema}.items
     WHERE tenant = %(tenant)s AND ns >= %(low)s AND ns < %(high)s ORDER BY ns LIMIT 1)
    UNION ALL
    SELECT (SELECT items.ns FROM {schema}.items
            WHERE tenant = %(tenant)s AND items.ns > found.ns AND items.ns < %(high)s ORDER BY items.ns LIMIT 1)
    FROM found WHERE found.ns IS NOT NULL
)
SELECT ns FROM found
WHERE ns IS NOT NULL AND EXISTS (
    SELECT 1 FROM {schema}.items
    WHERE tenant = %(tenant)s AND items.ns = found.ns
      AND (expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at))))
ORDER BY ns

-- name: clear
WITH gone AS (
    DELETE FROM {schema}.items WHERE tenant = %(tenant)s AND {where}
    RETURNING expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at)) AS live
)
SELECT count(*) FROM gone WHERE live

-- name: sweep
WITH gone AS (
    DELETE FROM {schema}.items
    WHERE (tenant, ns, key) IN (
        SELECT tenant, ns, key FROM {schema}.items
        WHERE tenant = %(tenant)s AND expires_at <= (SELECT at - %(age)s::bigint FROM {now} AS clock (at))
        ORDER BY expires_at LIMIT %(limit)s::bigint FOR UPDATE SKIP LOCKED)
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: vacuum
VACUUM {schema}.items

-- name: vacuum_documents
VACUUM {schema}.large_documents

-- name: vacuum_words
VACUUM {schema}.large_words
