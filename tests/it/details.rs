//! Rows with unreadable values: an optional detail costs only itself, and no value costs the catalogue.

use chatchonk::domain::model::{Model, ModelStatus};
use chatchonk::domain::seed::Seed;
use chatchonk::store::LoadedCatalogue;
use sqlx::PgPool;

use crate::support::postgres::{TestDatabase, run, seeded_database};

/// Removes every CHECK, so a test can write the values that an older release or an operator could.
pub(crate) const WITHOUT_CHECKS: &str = "do $$ declare held record; begin
    for held in select conrelid::regclass as of, conname from pg_constraint
                where contype = 'c' and connamespace = 'chatchonk'::regnamespace
    loop execute format('alter table %s drop constraint %I', held.of, held.conname); end loop;
end $$";

/// The first model that these tests spoil. Its id needs no SQL quoting.
pub(crate) const SPOILT: &str = "openai/gpt-4o";

pub(crate) async fn load(database: &TestDatabase) -> LoadedCatalogue {
    let store = database.store();
    let loaded = store.load_catalogue().await.unwrap();
    store.close().await;
    loaded
}

/// A seeded database that takes any value.
pub(crate) async fn unchecked() -> (TestDatabase, PgPool) {
    let database = seeded_database().await;
    let pool = database.pool().await;
    run(&pool, WITHOUT_CHECKS).await;
    (database, pool)
}

fn spoilt(loaded: &LoadedCatalogue) -> &Model {
    loaded.snapshot.model(SPOILT).unwrap()
}

/// Returns the columns of the row's ignored details.
fn ignored(loaded: &LoadedCatalogue, row: &str) -> Vec<&'static str> {
    let named = loaded.ignored.named().iter().filter(|detail| detail.row == row);
    named.map(|detail| detail.column).collect()
}

/// A column, a value in SQL that it must not hold, and whether the model that is served instead is right.
type Case = (&'static str, &'static str, fn(&Model) -> bool);

