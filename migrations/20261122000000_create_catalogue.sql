-- The catalogue: what exists, who serves it, what it costs.
--
-- Everything lives in the schema `chatchonk`, which Supabase's public API does not expose. Columns carry the names of
-- the API's fields. Unknown is null, never zero. Prices are USD per 1,000,000 tokens, `price_per_query` USD per query.

create table chatchonk.providers (
    id text constraint providers_pkey primary key
        constraint providers_id_format check (id ~ '^[A-Za-z0-9._:@-]{1,200}$'),
    name text not null
        constraint providers_name_length check (length(name) between 1 and 200),
    base_url text not null
        constraint providers_base_url_format check (base_url ~ '^https?://' and length(base_url) <= 500),
    openai_compatible_base_url text
        constraint providers_openai_compatible_base_url_format check (openai_compatible_base_url ~ '^https?://'),
    docs_url text
        constraint providers_docs_url_format check (docs_url ~ '^https?://'),
    models_list_url text
        constraint providers_models_list_url_format check (models_list_url ~ '^https?://'),
    models_list_needs_key boolean not null default true,
    auth_header text not null default 'Authorization'
        constraint providers_auth_header_format check (auth_header ~ '^[A-Za-z0-9-]{1,100}$'),
    auth_scheme text
        constraint providers_auth_scheme_format check (auth_scheme ~ '^[A-Za-z0-9-]{1,50}$'),
    extra_headers jsonb not null default '{}'
        constraint providers_extra_headers_texts check (
            jsonb_typeof(extra_headers) = 'object'
            and not extra_headers @? '$.keyvalue() ? (@.value.type() != "string")'),
    -- Only names that look like a provider's key: a row must not be able to ask for DATABASE_URL.
    env text[] not null default '{}'
        constraint providers_env_names check (
            array_position(env, null) is null
            and array_to_string(env, ',', '') ~ '^([A-Z][A-Z0-9_]*_(API_KEY|KEY|TOKEN)(,[A-Z][A-Z0-9_]*_(API_KEY|KEY|TOKEN))*)?$'
            and not env && array['CLOUDFLARE_API_TOKEN', 'METRICS_TOKEN']),
    enabled boolean not null default true,
    edited boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table chatchonk.task_types (
    id text constraint task_types_pkey primary key
        constraint task_types_id_format check (id ~ '^[a-z0-9_]{1,100}$'),
    name text not null
        constraint task_types_name_length check (length(name) between 1 and 200),
    description text not null
        constraint task_types_description_length check (length(description) <= 1000),
    edited boolean not null default true,
    updated_at timestamptz not null default now()
);

create table chatchonk.models (
    id text constraint models_pkey primary key
        constraint models_id_format check (id ~ '^[A-Za-z0-9._:@/-]{1,200}$'),
    provider text not null
        constraint models_provider_fkey references chatchonk.providers (id)
        constraint models_id_begins_with_provider check (id like replace(provider, '_', '\_') || '/_%'),
    provider_model_id text not null
        constraint models_provider_model_id_length check (length(provider_model_id) between 1 and 200),
    name text not null
        constraint models_name_length check (length(name) between 1 and 200),
    family text
        constraint models_family_length check (length(family) between 1 and 200),
    kind text not null
        constraint models_kind_known
        check (kind in ('chat', 'embedding', 'rerank', 'image', 'audio', 'moderation', 'other')),
    status text not null default 'active'
        constraint models_status_known check (status in ('active', 'preview', 'deprecated', 'retired')),
    enabled boolean not null default true,
    release_date text
        constraint models_release_date_format check (release_date ~ '^\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?$'),
    knowledge_cutoff text
        constraint models_knowledge_cutoff_format
        check (knowledge_cutoff ~ '^\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?$'),
    deprecation_date text
        constraint models_deprecation_date_format
        check (deprecation_date ~ '^\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?$'),
    successor text
        constraint models_successor_format
        check (successor ~ '^[A-Za-z0-9._:@-]+/[A-Za-z0-9._:@/-]+$' and length(successor) <= 200),
    context_length integer
        constraint models_context_length_positive check (context_length > 0),
    max_input_tokens integer
        constraint models_max_input_tokens_positive check (max_input_tokens > 0),
    max_output_tokens integer
        constraint models_max_output_tokens_positive check (max_output_tokens > 0),
    embedding_dimensions integer
        constraint models_embedding_dimensions_positive check (embedding_dimensions > 0),
    input_modalities text[] not null default '{}'
        constraint models_input_modalities_known
        check (input_modalities <@ array['text', 'image', 'audio', 'video', 'pdf', 'embedding', 'rerank']),
    output_modalities text[] not null default '{}'
        constraint models_output_modalities_known
        check (output_modalities <@ array['text', 'image', 'audio', 'video', 'pdf', 'embedding', 'rerank']),
    capabilities text[] not null default '{}'
        constraint models_capabilities_known
        check (capabilities <@ array['tools', 'vision', 'reasoning', 'structured_output', 'prompt_caching']),
    open_weights boolean,
    price_input numeric(16, 8)
        constraint models_price_input_range check (price_input between 0 and 10000000),
    price_output numeric(16, 8)
        constraint models_price_output_range check (price_output between 0 and 10000000),
    price_cache_read numeric(16, 8)
        constraint models_price_cache_read_range check (price_cache_read between 0 and 10000000),
    price_cache_write numeric(16, 8)
        constraint models_price_cache_write_range check (price_cache_write between 0 and 10000000),
    price_per_query numeric(16, 8)
        constraint models_price_per_query_range check (price_per_query between 0 and 10000000),
    -- [{"above_prompt_tokens": 200000, "input": "2.5", "output": "10", "cache_read": null}], prices as decimal strings.
    price_tiers jsonb not null default '[]'
        constraint models_price_tiers_shape check (
            jsonb_typeof(price_tiers) = 'array'
            and not price_tiers @? '$[*] ? (!exists(@.above_prompt_tokens))'
            and not price_tiers @? '$[*] ? (@.above_prompt_tokens.type() != "number")'
            and not price_tiers @? '$[*].keyvalue() ? (@.key != "above_prompt_tokens" && @.value.type() == "number")'),
    price_off_peak jsonb
        constraint models_price_off_peak_object check (jsonb_typeof(price_off_peak) = 'object'),
    is_free boolean,
    price_source text
        constraint models_price_source_length check (length(price_source) between 1 and 200),
    as_of text
        constraint models_as_of_format check (as_of ~ '^\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?$'),
    edited boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint models_priced_per_query_or_per_token check (
        price_per_query is null
        or num_nonnulls(price_input, price_output, price_cache_read, price_cache_write) = 0),
    constraint models_free_has_no_price check (
        is_free is distinct from true or (coalesce(price_input, 0) = 0 and coalesce(price_output, 0) = 0))
);

create index models_provider_idx on chatchonk.models (provider);

create table chatchonk.model_tasks (
    model_id text not null
        constraint model_tasks_model_id_fkey
        references chatchonk.models (id) on update cascade on delete cascade,
    task_id text not null
        constraint model_tasks_task_id_fkey
        references chatchonk.task_types (id) on update cascade on delete cascade,
    constraint model_tasks_pkey primary key (model_id, task_id)
);

create index model_tasks_task_id_idx on chatchonk.model_tasks (task_id);

-- Which seed the rows come from. One row at most.
create table chatchonk.seed_state (
    singleton boolean not null default true
        constraint seed_state_pkey primary key
        constraint seed_state_singleton check (singleton),
    version integer not null,
    applied_at timestamptz not null default now()
);

comment on column chatchonk.models.edited is
    'false only while the row is as the seed wrote it; a newer seed updates such rows and leaves the others alone';
comment on column chatchonk.models.enabled is 'false hides the row; the seed never touches it';

-- Stamps what people change, so that a newer seed leaves it alone. Hiding a row is not an edit.
create function chatchonk.stamp_row() returns trigger
language plpgsql set search_path = '' as $$
declare
    bookkeeping constant text[] := array['enabled', 'edited', 'updated_at'];
begin
    if new is distinct from old then
        new.updated_at := now();
    end if;
    if current_setting('chatchonk.seeding', true) is distinct from 'on'
        and (to_jsonb(new) - bookkeeping) is distinct from (to_jsonb(old) - bookkeeping)
    then
        new.edited := true;
    end if;
    return new;
end
$$;

create trigger stamp_row before update on chatchonk.providers
    for each row execute function chatchonk.stamp_row();
create trigger stamp_row before update on chatchonk.task_types
    for each row execute function chatchonk.stamp_row();
create trigger stamp_row before update on chatchonk.models
    for each row execute function chatchonk.stamp_row();

-- The tasks of a model are part of the model.
create function chatchonk.stamp_model_of_task() returns trigger
language plpgsql set search_path = '' as $$
begin
    if current_setting('chatchonk.seeding', true) is distinct from 'on' then
        update chatchonk.models set edited = true, updated_at = now()
        where (tg_op = 'TRUNCATE')
            or (tg_op in ('UPDATE', 'DELETE') and id = old.model_id)
            or (tg_op in ('INSERT', 'UPDATE') and id = new.model_id);
    end if;
    return null;
end
$$;

create trigger stamp_model_of_task after insert or update or delete on chatchonk.model_tasks
    for each row execute function chatchonk.stamp_model_of_task();
create trigger stamp_all_models_of_tasks after truncate on chatchonk.model_tasks
    for each statement execute function chatchonk.stamp_model_of_task();
