//! Columns with other types than the migrations gave them: the fast statement reads what it can, and the statement that
//! reads row by row reads the same.

use std::collections::BTreeMap;

use chatchonk::store::LoadedCatalogue;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::details::{SPOILT, load, unchecked};
use crate::support::postgres::TestDatabase;

/// Values that every type below can hold: whole days and lists of headers.
const SETUP: &str = "
    alter table chatchonk.models drop constraint models_provider_fkey;
    alter table chatchonk.model_tasks drop constraint model_tasks_model_id_fkey, drop constraint model_tasks_task_id_fkey;
    update chatchonk.models set created_at = '2026-01-02Z', updated_at = '2026-03-04 05:06:07.123456Z',
        release_date = left(release_date || '-01', 10), knowledge_cutoff = left(knowledge_cutoff || '-01', 10),
        deprecation_date = left(deprecation_date || '-01', 10), as_of = left(as_of || '-01', 10),
        is_free = (status <> 'active'), open_weights = (family is null), price_per_query = price_per_query + 0.00005";

/// Types that hold the same values, by table. The served catalogue does not change.
const SAME: [(&str, &[&str]); 14] = [
    (
        "models",
        &[
            "context_length type numeric(12, 2)",
            "max_input_tokens type double precision",
            "max_output_tokens type bigint",
            "price_input type numeric(24, 12)",
            "price_output type double precision",
            "price_cache_read type numeric(20, 10)",
            "price_per_query type double precision",
            "enabled type integer using enabled::integer",
            "is_free type text using case when is_free then 'Yes' else 'off' end",
            "open_weights type varchar(9) using open_weights::text",
        ],
    ),
    (
        "models",
        &[
            "release_date type date using release_date::date",
            "knowledge_cutoff type timestamp using knowledge_cutoff::timestamp",
            "deprecation_date type timestamptz using (deprecation_date || 'Z')::timestamptz",
            "as_of type char(12)",
            "created_at type date using created_at::date",
            "updated_at type timestamp using updated_at at time zone 'utc'",
        ],
    ),
    (
        "models",
        &[
            "id type char(200)",
            "provider type char(200)",
            "provider_model_id type char(200)",
            "name type char(200)",
            "family type char(200)",
            "kind type char(20)",
            "status type char(20)",
            "successor type char(200)",
            "price_source type varchar(300)",
        ],
    ),
    (
        "models",
        &[
            "price_tiers type json using price_tiers::json",
            "price_off_peak type text using price_off_peak::text",
            "capabilities type varchar(30)[]",
            "max_input_tokens type jsonb using to_jsonb(max_input_tokens)",
            "enabled type jsonb using to_jsonb(enabled)",
            "created_at type text using created_at::text",
            "updated_at type text using to_json(updated_at) #>> '{}'",
        ],
    ),
    ("models", &["price_tiers type text using price_tiers::text", "price_off_peak type json"]),
    // The fast statement cannot read the column from here on.
    ("models", &["capabilities type text using capabilities::text"]),
    ("models", &["capabilities type text using to_json(capabilities)::text"]),
    ("models", &["capabilities type text using array_to_string(capabilities, ' ')"]),
    (
        "models",
        &[
            "input_modalities type jsonb using to_jsonb(input_modalities)",
            "output_modalities type text using array[array[output_modalities]]::text",
        ],
    ),
    ("models", &["context_length type text using (context_length::numeric / 1000)::text || 'E+3'"]),
    (
        "models",
        &[
            "max_output_tokens type text using max_output_tokens::numeric(12, 3)::text",
            "enabled type smallint using enabled::integer",
            "is_free type numeric using is_free::integer",
        ],
    ),
    (
        "providers",
        &[
            "id type char(200)",
            "name type char(200)",
            "base_url type char(500)",
            "auth_header type char(100)",
            "extra_headers type text using extra_headers::text",
            "env type text using env::text",
            "models_list_needs_key type text using case when models_list_needs_key then 'on' else 'n' end",
        ],
    ),
    ("task_types", &["id type char(100)", "name type char(200)", "description type char(1000)"]),
    ("model_tasks", &["model_id type char(200)", "task_id type char(100)"]),
];

