//! Retired and hidden models, including those hidden while the server runs.

use crate::support::postgres::database;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn hidden_models_are_shown_only_on_request() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    let pool = database.pool().await;
    sqlx::raw_sql("update chatchonk.models set enabled = false where id = 'openai/gpt-6-astra'")
        .execute(&pool)
        .await
        .unwrap();
    server.until("/api/models", |answer| answer.json()["total"] == 117).await;
    assert_eq!(server.get("/api/models?enabled=false").await.ids(), ["openai/gpt-6-astra"]);
    assert_eq!(server.get("/api/models?ids=openai/gpt-6-astra").await.json()["total"], 0);

    sqlx::raw_sql("update chatchonk.providers set enabled = false where id = 'meta'")
        .execute(&pool)
        .await
        .unwrap();
    let hidden = server.until("/api/models?enabled=false", |answer| answer.json()["total"] == 3).await;
    let items = hidden.json();
    assert!(items["data"].as_array().unwrap().iter().all(|model| model["enabled"] == false));
    assert_eq!(server.get("/api/models").await.json()["total"], 115);
    assert_eq!(server.get("/api/models?provider=meta").await.json()["total"], 0);
    assert_eq!(server.get("/api/models?provider=meta&enabled=false").await.json()["total"], 2);

    // Its own address still shows it, and its provider, both marked as hidden.
    let model = server.get("/api/models/openai/gpt-6-astra").await;
    assert_eq!((model.status, &model.json()["enabled"]), (200, &false.into()));
    let provider = server.get("/api/providers/meta").await.json();
    assert_eq!((&provider["enabled"], &provider["models"]), (&false.into(), &0.into()));
    assert_eq!(server.get("/api/providers").await.json()["total"], 12);
    assert_eq!(server.get("/api/providers/openai").await.json()["models"], 23);
    assert!(!server.get("/v1/models").await.ids().contains(&"openai/gpt-6-astra".to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retired_models_are_shown_by_status_or_by_id() {
    let server = TestServer::seeded(&database().await).await;
    let retired = ["deepseek/deepseek-chat", "deepseek/deepseek-reasoner"];
    let mut found = server.get("/api/models?status=retired").await.ids();
    found.sort();
    assert_eq!(found, retired);
    for id in retired {
        assert_eq!(server.get(&format!("/api/models?ids={id}")).await.json()["total"], 0);
        assert_eq!(server.get(&format!("/api/models?ids={id}&status=retired")).await.json()["total"], 1);
        for path in ["/api/models/", "/v1/models/"] {
            let item = server.get(&format!("{path}{id}")).await;
            assert_eq!((item.status, &item.json()["id"]), (200, &id.into()));
        }
        assert_eq!(server.get(&format!("/api/models/{id}")).await.json()["status"], "retired");
    }
    assert!(server.get("/v1/models").await.ids().iter().all(|id| !retired.contains(&id.as_str())));
    server.stop().await;
}
