//! The main path: the seed is served over HTTP from PostgreSQL.

use crate::support::postgres::database;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_the_whole_seed_from_postgres() {
    let server = TestServer::seeded(&database().await).await;
    let models = server.get("/api/models?status=active,preview,deprecated,retired").await;
    assert_eq!((models.status, models.json()["total"].as_u64()), (200, Some(120)));
    assert_eq!(models.json()["source"], "postgres");
    let providers = server.get("/api/providers").await;
    assert_eq!(providers.ids().len(), 12);
    server.stop().await;
}
