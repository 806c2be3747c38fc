-- Lets the tables hold only what the server can read: days of the calendar, prices as decimal strings, finite times, and
-- nothing of unbounded length.
--
-- Rows may hold such values already. Each is copied into `quarantined_values`, and its column gets what unknown is there.

create table chatchonk.quarantined_values (
    id bigint generated always as identity
        constraint quarantined_values_pkey primary key,
    table_name text not null
        constraint quarantined_values_table_name_length check (length(table_name) between 1 and 63),
    row_id text not null
        constraint quarantined_values_row_id_length check (length(row_id) between 1 and 200),
    column_name text not null
        constraint quarantined_values_column_name_length check (length(column_name) between 1 and 63),
    -- The first 10,000 characters.
    value text not null
        constraint quarantined_values_value_length check (length(value) <= 10000),
    reason text not null
        constraint quarantined_values_reason_length check (length(reason) between 1 and 300),
    quarantined_at timestamptz not null default now()
);

comment on table chatchonk.quarantined_values is
    'values that a migration took out of their columns because no release can read them; delete a row once it is dealt with';

-- All locks at once and in the order in which the seed takes them: a writer that already holds one of them is waited for
-- before anything is locked that it may need.
lock table chatchonk.providers, chatchonk.task_types, chatchonk.models in access exclusive mode;

-- Taking a value out is not an edit: a row that the seed may update stays one.
select set_config('chatchonk.seeding', 'on', true);

do $$
declare
    -- Without \d, which in some locales includes digits other than 0 to 9.
    leap_year constant text := '([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)';
    day constant text := '^([0-9]{4}-(0[1-9]|1[0-2])(-(0[1-9]|1[0-9]|2[0-8]))?'
        '|[0-9]{4}-(0[13-9]|1[0-2])-(29|30)|[0-9]{4}-(0[13578]|1[02])-31|' || leap_year || '-02-29)$';
    -- A jsonpath predicate: the field is absent, null, or a price.
    price constant text := '(!exists(@.%1$s) || @.%1$s.type() == "null" || (@.%1$s.type() == "string"'
        ' && @.%1$s like_regex "^(0?[0-9]{1,7}([.][0-9]{1,8})?|10000000([.]0{1,8})?)$"))';
    prices constant text := format(price, 'input') || ' && ' || format(price, 'output') || ' && '
        || format(price, 'cache_read');
    tier constant text := '@.type() == "object"'
        ' && !exists(@.keyvalue() ? (@.key != "above_prompt_tokens" && @.key != "input" && @.key != "output"'
            ' && @.key != "cache_read"))'
        ' && @.above_prompt_tokens.type() == "number" && @.above_prompt_tokens >= 1'
        ' && @.above_prompt_tokens <= 9999999999 && @.above_prompt_tokens.floor() == @.above_prompt_tokens'
        ' && ' || prices;
    -- type() is the one thing that lax jsonpath does not look for inside an array as well.
    off_peak_window constant text := '@.type() == "object"'
        ' && !exists(@.keyvalue() ? (@.key != "hours_utc" && @.key != "weekdays"))'
        ' && @.hours_utc.type() == "array" && @.hours_utc.size() <= 24'
        ' && !exists(@.hours_utc[*].type() ? (@ != "string"))'
        ' && !exists(@.hours_utc[*]'
            ' ? (!(@ like_regex "^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$")))'
        ' && @.weekdays.type() == "array" && @.weekdays.size() <= 7'
        ' && !exists(@.weekdays[*].type() ? (@ != "number"))'
        ' && !exists(@.weekdays[*] ? (@ < 1 || @ > 7 || @.floor() != @))';
    off_peak constant text := '@.type() == "object"'
        ' && !exists(@.keyvalue() ? (@.key != "input" && @.key != "output" && @.key != "cache_read"'
            ' && @.key != "windows_utc"))'
        ' && (!exists(@.windows_utc) || (@.windows_utc.type() == "array" && @.windows_utc.size() <= 20'
            ' && !exists(@.windows_utc[*].type() ? (@ != "object"))'
            ' && !exists(@.windows_utc[*] ? (!(' || off_peak_window || ')))))'
        ' && ' || prices;
    tiers constant text :=
        format('jsonb_path_query_array(price_tiers, %L)', '$[0 to 19] ? (' || tier || ')');
    known_keys constant text := format('not extra_headers @? %L',
        '$.keyvalue() ? (!(@.key like_regex "^[A-Za-z0-9-]{1,100}$" && @.value.type() == "string"'
        ' && @.value like_regex "^[ -~]{0,250}$"))');
    finite constant text := '%I between ''0001-01-01 00:00:00Z'' and ''9999-12-31 00:00:00Z''';
    rule record;
