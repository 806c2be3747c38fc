//! Slow and idle connections.

use crate::support::postgres::database;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_longer_than_a_slice_arrives_whole() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    let copies = "insert into chatchonk.models
        select (jsonb_populate_record(m, jsonb_build_object('id', m.id || '-v' || copy))).*
        from chatchonk.models m, generate_series(1, 9) copy";
    sqlx::query(copies).execute(&database.pool().await).await.unwrap();
    server.until("/api/models?limit=1", |page| page.json()["total"].as_u64() > Some(1_000)).await;
    let list = server.get("/api/models").await;
    assert!(list.body.len() > 1_000_000, "{}", list.body.len());
    assert_eq!(list.header("content-length"), list.body.len().to_string());
    let mut ids = list.ids();
    assert_eq!(list.json()["total"], ids.len());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(list.json()["total"], ids.len());
    server.stop().await;
}
