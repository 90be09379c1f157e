-- The tables of the spine. The guide's names are kept. Every owned table leads with owner_id, every foreign key is
-- composite (owner_id, id), because foreign-key checks ignore row-level security. Columns ending in _sealed hold
-- AES-256-GCM under the owner's data key; columns ending in _index hold a keyed hash, for finding without reading.

-- ── owners ──────────────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE users (
    owner_id        uuid PRIMARY KEY,                     -- the Stack Auth user id, or a local one
    auth_source     text NOT NULL DEFAULT 'local' CHECK (auth_source IN ('local', 'stack')),
    email_index     bytea UNIQUE,                          -- keyed by the instance, because sign-in precedes the owner
    email_sealed    bytea,
    password_hash   text,
    display_name_sealed bytea,
    created_at      timestamptz NOT NULL DEFAULT now(),
    disabled_at     timestamptz
);

CREATE TABLE data_keys (
    owner_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    id              uuid NOT NULL,
    wrapped         bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    retired_at      timestamptz,
    PRIMARY KEY (owner_id, id)
);

CREATE TABLE sessions (
    owner_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    id              uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('session', 'sign_in_link')),
    token_hash      bytea NOT NULL UNIQUE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    used_at         timestamptz,
    PRIMARY KEY (owner_id, id)
);

CREATE TABLE subscription_plans (
    id                      text PRIMARY KEY,
    name                    text NOT NULL,
    description             text NOT NULL DEFAULT '',
    price_monthly           numeric(10, 2) NOT NULL DEFAULT 0,
    price_yearly            numeric(10, 2) NOT NULL DEFAULT 0,
    currency                text NOT NULL DEFAULT 'USD',
    max_personal_agents     int NOT NULL,                  -- -1 = unlimited, here and below
    max_work_agents         int NOT NULL,
    max_messages_per_month  int NOT NULL,
    max_storage_gb          int NOT NULL,
    is_active               boolean NOT NULL DEFAULT true
);
INSERT INTO subscription_plans
    (id, name, price_monthly, price_yearly, max_personal_agents, max_work_agents, max_messages_per_month, max_storage_gb)
VALUES ('free', 'Free', 0, 0, 1, 1, 1000, 1),
       ('pro', 'Pro', 29.99, 299.99, 5, 5, 10000, 10),
       ('enterprise', 'Enterprise', 99.99, 999.99, -1, -1, -1, -1);

CREATE TABLE user_subscriptions (
    owner_id                uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    plan_id                 text NOT NULL DEFAULT 'free' REFERENCES subscription_plans,
    status                  text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'cancelled', 'past_due', 'trialing')),
    personal_agents_used    int NOT NULL DEFAULT 0 CHECK (personal_agents_used >= 0),
    work_agents_used        int NOT NULL DEFAULT 0 CHECK (work_agents_used >= 0),
    updated_at              timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE message_meters (
    owner_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    month           date NOT NULL,
    slot            smallint NOT NULL DEFAULT 0,           -- a limited plan counts in slot 0 alone; others spread the load
    messages_used   int NOT NULL DEFAULT 0,
    messages_held   int NOT NULL DEFAULT 0,                -- stored over the limit, marked, not answered
    PRIMARY KEY (owner_id, month, slot)
);

-- ── agents ──────────────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE a1_agents (
    owner_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    id              uuid NOT NULL,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    handle          text NOT NULL CHECK (handle ~ '^[a-zA-Z0-9_]{1,50}$'),
    description     text NOT NULL DEFAULT '',
    agent_type      text NOT NULL CHECK (agent_type IN ('personal', 'work')),
    status          text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'archived')),
    system_prompt   text NOT NULL DEFAULT '',
    model_settings  jsonb NOT NULL DEFAULT '{}',
    message_settings jsonb NOT NULL DEFAULT '{}',
    respond_only_when_mentioned boolean NOT NULL DEFAULT false,
    is_public       boolean NOT NULL DEFAULT false,        -- anybody who has the address of its page may write to it
    knowledge_revision bigint NOT NULL DEFAULT 0,          -- moves with its articles, so that an index knows when it is old
    version         int NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz,
    PRIMARY KEY (owner_id, id)
);
-- Unique per owner, not over all: a global handle would tell one owner what another has.
CREATE UNIQUE INDEX a1_agents_handle_idx ON a1_agents (owner_id, lower(handle)) WHERE deleted_at IS NULL;
CREATE INDEX a1_agents_id_idx ON a1_agents (id);

CREATE TABLE agent_versions (
    owner_id        uuid NOT NULL,
    agent_id        uuid NOT NULL,
    version         int NOT NULL,
    snapshot        jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, agent_id, version),
    FOREIGN KEY (owner_id, agent_id) REFERENCES a1_agents (owner_id, id) ON DELETE CASCADE
);

CREATE TABLE api_keys (
    owner_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    id              uuid NOT NULL,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    prefix          text NOT NULL,
    key_hash        bytea NOT NULL UNIQUE,
    scopes          text[] NOT NULL,
    agent_id        uuid,
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_used_at    timestamptz,
    revoked_at      timestamptz,
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, agent_id) REFERENCES a1_agents (owner_id, id) ON DELETE CASCADE
);

