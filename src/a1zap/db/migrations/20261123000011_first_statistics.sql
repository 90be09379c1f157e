-- A new database has no statistics, and a statement keeps the plan it got then: every key that leads with the owner looks
-- equally good, and a message was looked for among all of the owner's. Where PostgreSQL can be told (18 on), tables that
-- were never analysed are told that an owner has many of their rows (and not how many rows there are: an empty table is
-- taken for a small one only as long as nothing is known of its size). Its own figures replace this as tables grow.
DO $$
DECLARE
    t record;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_proc WHERE proname = 'pg_restore_attribute_stats' AND pronamespace = 'pg_catalog'::regnamespace) THEN
        RETURN;
    END IF;
    FOR t IN
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'owner_id' AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.reltuples < 0
    LOOP
        PERFORM pg_catalog.pg_restore_attribute_stats(
            'schemaname', 'public', 'relname', t.relname::text, 'attname', 'owner_id', 'inherited', false,
            'null_frac', 0::real, 'avg_width', 16::integer, 'n_distinct', 2::real);
    END LOOP;
END $$;
