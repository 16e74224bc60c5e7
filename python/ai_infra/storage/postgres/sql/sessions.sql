-- Statements on sessions. An append is one statement: the head moves only if it is as the writer has read it,
-- and the turn and its messages come with it or not at all.

-- name: append
WITH head AS (
    UPDATE {schema}.sessions SET
        version = %(version)s::bigint + 1,
        length = CASE WHEN write = %(write)s THEN length ELSE length + %(count)s::bigint END,
        turns = CASE WHEN write = %(write)s THEN turns ELSE turns + (%(count)s::bigint > 0)::int END,
        updated_at = greatest((SELECT at FROM {now} AS clock (at)), created_at),
        state = %(state)s,
        write = %(write)s
    WHERE tenant = %(tenant)s AND id = %(id)s AND ref = %(ref)s
      AND (version = %(version)s OR (version = %(version)s::bigint + 1 AND write = %(write)s))
      AND (%(count)s::bigint = 0 OR NOT EXISTS (
          SELECT 1 FROM {schema}.session_turns
          WHERE tenant = %(tenant)s AND ref = %(ref)s AND turn_id = %(turn)s))
    RETURNING ref, version, length, turns, created_at, updated_at, state
), turn AS (
    INSERT INTO {schema}.session_turns (tenant, ref, ends, starts, turn_id)
    SELECT %(tenant)s, ref, length, length - %(count)s::bigint, %(turn)s FROM head WHERE %(count)s::bigint > 0
), log AS (
    INSERT INTO {schema}.session_messages (tenant, ref, position, message)
    SELECT %(tenant)s, ref, length - %(count)s::bigint + place - 1, message
    FROM head, unnest(%(messages)s::text[]) WITH ORDINALITY AS row (message, place)
)
SELECT * FROM head

-- name: create
WITH head AS (
    INSERT INTO {schema}.sessions (tenant, id, version, length, turns, created_at, updated_at, state, write)
    SELECT %(tenant)s, %(id)s, 1, %(count)s::bigint, (%(count)s::bigint > 0)::int, at, at, %(state)s, %(write)s
    FROM {now} AS clock (at)
    ON CONFLICT (tenant, id) DO NOTHING
    RETURNING ref, version, length, turns, created_at, updated_at, state
), turn AS (
    INSERT INTO {schema}.session_turns (tenant, ref, ends, starts, turn_id)
    SELECT %(tenant)s, ref, length, 0, %(turn)s FROM head WHERE %(count)s::bigint > 0
), log AS (
    INSERT INTO {schema}.session_messages (tenant, ref, position, message)
    SELECT %(tenant)s, ref, place - 1, message
    FROM head, unnest(%(messages)s::text[]) WITH ORDINALITY AS row (message, place)
)
SELECT * FROM head

-- name: found
SELECT head.ref, version, length, head.turns, created_at, updated_at, state, write = %(write)s, turn.ends - turn.starts
FROM {schema}.sessions AS head
LEFT JOIN {schema}.session_turns AS turn
    ON turn.tenant = head.tenant AND turn.ref = head.ref AND turn.turn_id = %(turn)s
WHERE head.tenant = %(tenant)s AND head.id = %(id)s

-- name: load
SELECT head.ref, version, length, turns, created_at, updated_at, state, least(start, length),
       ARRAY(SELECT message FROM {schema}.session_messages AS log
             WHERE log.tenant = %(tenant)s AND log.ref = head.ref AND position >= start AND position < length
             ORDER BY position)
FROM {schema}.sessions AS head,
     LATERAL (SELECT greatest(length - %(last)s::bigint, 0,
                              CASE WHEN head.ref = %(ref)s THEN %(start)s::bigint END) AS start) AS span
WHERE head.tenant = %(tenant)s AND id = %(id)s

-- name: read
SELECT message FROM {schema}.session_messages
WHERE tenant = %(tenant)s AND ref = %(ref)s AND position >= %(start)s AND position < %(end)s
ORDER BY position

-- name: turn
SELECT turn_id, starts, ends FROM {schema}.session_turns
WHERE tenant = %(tenant)s AND ref = %(ref)s AND turn_id = %(turn)s

-- name: turns
SELECT turn_id, starts, ends FROM {schema}.session_turns
WHERE tenant = %(tenant)s AND ref = %(ref)s ORDER BY ends

-- name: fork
WITH head AS (
    INSERT INTO {schema}.sessions (tenant, id, version, length, turns, created_at, updated_at, state, write)
    SELECT %(tenant)s, %(id)s, 1, least(%(end)s::bigint, length),
           (SELECT count(*) FROM {schema}.session_turns
            WHERE tenant = %(tenant)s AND ref = %(ref)s AND ends <= %(end)s),
           at, at, %(state)s, %(write)s
    FROM {schema}.sessions AS source, {now} AS clock (at)
    WHERE source.tenant = %(tenant)s AND source.ref = %(ref)s
    ON CONFLICT (tenant, id) DO NOTHING
    RETURNING ref, version, length, turns, created_at, updated_at, state
), turn AS (
    INSERT INTO {schema}.session_turns (tenant, ref, ends, starts, turn_id)
    SELECT %(tenant)s, head.ref, ends, starts, turn_id FROM head, {schema}.session_turns AS source
    WHERE source.tenant = %(tenant)s AND source.ref = %(ref)s AND ends <= %(end)s
), log AS (
    INSERT INTO {schema}.session_messages (tenant, ref, position, message)
    SELECT %(tenant)s, head.ref, position, message FROM head, {schema}.session_messages AS source
    WHERE source.tenant = %(tenant)s AND source.ref = %(ref)s AND position < %(end)s
)
SELECT * FROM head

-- name: there
SELECT 1 FROM {schema}.sessions WHERE tenant = %(tenant)s AND ref = %(ref)s

-- name: list
SELECT id, ref, version, length, turns, created_at, updated_at, state FROM {schema}.sessions
WHERE tenant = %(tenant)s AND starts_with(id, %(prefix)s)
ORDER BY updated_at DESC, id
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint

-- name: delete
DELETE FROM {schema}.sessions WHERE tenant = %(tenant)s AND id = %(id)s RETURNING ref

-- name: delete_log
WITH turns AS (DELETE FROM {schema}.session_turns WHERE tenant = %(tenant)s AND ref = %(ref)s)
DELETE FROM {schema}.session_messages WHERE tenant = %(tenant)s AND ref = %(ref)s