begin
    for rule in
        select * from (
            select 'models' as of_table, of_column, '_day' as suffix, format('%I ~ %L', of_column, day) as holds,
                   'null' as replacement, 'not a month or a day of the calendar' as reason
            from unnest(array['release_date', 'knowledge_cutoff', 'deprecation_date', 'as_of']) as of_column
            union all
            select 'models', of_column, '_count', format('cardinality(%I) <= 20', of_column),
                   format('array(select distinct unnest(%I))', of_column), 'more than 20 elements'
            from unnest(array['input_modalities', 'output_modalities', 'capabilities']) as of_column
            union all
            select 'models', 'price_tiers', '_readable', 'price_tiers = ' || tiers, tiers,
                   'more than 20 tiers, or one without a positive threshold, with a price that is no decimal string, or with an unknown field'
            union all
            select 'models', 'price_off_peak', '_readable',
                   format('price_off_peak is not distinct from jsonb_path_query_first(price_off_peak, %L)',
                       '$ ? (' || off_peak || ')'),
                   'null', 'a price that is no decimal string, hours or weekdays that are none, or an unknown field'
            union all
            select 'providers', of_column, '_length', format('length(%I) <= 500', of_column), 'null',
                   'more than 500 characters'
            from unnest(array['openai_compatible_base_url', 'docs_url', 'models_list_url']) as of_column
            union all
            select 'providers', 'extra_headers', '_readable',
                   $check$jsonb_typeof(extra_headers) = 'object' and $check$ || known_keys || ' and length(extra_headers::text) <= 4000', $json$'{}'$json$,
                   'a name or value that is no header, or more than 4000 characters'
            union all
            select 'providers', 'env', '_readable',
                   $check$array_to_string(env, ' ')
                       ~ '^([A-Z][A-Z0-9_]*_(KEY|TOKEN)( [A-Z][A-Z0-9_]*_(KEY|TOKEN))*)?$'
                   and array_to_string(env, ' ') !~ '[^ ]{101}' and cardinality(env) <= 20$check$,
                   $array$'{}'$array$, 'not names of variables, more than 20, or one of more than 100 characters'
            union all
            select of_table, of_column, '_finite', format(finite, of_column), 'now()', 'a time that is not finite or out of range'
            from (values ('providers', 'created_at'), ('providers', 'updated_at'), ('task_types', 'updated_at'),
                         ('models', 'created_at'), ('models', 'updated_at')) as times (of_table, of_column)
        ) as rules
    loop
        execute format(
            'insert into chatchonk.quarantined_values (table_name, row_id, column_name, value, reason)
             select %1$L, id, %2$L, left(%2$I::text, 10000), %3$L from chatchonk.%1$I where not (%4$s)',
            rule.of_table, rule.of_column, rule.reason, rule.holds);
        if exists (select from chatchonk.quarantined_values
                   where (table_name, column_name) = (rule.of_table, rule.of_column)) then
            execute format('update chatchonk.%I set %I = %s where not (%s)',
                rule.of_table, rule.of_column, rule.replacement, rule.holds);
        end if;
        execute format('alter table chatchonk.%I add constraint %I check (%s)',
            rule.of_table, rule.of_table || '_' || rule.of_column || rule.suffix, rule.holds);
    end loop;
end
$$;

-- The new constraints say more.
alter table chatchonk.models
    drop constraint if exists models_release_date_format,
    drop constraint if exists models_knowledge_cutoff_format,
    drop constraint if exists models_deprecation_date_format,
    drop constraint if exists models_as_of_format,
    drop constraint if exists models_price_tiers_shape;
alter table chatchonk.providers
    drop constraint if exists providers_extra_headers_texts;
