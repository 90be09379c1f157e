-- Which mailboxes the doors for mail serve: addresses that our own mail server delivers to (smtp), and mailboxes that we
-- look into (imap), with how far each was read. Credentials are sealed, so what a door must find by itself stands here.

CREATE TABLE mail_doors (
    owner_id        uuid NOT NULL,
    channel_account_id uuid NOT NULL,
    door            text NOT NULL CHECK (door IN ('smtp', 'imap')),
    address         text NOT NULL,
    -- imap: everything up to last_uid is kept, as long as the server speaks of the same uid_validity
    uid_validity    bigint,
    last_uid        bigint NOT NULL DEFAULT 0,
    looked_at       timestamptz,
    next_look_at    timestamptz NOT NULL DEFAULT now(),
    failures        int NOT NULL DEFAULT 0,
    leased_by       uuid,
    leased_until    timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, channel_account_id),
    FOREIGN KEY (owner_id, channel_account_id) REFERENCES channel_accounts (owner_id, id) ON DELETE CASCADE
);
CALL a1zap.wall('mail_doors');

-- One address has one place on an instance: nobody else can connect it and get its mail.
CREATE UNIQUE INDEX mail_doors_address_idx ON mail_doors (address) WHERE door = 'smtp';
CREATE INDEX mail_doors_due_idx ON mail_doors (next_look_at) WHERE door = 'imap';

-- Who disconnects a channel lets its address go.
CREATE FUNCTION a1zap.close_mail_door() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM public.mail_doors d WHERE d.owner_id = NEW.owner_id AND d.channel_account_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER close_mail_door AFTER UPDATE OF deleted_at ON channel_accounts
    FOR EACH ROW WHEN (NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION a1zap.close_mail_door();

-- The directory: whose is the address that mail has come for?
CREATE FUNCTION a1zap.mail_door_of(addresses text[])
    RETURNS TABLE (owner_id uuid, channel_account_id uuid, address text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT d.owner_id, d.channel_account_id, d.address FROM public.mail_doors d
          JOIN public.channel_accounts c ON c.owner_id = d.owner_id AND c.id = d.channel_account_id AND c.deleted_at IS NULL
          JOIN public.a1_agents a ON a.owner_id = c.owner_id AND a.id = c.agent_id AND a.deleted_at IS NULL
          JOIN public.users u ON u.owner_id = d.owner_id AND u.disabled_at IS NULL
          WHERE d.door = 'smtp' AND d.address = ANY (addresses) $$;

-- A worker takes mailboxes that are due, for a while: no two look into one at once.
CREATE FUNCTION a1zap.lease_mailboxes(worker uuid, hold interval, at_most int)
    RETURNS TABLE (owner_id uuid, channel_account_id uuid)
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ UPDATE public.mail_doors d SET leased_by = worker, leased_until = now() + hold
          FROM (SELECT m.owner_id, m.channel_account_id FROM public.mail_doors m
                JOIN public.channel_accounts c
                    ON c.owner_id = m.owner_id AND c.id = m.channel_account_id AND c.status = 'active' AND c.deleted_at IS NULL
                JOIN public.a1_agents a ON a.owner_id = c.owner_id AND a.id = c.agent_id AND a.deleted_at IS NULL
                JOIN public.users u ON u.owner_id = m.owner_id AND u.disabled_at IS NULL
                WHERE m.door = 'imap' AND m.next_look_at <= now() AND (m.leased_until IS NULL OR m.leased_until < now())
                ORDER BY m.next_look_at LIMIT at_most FOR UPDATE OF m SKIP LOCKED) due
          WHERE d.owner_id = due.owner_id AND d.channel_account_id = due.channel_account_id
          RETURNING d.owner_id, d.channel_account_id $$;

-- It is still at it. What is not among the answers is no longer its: paused, disconnected, or taken by another.
CREATE FUNCTION a1zap.keep_mailboxes(worker uuid, hold interval) RETURNS TABLE (channel_account_id uuid)
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ UPDATE public.mail_doors d SET leased_until = now() + hold
          FROM public.channel_accounts c
          WHERE d.door = 'imap' AND d.leased_by = worker AND c.owner_id = d.owner_id AND c.id = d.channel_account_id
            AND c.status = 'active' AND c.deleted_at IS NULL
          RETURNING d.channel_account_id $$;

REVOKE ALL ON FUNCTION a1zap.mail_door_of(text[]), a1zap.lease_mailboxes(uuid, interval, int),
    a1zap.keep_mailboxes(uuid, interval), a1zap.close_mail_door() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.mail_door_of(text[]), a1zap.lease_mailboxes(uuid, interval, int),
    a1zap.keep_mailboxes(uuid, interval), a1zap.close_mail_door() TO a1zap_app;
