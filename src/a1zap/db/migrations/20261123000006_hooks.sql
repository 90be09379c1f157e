-- Outgoing webhooks: what happens in an owner's house is told to the addresses that the owner names.

CREATE TABLE webhook_endpoints (
    owner_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    id              uuid NOT NULL,
    url_sealed      bytea NOT NULL,                        -- an address may hold a secret
    description     text NOT NULL DEFAULT '' CHECK (length(description) <= 200),
    events          text[] NOT NULL DEFAULT '{}',          -- empty: all
    agent_id        uuid,                                  -- only what concerns this agent
    include_content boolean NOT NULL DEFAULT false,        -- message texts too, not only ids
    secret_sealed   bytea NOT NULL,
    old_secret_sealed bytea,
    old_secret_until timestamptz,
    status          text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'disabled')),
    disabled_because text,
    failing_since   timestamptz,                           -- nothing was taken since then
    held_until      timestamptz,                           -- it asked us to wait (Retry-After)
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, agent_id) REFERENCES a1_agents (owner_id, id) ON DELETE CASCADE
);
CALL a1zap.wall('webhook_endpoints');

CREATE TABLE webhook_deliveries (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,                         -- the webhook-id, the same at every attempt
    endpoint_id     uuid NOT NULL,
    event_type      text NOT NULL,
    chat_id         uuid,
    subject_id      uuid,                                  -- the message, turn, agent or channel it is about
    facts           jsonb NOT NULL DEFAULT '{}',           -- what may have changed when it is told: no text, no address
    payload_sealed  bytea,                                 -- made at the first attempt, the same bytes from then on
    attempts        int NOT NULL DEFAULT 0,                -- that ended, in this round
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed', 'given_up')),
    next_attempt_at timestamptz,                           -- null: there will be none
    last_status     int,                                   -- the HTTP status of the last answer
    last_error      text,
    last_answer_sealed bytea,                              -- the beginning of the last answer: it may quote what we sent
    created_at      timestamptz NOT NULL DEFAULT now(),
    delivered_at    timestamptz,
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, endpoint_id) REFERENCES webhook_endpoints (owner_id, id) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX webhook_deliveries_log_idx ON webhook_deliveries (owner_id, endpoint_id, id);
CREATE INDEX webhook_deliveries_age_idx ON webhook_deliveries USING brin (created_at);
CALL a1zap.wall('webhook_deliveries');

