-- What the channels need: deliveries kept before they are read, receipts that come too early, lanes for both, and for
-- files and outgoing webhooks.

-- Walls as in 20261123000003, for tables that come later.
CREATE PROCEDURE a1zap.wall(t text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format(
        'CREATE POLICY owner_only ON public.%I TO a1zap_app '
        'USING (owner_id = (SELECT nullif(current_setting(''app.owner_id'', true), '''')::uuid)) '
        'WITH CHECK (owner_id = (SELECT nullif(current_setting(''app.owner_id'', true), '''')::uuid))', t);
    EXECUTE format('CREATE POLICY keeper ON public.%I TO %I USING (true) WITH CHECK (true)', t, current_user);
    EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO a1zap_app', t);
END $$;
REVOKE ALL ON PROCEDURE a1zap.wall(text) FROM PUBLIC;

-- ── deliveries as they came ─────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE raw_deliveries (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    channel_account_id uuid NOT NULL,
    digest          bytea NOT NULL,                        -- keyed; the same bytes twice within the keeping are one delivery
    raw_sealed      bytea NOT NULL,
    meta_sealed     bytea NOT NULL,                        -- content type, envelope: what the door knew
    created_at      timestamptz NOT NULL DEFAULT now(),
    read_at         timestamptz,
    PRIMARY KEY (owner_id, id),
    UNIQUE (owner_id, channel_account_id, digest),
    FOREIGN KEY (owner_id, channel_account_id) REFERENCES channel_accounts (owner_id, id) ON DELETE CASCADE
);
CALL a1zap.wall('raw_deliveries');

-- A receipt may overtake the answer to the send it is about: it waits here until that is known.
CREATE TABLE early_receipts (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    channel_account_id uuid NOT NULL,
    external_id     text NOT NULL,
    status          text NOT NULL,
    at              timestamptz NOT NULL,
    error           text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, channel_account_id) REFERENCES channel_accounts (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX early_receipts_age_idx ON early_receipts (created_at);
CALL a1zap.wall('early_receipts');

CREATE FUNCTION a1zap.owners_with_early_receipts() RETURNS TABLE (owner_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT DISTINCT r.owner_id FROM public.early_receipts r LIMIT 1000 $$;
REVOKE ALL ON FUNCTION a1zap.owners_with_early_receipts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.owners_with_early_receipts() TO a1zap_app;

-- The door of a whole kind (all numbers of one app): which accounts does a delivery claim to be for?
CREATE FUNCTION a1zap.channel_accounts_named(of_kind text, names text[])
    RETURNS TABLE (owner_id uuid, agent_id uuid, id uuid, identity text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT c.owner_id, c.agent_id, c.id, c.identity FROM public.channel_accounts c
          WHERE c.kind = of_kind AND c.identity = ANY (names) AND c.deleted_at IS NULL ORDER BY c.id LIMIT 50 $$;
REVOKE ALL ON FUNCTION a1zap.channel_accounts_named(text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.channel_accounts_named(text, text[]) TO a1zap_app;
CREATE INDEX channel_accounts_named_idx ON channel_accounts (kind, identity) WHERE deleted_at IS NULL;

-- Accounts of a kind that somebody has to look into of our own accord (a mailbox that is polled).
CREATE FUNCTION a1zap.channel_accounts_of(of_kind text) RETURNS TABLE (owner_id uuid, agent_id uuid, id uuid, identity text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT c.owner_id, c.agent_id, c.id, c.identity FROM public.channel_accounts c
          WHERE c.kind = of_kind AND c.status = 'active' AND c.deleted_at IS NULL ORDER BY c.id $$;
REVOKE ALL ON FUNCTION a1zap.channel_accounts_of(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.channel_accounts_of(text) TO a1zap_app;

-- ── messages ────────────────────────────────────────────────────────────────────────────────────────────────────
-- The id under which answers name a message where it is not external_id (a mail's Message-ID, or the one a relay gave it).
ALTER TABLE messages ADD COLUMN thread_ref text, ADD COLUMN edited_at timestamptz, ADD COLUMN revoked_at timestamptz;
CREATE INDEX messages_thread_idx ON messages (owner_id, channel_account_id, thread_ref) WHERE thread_ref IS NOT NULL;

-- Nobody is to be reached there any more: a hard bounce, a complaint.
ALTER TABLE user_addresses ADD COLUMN dead_since timestamptz, ADD COLUMN dead_because text;

-- ── lanes ───────────────────────────────────────────────────────────────────────────────────────────────────────
DO $$
DECLARE
    q text;
BEGIN
    FOREACH q IN ARRAY ARRAY['intakes', 'fetches', 'hooks'] LOOP
        PERFORM pgmq.create(q);
        EXECUTE format('CREATE INDEX IF NOT EXISTS q_%s_lane_idx ON pgmq.q_%s ((headers ->> ''x-pgmq-group''), msg_id)', q, q);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.q_%s TO a1zap_app', q);
        EXECUTE format(
            'ALTER TABLE pgmq.q_%s SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000)', q);
    END LOOP;
END $$;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgmq TO a1zap_app;
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_queue_check;
ALTER TABLE dead_letters ADD CONSTRAINT dead_letters_queue_check
    CHECK (queue IN ('turns', 'deliveries', 'intakes', 'fetches', 'hooks'));
