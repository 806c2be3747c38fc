-- Versions of what caches hold. Data and version change in one transaction: equal version means equal data.

create table chatchonk.cache_version (
    scope text constraint cache_version_pkey primary key
        constraint cache_version_scope_format check (scope ~ '^[a-z]+(:[A-Za-z0-9-]{1,100})?$'),
    -- Rises with every change and is never below the wall clock in milliseconds, so that another or a restored
    -- database does not repeat a number.
    version bigint not null
        constraint cache_version_version_positive check (version > 0),
    -- The newest version that an instance has taken on to write to the shared cache.
    kv_version bigint not null default 0,
    updated_at timestamptz not null default clock_timestamp()
);

-- A row, not a sequence: sequences become visible out of commit order. The row lock makes writers of one scope wait for
-- each other; as the triggers fire BEFORE, every writer takes it before any other lock of its statement, so two of them
-- cannot deadlock on it. SECURITY DEFINER: whoever may edit the catalogue may raise its version.
create function chatchonk.raise_cache_version() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    raised bigint;
begin
    insert into chatchonk.cache_version as held (scope, version)
    values (tg_argv[0], (extract(epoch from clock_timestamp()) * 1000)::bigint)
    on conflict (scope) do update
        set version = greatest(held.version + 1, excluded.version), updated_at = clock_timestamp()
    returning version into raised;
    perform pg_notify('chatchonk_cache', tg_argv[0] || ' ' || raised);
    return null;
end
$$;

insert into chatchonk.cache_version (scope, version)
values ('catalogue', (extract(epoch from clock_timestamp()) * 1000)::bigint);

create trigger raise_cache_version before insert or update or delete on chatchonk.providers
    for each statement execute function chatchonk.raise_cache_version('catalogue');
create trigger raise_cache_version_on_truncate before truncate on chatchonk.providers
    for each statement execute function chatchonk.raise_cache_version('catalogue');
create trigger raise_cache_version before insert or update or delete on chatchonk.models
    for each statement execute function chatchonk.raise_cache_version('catalogue');
create trigger raise_cache_version_on_truncate before truncate on chatchonk.models
    for each statement execute function chatchonk.raise_cache_version('catalogue');
create trigger raise_cache_version before insert or update or delete on chatchonk.task_types
    for each statement execute function chatchonk.raise_cache_version('catalogue');
create trigger raise_cache_version_on_truncate before truncate on chatchonk.task_types
    for each statement execute function chatchonk.raise_cache_version('catalogue');
create trigger raise_cache_version before insert or update or delete on chatchonk.model_tasks
    for each statement execute function chatchonk.raise_cache_version('catalogue');
create trigger raise_cache_version_on_truncate before truncate on chatchonk.model_tasks
    for each statement execute function chatchonk.raise_cache_version('catalogue');
