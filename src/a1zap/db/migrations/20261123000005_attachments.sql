-- Files that come and go with messages. The row says what a file is; its contents are sealed blobs in the storage, under
-- names that say nothing. Files that were uploaded and not sent yet have no message.
CREATE TABLE attachments (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    agent_id        uuid NOT NULL,
    chat_id         uuid,
    message_id      uuid,
    channel_account_id uuid,
    position        smallint NOT NULL DEFAULT 0,           -- among its message's files
    kind            text NOT NULL CHECK (kind IN ('image', 'video', 'audio', 'document', 'sticker')),
    state           text NOT NULL CHECK (state IN ('waiting', 'stored', 'refused', 'gone')),
    why             text,                                  -- it was refused
    name_sealed     bytea NOT NULL,
    claimed_mime    text NOT NULL,                         -- what the sender's side says
    mime_type       text,                                  -- what its bytes say
    size            bigint,                                -- bytes, as they are handed out
    sha256_index    bytea,                                 -- keyed
    width           int,
    height          int,
    is_voice        boolean NOT NULL DEFAULT false,
    is_redrawn      boolean NOT NULL DEFAULT false,        -- a picture that we wrote anew
    storage_key     text,
    seen_key        text,                                  -- the smaller picture that models are shown
    seen_mime       text,
    staged_key      text,                                  -- as it came, until it has been looked at
    fetch_sealed    bytea,                                 -- what the channel needs to get it
    transcript_sealed bytea,
    uploader_index  bytea,                                 -- keyed; who uploaded it, and may send it
    bytes_counted   bigint NOT NULL DEFAULT 0,             -- against the plan
    created_at      timestamptz NOT NULL DEFAULT now(),
    examined_at     timestamptz,
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, agent_id) REFERENCES a1_agents (owner_id, id) ON DELETE CASCADE,
    FOREIGN KEY (owner_id, message_id) REFERENCES messages (owner_id, id) ON DELETE CASCADE,
    CHECK ((message_id IS NULL) = (chat_id IS NULL))
);
CREATE INDEX attachments_message_idx ON attachments (owner_id, message_id, position) WHERE message_id IS NOT NULL;
CREATE INDEX attachments_agent_idx ON attachments (owner_id, agent_id);
CREATE INDEX attachments_unsent_idx ON attachments (created_at) WHERE message_id IS NULL;
CREATE INDEX attachments_id_idx ON attachments (id);
CALL a1zap.wall('attachments');

CREATE TABLE storage_meters (
    owner_id        uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    bytes_used      bigint NOT NULL DEFAULT 0 CHECK (bytes_used >= 0)
);
CALL a1zap.wall('storage_meters');

-- However a row goes (with its message, its agent, its owner), what it took is given back.
CREATE FUNCTION a1zap.give_storage_back() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public
    AS $$ BEGIN
        UPDATE public.storage_meters SET bytes_used = greatest(0, bytes_used - OLD.bytes_counted)
        WHERE owner_id = OLD.owner_id;
        RETURN NULL;
    END $$;
CREATE TRIGGER give_storage_back AFTER DELETE ON attachments
    FOR EACH ROW WHEN (OLD.bytes_counted > 0) EXECUTE FUNCTION a1zap.give_storage_back();
REVOKE ALL ON FUNCTION a1zap.give_storage_back() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.give_storage_back() TO a1zap_app;

-- The directory: whose file does a link (which we signed) name?
CREATE FUNCTION a1zap.owner_of_attachment(file uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT f.owner_id FROM public.attachments f WHERE f.id = file $$;
REVOKE ALL ON FUNCTION a1zap.owner_of_attachment(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.owner_of_attachment(uuid) TO a1zap_app;

-- House-keeping: who has uploads that nobody sent?
CREATE FUNCTION a1zap.owners_with_unsent_files(before timestamptz) RETURNS TABLE (owner_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT DISTINCT f.owner_id FROM public.attachments f
          WHERE f.message_id IS NULL AND f.created_at < before LIMIT 1000 $$;
REVOKE ALL ON FUNCTION a1zap.owners_with_unsent_files(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION a1zap.owners_with_unsent_files(timestamptz) TO a1zap_app;
