-- The engine: pgmq carries the lanes (lane = chat). `a1zap migrate` installs its SQL where the extension is absent;
-- where it is available (Supabase) this file creates it, so `supabase db push` and psql work as well.
DO $$
BEGIN
    IF to_regprocedure('pgmq.send(text, jsonb, jsonb, timestamptz)') IS NULL THEN
        IF EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'pgmq') THEN
            CREATE EXTENSION pgmq CASCADE;
        ELSE
            RAISE EXCEPTION 'pgmq is neither installed nor available as an extension'
                USING HINT = 'run "a1zap migrate": it installs the SQL-only form first';
        END IF;
    END IF;
END $$;

-- The role the application works as: no table is its own, row-level security binds it, it cannot bypass it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'a1zap_app') THEN
        CREATE ROLE a1zap_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
    EXECUTE format('GRANT a1zap_app TO %I', current_user);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO a1zap_app', current_database());
END $$;

CREATE SCHEMA IF NOT EXISTS a1zap;
GRANT USAGE ON SCHEMA a1zap, public, pgmq TO a1zap_app;

SELECT pgmq.create('turns');
SELECT pgmq.create('deliveries');

-- Finding the head of a lane is one probe of this index; without it every claim would read the whole queue.
CREATE INDEX IF NOT EXISTS q_turns_lane_idx ON pgmq.q_turns ((headers ->> 'x-pgmq-group'), msg_id);
CREATE INDEX IF NOT EXISTS q_deliveries_lane_idx ON pgmq.q_deliveries ((headers ->> 'x-pgmq-group'), msg_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.q_turns, pgmq.q_deliveries TO a1zap_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgmq TO a1zap_app;
-- Rows come and go by the million: vacuum early, so that a claim never walks over the dead.
ALTER TABLE pgmq.q_turns SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE pgmq.q_deliveries SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
