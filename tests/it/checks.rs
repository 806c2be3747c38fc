//! The CHECKs of the tables and the reader of the catalogue follow the same rules.

use std::borrow::Cow;

use chatchonk::domain::date::PartialDate;
use chatchonk::domain::seed::Seed;
use chatchonk::store::SeedMode;
use serde_json::json;
use sqlx::PgPool;

use crate::details::{load, unchecked};
use crate::support::postgres::database;

async fn type_of(pool: &PgPool, table: &str, column: &str) -> String {
    let kind = "select format_type(atttypid, atttypmod) from pg_attribute
                where attrelid = ('chatchonk.' || $1)::regclass and attname = $2";
    sqlx::query_scalar(kind).bind(table).bind(column).fetch_one(pool).await.unwrap()
}

/// Returns whether the column's CHECKs accept each value, given in its text form.
async fn accepted(pool: &PgPool, table: &str, column: &str, values: &[String]) -> Vec<bool> {
    let conditions: Option<String> = sqlx::query_scalar(
        "select string_agg(pg_get_expr(conbin, conrelid), ' and ') from pg_constraint c
         join pg_attribute a on a.attrelid = c.conrelid and conkey = array[a.attnum]
         where contype = 'c' and conrelid = ('chatchonk.' || $1)::regclass and attname = $2",
    )
    .bind(table)
    .bind(column)
    .fetch_one(pool)
    .await
    .unwrap();
    let conditions = conditions.unwrap_or_else(|| panic!("{column} has no CHECK"));
    let cast = type_of(pool, table, column).await;
    let query = format!(
        "select ({conditions}) is not false from
         (select value::{cast} as {column}, place from unnest($1::text[]) with ordinality as given (value, place)) as given
         order by place"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(values).fetch_all(pool).await.unwrap()
}

/// Returns whether the reader accepts each value as a whole, with one value per row of the table.
async fn understood(table: &str, column: &str, values: &[String]) -> Vec<bool> {
    let (database, pool) = unchecked().await;
    let cast = type_of(&pool, table, column).await;
    let rows = "unnest($1::text[]) with ordinality as given (value, place)";
    let insert = match table {
        "models" => format!(
            "with p as (insert into chatchonk.providers (id, name, base_url) values ('p', 'P', 'https://p.example') returning id)
             insert into chatchonk.models (id, provider, provider_model_id, name, kind, {column})
             select 'p/' || place, p.id, place, 'x', 'chat', value::{cast} from p, {rows}"
        ),
        _ => format!(
            "insert into chatchonk.providers (id, name, base_url, {column})
             select 'p' || place, 'x', 'https://p.example', value::{cast} from {rows}"
        ),
    };
    sqlx::query(sqlx::AssertSqlSafe(insert)).bind(values).execute(&pool).await.unwrap();
    let loaded = load(&database).await;
    assert_eq!(loaded.rejected, [] as [String; 0]);
    assert!(loaded.ignored.count() == loaded.ignored.named().len(), "too many values for one load");
    let prefix = if table == "models" { "model p/" } else { "provider p" };
    (1..=values.len())
        .map(|place| {
            let row = format!("{prefix}{place}");
            !loaded.ignored.named().iter().any(|detail| detail.row == row && detail.column == column)
        })
        .collect()
}

async fn agree(table: &str, column: &str, values: Vec<String>, expected: usize) {
    let database = database().await;
    let accepted = accepted(&database.pool().await, table, column, &values).await;
    let understood = understood(table, column, &values).await;
    for ((value, accepted), understood) in values.iter().zip(&accepted).zip(&understood) {
        assert_eq!(accepted, understood, "{table}.{column}: CHECK and reader disagree on {value:?}");
    }
    assert_eq!(accepted.iter().filter(|accepted| **accepted).count(), expected, "{column}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_accept_the_dates_that_the_reader_accepts() {
    let mut values = Vec::new();
    for year in [
        "0000", "0001", "0100", "0400", "1900", "2000", "2023", "2024", "2026", "2096", "2100", "9996",
        "9999",
    ] {
        for month in 0..=13 {
            values.push(format!("{year}-{month:02}"));
            values.extend((0..=32).map(|day| format!("{year}-{month:02}-{day:02}")));
        }
    }
    values.extend(
        [
            "",
            "2025",
            "2025-1",
            "2025-01-1",
            " 2025-01",
            "2025-01\n",
            "2025-01-01T00:00",
            "+025-01",
            "٢٠٢٥-01",
            "12025-01",
            "infinity",
        ]
        .map(str::to_owned),
    );
    let readable: Vec<bool> = values.iter().map(|value| value.parse::<PartialDate>().is_ok()).collect();
    let pool = database().await.pool().await;
    for column in ["release_date", "knowledge_cutoff", "deprecation_date", "as_of"] {
        let accepted = accepted(&pool, "models", column, &values).await;
        let differ: Vec<_> =
            values.iter().zip(accepted.iter().zip(&readable)).filter(|(_, (a, b))| a != b).collect();
        assert!(differ.is_empty(), "{column}: {differ:?}");
    }
    // 13 years of 12 months and 365 days, and 6 leap days.
    assert_eq!(readable.iter().filter(|is| **is).count(), 13 * (12 + 365) + 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_accept_the_prices_that_the_reader_accepts() {
    let mut values = Vec::new();
    for whole in [
        "",
        "0",
        "00",
        "5",
        "007",
        "10000000",
        "10000001",
        "01234567",
        "00000000",
        "12345678",
        "000000001",
        "-1",
        "+1",
        " 1",
        "1e3",
        "١",
    ] {
        for fraction in ["", ".", ".0", ".5", ".12345678", ".123456789", ".00000000", ".00000001", ",5"] {
            let price = json!([{ "above_prompt_tokens": 1, "input": format!("{whole}{fraction}") }]);
            values.push(price.to_string());
        }
    }
    agree("models", "price_tiers", values, 39).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_accept_the_tiers_that_the_reader_accepts() {
    let mut values: Vec<String> = [
        "-1",
        "0",
        "1",
        "200000",
        "200000.0",
        "200000.5",
        "1e5",
        "1e20",
        "9999999999",
        "10000000000",
        "\"1000\"",
        "null",
        "true",
        "[1]",
        "{}",
    ]
    .iter()
    .map(|threshold| format!(r#"[{{"above_prompt_tokens": {threshold}}}]"#))
    .collect();
    values.extend(
        [
            "1",
            "{}",
            "[]",
            "[null]",
            "[1]",
            "[[]]",
            "[{}]",
            "\"x\"",
            r#"{"above_prompt_tokens": 1}"#,
            r#"[[{"above_prompt_tokens": 1}]]"#,
            r#"[{"above_prompt_tokens": 1}, {"above_prompt_tokens": 1}]"#,
            r#"[{"above_prompt_tokens": 1}, {"above_prompt_tokens": 0}]"#,
            r#"[{"above_prompt_tokens": 1, "input": null, "output": "1", "cache_read": "0.5"}]"#,
            r#"[{"above_prompt_tokens": 1, "output": 1}]"#,
            r#"[{"above_prompt_tokens": 1, "cache_read": ["1"]}]"#,
            r#"[{"above_prompt_tokens": 1, "input": {"x": "1"}}]"#,
            r#"[{"above_prompt_tokens": 1, "cache_write": "1"}]"#,
            r#"[{"above_prompt_tokens": 1, "": "1"}]"#,
            r#"[{"above_prompt_tokens": 1, "input": "1\n"}]"#,
        ]
        .map(str::to_owned),
    );
    values.extend([20, 21].map(|count| json!(vec![json!({ "above_prompt_tokens": 1 }); count]).to_string()));
    agree("models", "price_tiers", values, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_accept_the_off_peak_that_the_reader_accepts() {
    let mut values: Vec<String> = [
        "{}",
        "[]",
        "1",
        "\"x\"",
        "[{}]",
        r#"{"input": 1}"#,
        r#"{"input": "1"}"#,
        r#"{"input": ".5"}"#,
        r#"{"input": null, "output": "0", "cache_read": "0.1"}"#,
        r#"{"output": ["1"]}"#,
        r#"{"cache_write": "1"}"#,
        r#"{"windows_utc": null}"#,
        r#"{"windows_utc": {}}"#,
        r#"{"windows_utc": [1]}"#,
        r#"{"windows_utc": [[]]}"#,
        r#"{"windows_utc": [[{"hours_utc": [], "weekdays": []}]]}"#,
        r#"{"windows_utc": []}"#,
        r#"{"windows_utc": [{}]}"#,
        r#"{"windows_utc": [{"hours_utc": []}]}"#,
    ]
    .map(str::to_owned)
    .into();
    for (hours, days) in [
        (r#"["00:00-00:00"]"#, "[1]"),
        (r#"["23:59-10:00", "04:00-06:00"]"#, "[1,2,3,4,5,6,7]"),
        ("[]", "[]"),
        (r#"["00:00-00:00"]"#, "[1.0]"),
        (r#"["00:00-00:00"]"#, "[1.5]"),
        (r#"["00:00-00:00"]"#, "[0]"),
        (r#"["00:00-00:00"]"#, "[8]"),
        (r#"["00:00-00:00"]"#, "[-1]"),
        (r#"["00:00-00:00"]"#, "[\"1\"]"),
        (r#"["00:00-00:00"]"#, "[[1]]"),
        (r#"["00:00-00:00"]"#, "[1,1,1,1,1,1,1,1]"),
        (r#"["00:00-00:00"]"#, "1"),
        (r#"["24:00-00:00"]"#, "[1]"),
        (r#"["00:00-24:00"]"#, "[1]"),
        (r#"["00:00-00:60"]"#, "[1]"),
        (r#"["00:60-00:00"]"#, "[1]"),
        (r#"["00:00-0:00"]"#, "[1]"),
        (r#"["00:00-00:00 "]"#, "[1]"),
        (r#"["00:00–00:00"]"#, "[1]"),
        (r#""00:00-00:00""#, "[1]"),
        ("[1]", "[1]"),
        (r#"[["00:00-00:00"]]"#, "[1]"),
        ("null", "null"),
        (r#"["00:00-00:00"]"#, "[1e300]"),
    ] {
        values.push(format!(r#"{{"windows_utc": [{{"hours_utc": {hours}, "weekdays": {days}}}]}}"#));
    }
    let window = json!({ "hours_utc": ["00:00-00:00"], "weekdays": [1] });
    values.push(r#"{"windows_utc": [{"hours_utc": [], "weekdays": [], "zone": "UTC"}]}"#.to_owned());
    values.extend([20, 21].map(|count| json!({ "windows_utc": vec![window.clone(); count] }).to_string()));
    let hours =
        |count| json!({ "windows_utc": [{ "hours_utc": vec!["00:00-00:00"; count], "weekdays": [] }] });
    values.extend([24, 25].map(|count| hours(count).to_string()));
    agree("models", "price_off_peak", values, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_accept_the_providers_that_the_reader_accepts() {
    let url = |length: usize| format!("https://{}", "é".repeat(length - 8));
    for column in ["docs_url", "openai_compatible_base_url", "models_list_url"] {
        let values = ["https://x", "http://x", "ftp://x", "", "HTTPS://x", " https://x"].map(str::to_owned);
        agree("providers", column, [values.to_vec(), vec![url(500), url(501)]].concat(), 3).await;
    }
    let headers = [
        "{}",
        r#"{"x-y": "1"}"#,
        r#"{"x y": "1"}"#,
        r#"{"": "1"}"#,
        r#"{"x": 1}"#,
        r#"{"x": null}"#,
        r#"{"x": ["1"]}"#,
        r#"{"x": "é"}"#,
        r#"{"x": "a\nb"}"#,
        r#"{"x": ""}"#,
        "[]",
        "1",
    ];
    let lengths = [(100, 250), (101, 1), (1, 251)];
    let lengths =
        lengths.map(|(name, value)| format!(r#"{{"{}": "{}"}}"#, "x".repeat(name), "y".repeat(value)));
    agree("providers", "extra_headers", [headers.map(str::to_owned).to_vec(), lengths.to_vec()].concat(), 4)
        .await;
    let variables = [
        "{}",
        "{OPENAI_API_KEY}",
        "{HF_TOKEN,X_KEY}",
        "{DATABASE_URL}",
        "{_KEY}",
        "{A_KEYS}",
        "{a_KEY}",
        "{\"A_KEY,B_KEY\"}",
        "{METRICS_TOKEN}",
        "{CLOUDFLARE_API_TOKEN}",
        "{A_KEY,x}",
    ];
    let long = [96, 97].map(|length| format!("{{{}_KEY}}", "A".repeat(length)));
    agree("providers", "env", [variables.map(str::to_owned).to_vec(), long.to_vec()].concat(), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_list_and_json_column_is_bounded() {
    let database = database().await;
    let pool = database.pool().await;
    let unbounded: Vec<String> = sqlx::query_scalar(
        "select attrelid::regclass || '.' || attname from pg_attribute a join pg_class t on t.oid = attrelid
         where relnamespace = 'chatchonk'::regnamespace and relkind = 'r' and attnum > 0 and not attisdropped
             and relname not like '\\_sqlx%' and format_type(atttypid, null) in ('text', 'text[]', 'jsonb')
             and not exists (select from pg_constraint where conrelid = attrelid and attnum = any (conkey) and contype in ('c', 'f'))",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(unbounded, [] as [String; 0]);
    let megabytes = "repeat('x', 20000000)";
    for statement in [
        format!("update chatchonk.providers set docs_url = 'https://' || {megabytes}"),
        format!("update chatchonk.providers set extra_headers = jsonb_build_object('x', {megabytes})"),
        "update chatchonk.providers set env = array_fill('A_KEY'::text, array[100000])".to_owned(),
        "update chatchonk.models set capabilities = array_fill('tools'::text, array[100000])".to_owned(),
        format!("update chatchonk.models set price_off_peak = jsonb_build_object('input', {megabytes})"),
        "update chatchonk.models set updated_at = 'infinity', created_at = 'infinity'".to_owned(),
    ] {
        database.store().apply_seed(&Seed::builtin().unwrap(), SeedMode::Newer).await.unwrap();
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(&pool).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code().map(Cow::into_owned));
        assert_eq!(code.as_deref(), Some("23514"), "{statement}: {refused}");
    }
}
