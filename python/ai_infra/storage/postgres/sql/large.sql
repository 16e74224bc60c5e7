-- Statements of namespaces that are searched in the database; {where} are the conditions on items, {near} the distance.

-- name: how_many
SELECT count(*) FROM (SELECT 1 FROM {schema}.items WHERE tenant = %(tenant)s AND {where} LIMIT %(enough)s::bigint) AS found

-- name: state
SELECT place, large.model, documents, words, held.model, held.dimensions,
       CASE WHEN seen IS NULL OR target IS NOT NULL OR at < statement_timestamp() - interval '12 hours' THEN true
       ELSE EXISTS (
            SELECT 1 FROM {schema}.items
            WHERE items.tenant = %(tenant)s AND {where} AND change >= split_part(seen, ':', 1)::xid8
              AND NOT pg_visible_in_snapshot(change, seen::pg_snapshot)
       ) OR EXISTS (
            SELECT 1 FROM {schema}.removals AS items
            WHERE items.tenant = %(tenant)s AND {where} AND change >= split_part(seen, ':', 1)::xid8
              AND NOT pg_visible_in_snapshot(change, seen::pg_snapshot)
       ) END
FROM {schema}.large LEFT JOIN {schema}.embedders AS held ON held.tenant = %(tenant)s
WHERE large.tenant = %(tenant)s AND large.ns = %(place_ns)s AND recursive = %(recursive)s

-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))

-- name: begin
INSERT INTO {schema}.large AS old (tenant, ns, recursive, model, target)
VALUES (%(tenant)s, %(ns)s, %(recursive)s, %(model)s, pg_current_snapshot()::text)
ON CONFLICT (tenant, ns, recursive) DO UPDATE SET
    target = coalesce(old.target, excluded.target),
    after_ns = CASE WHEN old.target IS NULL THEN '' ELSE old.after_ns END,
    after_key = CASE WHEN old.target IS NULL THEN '' ELSE old.after_key END
RETURNING place, old.model, seen, after_ns, after_key, next, documents,
          at < statement_timestamp() - interval '12 hours'

-- name: piece
SELECT items.ns, items.key, value, (
    SELECT vector FROM {schema}.vectors AS held
    WHERE held.tenant = items.tenant AND held.ns = items.ns AND held.key = items.key) AS vector,
    (SELECT dimensions FROM {schema}.embedders WHERE tenant = %(tenant)s) AS dimensions
FROM {schema}.items
WHERE items.tenant = %(tenant)s AND {where} AND (items.ns, items.key) > (%(after_ns)s, %(after_key)s)
ORDER BY items.ns, items.key LIMIT %(limit)s::bigint

-- name: changed_piece
SELECT items.ns, items.key, value, (
    SELECT vector FROM {schema}.vectors AS held
    WHERE held.tenant = items.tenant AND held.ns = items.ns AND held.key = items.key) AS vector,
    (SELECT dimensions FROM {schema}.embedders WHERE tenant = %(tenant)s) AS dimensions
FROM {schema}.items
WHERE items.tenant = %(tenant)s AND {where} AND (items.ns, items.key) > (%(after_ns)s, %(after_key)s)
  AND change >= split_part(%(seen)s, ':', 1)::xid8 AND NOT pg_visible_in_snapshot(change, %(seen)s::pg_snapshot)
ORDER BY items.ns, items.key LIMIT %(limit)s::bigint

-- name: drop_old
DELETE FROM {schema}.large_documents AS old
USING unnest(%(ns)b::bytea[], %(key)s::text[]) AS place (ns, key)
WHERE old.place = %(place)s AND old.ns = place.ns AND old.key = place.key
RETURNING number, length

-- name: drop_removed
DELETE FROM {schema}.large_documents AS old
WHERE old.place = %(place)s AND number IN (
    SELECT number FROM {schema}.large_documents AS held
    WHERE held.place = %(place)s AND (held.ns, held.key) IN (
        SELECT items.ns, items.key FROM {schema}.removals AS items
        WHERE items.tenant = %(tenant)s AND {where} AND change >= split_part(%(seen)s, ':', 1)::xid8
          AND NOT pg_visible_in_snapshot(change, %(seen)s::pg_snapshot))
      AND NOT EXISTS (
        SELECT 1 FROM {schema}.items
        WHERE items.tenant = %(tenant)s AND items.ns = held.ns AND items.key = held.key)
    LIMIT %(removed)s::bigint)
