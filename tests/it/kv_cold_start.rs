//! What KV may cost a server that starts with an empty memory.

use std::time::Duration;

use chatchonk::clock::Clock;

use crate::support::kv::fake::{FakeKv, Fault};
use crate::support::kv::start;
use crate::support::postgres::{TestDatabase, database};
use crate::support::server::TestServer;

/// How long KV alone is waited for when somebody waits.
const HEDGE: Duration = Duration::from_millis(80);
/// For the machine's other work.
const MARGIN: Duration = Duration::from_millis(150);

/// From the start to the first list, at best: what else the machine does can only make it longer.
async fn first_list(database: &TestDatabase, fault: Option<&Fault>) -> Duration {
    let clock = Clock::system();
    let mut times = Vec::new();
    for _ in 0..3 {
        let kv = FakeKv::start(clock.clone()).unwrap();
        if let Some(fault) = fault {
            kv.fail_always(None, fault.clone());
        }
        let begun = clock.now();
        let server = start(&database.url(), &kv).await;
        let list = server.get("/api/models?limit=5").await;
        times.push(clock.now() - begun);
        assert_eq!((list.status, list.json()["source"].as_str()), (200, Some("postgres")));
    }
    times.into_iter().min().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kv_that_hangs_holds_the_first_list_up_by_80_milliseconds_at_most() {
    let database = database().await;
    TestServer::seeded(&database).await.stop().await;
    let healthy = first_list(&database, None).await;
    let hanging = first_list(&database, Some(&Fault::Hang)).await;
    assert!(hanging <= healthy + HEDGE + MARGIN, "{hanging:?} instead of {healthy:?}");
}
