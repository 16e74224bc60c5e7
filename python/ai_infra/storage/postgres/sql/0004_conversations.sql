-- One row for each user who has a conversation. `gen` grows with every change of one of them; a search index
-- compares it with its own. Whoever writes locks it first. `ref` is never used again.
CREATE TABLE {schema}.conversation_users (
    tenant  text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    ref     bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    gen     bigint NOT NULL,
    PRIMARY KEY (tenant, user_id)
) WITH (fillfactor = 80);

-- `seq` is the user's `gen` at the conversation's last change. `metadata` is canonical JSON.
CREATE TABLE {schema}.conversations (
    tenant     text COLLATE "C" NOT NULL,
    user_ref   bigint NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    ref        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    seq        bigint NOT NULL,
    length     bigint NOT NULL,
    metadata   text NOT NULL,
    starts     bigint,
    ends       bigint,
    summary    text,
    summarized bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (tenant, user_ref, session_id)
);

-- Messages as canonical JSON, at positions 0, 1, 2, …
CREATE TABLE {schema}.conversation_messages (
    tenant   text COLLATE "C" NOT NULL,
    ref      bigint NOT NULL,
    position bigint NOT NULL,
    message  text NOT NULL,
    PRIMARY KEY (tenant, ref, position)
);

-- Vectors of passages by the hash of their text, where an embedder is asked: f32, little-endian.
CREATE TABLE {schema}.conversation_vectors (
    tenant text COLLATE "C" NOT NULL,
    ref    bigint NOT NULL,
    hash   bytea NOT NULL,
    vector bytea NOT NULL,
    PRIMARY KEY (tenant, ref, hash)
);

-- Which embedder's vectors a tenant's conversations have.
CREATE TABLE {schema}.conversation_embedders (
    tenant     text COLLATE "C" PRIMARY KEY,
    model      text NOT NULL,
    dimensions int
);
