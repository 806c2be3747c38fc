-- Raises the catalogue's version for statements that change rows, and for no others: a raise costs every 304 and a write
-- to the shared cache.
--
-- This file defines all triggers of the catalogue and can be run again, which also enables them. `chatchonk migrate` does
-- so where one is missing, disabled or altered: the server compares the database with the statements below. Each trigger
-- is therefore written as PostgreSQL prints it, but for case and white space.

-- BEFORE each statement: takes the lock on the version's row, before the statement locks rows of its table. Writers of one
-- scope thus wait for each other in one place and cannot deadlock. A missing row is written again, unannounced.
-- SECURITY DEFINER: a role that may edit the catalogue may raise its version.
create or replace function chatchonk.lock_cache_version() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform from chatchonk.cache_version where scope = tg_argv[0] for no key update;
    if not found then
        insert into chatchonk.cache_version (scope, version)
        values (tg_argv[0], (extract(epoch from clock_timestamp()) * 1000)::bigint)
        on conflict (scope) do nothing;
        perform from chatchonk.cache_version where scope = tg_argv[0] for no key update;
    end if;
    return null;
end
$$;

-- AFTER each statement: raises the version if its rows changed. Rows are compared as text, as which the server reads them,
-- with duplicates and in any order. TRUNCATE has no rows to compare.
create or replace function chatchonk.raise_cache_version() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    changed boolean := true;
    raised bigint;
begin
    if tg_op = 'INSERT' then
        select exists (select from new_rows) into changed;
    elsif tg_op = 'DELETE' then
        select exists (select from old_rows) into changed;
    elsif tg_op = 'UPDATE' then
        select exists (
            select new_rows::text collate "C" from new_rows except all select old_rows::text collate "C" from old_rows
        ) into changed;
    end if;
    if not changed then
        return null;
    end if;
    insert into chatchonk.cache_version as held (scope, version)
    values (tg_argv[0], (extract(epoch from clock_timestamp()) * 1000)::bigint)
    on conflict (scope) do update
        set version = greatest(held.version + 1, excluded.version), updated_at = clock_timestamp()
    returning version into raised;
    perform pg_notify('chatchonk_cache', tg_argv[0] || ' ' || raised);
    return null;
end
$$;

-- Stamps edited rows, so that a newer seed leaves them alone. Hiding a row is not an edit.
create or replace function chatchonk.stamp_row() returns trigger
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

-- The tasks of a model are part of the model.
create or replace function chatchonk.stamp_model_of_task() returns trigger
language plpgsql set search_path = '' as $$
begin
    if tg_op = 'UPDATE' and new is not distinct from old then
        return null;
    end if;
    if current_setting('chatchonk.seeding', true) is distinct from 'on' then
        update chatchonk.models set edited = true, updated_at = now()
        where (tg_op = 'TRUNCATE')
            or (tg_op in ('UPDATE', 'DELETE') and id = old.model_id)
            or (tg_op in ('INSERT', 'UPDATE') and id = new.model_id);
    end if;
    return null;
end
$$;

create or replace trigger stamp_row before update on chatchonk.providers
    for each row execute function chatchonk.stamp_row();
create or replace trigger stamp_row before update on chatchonk.models
    for each row execute function chatchonk.stamp_row();
create or replace trigger stamp_row before update on chatchonk.task_types
    for each row execute function chatchonk.stamp_row();
create or replace trigger stamp_model_of_task after insert or delete or update on chatchonk.model_tasks
    for each row execute function chatchonk.stamp_model_of_task();
create or replace trigger stamp_all_models_of_tasks after truncate on chatchonk.model_tasks
    for each statement execute function chatchonk.stamp_model_of_task();

drop trigger if exists raise_cache_version on chatchonk.providers;
create or replace trigger lock_cache_version before insert or delete or update or truncate on chatchonk.providers
    for each statement execute function chatchonk.lock_cache_version('catalogue');
create or replace trigger raise_cache_version_on_insert after insert on chatchonk.providers
    referencing new table as new_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_update after update on chatchonk.providers
    referencing old table as old_rows new table as new_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_delete after delete on chatchonk.providers
    referencing old table as old_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_truncate after truncate on chatchonk.providers
    for each statement execute function chatchonk.raise_cache_version('catalogue');

drop trigger if exists raise_cache_version on chatchonk.models;
create or replace trigger lock_cache_version before insert or delete or update or truncate on chatchonk.models
    for each statement execute function chatchonk.lock_cache_version('catalogue');
create or replace trigger raise_cache_version_on_insert after insert on chatchonk.models
    referencing new table as new_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_update after update on chatchonk.models
    referencing old table as old_rows new table as new_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_delete after delete on chatchonk.models
    referencing old table as old_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_truncate after truncate on chatchonk.models
    for each statement execute function chatchonk.raise_cache_version('catalogue');

drop trigger if exists raise_cache_version on chatchonk.task_types;
create or replace trigger lock_cache_version before insert or delete or update or truncate on chatchonk.task_types
    for each statement execute function chatchonk.lock_cache_version('catalogue');
create or replace trigger raise_cache_version_on_insert after insert on chatchonk.task_types
    referencing new table as new_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_update after update on chatchonk.task_types
    referencing old table as old_rows new table as new_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_delete after delete on chatchonk.task_types
    referencing old table as old_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_truncate after truncate on chatchonk.task_types
    for each statement execute function chatchonk.raise_cache_version('catalogue');

drop trigger if exists raise_cache_version on chatchonk.model_tasks;
create or replace trigger lock_cache_version before insert or delete or update or truncate on chatchonk.model_tasks
    for each statement execute function chatchonk.lock_cache_version('catalogue');
create or replace trigger raise_cache_version_on_insert after insert on chatchonk.model_tasks
    referencing new table as new_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_update after update on chatchonk.model_tasks
    referencing old table as old_rows new table as new_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_delete after delete on chatchonk.model_tasks
    referencing old table as old_rows for each statement execute function chatchonk.raise_cache_version('catalogue');
create or replace trigger raise_cache_version_on_truncate after truncate on chatchonk.model_tasks
    for each statement execute function chatchonk.raise_cache_version('catalogue');