CREATE TABLE channel_accounts (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    agent_id        uuid NOT NULL,
    kind            text NOT NULL,
    identity        text NOT NULL DEFAULT '',              -- our own number, mailbox or endpoint
    credentials_sealed bytea,
    status          text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused')),
    health          jsonb NOT NULL DEFAULT '{"state": "untested"}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz,
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, agent_id) REFERENCES a1_agents (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX channel_accounts_id_idx ON channel_accounts (id);
CREATE UNIQUE INDEX channel_accounts_identity_idx ON channel_accounts (owner_id, agent_id, kind, identity) WHERE deleted_at IS NULL;

-- ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE conversation_users (
    owner_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    id              uuid NOT NULL,
    name_sealed     bytea,
    stack_auth_user_id uuid,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, id)
);

CREATE TABLE user_addresses (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    user_id         uuid NOT NULL,
    channel_kind    text NOT NULL,
    address_index   bytea NOT NULL,
    address_sealed  bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, id),
    UNIQUE (owner_id, channel_kind, address_index),
    FOREIGN KEY (owner_id, user_id) REFERENCES conversation_users (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX user_addresses_user_idx ON user_addresses (owner_id, user_id);  -- each delivery asks where to

-- ── chats ───────────────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE chats (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    agent_id        uuid NOT NULL,
    channel_account_id uuid NOT NULL,
    type            text NOT NULL DEFAULT 'individual' CHECK (type IN ('individual', 'group', 'broadcast')),
    channel_kind    text NOT NULL,                         -- the account's, which never changes
    service         text NOT NULL,
    external_index  bytea NOT NULL,
    external_id_sealed bytea NOT NULL,
    status          text NOT NULL DEFAULT 'agent' CHECK (status IN ('agent', 'escalated', 'human', 'closed')),
    last_seq        bigint NOT NULL DEFAULT 0,             -- counts the chat's messages; given under the row's lock
    answered_seq    bigint NOT NULL DEFAULT 0,             -- every inbound message up to here has had its turn
    waiting_since   timestamptz,                           -- when the oldest unanswered message came in
    last_message_at timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, id),
    UNIQUE (owner_id, channel_account_id, external_index),
    FOREIGN KEY (owner_id, agent_id) REFERENCES a1_agents (owner_id, id),
    FOREIGN KEY (owner_id, channel_account_id) REFERENCES channel_accounts (owner_id, id)
) WITH (fillfactor = 70);                                  -- updated on every message: leave room on the page
CREATE INDEX chats_agent_idx ON chats (owner_id, agent_id, last_message_at DESC, id DESC);

CREATE TABLE chat_participants (
    owner_id        uuid NOT NULL,
    chat_id         uuid NOT NULL,
    user_id         uuid NOT NULL,
    role            text NOT NULL DEFAULT 'member',
    joined_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, chat_id, user_id),
    FOREIGN KEY (owner_id, chat_id) REFERENCES chats (owner_id, id) ON DELETE CASCADE,
    FOREIGN KEY (owner_id, user_id) REFERENCES conversation_users (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX chat_participants_user_idx ON chat_participants (owner_id, user_id);

CREATE TABLE agent_conversations (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    chat_id         uuid NOT NULL,
    agent_id        uuid NOT NULL,
    channel         text NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, chat_id) REFERENCES chats (owner_id, id) ON DELETE CASCADE,
    FOREIGN KEY (owner_id, agent_id) REFERENCES a1_agents (owner_id, id)
);
CREATE INDEX agent_conversations_chat_idx ON agent_conversations (owner_id, chat_id, started_at DESC);

CREATE TABLE messages (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    chat_id         uuid NOT NULL,
    seq             bigint NOT NULL,
    direction       text NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
    sender_kind     text NOT NULL CHECK (sender_kind IN ('user', 'agent', 'owner', 'system')),
    sender_id       uuid,
    agent_id        uuid,
    channel_account_id uuid NOT NULL,
    message_type    text NOT NULL DEFAULT 'text',
    content_sealed  bytea NOT NULL,
    rich_content_sealed bytea,
    raw_sealed      bytea,                                 -- the provider's bytes, as they came
    external_id     text,
    status          text NOT NULL,
    held_reason     text,                                  -- stored, marked, and not answered: over_limit, agent_paused, …
    possible_duplicate boolean NOT NULL DEFAULT false,
    hops            jsonb,                                 -- inbound: how it came in; outbound: how it left
    attempts        int NOT NULL DEFAULT 0,                -- of sending it, that ended cleanly; see delivery
    first_tried_at  timestamptz,
    error           text,
    turn_id         uuid,
    said_at         timestamptz NOT NULL,                  -- when the sender's side says it was written
    created_at      timestamptz NOT NULL DEFAULT now(),
    status_updated_at timestamptz,
    PRIMARY KEY (owner_id, id),
    UNIQUE (owner_id, chat_id, seq),
    UNIQUE (owner_id, channel_account_id, direction, external_id),
    FOREIGN KEY (owner_id, chat_id) REFERENCES chats (owner_id, id) ON DELETE CASCADE
);