RETURNING number, length

-- name: drop_missing
DELETE FROM {schema}.large_documents AS old
WHERE old.place = %(place)s AND number IN (
    SELECT number FROM {schema}.large_documents AS held
    WHERE held.place = %(place)s AND NOT EXISTS (
        SELECT 1 FROM {schema}.items
        WHERE items.tenant = %(tenant)s AND items.ns = held.ns AND items.key = held.key)
    LIMIT %(removed)s::bigint)
RETURNING number, length

-- name: put_documents
INSERT INTO {schema}.large_documents (tenant, place, ns, key, number, length, vector)
SELECT %(tenant)s, %(place)s, ns, key, number, length, vector::real[]
FROM unnest(%(ns)b::bytea[], %(key)s::text[], %(number)s::int[], %(length)s::int[], %(vector)s::text[])
     AS new (ns, key, number, length, vector)

-- name: put_words
INSERT INTO {schema}.large_words AS old (tenant, place, term, block, list)
SELECT %(tenant)s, %(place)s, term, block, list
FROM unnest(%(term)s::text[], %(block)s::int[], %(list)b::bytea[]) AS new (term, block, list)
ON CONFLICT (place, term, block) DO UPDATE SET list = old.list || excluded.list

-- name: advance
UPDATE {schema}.large SET
    seen = CASE WHEN %(done)s THEN target ELSE seen END,
    target = CASE WHEN %(done)s THEN NULL ELSE target END,
    at = CASE WHEN %(done)s THEN statement_timestamp() ELSE at END,
    after_ns = %(after_ns)s, after_key = %(after_key)s, next = %(next)s,
    documents = documents + %(documents)s, words = words + %(words)s
WHERE place = %(place)s

-- name: forget
WITH gone AS (
    DELETE FROM {schema}.large
    WHERE tenant = %(tenant)s AND (%(place)s::int IS NULL OR place = %(place)s) RETURNING place
), documents AS (
    DELETE FROM {schema}.large_documents WHERE place IN (SELECT place FROM gone)
), words AS (
    DELETE FROM {schema}.large_words WHERE place IN (SELECT place FROM gone)
)
SELECT place FROM gone

-- Each range is looked up by itself: joined, all terms of a namespace would be held against all ranges.

-- name: there
SELECT term FROM (
    SELECT unnest(%(terms)s::text[]) COLLATE "C" AS term
) AS asked WHERE EXISTS (SELECT 1 FROM {schema}.large_words AS held WHERE held.place = %(place)s AND held.term = asked.term)
UNION
SELECT held.term FROM unnest(%(low)s::text[], %(high)s::text[]) AS asked (low, high), LATERAL (
    SELECT term FROM {schema}.large_words AS held
    WHERE held.place = %(place)s AND held.term >= asked.low AND held.term < asked.high OFFSET 0
) AS held
UNION
SELECT held.term FROM unnest(%(parts)s::text[]) AS asked (part)
JOIN {schema}.large_words AS held ON held.place = %(place)s AND strpos(held.term, asked.part) > 0

-- name: lists
SELECT term, block, list FROM {schema}.large_words WHERE place = %(place)s AND term = ANY (%(terms)s::text[])

-- Candidates without a look at their items: whether these have expired shows when the best are fetched.

-- name: near
SELECT held.number, 1 - {distance}
FROM {schema}.large_documents AS held
WHERE held.place = {place} AND held.vector IS NOT NULL
ORDER BY {distance} LIMIT {count}

-- name: among
SELECT held.number, {cosine}
FROM unnest(%(numbers)s::int[]) AS asked (number)
JOIN {schema}.large_documents AS held ON held.place = {place} AND held.number = asked.number

-- In the following, OFFSET 0 keeps PostgreSQL from turning the look-up of an item into a join.

