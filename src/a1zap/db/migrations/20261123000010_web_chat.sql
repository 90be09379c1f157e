-- Web chat on other sites' pages: visits that ended before their time, who has read how far, whom a page speaks of.

-- A visitor's token is signed and kept nowhere. Who signs out is written down here until it would have ended by itself.
CREATE TABLE ended_visits (
    owner_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    id              uuid NOT NULL,
    until           timestamptz NOT NULL,
    PRIMARY KEY (owner_id, id)
);
CREATE INDEX ended_visits_age_idx ON ended_visits (until);
CALL a1zap.wall('ended_visits');

-- How far each side has read, in the chat's own count of messages. It only grows.
ALTER TABLE chats ADD COLUMN owner_read_seq bigint NOT NULL DEFAULT 0;
ALTER TABLE chat_participants ADD COLUMN read_seq bigint NOT NULL DEFAULT 0;

-- What the page that vouches for a visitor says of them: their id there (proven), their mail address (not proven).
ALTER TABLE conversation_users ADD COLUMN profile_sealed bytea;

-- The directory: which agent's chat page is asked for, is it open, and has this visit ended?
CREATE FUNCTION a1zap.chat_page_of(agent uuid, visit uuid)
    RETURNS TABLE (owner_id uuid, is_public boolean, account_id uuid, has_ended boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT a.owner_id, a.is_public, c.id,
                 EXISTS (SELECT 1 FROM public.ended_visits v WHERE v.owner_id = a.owner_id AND v.id = visit)
          FROM public.a1_agents a JOIN public.channel_accounts c
              ON c.owner_id = a.owner_id AND c.agent_id = a.id AND c.kind = 'web' AND c.deleted_at IS NULL
          WHERE a.id = agent AND a.deleted_at IS NULL ORDER BY c.id LIMIT 1 $$;
REVOKE ALL ON FUNCTION a1zap.chat_page_of(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.chat_page_of(uuid, uuid) TO a1zap_app;

-- A browser asks whether a page may ask before it says who asks: all we have then is the chat's id.
CREATE FUNCTION a1zap.agent_of_web_chat(chat uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT c.agent_id FROM public.chats c WHERE c.id = chat AND c.channel_kind = 'web' $$;
REVOKE ALL ON FUNCTION a1zap.agent_of_web_chat(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.agent_of_web_chat(uuid) TO a1zap_app;
CREATE INDEX chats_web_idx ON chats (id) WHERE channel_kind = 'web';

CREATE FUNCTION a1zap.sweep_visits() RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ DELETE FROM public.ended_visits WHERE until < now() $$;
REVOKE ALL ON FUNCTION a1zap.sweep_visits() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.sweep_visits() TO a1zap_app;