CREATE TABLE turns (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    chat_id         uuid NOT NULL,
    agent_id        uuid NOT NULL,
    agent_version   int NOT NULL,
    status          text NOT NULL CHECK (status IN ('answered', 'silent', 'dropped', 'failed')),
    from_seq        bigint NOT NULL,
    to_seq          bigint NOT NULL,
    attempt         int NOT NULL DEFAULT 1,
    hops            jsonb NOT NULL DEFAULT '[]',           -- the eight hops by name: what each did, how long it took
    model           text,
    tokens_in       int NOT NULL DEFAULT 0,
    tokens_out      int NOT NULL DEFAULT 0,
    cost_usd        numeric(14, 8) NOT NULL DEFAULT 0,
    started_at      timestamptz NOT NULL,
    finished_at     timestamptz NOT NULL,
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, chat_id) REFERENCES chats (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX turns_chat_idx ON turns (owner_id, chat_id, to_seq DESC);

CREATE TABLE escalations (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    chat_id         uuid NOT NULL,
    agent_id        uuid NOT NULL,
    reason          text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    resolved_at     timestamptz,
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, chat_id) REFERENCES chats (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX escalations_chat_idx ON escalations (owner_id, chat_id, created_at DESC);

CREATE TABLE agent_usage (
    owner_id        uuid NOT NULL,
    agent_id        uuid NOT NULL,
    date            date NOT NULL,
    slot            smallint NOT NULL DEFAULT 0,           -- chats spread over a few rows, so that turns do not queue for one
    message_count   int NOT NULL DEFAULT 0,
    turn_count      int NOT NULL DEFAULT 0,
    tokens_in       bigint NOT NULL DEFAULT 0,
    tokens_out      bigint NOT NULL DEFAULT 0,
    cost_usd        numeric(14, 8) NOT NULL DEFAULT 0,
    PRIMARY KEY (owner_id, agent_id, date, slot),
    FOREIGN KEY (owner_id, agent_id) REFERENCES a1_agents (owner_id, id) ON DELETE CASCADE
);

-- Authentic deliveries that no parser of ours understood: kept, shown, never answered.
CREATE TABLE unread_deliveries (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    channel_account_id uuid NOT NULL,
    raw_sealed      bytea NOT NULL,
    reason          text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, channel_account_id) REFERENCES channel_accounts (owner_id, id) ON DELETE CASCADE
);

-- ── knowledge ───────────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE knowledge_articles (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    agent_id        uuid NOT NULL,
    title           text NOT NULL CHECK (length(title) BETWEEN 1 AND 300),
    content         text NOT NULL,
    source_url      text,
    version         int NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, agent_id) REFERENCES a1_agents (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX knowledge_articles_agent_idx ON knowledge_articles (owner_id, agent_id, id);

CREATE TABLE knowledge_chunks (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    article_id      uuid NOT NULL,
    agent_id        uuid NOT NULL,
    position        int NOT NULL,
    text            text NOT NULL,
    embedder        text NOT NULL,
    vector          bytea NOT NULL,                        -- float32, little-endian, of length 1
    PRIMARY KEY (owner_id, id),
    FOREIGN KEY (owner_id, article_id) REFERENCES knowledge_articles (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX knowledge_chunks_agent_idx ON knowledge_chunks (owner_id, agent_id, article_id, position);
CREATE INDEX knowledge_chunks_article_idx ON knowledge_chunks (owner_id, article_id);

-- ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE live_events (
    owner_id        uuid NOT NULL,
    id              bigint GENERATED ALWAYS AS IDENTITY,
    chat_id         uuid NOT NULL,
    kind            text NOT NULL,
    subject_id      uuid NOT NULL,                         -- the message or turn it is about; never its text
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, chat_id, id)
);
CREATE INDEX live_events_age_idx ON live_events USING brin (created_at);

-- What a turn has said so far, for those who watch it being written. Unlogged: after a crash the turn begins anew.
CREATE UNLOGGED TABLE turn_drafts (
    owner_id        uuid NOT NULL,
    chat_id         uuid NOT NULL,
    turn_id         uuid NOT NULL,
    text_sealed     bytea NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, chat_id)
);

CREATE TABLE audit_events (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    actor           text NOT NULL,
    action          text NOT NULL,
    subject_kind    text NOT NULL,
    subject_id      uuid,
    detail          jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, id)
);

CREATE TABLE dead_letters (
    owner_id        uuid NOT NULL,
    id              uuid NOT NULL,
    queue           text NOT NULL CHECK (queue IN ('turns', 'deliveries')),
    chat_id         uuid NOT NULL,
    payload         jsonb NOT NULL,
    attempts        int NOT NULL,
    reason          text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    replayed_at     timestamptz,
    PRIMARY KEY (owner_id, id)
);
CREATE INDEX dead_letters_open_idx ON dead_letters (owner_id, created_at DESC) WHERE replayed_at IS NULL;

-- Of the instance, not of an owner: generic cell rates by hashed key.
CREATE UNLOGGED TABLE rate_cells (
    key             bytea PRIMARY KEY,
    full_at         timestamptz NOT NULL
);
