//! A catalogue larger than every memory bound.

use serde_json::json;

use crate::support::postgres::database;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_thousand_models_are_served_from_memory() {
    let database = database().await;
    TestServer::seeded(&database).await.stop().await;
    let insert = "insert into chatchonk.models (id, provider, provider_model_id, name, kind)
        select 'openai/m-' || n, 'openai', 'm-' || n, 'Model ' || n, 'chat' from generate_series(1, 60000) n";
    sqlx::query(insert).execute(&database.pool().await).await.unwrap();
    let server = TestServer::seeded(&database).await;
    let first = server.get("/api/models?limit=1").await.json();
    assert_eq!((&first["total"], &first["source"]), (&json!(60_118), &json!("postgres")));
    for _ in 0..5 {
        assert_eq!(server.get("/api/models/openai/m-60000").await.status, 200);
    }
    let health =
        server.until("/api/health", |health| health.json()["cache"]["cache_hits"].as_u64() >= Some(5)).await;
    let health = health.json();
    let catalogue = &health["catalogue"];
    assert_eq!((&catalogue["source"], &catalogue["models"]), (&json!("postgres"), &json!(60_118)));
    let memory = &health["cache"]["detail"]["memory"];
    assert!(memory["bytes"].as_u64() > Some(20_000_000), "{memory}");
    assert_eq!(health["cache"]["detail"]["families"]["catalogue"]["loads"], 1);
    server.stop().await;
}