-- name: near_filtered
SELECT held.number, 1 - {distance}
FROM {schema}.large_documents AS held
JOIN LATERAL (
    SELECT 1 FROM {schema}.items
    WHERE items.tenant = %(tenant)s AND items.ns = held.ns AND items.key = held.key AND {where}
      AND (expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at))) OFFSET 0
) AS live ON true
WHERE held.place = {place} AND held.vector IS NOT NULL
ORDER BY {order} LIMIT %(limit)s::bigint

-- name: among_filtered
SELECT held.number, {cosine}
FROM unnest(%(numbers)s::int[]) WITH ORDINALITY AS asked (number, turn)
JOIN {schema}.large_documents AS held ON held.place = {place} AND held.number = asked.number
JOIN LATERAL (
    SELECT 1 FROM {schema}.items
    WHERE items.tenant = %(tenant)s AND items.ns = held.ns AND items.key = held.key AND {where}
      AND (expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at))) OFFSET 0
) AS live ON true
ORDER BY asked.turn LIMIT %(limit)s::bigint

-- name: others
SELECT held.number, {cosine}
FROM {schema}.large_documents AS held
JOIN LATERAL (
    SELECT 1 FROM {schema}.items
    WHERE items.tenant = %(tenant)s AND items.ns = held.ns AND items.key = held.key AND {where}
      AND (expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at))) OFFSET 0
) AS live ON true
WHERE held.place = {place} AND NOT held.number = ANY (%(numbers)s::int[])
ORDER BY held.number LIMIT %(limit)s::bigint

-- name: stream
DECLARE ai_infra_vectors NO SCROLL CURSOR FOR
SELECT held.number, array_send(held.vector)
FROM {schema}.large_documents AS held
JOIN LATERAL (
    SELECT 1 FROM {schema}.items
    WHERE items.tenant = %(tenant)s AND items.ns = held.ns AND items.key = held.key AND {where}
      AND (expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at))) OFFSET 0
) AS live ON true
WHERE held.place = {place} AND held.vector IS NOT NULL

-- name: next_vectors
FETCH 5000 FROM ai_infra_vectors

-- name: end_stream
CLOSE ai_infra_vectors

-- name: fetch
SELECT held.number, items.ns, items.key, value, created_at, updated_at, expires_at, version
FROM {schema}.large_documents AS held
JOIN {schema}.items ON items.tenant = %(tenant)s AND items.ns = held.ns AND items.key = held.key
WHERE held.place = %(place)s AND held.number = ANY (%(numbers)s::int[])
  AND (expires_at IS NULL OR expires_at > (SELECT at FROM {now} AS clock (at)))

-- name: extension
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
       (SELECT spaces.nspname::text FROM pg_extension JOIN pg_namespace AS spaces ON spaces.oid = extnamespace
        WHERE extname = 'vector'),
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),
       current_database()::text

-- name: index_state
SELECT indexes.indisvalid, pg_has_role(tables.relowner, 'USAGE')
FROM pg_class AS tables JOIN pg_namespace AS spaces ON spaces.oid = tables.relnamespace
LEFT JOIN (pg_index AS indexes JOIN pg_class AS names ON names.oid = indexes.indexrelid AND names.relname = %(index)s)
     ON indexes.indrelid = tables.oid
WHERE spaces.nspname = %(schema)s AND tables.relname = 'large_documents'
ORDER BY 1 NULLS LAST LIMIT 1

-- Connections that keep their settings have what the usual question needs (database.py).

-- name: ask_more
SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', %(ef)s, true),
       set_config('hnsw.max_scan_tuples', '2000000', true)

-- name: try_lock
SELECT pg_try_advisory_lock(hashtextextended(%(name)s, 0))

-- name: take_time
SET statement_timeout = 0

-- name: build
CREATE INDEX CONCURRENTLY {index} ON {schema}.large_documents
USING hnsw ((vector::{type}) {operators}) WHERE place = {place}

-- name: analyze
ANALYZE {schema}.large_documents

-- name: learn
ANALYZE {schema}.items (tenant, ns, key, change), {schema}.large_documents (place, ns, key, number),
        {schema}.large_words (place, term)

-- name: drop_index
DROP INDEX CONCURRENTLY IF EXISTS {schema}.{index}