/// A column's type, the column, a value that the type allows for the second model, and the JSON that is served.
type Odd = (&'static str, &'static str, &'static str, fn() -> Value);

const ODD: [Odd; 19] = [
    ("context_length type numeric", "context_length", "128000.4", || json!(128_000)),
    ("context_length type numeric", "context_length", "1.285e3", || json!(1_285)),
    ("context_length type numeric", "context_length", "128000.5", || json!(128_001)),
    ("context_length type double precision", "context_length", "1.28e5", || json!(128_000)),
    ("context_length type text", "context_length", "' 128000 '", || json!(128_000)),
    ("context_length type bigint", "context_length", "5000000000", || Value::Null),
    ("open_weights type integer using 1", "open_weights", "7", || json!(true)),
    ("is_free type text", "is_free", "' OF '", || json!(false)),
    ("is_free type text", "is_free", "'t'", || json!(true)),
    (
        "release_date type timestamp using release_date::timestamp",
        "release_date",
        "'2026-05-06 23:59'",
        || json!("2026-05-06"),
    ),
    ("release_date type date using release_date::date", "release_date", "'infinity'", || Value::Null),
    ("created_at type text", "created_at", "'2026-05-06 07:08+0230'", || json!("2026-05-06T04:38:00Z")),
    ("created_at type text", "created_at", "'2026-05-06T07:08:09.5-01'", || json!("2026-05-06T08:08:09.5Z")),
    ("created_at type text", "created_at", "'2026-05-06 07:08:09'", || json!("2026-05-06T07:08:09Z")),
    ("created_at type text", "created_at", "'9999-12-31 23:59-02'", || json!("2026-03-04T05:06:07.123456Z")),
    ("price_tiers type json", "price_tiers", "'null'", || json!([])),
    ("price_tiers type text", "price_tiers", "'null'", || json!([])),
    ("price_off_peak type json", "price_off_peak", "'null'", || Value::Null),
    ("price_output type double precision", "price_output", "0.00002", || json!("0.00002")),
];
const ODD_MODEL: &str = "openai/gpt-5.5";

async fn run(pool: &PgPool, statement: &str) {
    let statement =
        format!("set session_replication_role = replica; {statement}; reset session_replication_role");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(pool).await.unwrap();
}

async fn alter(pool: &PgPool, table: &str, columns: &[&str]) {
    for column in columns {
        let name = column.split(' ').next().unwrap();
        run(
            pool,
            &format!("alter table chatchonk.{table} alter column {name} drop default, alter column {column}"),
        )
        .await;
    }
}

/// Makes the fast statement fail at one value, in a row that is not compared.
async fn spoil(pool: &PgPool) {
    run(pool, "alter table chatchonk.models alter column embedding_dimensions type text").await;
    run(pool, &format!("update chatchonk.models set embedding_dimensions = 'x' where id = '{SPOILT}'")).await;
}

/// Returns the models by id, except for the spoilt one, and the rest of the catalogue.
fn compared(loaded: &LoadedCatalogue) -> (BTreeMap<String, Value>, Value) {
    let snapshot = &loaded.snapshot;
    let models = snapshot.models().iter().filter(|model| model.id.as_str() != SPOILT);
    let models = models.map(|model| {
        let mut json = serde_json::to_value(model).unwrap();
        json["tasks"].as_array_mut().unwrap().sort_by_key(Value::to_string);
        (model.id.as_str().to_owned(), json)
    });
    (models.collect(), json!([snapshot.providers(), snapshot.tasks()]))
}

async fn unaltered() -> (TestDatabase, PgPool) {
    let (database, pool) = unchecked().await;
    run(&pool, SETUP).await;
    (database, pool)
}

async fn is_same(database: &TestDatabase, wanted: &LoadedCatalogue, ignored: usize, columns: &[&str]) {
    let loaded = load(database).await;
    assert_eq!(loaded.rejected, [] as [String; 0], "{columns:?}");
    assert_eq!(loaded.ignored.count(), ignored, "{columns:?}: {:?}", loaded.ignored);
    let ((models, others), (wanted_models, wanted_others)) = (compared(&loaded), compared(wanted));
    for (id, model) in &wanted_models {
        assert_eq!(models.get(id), Some(model), "{columns:?}");
    }
    assert_eq!((models.len(), others), (wanted_models.len(), wanted_others), "{columns:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_statements_agree_on_altered_columns() {
    for (table, columns) in SAME {
        let (database, pool) = unaltered().await;
        let wanted = load(&database).await;
        assert_eq!(wanted.ignored.count(), 0, "{:?}", wanted.ignored);
        alter(&pool, table, columns).await;
        is_same(&database, &wanted, 0, columns).await;
        spoil(&pool).await;
        is_same(&database, &wanted, 1, columns).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_statements_agree_on_odd_values() {
    for (kind, column, value, wanted) in ODD {
        let (database, pool) = unaltered().await;
        alter(&pool, "models", &[kind]).await;
        run(&pool, &format!("update chatchonk.models set {column} = {value} where id = '{ODD_MODEL}'")).await;
        let fast = load(&database).await;
        let (models, _) = compared(&fast);
        let model = &models[ODD_MODEL];
        let read = match column {
            "price_tiers" => &model["pricing"]["tiers"],
            "price_off_peak" => &model["pricing"]["off_peak"],
            "price_output" => &model["pricing"]["output"],
            _ => &model[column],
        };
        assert_eq!(read, &wanted(), "{kind} {value}: {model}");
        spoil(&pool).await;
        is_same(&database, &fast, fast.ignored.count() + 1, &[kind, value]).await;
    }
}

/// JSON in a column of type `json` or `text`, and the number of details it costs.
fn documents() -> Vec<(&'static str, &'static str, String, usize)> {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}1{}", r#"{"input":"#.repeat(3_000), "}".repeat(3_000));
    vec![
        ("price_tiers", "json", r#"[{"above_prompt_tokens": 1e999999999, "input": "1"}]"#.to_owned(), 1),
        ("price_tiers", "json", r#"[{"above_prompt_tokens": 1e-999999999, "input": "1"}]"#.to_owned(), 1),
        ("price_tiers", "json", format!(r#"[{{"above_prompt_tokens": 1{}}}]"#, "0".repeat(100_000)), 1),
        ("price_tiers", "json", r#"[{"above_prompt_tokens": 1, "above_prompt_tokens": 2}]"#.to_owned(), 1),
        ("price_tiers", "json", format!("[{}]", nested(3_000)), 1),
        ("price_tiers", "text", nested(20_000), 1),
        ("price_tiers", "json", format!("[{objects}]"), 1),
        ("price_tiers", "text", format!(r#"[{{"above_prompt_tokens": {}}}]"#, nested(20_000)), 1),
        ("price_off_peak", "json", r#"{"input": "1", "input": "2"}"#.to_owned(), 1),
        ("price_off_peak", "json", r#"{"input": 1e999999999}"#.to_owned(), 1),
        ("price_off_peak", "json", objects, 1),
        ("price_off_peak", "text", format!(r#"{{"windows_utc": {}}}"#, nested(20_000)), 1),
        ("price_off_peak", "text", r#"{"input": "\ud800"}"#.to_owned(), 1),
        ("capabilities", "text", nested(20_000), 1),
        ("capabilities", "text", format!(r#"[["tools"],["vision",null],{}]"#, nested(20_000)), 1),
        ("capabilities", "jsonb", nested(3_000), 1),
        ("capabilities", "jsonb", r#"[[[[[["tools"]]]]]]"#.to_owned(), 0),
        ("capabilities", "jsonb", r#"{"tools":"vision"}"#.to_owned(), 1),
        ("capabilities", "jsonb", "1e400".to_owned(), 1),
        ("context_length", "json", "1e999999999".to_owned(), 1),
        ("context_length", "jsonb", nested(3_000), 1),
        ("is_free", "text", nested(20_000), 1),
        ("created_at", "text", nested(20_000), 1),
        ("price_input", "json", "1e999999999".to_owned(), 1),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_json_document_costs_only_its_detail() {
    for (column, kind, document, ignored) in documents() {
        let (database, pool) = unaltered().await;
        alter(
            &pool,
            "models",
            &[&format!("{column} drop not null, alter column {column} type {kind} using null")],
        )
        .await;
        if column == "created_at" {
            run(&pool, "update chatchonk.models set created_at = updated_at::text").await;
        }
        let statement = format!(
            "update chatchonk.models set {column} = $x${document}$x$ where id in ('{SPOILT}', '{ODD_MODEL}')"
        );
        run(&pool, &statement).await;
        for is_spoilt in [false, true] {
            if is_spoilt {
                spoil(&pool).await;
            }
            let loaded = load(&database).await;
            let document: String = document.chars().take(80).collect();
            assert_eq!((loaded.snapshot.models().len(), loaded.rejected.len()), (120, 0), "{document}");
            let wanted = 2 * ignored + usize::from(is_spoilt);
            assert_eq!(loaded.ignored.count(), wanted, "{column} {kind} {document}: {:?}", loaded.ignored);
        }
    }
}
