-- What all instances know together of the shared cache in Cloudflare KV: who writes what, and what is used of the day.

-- The keys that instances have taken on to write. One row per key, not per scope: releases with another schema number,
-- and other deployments on this database, write keys of their own.
create table chatchonk.kv_keys (
    key text constraint kv_keys_pkey primary key
        constraint kv_keys_key_format check (key ~ '^[A-Za-z0-9:._-]+$' and length(key) <= 512),
    -- The newest version that an instance has taken on.
    version bigint not null
        constraint kv_keys_version_positive check (version > 0),
    created_at timestamptz not null default clock_timestamp(),
    claimed_at timestamptz not null default clock_timestamp(),
    -- When that instance said that it was written; null until then.
    written_at timestamptz
);

-- Operations used per day in UTC, for which Cloudflare has daily limits.
create table chatchonk.kv_budget (
    day date not null,
    kind text not null
        constraint kv_budget_kind_known check (kind in ('write', 'delete')),
    used bigint not null
        constraint kv_budget_used_positive check (used >= 0),
    constraint kv_budget_pkey primary key (day, kind)
);

-- Its place is taken by kv_keys.
alter table chatchonk.cache_version drop column kv_version;
