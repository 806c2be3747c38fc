//! The types of columns change under a running server.

use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::support::postgres::database;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn edits_show_after_columns_changed_their_type_under_the_server() {
    let database = database().await;
    let pool = database.pool().await;
    let server = TestServer::seeded(&database).await;
    let id: String =
        sqlx::query_scalar("select id from chatchonk.models where status = 'active' order by id limit 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    // Twice each, as a pool has several connections and a second change meets the statements of the first.
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
        // Other connections of the pool prepare what they need, too.
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
        let health = server.until("/api/health", |health| health.json()["status"] == "healthy").await;
        assert_eq!(health.json()["catalogue"]["stale"], json!(false), "{name}");
    }
    server.stop().await;
}
