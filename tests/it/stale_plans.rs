//! Column types that change while a server runs.

use std::time::Duration;

use chatchonk::domain::seed::Seed;
use chatchonk::store::{DatabaseSettings, KvClaim, KvClaimed, SeedMode, SeedReport, Store, Verification};
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::support::postgres::database;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn edits_show_after_columns_changed_their_type() {
    let database = database().await;
    let pool = database.pool().await;
    let server = TestServer::seeded(&database).await;
    let id: String =
        sqlx::query_scalar("select id from chatchonk.models where status = 'active' order by id limit 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    // Twice each, since a pool has several connections, and a second change meets the statements of the first.
    for (round, (table, column)) in [
        ("models", "name"),
        ("models", "family"),
        ("providers", "name"),
        ("task_types", "name"),
        ("cache_version", "scope"),
    ]
    .into_iter()
    .flat_map(|changed| [(300, changed), (400, changed)])
    {
        // Other connections of the pool prepare their statements too.
        for _ in 0..3 {
            server.get("/api/health").await;
        }
        let change = format!("alter table chatchonk.{table} alter column {column} type varchar({round})");
        sqlx::raw_sql(AssertSqlSafe(change)).execute(&pool).await.unwrap();
        let name = format!("{table} {column} {round}");
        sqlx::query("update chatchonk.models set name = $1 where id = $2")
            .bind(&name)
            .bind(&id)
            .execute(&pool)
            .await
            .unwrap();
        let path = format!("/api/models/{id}");
        let model = server.until(&path, |model| model.json()["name"] == *name).await;
        assert_eq!(model.json()["name"], *name);
        let health = server.until_healthy().await;
        assert_eq!(health.json()["catalogue"]["stale"], json!(false), "{name}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_show_and_kv_is_claimed_once_versions_are_numeric() {
    let database = database().await;
    let pool = database.pool().await;
    let server = TestServer::seeded(&database).await;
    let settings = DatabaseSettings::from_url(&database.url(), Verification::ByDefault, 2).unwrap();
    let store = Store::new(settings);
    let id: String =
        sqlx::query_scalar("select id from chatchonk.models where status = 'active' order by id limit 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    for (round, (table, column, kind)) in [
        ("cache_version", "version", "numeric"),
        ("cache_version", "updated_at", "timestamp"),
        ("kv_keys", "written_at", "timestamp"),
        ("kv_keys", "claimed_at", "timestamp"),
        ("seed_state", "version", "numeric"),
        ("models", "context_length", "numeric"),
        ("models", "price_input", "float8"),
    ]
    .into_iter()
    .enumerate()
    {
        server.get("/api/health").await;
        let change = format!("alter table chatchonk.{table} alter column {column} type {kind}");
        sqlx::raw_sql(AssertSqlSafe(change)).execute(&pool).await.unwrap();
        let name = format!("{table} {column}");
        sqlx::query("update chatchonk.models set name = $1 where id = $2")
            .bind(&name)
            .bind(&id)
            .execute(&pool)
            .await
            .unwrap();
        let path = format!("/api/models/{id}");
        let model = server.until(&path, |model| model.json()["name"] == *name).await;
        assert_eq!(model.json()["name"], *name);
        let health = server.until_healthy().await;
        assert_eq!(health.json()["catalogue"]["stale"], json!(false), "{name}");

        let version = store.versions(&["catalogue".to_owned()]).await.unwrap()["catalogue"];
        assert_eq!(store.load_catalogue().await.unwrap().version, version, "{name}");
        store.inspect_tables().await.unwrap();
        let key = format!("chatchonk:test:catalogue.1:{round}");
        let claim = KvClaim {
            key: key.clone(),
            version,
            digest: [7; 32],
            missing: None,
            rewrite_after: Duration::from_hours(1),
        };
        let claimed = store.claim_kv_writes(&[claim], 1_000).await.unwrap().unwrap();
        assert_eq!(claimed[0], KvClaimed::Granted, "{name}");
        let proof = store.version_and_digest("catalogue", &key).await.unwrap().unwrap();
        assert_eq!(proof, (version, Some([7; 32])), "{name}");
        assert!(store.raise_version("catalogue").await.unwrap() > version, "{name}");
        let seeded = store.apply_seed(&Seed::builtin().unwrap(), SeedMode::Newer).await.unwrap();
        assert!(matches!(seeded, SeedReport::UpToDate { .. }), "{name}: {seeded:?}");
    }
    server.stop().await;
}