-- A UUIDv7 where rows are made by a statement (PostgreSQL has one of its own only from 18 on).
CREATE FUNCTION a1zap.new_id() RETURNS uuid LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $$
    SELECT encode(
        set_byte(
            overlay(uuid_send(gen_random_uuid())
                    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
            6, 112 + get_byte(uuid_send(gen_random_uuid()), 6) % 16),
        'hex')::uuid
$$;

-- Four lanes an endpoint. A chat's events share one, so they arrive in order while the endpoint is well; and however
-- slow it is, it holds four hands of ours at most. (hooks/model.py computes the same.)
CREATE FUNCTION a1zap.hook_lane(endpoint uuid, about uuid) RETURNS uuid LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT encode(set_byte(uuid_send(endpoint), 15,
        get_byte(uuid_send(endpoint), 15) # (get_byte(uuid_send(about), 15) % 4)), 'hex')::uuid
$$;

-- One event becomes a delivery and a lane entry for each endpoint that asks for it, in the transaction of what happened.
-- Not a definer's function: the owner's wall holds in here too.
CREATE FUNCTION a1zap.owe_hook(of_owner uuid, event text, agent uuid, chat uuid, subject uuid, known jsonb) RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, public AS $$
    WITH owed AS (
        INSERT INTO webhook_deliveries (owner_id, id, endpoint_id, event_type, chat_id, subject_id, facts, next_attempt_at)
        SELECT e.owner_id, a1zap.new_id(), e.id, event, chat, subject, jsonb_strip_nulls(known), now()
        FROM webhook_endpoints e
        WHERE e.owner_id = of_owner AND e.status <> 'disabled'
          AND (e.events = '{}' OR event = ANY (e.events)) AND (e.agent_id IS NULL OR e.agent_id = agent)
        RETURNING id, endpoint_id)
    INSERT INTO pgmq.q_hooks (vt, message, headers)
    SELECT now(),
           jsonb_build_object('o', of_owner, 'c', a1zap.hook_lane(o.endpoint_id, coalesce(chat, o.id)), 's', o.id),
           jsonb_build_object('x-pgmq-group', a1zap.hook_lane(o.endpoint_id, coalesce(chat, o.id)))
    FROM owed o
$$;

-- Live events of one chat, as live/store.py records them; called for owners who have an endpoint only.
CREATE FUNCTION a1zap.tell_hooks(of_owner uuid, of_chat uuid, kinds text[], subjects uuid[]) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public AS $$
DECLARE
    told record;
BEGIN
    FOR told IN
        SELECT e.kind, e.subject, c.agent_id, c.status AS chat_status, m.status AS message_status
        FROM unnest(kinds, subjects) WITH ORDINALITY AS e(kind, subject, place)
        JOIN chats c ON c.owner_id = of_owner AND c.id = of_chat
        LEFT JOIN messages m ON m.owner_id = of_owner AND m.id = e.subject AND e.kind LIKE 'message.%'
        ORDER BY e.place
    LOOP
        CASE told.kind
            WHEN 'message.accepted', 'message.created' THEN
                PERFORM a1zap.owe_hook(of_owner, 'message.created', told.agent_id, of_chat, told.subject,
                                       jsonb_build_object('status', told.message_status));
            WHEN 'message.status' THEN
                PERFORM a1zap.owe_hook(of_owner, 'message.status', told.agent_id, of_chat, told.subject,
                                       jsonb_build_object('status', told.message_status));
            WHEN 'turn.completed' THEN
                PERFORM a1zap.owe_hook(of_owner, 'turn.completed', told.agent_id, of_chat, told.subject, '{}');
            WHEN 'chat.changed' THEN
                IF told.chat_status <> 'closed' THEN
                    PERFORM a1zap.owe_hook(of_owner,
                        CASE told.chat_status WHEN 'escalated' THEN 'chat.escalated' ELSE 'chat.handed_off' END,
                        told.agent_id, of_chat, NULL, jsonb_build_object('status', told.chat_status));
                END IF;
            ELSE NULL;
        END CASE;
    END LOOP;
END $$;

-- Acts that are worth telling, as audit/store.py records them; called for owners who have an endpoint only.
CREATE FUNCTION a1zap.tell_hooks_of_act(of_owner uuid, act text, subject uuid, known jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public AS $$
DECLARE
    agent_status text;
BEGIN
    CASE act
        WHEN 'agent.created', 'agent.deleted' THEN
            PERFORM a1zap.owe_hook(of_owner, act, subject, NULL, subject, known);
        WHEN 'agent.changed' THEN
            SELECT status INTO agent_status FROM a1_agents WHERE owner_id = of_owner AND id = subject;
            PERFORM a1zap.owe_hook(of_owner,
                CASE WHEN known -> 'fields' ? 'status' AND agent_status = 'paused' THEN 'agent.paused' ELSE 'agent.updated' END,
                subject, NULL, subject, known || jsonb_build_object('status', agent_status));
        WHEN 'usage.limit_reached' THEN
            PERFORM a1zap.owe_hook(of_owner, act, NULL, NULL, NULL, known);
        WHEN 'channel.broken' THEN
            PERFORM a1zap.owe_hook(of_owner, act, (SELECT agent_id FROM channel_accounts WHERE owner_id = of_owner AND id = subject),
                                   NULL, subject, known);
        WHEN 'webhook_endpoint.disabled' THEN
            PERFORM a1zap.owe_hook(of_owner, 'endpoint.disabled', NULL, NULL, subject, known);
        ELSE NULL;
    END CASE;
END $$;

-- The log is kept for a while: what is done, and what nobody can send any more.
CREATE FUNCTION a1zap.sweep_hooks(keep interval) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ DELETE FROM public.webhook_deliveries WHERE created_at < now() - keep AND status IN ('delivered', 'given_up') $$;

DO $$
DECLARE
    f text;
BEGIN
    FOREACH f IN ARRAY ARRAY[
        'a1zap.new_id()', 'a1zap.hook_lane(uuid, uuid)', 'a1zap.owe_hook(uuid, text, uuid, uuid, uuid, jsonb)',
        'a1zap.tell_hooks(uuid, uuid, text[], uuid[])', 'a1zap.tell_hooks_of_act(uuid, text, uuid, jsonb)',
        'a1zap.sweep_hooks(interval)']
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO a1zap_app', f);
    END LOOP;
END $$;