const BAD_DETAILS: [Case; 31] = [
    ("knowledge_cutoff", "'2025-02-31'", |m| m.knowledge_cutoff.is_none()),
    ("release_date", "'2023-02-29'", |m| m.release_date.is_none()),
    ("deprecation_date", "'soon'", |m| m.deprecation_date.is_none()),
    ("as_of", "'2025-00'", |m| m.as_of.is_none()),
    ("successor", "'gpt-5'", |m| m.successor.is_none()),
    ("family", "repeat('x', 201)", |m| m.family.is_none()),
    ("price_source", "''", |m| m.price_source.is_none()),
    ("context_length", "-1", |m| m.context_length.is_none()),
    ("max_input_tokens", "0", |m| m.max_input_tokens.is_none()),
    ("max_output_tokens", "-2147483648", |m| m.max_output_tokens.is_none()),
    ("embedding_dimensions", "-3", |m| m.embedding_dimensions.is_none()),
    ("capabilities", "'{tools,telepathy,vision}'", |m| m.capabilities.len() == 2),
    ("input_modalities", "'{smell}'", |m| m.input_modalities.is_empty()),
    ("output_modalities", "'{text,taste}'", |m| m.output_modalities.len() == 1),
    ("price_input", "-1", |m| m.pricing.as_ref().is_none_or(|p| p.input.is_none())),
    ("price_output", "'NaN'", |m| m.pricing.as_ref().is_none_or(|p| p.output.is_none())),
    ("price_per_query", "1", |m| m.pricing.is_none()),
    ("price_tiers", r#"'[{"above_prompt_tokens": 1, "input": ".5"}]'"#, |m| tiers(m) == 0),
    ("price_tiers", r#"'[{"above_prompt_tokens": -1, "input": "1"}]'"#, |m| tiers(m) == 0),
    ("price_tiers", r#"'[{"above_prompt_tokens": 1.5}, {"above_prompt_tokens": 2}]'"#, |m| tiers(m) == 1),
    ("price_tiers", r#"'[{"above_prompt_tokens": 1, "inptu": "1"}]'"#, |m| tiers(m) == 0),
    ("price_tiers", r#"'{"above_prompt_tokens": 1}'"#, |m| tiers(m) == 0),
    ("price_off_peak", r#"'{"input": 1}'"#, has_no_off_peak),
    ("price_off_peak", r#"'{"inptu": "1"}'"#, has_no_off_peak),
    (
        "price_off_peak",
        r#"'{"windows_utc": [{"hours_utc": ["25:00-26:00"], "weekdays": [1]}]}'"#,
        has_no_off_peak,
    ),
    ("provider_model_id", "''", |m| m.provider_model_id == "gpt-4o"),
    ("status", "'withdrawn'", |m| m.status == ModelStatus::Deprecated),
    ("created_at", "'infinity'", |m| m.created_at == m.updated_at),
    ("created_at", "'4000-01-01 BC'", |m| m.created_at == m.updated_at),
    ("updated_at", "'-infinity'", |m| m.created_at == m.updated_at),
    ("updated_at", "'20000-01-01'", |m| m.created_at == m.updated_at),
];

fn tiers(model: &Model) -> usize {
    model.pricing.as_ref().map_or(0, |pricing| pricing.tiers.len())
}

fn has_no_off_peak(model: &Model) -> bool {
    model.pricing.as_ref().is_none_or(|pricing| pricing.off_peak.is_none())
}

/// Writes without triggers, so `updated_at` keeps the given value.
async fn spoil(pool: &PgPool, column: &str, value: &str) {
    let statement = format!(
        "set session_replication_role = replica;
         update chatchonk.models set {column} = {value} where id = '{SPOILT}';
         reset session_replication_role"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_detail_reads_as_unknown_and_keeps_its_model() {
    let (database, pool) = unchecked().await;
    let before: String =
        sqlx::query_scalar("select to_jsonb(m)::text from chatchonk.models m where id = 'openai/gpt-4o'")
            .fetch_one(&pool)
            .await
            .unwrap();
    for (column, value, is_right) in BAD_DETAILS {
        spoil(&pool, column, value).await;
        let loaded = load(&database).await;
        assert_eq!(
            (loaded.snapshot.models().len(), &*loaded.rejected),
            (120, &[] as &[String]),
            "{column} {value}"
        );
        assert_eq!(ignored(&loaded, "model openai/gpt-4o"), [column], "{value}");
        assert_eq!((loaded.ignored.count(), loaded.snapshot.details_ignored()), (1, 1), "{column} {value}");
        assert!(is_right(spoilt(&loaded)), "{column} {value}: {:?}", spoilt(&loaded));
        let restore =
            format!("(jsonb_populate_record(null::chatchonk.models, $x${before}$x$::jsonb)).{column}");
        spoil(&pool, column, &restore).await;
    }
    assert_eq!(load(&database).await.ignored.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_bad_id_provider_name_or_kind_costs_a_model() {
    let (database, pool) = unchecked().await;
    run(
        &pool,
        "alter table chatchonk.models drop constraint models_provider_fkey;
         update chatchonk.models set name = '' where id = 'openai/gpt-4o';
         update chatchonk.models set kind = 'oracle', family = '' where id = 'openai/gpt-4o-mini';
         update chatchonk.models set provider = 'a b' where id = 'openai/gpt-5.5';
         update chatchonk.models set id = 'openai' where id = 'openai/gpt-4.1'",
    )
    .await;
    let loaded = load(&database).await;
    assert_eq!(
        (loaded.snapshot.models().len(), loaded.snapshot.skipped()),
        (116, 4),
        "{:?}",
        loaded.rejected
    );
    assert_eq!(loaded.ignored.count(), 0, "a row that is left out has no details: {:?}", loaded.ignored);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_provider_detail_keeps_the_provider_and_its_models() {
    let (database, pool) = unchecked().await;
    for (column, value) in [
        ("name", "''"),
        ("base_url", "'ftp://x'"),
        ("openai_compatible_base_url", "'nowhere'"),
        ("docs_url", "'https://' || repeat('x', 500)"),
        ("models_list_url", "''"),
        ("auth_header", "E'x\\r\\ny'"),
        ("auth_scheme", "'Bearer x'"),
        ("extra_headers", r#"'{"a b": "1", "x-ok": "1"}'"#),
        ("extra_headers", r#"'{"x-ok": "1", "x-number": 1}'"#),
        ("extra_headers", "'[1]'"),
        ("env", "'{OPENAI_API_KEY,DATABASE_URL}'"),
    ] {
        let text = format!(
            "create table if not exists held as select * from chatchonk.providers;
             update chatchonk.providers set {column} = {value} where id = 'openai'"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
        let loaded = load(&database).await;
        assert_eq!(
            (loaded.snapshot.models().len(), &*loaded.rejected),
            (120, &[] as &[String]),
            "{column} {value}"
        );
        assert_eq!(ignored(&loaded, "provider openai"), [column], "{value}");
        let provider = loaded.snapshot.provider("openai").unwrap();
        assert!(
            !provider.name.is_empty() && !provider.env.contains(&"DATABASE_URL".to_owned()),
            "{provider:?}"
        );
        if value.contains("x-ok") {
            assert_eq!(provider.extra_headers.keys().collect::<Vec<_>>(), ["x-ok"]);
        }
        let text = format!(
            "update chatchonk.providers p set {column} = held.{column} from held where p.id = held.id and p.id = 'openai'"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
    }
    run(
        &pool,
        "update chatchonk.task_types set name = '', description = repeat('x', 1001) where id = 'chat'",
    )
    .await;
    let loaded = load(&database).await;
    assert_eq!(ignored(&loaded, "task chat"), ["description", "name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retyped_column_costs_only_unreadable_values() {
    for (change, column, count) in [
        (
            "alter column context_length type bigint; update chatchonk.models set context_length = 5000000000 where id = 'openai/gpt-4o'",
            "context_length",
            1,
        ),
        (
            "alter column max_output_tokens type text; update chatchonk.models set max_output_tokens = 'lots' where id = 'openai/gpt-4o'",
            "max_output_tokens",
            1,
        ),
        (
            "alter column embedding_dimensions type numeric; update chatchonk.models set embedding_dimensions = 'Infinity' where id = 'openai/gpt-4o'",
            "embedding_dimensions",
            1,
        ),
        (
            "alter column enabled drop default, alter column enabled type text; update chatchonk.models set enabled = 'maybe' where id = 'openai/gpt-4o'",
            "enabled",
            1,
        ),
        (
            "alter column is_free type text; update chatchonk.models set is_free = 'perhaps' where id = 'openai/gpt-4o'",
            "is_free",
            1,
        ),
        (
            "alter column capabilities drop default, alter column capabilities type jsonb using to_jsonb(capabilities); update chatchonk.models set capabilities = '[\"tools\", 7]' where id = 'openai/gpt-4o'",
            "capabilities",
            1,
        ),
        (
            "alter column price_input type double precision; update chatchonk.models set price_input = 'Infinity' where id = 'openai/gpt-4o'",
            "price_input",
            1,
        ),
        (
            "alter column price_tiers drop default, alter column price_tiers type text; update chatchonk.models set price_tiers = 'none' where id = 'openai/gpt-4o'",
            "price_tiers",
            1,
        ),
        (
            "alter column updated_at drop default, alter column updated_at type text; update chatchonk.models set updated_at = 'never' where id = 'openai/gpt-4o'",
            "updated_at",
            1,
        ),
        (
            "alter column provider_model_id drop not null; update chatchonk.models set provider_model_id = null where id = 'openai/gpt-4o'",
            "provider_model_id",
            1,
        ),
        // A missing column, or null in a column with a default, is not an ignored detail.
        ("drop column family", "family", 0),
        ("drop column enabled, drop column price_off_peak, drop column capabilities", "enabled", 0),
        (
            "alter column release_date type date using (case when length(release_date) = 10 then release_date::date end)",
            "release_date",
            0,
        ),
        (
            "alter column status drop not null, alter column enabled drop not null; update chatchonk.models set status = null, enabled = null",
            "status",
            0,
        ),
    ] {
        let (database, pool) = unchecked().await;
        // Without the triggers, which compare rows of any shape.
        let text = format!(
            "set session_replication_role = replica; alter table chatchonk.models {change}; reset session_replication_role"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
        let loaded = load(&database).await;
        assert_eq!((loaded.snapshot.models().len(), &*loaded.rejected), (120, &[] as &[String]), "{change}");
        assert_eq!(ignored(&loaded, "model openai/gpt-4o"), vec![column; count], "{change}");
        assert_eq!(loaded.ignored.count(), count, "{change}: {:?}", loaded.ignored);
        let version: i64 =
            sqlx::query_scalar("select version from chatchonk.cache_version").fetch_one(&pool).await.unwrap();
        assert_eq!(loaded.version, version.unsigned_abs());
        // The slow statement reads everything that the fast one reads of the other models.
        let seed = Seed::builtin().unwrap().into_snapshot();
        let other = "anthropic/claude-haiku-5-5";
        let (read, wanted) = (loaded.snapshot.model(other).unwrap(), seed.model(other).unwrap());
        assert_eq!(
            (&read.tasks, &read.output_modalities),
            (&wanted.tasks, &wanted.output_modalities),
            "{change}"
        );
        assert_eq!(
            (&read.name, read.context_length, read.is_free),
            (&wanted.name, wanted.context_length, wanted.is_free)
        );
        assert_eq!(
            read.pricing.as_ref().map(|p| (p.output, &p.tiers)),
            wanted.pricing.as_ref().map(|p| (p.output, &p.tiers)),
            "{change}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_enabled_hides_nothing() {
    let (database, pool) = unchecked().await;
    for table in ["models", "providers"] {
        let text = format!(
            "set session_replication_role = replica;
             alter table chatchonk.{table} alter column enabled drop default, alter column enabled type text using 'visible';
             reset session_replication_role"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
    }
    let loaded = load(&database).await;
    assert_eq!((loaded.snapshot.listed(), loaded.ignored.count()), (118, 132));
}

/// Column types for `enabled`, with their notations for true and false.
const BOOLEANS: [[&str; 3]; 14] = [
    ["integer", "1", "0"],
    ["smallint", "2", "0"],
    ["bigint", "-1", "0"],
    ["numeric", "1.00", "0.00"],
    ["double precision", "0.5", "0"],
    ["bit(1)", "'1'", "'0'"],
    ["jsonb", "'true'", "'false'"],
    ["jsonb", "'\"yes\"'", "'0'"],
    ["text", "'t'", "'f'"],
    ["text", "' YES '", "'No'"],
    ["text", "'on'", "'off'"],
    ["text", "'1'", "'0'"],
    ["varchar(5)", "'True'", "'False'"],
    ["char(5)", "'y'", "'of'"],
];

#[tokio::test(flavor = "multi_thread")]
async fn a_boolean_is_read_from_a_column_of_any_type() {
    for [kind, yes, no] in BOOLEANS {
        let (database, pool) = unchecked().await;
        for table in ["models", "providers"] {
            let text = format!(
                "set session_replication_role = replica;
                 update chatchonk.{table} set enabled = false where id in ('{SPOILT}', 'xai');
                 alter table chatchonk.{table} alter column enabled drop default,
                     alter column enabled type {kind} using case when enabled then {yes}::{kind} else {no}::{kind} end;
                 reset session_replication_role"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
        }
        let loaded = load(&database).await;
        assert_eq!((&*loaded.rejected, loaded.ignored.count()), (&[] as &[String], 0), "{kind} {yes}");
        let hidden: Vec<_> = loaded
            .snapshot
            .models()
            .iter()
            .filter(|model| !model.enabled)
            .map(|model| model.id.as_str())
            .collect();
        assert_eq!(hidden, [SPOILT], "{kind} {no}");
        let hidden: Vec<_> = loaded
            .snapshot
            .providers()
            .iter()
            .filter(|provider| !provider.enabled)
            .map(|provider| provider.id.as_str())
            .collect();
        assert_eq!(hidden, ["xai"], "{kind} {no}");
    }
}
