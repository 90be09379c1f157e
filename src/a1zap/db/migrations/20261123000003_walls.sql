-- The second wall: row-level security, forced, under a role that cannot bypass it. The first wall is that every
-- statement names its owner. The setting is '' after a commit, not NULL: hence nullif. The sub-select makes it one
-- InitPlan instead of a call a row.
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY[
        'users', 'data_keys', 'sessions', 'user_subscriptions', 'message_meters', 'a1_agents', 'agent_versions', 'api_keys',
        'channel_accounts', 'conversation_users', 'user_addresses', 'chats', 'chat_participants', 'agent_conversations',
        'messages', 'turns', 'escalations', 'agent_usage', 'unread_deliveries', 'knowledge_articles', 'knowledge_chunks',
        'live_events', 'turn_drafts', 'audit_events', 'dead_letters']
    LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format(
            'CREATE POLICY owner_only ON public.%I TO a1zap_app '
            'USING (owner_id = (SELECT nullif(current_setting(''app.owner_id'', true), '''')::uuid)) '
            'WITH CHECK (owner_id = (SELECT nullif(current_setting(''app.owner_id'', true), '''')::uuid))', t);
        -- Forced security binds the tables' own role too; the directory below and the migrations need to see all.
        EXECUTE format('CREATE POLICY keeper ON public.%I TO %I USING (true) WITH CHECK (true)', t, current_user);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO a1zap_app', t);
    END LOOP;
END $$;

-- The trail is append-only for the application.
REVOKE UPDATE, DELETE ON audit_events FROM a1zap_app;
GRANT SELECT ON subscription_plans TO a1zap_app;
ALTER TABLE subscription_plans ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON subscription_plans FOR SELECT USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON rate_cells TO a1zap_app;
ALTER TABLE rate_cells ENABLE ROW LEVEL SECURITY;
CREATE POLICY instance ON rate_cells TO a1zap_app USING (true) WITH CHECK (true);

-- Supabase lends every table of `public` to its Data API; ours are not for it.
DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['anon', 'authenticated'] LOOP
        IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r) THEN
            EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', r);
        END IF;
    END LOOP;
END $$;

-- The directory: the only questions that may be asked before the owner is known. Each takes a secret or an opaque id
-- and gives back who it belongs to, nothing else.
CREATE FUNCTION a1zap.owner_of_session(hash bytea) RETURNS TABLE (owner_id uuid, id uuid, kind text, expires_at timestamptz, used_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT s.owner_id, s.id, s.kind, s.expires_at, s.used_at FROM public.sessions s
          JOIN public.users u ON u.owner_id = s.owner_id AND u.disabled_at IS NULL WHERE s.token_hash = hash $$;

CREATE FUNCTION a1zap.owner_of_api_key(hash bytea) RETURNS TABLE (owner_id uuid, id uuid, scopes text[], agent_id uuid, revoked_at timestamptz, last_used_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT k.owner_id, k.id, k.scopes, k.agent_id, k.revoked_at, k.last_used_at FROM public.api_keys k
          JOIN public.users u ON u.owner_id = k.owner_id AND u.disabled_at IS NULL WHERE k.key_hash = hash $$;

CREATE FUNCTION a1zap.owner_of_email(email bytea) RETURNS TABLE (owner_id uuid, password_hash text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT u.owner_id, u.password_hash FROM public.users u WHERE u.email_index = email AND u.disabled_at IS NULL $$;

CREATE FUNCTION a1zap.owner_of_agent(agent uuid) RETURNS TABLE (owner_id uuid, is_public boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT a.owner_id, a.is_public FROM public.a1_agents a WHERE a.id = agent AND a.deleted_at IS NULL $$;

CREATE FUNCTION a1zap.owner_of_channel_account(account uuid) RETURNS TABLE (owner_id uuid, agent_id uuid, kind text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT c.owner_id, c.agent_id, c.kind FROM public.channel_accounts c WHERE c.id = account AND c.deleted_at IS NULL $$;

CREATE FUNCTION a1zap.public_agents() RETURNS TABLE (owner_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT a.owner_id, a.id FROM public.a1_agents a WHERE a.is_public AND a.status = 'active' AND a.deleted_at IS NULL ORDER BY a.id LIMIT 100 $$;

-- House-keeping over all owners: what is past its use goes, whoever it belonged to.
CREATE FUNCTION a1zap.sweep(keep_events interval) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ DELETE FROM public.live_events WHERE created_at < now() - keep_events;
          DELETE FROM public.turn_drafts WHERE updated_at < now() - interval '10 minutes';
          DELETE FROM public.sessions WHERE expires_at < now() - interval '7 days';
          DELETE FROM public.rate_cells WHERE full_at < now() - interval '1 day' $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA a1zap FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA a1zap TO a1zap_app;

CREATE FUNCTION a1zap.has_owners() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT EXISTS (SELECT 1 FROM public.users) $$;
REVOKE ALL ON FUNCTION a1zap.has_owners() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.has_owners() TO a1zap_app;

-- Readiness asks whether the migrations are current.
DO $$
BEGIN
    IF to_regclass('supabase_migrations.schema_migrations') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA supabase_migrations TO a1zap_app;
        GRANT SELECT ON supabase_migrations.schema_migrations TO a1zap_app;
    END IF;
END $$;
