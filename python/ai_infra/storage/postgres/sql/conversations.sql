-- Statements on conversations. A writer locks the user's row first, so that writes of one user come one by one.

-- name: lock_user
INSERT INTO {schema}.conversation_users AS old (tenant, user_id, gen) VALUES (%(tenant)s, %(user)s, 0)
ON CONFLICT (tenant, user_id) DO UPDATE SET gen = old.gen
RETURNING ref, (SELECT at FROM {now} AS clock (at))

-- name: lock_known_user
SELECT ref FROM {schema}.conversation_users WHERE tenant = %(tenant)s AND user_id = %(user)s FOR UPDATE

-- name: adopt
INSERT INTO {schema}.conversation_embedders AS held (tenant, model) VALUES (%(tenant)s, %(model)s)
ON CONFLICT (tenant) DO UPDATE SET model = excluded.model, dimensions = NULL
WHERE held.model <> excluded.model
  AND NOT EXISTS (SELECT 1 FROM {schema}.conversations WHERE conversations.tenant = held.tenant)

-- name: held
SELECT model, dimensions FROM {schema}.conversation_embedders WHERE tenant = %(tenant)s FOR SHARE

-- name: set_dimensions
UPDATE {schema}.conversation_embedders SET dimensions = %(size)s
WHERE tenant = %(tenant)s AND dimensions IS NULL

-- name: found
SELECT ref, length, metadata, starts, ends, summary, summarized, created_at, updated_at, seq,
       ARRAY(SELECT message FROM {schema}.conversation_messages AS log
             WHERE log.tenant = %(tenant)s AND log.ref = conversations.ref ORDER BY position),
       ARRAY(SELECT hash FROM {schema}.conversation_vectors AS known
             WHERE known.tenant = %(tenant)s AND known.ref = conversations.ref)
FROM {schema}.conversations
WHERE tenant = %(tenant)s AND user_ref = %(user_ref)s AND session_id = %(session)s

-- name: bump
UPDATE {schema}.conversation_users SET gen = gen + 1 WHERE tenant = %(tenant)s AND ref = %(user_ref)s RETURNING gen

-- name: put
INSERT INTO {schema}.conversations
    (tenant, user_ref, session_id, seq, length, metadata, starts, ends, summary, summarized, created_at, updated_at)
VALUES (%(tenant)s, %(user_ref)s, %(session)s, %(seq)s, %(length)s, %(metadata)s, %(starts)s, %(ends)s,
        %(summary)s, %(summarized)s, %(created)s, %(updated)s)
ON CONFLICT (tenant, user_ref, session_id) DO UPDATE SET
    seq = excluded.seq, length = excluded.length, metadata = excluded.metadata, starts = excluded.starts,
    ends = excluded.ends, summary = excluded.summary, summarized = excluded.summarized,
    created_at = excluded.created_at, updated_at = excluded.updated_at
RETURNING ref

-- name: put_messages
INSERT INTO {schema}.conversation_messages (tenant, ref, position, message)
SELECT %(tenant)s, %(ref)s, position, message
FROM unnest(%(position)s::bigint[], %(message)s::text[]) AS new (position, message)
ON CONFLICT (tenant, ref, position) DO UPDATE SET message = excluded.message

-- name: cut_messages
DELETE FROM {schema}.conversation_messages
WHERE tenant = %(tenant)s AND ref = %(ref)s AND position >= %(length)s

-- name: put_vectors
INSERT INTO {schema}.conversation_vectors (tenant, ref, hash, vector)
SELECT %(tenant)s, %(ref)s, hash, vector
FROM unnest(%(hash)b::bytea[], %(vector)b::bytea[]) AS new (hash, vector)
ON CONFLICT (tenant, ref, hash) DO UPDATE SET vector = excluded.vector

-- name: cut_vectors
DELETE FROM {schema}.conversation_vectors
WHERE tenant = %(tenant)s AND ref = %(ref)s AND NOT hash = ANY (%(hash)s::bytea[])

