//! The delay that KV can add to the first list of a server with an empty memory.

use std::time::Duration;

use chatchonk::clock::Clock;

use crate::support::kv::fake::{FakeKv, Fault};
use crate::support::kv::start;
use crate::support::postgres::{TestDatabase, database};
use crate::support::server::TestServer;

/// The time that a read waits for KV alone.
const HEDGE: Duration = Duration::from_millis(80);
/// A tolerance for other load. Without a hedge, KV's whole second would be added.
const MARGIN: Duration = Duration::from_millis(400);

/// Returns the time from the start to the first list.
async fn first_list(database: &TestDatabase, fault: Option<Fault>) -> Duration {
    let clock = Clock::system();
    let kv = FakeKv::start(clock.clone()).unwrap();
    if let Some(fault) = fault {
        kv.fail_always(None, fault);
    }
    let begun = clock.now();
    let server = start(&database.url(), &kv).await;
    let list = server.get("/api/models?limit=5").await;
    let took = clock.now() - begun;
    assert_eq!((list.status, list.json()["source"].as_str()), (200, Some("postgres")));
    server.stop().await;
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_kv_delays_the_first_list_by_at_most_80_ms() {
    let database = database().await;
    TestServer::seeded(&database).await.stop().await;
    // The best of several, since other load only makes it longer.
    let (mut healthy, mut hanging) = (Duration::MAX, Duration::MAX);
    for _ in 0..4 {
        healthy = healthy.min(first_list(&database, None).await);
        hanging = hanging.min(first_list(&database, Some(Fault::Hang)).await);
    }
    assert!(hanging <= healthy + HEDGE + MARGIN, "{hanging:?} instead of {healthy:?}");
}
