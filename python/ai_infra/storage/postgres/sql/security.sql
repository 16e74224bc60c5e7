-- Row-level security. FORCE: the owner of the tables obeys too. Without a tenant, or with an empty one, the policy
-- lets no row through and takes none.

-- name: protect
ALTER TABLE {schema}.{table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {schema}.{table} FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS ai_infra_tenant ON {schema}.{table};
CREATE POLICY ai_infra_tenant ON {schema}.{table}
    USING (tenant = nullif(current_setting('ai_infra.tenant', true), ''))
    WITH CHECK (tenant = nullif(current_setting('ai_infra.tenant', true), ''));

-- name: grant
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT ON {schema}.meta TO {role};

-- name: grant_table
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.{table} TO {role}

-- name: grant_sequences
GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}

-- name: set_tenant
SELECT set_config('ai_infra.tenant', %(tenant)s, true)

-- name: tables
SELECT tables.relname, tables.relrowsecurity AND tables.relforcerowsecurity AND EXISTS (
           SELECT 1 FROM pg_policy WHERE polrelid = tables.oid AND polname = 'ai_infra_tenant')
FROM pg_class AS tables
JOIN pg_namespace AS spaces ON spaces.oid = tables.relnamespace
JOIN pg_attribute AS columns ON columns.attrelid = tables.oid AND columns.attname = 'tenant'
WHERE spaces.nspname = %(schema)s AND tables.relkind IN ('r', 'p') AND NOT tables.relispartition
ORDER BY tables.relname

-- name: roles
SELECT DISTINCT pg_get_userbyid(given.grantee)::text
FROM pg_class AS tables
JOIN pg_namespace AS spaces ON spaces.oid = tables.relnamespace,
     LATERAL aclexplode(tables.relacl) AS given
WHERE spaces.nspname = %(schema)s AND tables.relname = 'items' AND given.privilege_type = 'INSERT'
  AND given.grantee NOT IN (0, tables.relowner)

-- name: role
SELECT rolname::text, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = coalesce(%(role)s::text, current_user)