-- name: state
SELECT users.ref, users.gen, held.model
FROM (SELECT 1) AS one
LEFT JOIN {schema}.conversation_users AS users ON users.tenant = %(tenant)s AND users.user_id = %(user)s
LEFT JOIN {schema}.conversation_embedders AS held ON held.tenant = %(tenant)s

-- name: changes
SELECT users.ref, users.gen, held.model, own.ref, own.lacks, own.seq, users.user_id, own.session_id, own.length,
       own.metadata, own.starts, own.ends, own.summary, own.summarized, own.created_at, own.updated_at,
       CASE WHEN own.lacks AND own.before < %(most)s THEN ARRAY(
           SELECT message FROM {schema}.conversation_messages AS log
           WHERE log.tenant = %(tenant)s AND log.ref = own.ref ORDER BY position) END,
       CASE WHEN own.lacks AND own.before < %(most)s THEN ARRAY(
           SELECT hash FROM {schema}.conversation_vectors AS vectors
           WHERE vectors.tenant = %(tenant)s AND vectors.ref = own.ref ORDER BY hash) END,
       CASE WHEN own.lacks AND own.before < %(most)s THEN ARRAY(
           SELECT vector FROM {schema}.conversation_vectors AS vectors
           WHERE vectors.tenant = %(tenant)s AND vectors.ref = own.ref ORDER BY hash) END,
       held.dimensions
FROM (SELECT 1) AS one
LEFT JOIN {schema}.conversation_users AS users ON users.tenant = %(tenant)s AND users.user_id = %(user)s
LEFT JOIN {schema}.conversation_embedders AS held ON held.tenant = %(tenant)s
LEFT JOIN (
    -- `before`: the messages of the conversations that the index lacks, up to this one.
    SELECT conversations.*, known.ref IS NULL AS lacks,
           coalesce(sum(length) FILTER (WHERE known.ref IS NULL) OVER (
               PARTITION BY user_ref ORDER BY conversations.ref ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ), 0) AS before
    FROM {schema}.conversations
    LEFT JOIN unnest(%(ref)s::bigint[], %(seq)s::bigint[]) AS known (ref, seq)
        ON known.ref = conversations.ref AND known.seq = conversations.seq
    WHERE conversations.tenant = %(tenant)s
      AND user_ref = (SELECT ref FROM {schema}.conversation_users WHERE tenant = %(tenant)s AND user_id = %(user)s)
) AS own ON own.user_ref = users.ref
ORDER BY own.ref

-- name: pick
SELECT own.ref, seq, user_id, session_id, length, metadata, starts, ends, summary, summarized, created_at, updated_at,
       ARRAY(SELECT position FROM {schema}.conversation_messages AS log
             WHERE log.tenant = %(tenant)s AND log.ref = own.ref AND position = ANY (places.positions)
             ORDER BY position),
       ARRAY(SELECT message FROM {schema}.conversation_messages AS log
             WHERE log.tenant = %(tenant)s AND log.ref = own.ref AND position = ANY (places.positions)
             ORDER BY position)
FROM (
    SELECT ref, array_agg(position) AS positions
    FROM unnest(%(ref)s::bigint[], %(position)s::bigint[]) AS wanted (ref, position) GROUP BY ref
) AS places
JOIN {schema}.conversations AS own ON own.tenant = %(tenant)s AND own.ref = places.ref
JOIN {schema}.conversation_users AS users ON users.tenant = own.tenant AND users.ref = own.user_ref
WHERE users.user_id = %(user)s

-- name: known
SELECT DISTINCT ON (vectors.hash) vectors.hash, vectors.vector,
       (SELECT dimensions FROM {schema}.conversation_embedders WHERE tenant = %(tenant)s)
FROM {schema}.conversation_users AS users
JOIN {schema}.conversations AS own ON own.tenant = %(tenant)s AND own.user_ref = users.ref
JOIN {schema}.conversation_vectors AS vectors ON vectors.tenant = %(tenant)s AND vectors.ref = own.ref
WHERE users.tenant = %(tenant)s AND users.user_id = %(user)s AND vectors.hash = ANY (%(hash)s::bytea[])

