-- The vector of an item goes with it: the trigger on deletions takes it away. A foreign key would look every vector's
-- item up again, row by row, and by a plan that was made while the table was small.
ALTER TABLE {schema}.vectors DROP CONSTRAINT vectors_tenant_ns_key_fkey;

CREATE OR REPLACE FUNCTION {schema}.note_removals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.removals (tenant, ns, key) SELECT tenant, ns, key FROM gone;
    DELETE FROM {schema}.vectors AS vector USING gone
    WHERE vector.tenant = gone.tenant AND vector.ns = gone.ns AND vector.key = gone.key;
    RETURN NULL;
END $$;
