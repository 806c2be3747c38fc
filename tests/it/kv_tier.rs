//! Cloudflare KV as the tier that instances share: it helps where it can, and never gets in the way.

use chatchonk::clock::Clock;
use serde_json::Value;

use crate::support::kv::fake::{Call, FakeKv, Fault};
use crate::support::postgres::{TestDatabase, database};
use crate::support::proxy::Proxy;
use crate::support::server::{Answer, TestServer};

/// The key of the catalogue, as an operator would look for it.
pub(crate) const KEY: &str = "chatchonk:development:catalogue.1:all";

pub(crate) async fn start(url: &str, kv: &FakeKv) -> TestServer {
    start_with(url, kv, &[]).await
}

pub(crate) async fn start_with(url: &str, kv: &FakeKv, others: &[(&str, &str)]) -> TestServer {
    let own = kv.variables();
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let variables: Vec<_> = own.chain([("DATABASE_URL", url)]).chain(others.iter().copied()).collect();
    TestServer::with(&variables).await
}

/// A server that has put its catalogue into KV.
pub(crate) async fn start_and_fill(database: &TestDatabase, kv: &FakeKv) -> TestServer {
    let server = start(&database.url(), kv).await;
    server.until("/api/health", |health| kv_of(health)["writes"] != 0).await;
    server
}

pub(crate) fn kv_of(health: &Answer) -> Value {
    health.json()["cache"]["detail"]["kv"].clone()
}

fn is_enabled(health: &Answer) -> bool {
    health.json()["cache"]["cloudflare_kv"] == "enabled"
}

pub(crate) fn is_unavailable(health: &Answer) -> bool {
    health.json()["cache"]["cloudflare_kv"] == "unavailable"
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_instance_loads_the_next_finds_in_kv_without_loading_it() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let first = start_and_fill(&database, &kv).await;
    let list = first.get("/api/models").await.json();
    assert_eq!(list["source"], "postgres");

    let second = start(&database.url(), &kv).await;
    let from_kv = second.get("/api/models").await.json();
    assert_eq!(from_kv["source"], "kv");
    assert_eq!((&from_kv["revision"], &from_kv["data"]), (&list["revision"], &list["data"]));
    let health = second.until("/api/health", is_enabled).await.json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["cache"]["detail"]["families"]["catalogue"]["loads"], 0);
    kv.assert_conforming();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_database_is_dead_starts_with_the_edited_catalogue_from_kv() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let first = start_and_fill(&database, &kv).await;
    let revision = first.get("/api/models").await.json()["revision"].clone();
    let wire = Proxy::to(&database.options()).await;
    wire.cut();

    let second = start(&wire.url(), &kv).await;
    let list = second.get("/api/models").await;
    assert_eq!(list.json()["source"], "kv");
    assert_eq!(list.json()["revision"], revision);
    let health = second.get("/api/health").await;
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("degraded")));
    assert_eq!(health.json()["catalogue"]["stale"], true);
    for _ in 0..300 {
        assert_eq!(second.get("/api/models?limit=1").await.status, 200);
    }
    assert!(kv.calls(Call::Get) <= 12, "{} reads", kv.calls(Call::Get));

    wire.mend();
    let healthy = |health: &Answer| health.json()["status"] == "healthy";
    second.until("/api/health", healthy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_catalogue_in_kv_is_not_served_while_postgres_answers() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let first = start_and_fill(&database, &kv).await;
    let old = kv.value(KEY).unwrap();
    let pool = database.pool().await;
    sqlx::query("update chatchonk.models set name = 'Edited' where id = 'openai/gpt-5.5'")
        .execute(&pool)
        .await
        .unwrap();
    first.until("/api/models/openai/gpt-5.5", |model| model.json()["name"] == "Edited").await;
    kv.plant(KEY, &old);

    let second = start(&database.url(), &kv).await;
    assert_eq!(second.get("/api/models/openai/gpt-5.5").await.json()["name"], "Edited");
    assert_eq!(second.get("/api/models").await.json()["source"], "postgres");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_lies_under_the_key_is_a_miss_when_it_is_not_the_catalogue() {
    let database = database().await;
    for planted in
        ["", "null", "<html>", "{\"format\":1,\"schema\":1}", "{\"format\":2,\"schema\":1,\"value\":{}}"]
    {
        let kv = FakeKv::start(Clock::system()).unwrap();
        kv.plant(KEY, planted.as_bytes());
        let server = start(&database.url(), &kv).await;
        let list = server.get("/api/models").await;
        assert_eq!((list.status, list.json()["source"].as_str()), (200, Some("postgres")), "{planted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_kv_is_told_with_its_remedy_while_memory_carries_on() {
    let wrong = |code, message| Fault::Refused { status: 404, code, message, retry_after: None };
    let faults = [
        (Fault::forbidden(), "403 Forbidden"),
        (wrong(10_013, "namespace not found"), "Namespace not found"),
        (Fault::Hang, "too slowly"),
        (Fault::Page(502), "Cloudflare reports a fault"),
        (Fault::throttled(Some(1)), "429"),
        (Fault::Reset, "cannot be reached"),
    ];
    let database = database().await;
    for (fault, reason) in faults {
        let kv = FakeKv::start(Clock::system()).unwrap();
        kv.fail_always(None, fault.clone());
        let server = start(&database.url(), &kv).await;
        for _ in 0..20 {
            let list = server.get("/api/models?limit=1").await;
            assert_eq!((list.status, list.json()["source"].as_str()), (200, Some("postgres")), "{fault:?}");
        }
        let tells =
            |health: &Answer| kv_of(health)["reason"].as_str().is_some_and(|told| told.contains(reason));
        let health = server.until("/api/health", tells).await;
        assert!(is_unavailable(&health));
        assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("degraded")), "{fault:?}");
        let kv_health = kv_of(&health);
        assert!(!kv_health["remedy"].as_str().unwrap().is_empty());
        assert!(!String::from_utf8(health.body).unwrap().contains(crate::support::kv::fake::TOKEN));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_is_used_again_by_itself_when_it_recovers() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    kv.fail_always(None, Fault::Page(502));
    let server = start(&database.url(), &kv).await;
    server.until("/api/health", is_unavailable).await;
    kv.heal();
    server.until("/api/health", is_enabled).await;
    server.until("/api/health", |health| kv_of(health)["writes"] != 0).await;
    assert!(kv.value(KEY).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_some_of_the_variables_leave_kv_out_and_name_the_missing_ones() {
    let database = database().await;
    let server = TestServer::with(&[("DATABASE_URL", &database.url()), ("CLOUDFLARE_API_TOKEN", "t")]).await;
    let health = server.get("/api/health").await;
    assert_eq!(health.json()["cache"]["cloudflare_kv"], "not_configured");
    let reason = kv_of(&health)["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_KV_NAMESPACE_ID are missing"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_catalogue_in_kv_is_better_than_the_builtin_one_when_the_database_cannot_load() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let first = start_and_fill(&database, &kv).await;
    let revision = first.get("/api/models").await.json()["revision"].clone();
    first.stop().await;
    let pool = database.pool().await;
    for broken in [
        "update chatchonk.cache_version set version = version + 1",
        "alter table chatchonk.models rename column name to label",
    ] {
        sqlx::query(broken).execute(&pool).await.unwrap();
    }

    let second = start(&database.url(), &kv).await;
    let list = second.get("/api/models").await.json();
    assert_eq!((&list["source"], &list["revision"]), (&"kv".into(), &revision));
    let health = second.get("/api/health").await;
    assert_eq!((health.status, health.json()["catalogue"]["stale"].as_bool()), (200, Some(true)));
}
