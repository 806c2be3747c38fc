//! Values that violate the CHECKs: the migration that tightens them moves the values away, and `check` names them.

use chatchonk::domain::seed::Seed;
use chatchonk::domain::snapshot::Snapshot;
use chatchonk::store::SeedMode;

use crate::details::{load, unchecked};
use crate::support::postgres::database_before;
use crate::support::process::run_on;

/// The migration that tightens the CHECKs.
const TIGHTENED: i64 = 20_261_128_000_100;

#[tokio::test(flavor = "multi_thread")]
async fn the_migration_quarantines_values_that_violate_checks() {
    let database = database_before(TIGHTENED).await;
    let pool = database.pool().await;
    sqlx::raw_sql(
        r#"update chatchonk.models set knowledge_cutoff = '2025-02-31', release_date = '2024-02-29' where id = 'openai/gpt-4o';
           update chatchonk.models set price_tiers = '[{"above_prompt_tokens": 5, "input": "1"}, {"above_prompt_tokens": -1}]'
           where id = 'openai/gpt-4o-mini';
           update chatchonk.models set price_off_peak = '{"input": 1}', created_at = 'infinity' where id = 'openai/gpt-5.5';
           update chatchonk.models set capabilities = array_fill('tools'::text, array[50]) where id = 'openai/gpt-4.1';
           update chatchonk.providers set docs_url = 'https://' || repeat('x', 20000000), env = array[repeat('A', 100) || '_KEY']
           where id = 'openai';
           set session_replication_role = replica;
           update chatchonk.task_types set updated_at = '-infinity' where id = 'chat';
           reset session_replication_role;
           set chatchonk.seeding = 'on';
           update chatchonk.models set as_of = '2026-06-31' where id = 'cohere/rerank-v3.5'"#,
    )
    .execute(&pool)
    .await
    .unwrap();
    let edited = "select array_agg(id order by id) from chatchonk.models where edited";
    let before: Vec<String> = sqlx::query_scalar(edited).fetch_one(&pool).await.unwrap();

    database.store().migrate().await.unwrap();

    let loaded = load(&database).await;
    assert_eq!(
        (loaded.snapshot.models().len(), loaded.ignored.count(), &*loaded.rejected),
        (120, 0, &[] as &[String])
    );
    let model = |id: &str| loaded.snapshot.model(id).unwrap();
    assert_eq!(model("openai/gpt-4o").knowledge_cutoff, None);
    assert_eq!(model("openai/gpt-4o").release_date.unwrap().to_string(), "2024-02-29");
    assert_eq!(model("openai/gpt-4o-mini").pricing.as_ref().unwrap().tiers.len(), 1, "the good tier stays");
    assert_eq!(model("openai/gpt-4.1").capabilities.len(), 1);
    assert_eq!(model("cohere/rerank-v3.5").as_of, None);
    let provider = loaded.snapshot.provider("openai").unwrap();
    assert_eq!((&provider.docs_url, provider.env.len()), (&None, 0));
    let after: Vec<String> = sqlx::query_scalar(edited).fetch_one(&pool).await.unwrap();
    assert_eq!(after, before, "no row is marked as edited");
    let kept: Vec<(String, String, i32)> = sqlx::query_as(
        "select table_name || ' ' || row_id, column_name, length(value) from chatchonk.quarantined_values order by 1, 2",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let columns: Vec<_> = kept.iter().map(|(row, column, _)| format!("{row} {column}")).collect();
    assert_eq!(
        columns,
        [
            "models cohere/rerank-v3.5 as_of",
            "models openai/gpt-4.1 capabilities",
            "models openai/gpt-4o knowledge_cutoff",
            "models openai/gpt-4o-mini price_tiers",
            "models openai/gpt-5.5 created_at",
            "models openai/gpt-5.5 price_off_peak",
            "providers openai docs_url",
            "providers openai env",
            "task_types chat updated_at",
        ]
    );
    assert!(kept.iter().all(|(_, _, length)| *length <= 10_000));

    let (_, printed) = run_on(&database, &["check"]).await;
    assert!(
        printed.contains(
            "! quarantine: models openai/gpt-4o: knowledge_cutoff was `2025-02-31`: not a month or a day"
        ) && printed.contains("write a valid value into the column"),
        "{printed}"
    );
    assert_eq!(printed.matches("! quarantine: ").count(), 9, "{printed}");
    // The seed of this release and of the previous one passes the new CHECKs.
    database.store().apply_seed(&Seed::builtin().unwrap(), SeedMode::Overwrite).await.unwrap();
    let capabilities = |snapshot: &Snapshot| snapshot.model("openai/gpt-4.1").unwrap().capabilities.len();
    let seed = Seed::builtin().unwrap().into_snapshot();
    assert_eq!(capabilities(&load(&database).await.snapshot), capabilities(&seed));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_each_ignored_detail() {
    let (database, pool) = unchecked().await;
    sqlx::raw_sql("update chatchonk.models set knowledge_cutoff = '2025-02-31' where id = 'openai/gpt-4o'")
        .execute(&pool)
        .await
        .unwrap();
    let (code, printed) = run_on(&database, &["check"]).await;
    assert_eq!(code, Some(1), "{printed}");
    let line =
        "✗ catalogue: model openai/gpt-4o: knowledge_cutoff: `2025-02-31` is not a date: expected YYYY-MM";
    assert!(printed.contains(line), "{printed}");
}
