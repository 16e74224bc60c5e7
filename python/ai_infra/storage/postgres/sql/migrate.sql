-- name: exists
SELECT EXISTS (
    SELECT 1 FROM pg_class AS tables JOIN pg_namespace AS spaces ON spaces.oid = tables.relnamespace
    WHERE spaces.nspname = %(schema)s AND tables.relname = 'meta')

-- name: version
SELECT value FROM {schema}.meta WHERE name = 'version'

-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))

-- name: rights
SELECT spaces.oid IS NOT NULL,
       spaces.oid IS NOT NULL AND has_schema_privilege(spaces.oid, 'USAGE')
           AND has_schema_privilege(spaces.oid, 'CREATE'),
       has_database_privilege(current_database(), 'CREATE'),
       current_user::text, current_database()::text, getdatabaseencoding()::text
FROM (SELECT %(schema)s::name AS wanted) AS asked
LEFT JOIN pg_namespace AS spaces ON spaces.nspname = wanted

-- name: owner
SELECT pg_get_userbyid(tables.relowner)::text, pg_has_role(tables.relowner, 'USAGE'), current_user::text
FROM pg_class AS tables JOIN pg_namespace AS spaces ON spaces.oid = tables.relnamespace
WHERE spaces.nspname = %(schema)s AND tables.relname = 'meta'

-- name: take_time
SET LOCAL statement_timeout = 0

-- name: create
CREATE SCHEMA {schema}

-- name: set_version
INSERT INTO {schema}.meta (name, value) VALUES ('version', %(version)s)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
