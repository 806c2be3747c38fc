//! Values in KV from another database or another release, while Postgres answers and while it is down.

use std::time::Duration;

use chatchonk::clock::Clock;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use crate::support::kv::fake::{Call, FakeKv};
use crate::support::kv::{KEY, start, start_and_fill};
use crate::support::postgres::database;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;

const MODEL: &str = "/api/models/openai/gpt-4o";

async fn revision(server: &TestServer) -> Value {
    server.get("/api/models").await.json()["revision"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_databases_catalogue_is_served_only_in_an_outage() {
    let (own, other) = (database().await, database().await);
    let kv = FakeKv::start(Clock::system()).unwrap();
    let own_revision = revision(&TestServer::seeded(&own).await).await;
    TestServer::seeded(&other).await.stop().await;
    sqlx::query("update chatchonk.models set name = 'Elsewhere' where id = 'openai/gpt-4o'")
        .execute(&other.pool().await)
        .await
        .unwrap();
    let filler = start_and_fill(&other, &kv).await;
    let other_revision = revision(&filler).await;
    filler.stop().await;
    let foreign = kv.value(KEY).unwrap();

    let proxy = Proxy::to(&own.options()).await;
    let server = start(&proxy.url(), &kv).await;
    for _ in 0..50 {
        let list = server.get("/api/models?limit=5").await.json();
        assert_eq!((&list["source"], &list["revision"]), (&"postgres".into(), &own_revision));
    }
    server.stop().await;
    assert!(kv.calls(Call::Get) > 0);

    kv.plant(KEY, &foreign);
    proxy.cut();
    let server = start(&proxy.url(), &kv).await;
    let list = server.get("/api/models?limit=5").await.json();
    assert_eq!((&list["source"], &list["revision"]), (&"kv".into(), &other_revision));
    assert_eq!(server.get(MODEL).await.json()["name"], "Elsewhere");
    let health = server.get("/api/health").await.json();
    assert_eq!((&health["status"], &health["catalogue"]["stale"]), (&"degraded".into(), &true.into()));

    proxy.restore();
    server.until_healthy().await;
    let list = server.get("/api/models?limit=5").await.json();
    assert_eq!((&list["source"], &list["revision"]), (&"postgres".into(), &own_revision));
    assert_ne!(server.get(MODEL).await.json()["name"], "Elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_clock_serves_the_catalogue_of_kv_not_the_builtin() {
    let (database, clock) = (database().await, Clock::system());
    let kv = FakeKv::start(clock.clone()).unwrap();
    start_and_fill(&database, &kv).await.stop().await;
    let proxy = Proxy::to(&database.options()).await;
    proxy.cut();
    // To a slow clock, a value that another machine has just written has a date in the future.
    let mut ahead: Value = serde_json::from_slice(&kv.value(KEY).unwrap()).unwrap();
    let date = clock.utc() + Duration::from_mins(6);
    ahead["loaded_at"] = json!(date.format(&Rfc3339).unwrap());
    kv.plant(KEY, ahead.to_string().as_bytes());
    let server = start(&proxy.url(), &kv).await;
    let list = server.get("/api/models?limit=5").await.json();
    assert_eq!((&list["source"], &list["revision"]), (&"kv".into(), &ahead["version"]));
    let health = server.get("/api/health").await.json();
    assert_eq!((&health["status"], &health["catalogue"]["stale"]), (&"degraded".into(), &true.into()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_a_newer_release_are_never_served() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    start_and_fill(&database, &kv).await.stop().await;
    let whole: Value = serde_json::from_slice(&kv.value(KEY).unwrap()).unwrap();
    // They have the database's current version, so only their format counts against them.
    let mut newer_format = whole.clone();
    newer_format["format"] = json!(2);
    let mut unknown_shape = whole.clone();
    unknown_shape["value"] = json!({ "catalogue": { "models": whole["value"]["models"] } });
    let mut unknown_word = whole.clone();
    unknown_word["value"]["models"][0]["status"] = json!("on_holiday");

    for newer in [newer_format, unknown_shape, unknown_word] {
        for (alive, source) in [(true, "postgres"), (false, "builtin")] {
            let proxy = Proxy::to(&database.options()).await;
            if !alive {
                proxy.cut();
            }
            // Its own KV, since the server before this one may write when it stops.
            let kv = FakeKv::start(Clock::system()).unwrap();
            kv.plant(KEY, newer.to_string().as_bytes());
            let server = start(&proxy.url(), &kv).await;
            for _ in 0..10 {
                let list = server.get("/api/models?limit=5").await;
                assert_eq!((list.status, list.json()["source"].as_str()), (200, Some(source)));
            }
            assert!(kv.calls(Call::Get) > 0, "KV was read");
            let health = server.get("/api/health").await.json();
            assert_ne!(health["cache"]["detail"]["kv"]["rejected"], 0);
        }
    }
}