-- name: heads
SELECT own.ref, seq, user_id, session_id, length, metadata, starts, ends, summary, summarized, created_at, updated_at
FROM {schema}.conversations AS own
JOIN {schema}.conversation_users AS users ON users.tenant = own.tenant AND users.ref = own.user_ref
WHERE own.tenant = %(tenant)s AND (%(user)s::text IS NULL OR user_id = %(user)s)
ORDER BY coalesce(starts, created_at) DESC, user_id, session_id

-- name: whole
SELECT own.ref, seq, user_id, session_id, length, metadata, starts, ends, summary, summarized, created_at, updated_at,
       ARRAY(SELECT message FROM {schema}.conversation_messages AS log
             WHERE log.tenant = own.tenant AND log.ref = own.ref ORDER BY position)
FROM {schema}.conversations AS own
JOIN {schema}.conversation_users AS users ON users.tenant = own.tenant AND users.ref = own.user_ref
WHERE own.tenant = %(tenant)s AND (%(user)s::text IS NULL OR user_id = %(user)s)
  AND (%(session)s::text IS NULL OR session_id = %(session)s)
ORDER BY own.ref

-- name: delete
WITH gone AS (
    DELETE FROM {schema}.conversations
    WHERE tenant = %(tenant)s AND user_ref = %(user_ref)s AND (%(session)s::text IS NULL OR session_id = %(session)s)
    RETURNING ref
), messages AS (
    DELETE FROM {schema}.conversation_messages
    WHERE tenant = %(tenant)s AND ref IN (SELECT ref FROM gone)
), vectors AS (
    DELETE FROM {schema}.conversation_vectors
    WHERE tenant = %(tenant)s AND ref IN (SELECT ref FROM gone)
)
SELECT count(*) FROM gone

-- name: delete_empty_user
DELETE FROM {schema}.conversation_users
WHERE tenant = %(tenant)s AND ref = %(user_ref)s
  AND NOT EXISTS (SELECT 1 FROM {schema}.conversations WHERE tenant = %(tenant)s AND user_ref = %(user_ref)s)

-- name: totals
SELECT count(DISTINCT own.user_ref), count(*), coalesce(sum(length), 0)::bigint
FROM {schema}.conversations AS own
JOIN {schema}.conversation_users AS users ON users.tenant = own.tenant AND users.ref = own.user_ref
WHERE own.tenant = %(tenant)s AND (%(user)s::text IS NULL OR user_id = %(user)s)

-- name: quiet
LOCK TABLE {schema}.conversation_users IN SHARE ROW EXCLUSIVE MODE

-- name: unchanged
SELECT (SELECT count(*) FROM {schema}.conversations WHERE tenant = %(tenant)s) = cardinality(%(ref)s::bigint[])
   AND NOT EXISTS (
    SELECT 1 FROM unnest(%(ref)s::bigint[], %(seq)s::bigint[]) AS seen (ref, seq)
    LEFT JOIN {schema}.conversations AS own ON own.tenant = %(tenant)s AND own.ref = seen.ref
    WHERE own.seq IS DISTINCT FROM seen.seq)

-- name: give
INSERT INTO {schema}.conversation_embedders (tenant, model) VALUES (%(tenant)s, %(model)s)
ON CONFLICT (tenant) DO UPDATE SET model = excluded.model, dimensions = NULL

-- name: clear_vectors
DELETE FROM {schema}.conversation_vectors WHERE tenant = %(tenant)s

-- name: touch
WITH users AS (UPDATE {schema}.conversation_users SET gen = gen + 1 WHERE tenant = %(tenant)s)
UPDATE {schema}.conversations SET seq = seq + 1 WHERE tenant = %(tenant)s

-- name: vacuum
VACUUM {schema}.conversations, {schema}.conversation_messages, {schema}.conversation_vectors
