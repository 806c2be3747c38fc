//! Counters of health: skipped rows and reads.

use crate::changes::{MODEL, listening};
use crate::details::WITHOUT_CHECKS;
use crate::support::postgres::{database, run};
use crate::support::server::Answer;

#[tokio::test(flavor = "multi_thread")]
async fn skipped_rows_and_ignored_details_are_counted() {
    let database = database().await;
    let server = listening(&database).await;
    let pool = database.pool().await;
    let before = server.get("/api/models").await.json()["total"].as_u64().unwrap();
    run(&pool, WITHOUT_CHECKS).await;
    run(
        &pool,
        r#"update chatchonk.models set release_date = '2025-02-30', updated_at = 'infinity' where id = 'openai/gpt-4o';
           update chatchonk.models set price_tiers = '[{"above_prompt_tokens": 1000, "input": "cheap"}]'
           where id = 'openai/gpt-4o-mini';
           update chatchonk.models set kind = 'oracle' where id = 'openai/gpt-4.1'"#,
    )
    .await;
    let counted = |rows, details| {
        move |health: &Answer| {
            let catalogue = &health.json()["catalogue"];
            catalogue["skipped"] == rows && catalogue["details_ignored"] == details
        }
    };
    let health = server.until("/api/health", counted(1, 2)).await;
    assert_eq!((health.status, &health.json()["status"]), (200, &"healthy".into()));
    assert_eq!(server.get("/api/models").await.json()["total"], before - 1);
    let model = server.get(MODEL).await;
    assert_eq!((model.status, &model.json()["release_date"]), (200, &serde_json::Value::Null));

    run(&pool, "update chatchonk.models set release_date = '2025-02-28' where id = 'openai/gpt-4o'").await;
    server.until("/api/health", counted(1, 1)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_any_shape_are_read_as_their_words() {
    let database = database().await;
    let server = listening(&database).await;
    run(
        &database.pool().await,
        "update chatchonk.models set input_modalities = array[['text'], ['image']], output_modalities = '{}'
         where id = 'openai/gpt-4o'",
    )
    .await;
    let model = server.until(MODEL, |model| model.json()["output_modalities"] == serde_json::json!([])).await;
    assert_eq!(model.json()["input_modalities"], serde_json::json!(["text", "image"]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_requests_for_lists_and_items_count_as_reads() {
    let server = listening(&database().await).await;
    let statistics = async || {
        let cache = server.current_health().await["cache"].clone();
        let family = cache["detail"]["families"]["catalogue"].clone();
        let number = |of: &serde_json::Value, name: &str| of[name].as_u64().unwrap();
        let outcomes = ["memory", "kv", "stale", "origin", "error"].map(|name| number(&family, name));
        assert_eq!(outcomes.iter().sum::<u64>(), number(&family, "reads"));
        assert_eq!(number(&cache, "cache_hits"), outcomes[..3].iter().sum::<u64>());
        assert_eq!(number(&cache, "cache_misses"), outcomes[3..].iter().sum::<u64>());
        number(&family, "reads")
    };
    let before = statistics().await;
    for path in ["/api/models", MODEL, "/api/providers", "/api/providers/openai", "/api/tasks", "/v1/models"]
    {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    assert_eq!(server.get("/api/models/openai/none").await.status, 404);
    for path in ["/api/health", "/api/health/live", "/api/health/ready", "/api/automodel/health"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    assert_eq!(statistics().await, before + 7);
    server.stop().await;
}
