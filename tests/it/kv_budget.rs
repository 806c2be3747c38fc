//! Writes to Cloudflare KV and deletes from it: no more than needed, and never beyond the daily budget.

use chatchonk::clock::Clock;
use serde_json::Value;

use crate::support::kv::fake::{Call, FakeKv};
use crate::support::kv::{KEY, is_unavailable, kv_of, start, start_and_fill, start_with};
use crate::support::postgres::{database, run};
use crate::support::proxy::Proxy;
use crate::support::server::{Answer, eventually};

const USED_UP: &str = "insert into chatchonk.kv_budget (day, kind, used)
    values ((clock_timestamp() at time zone 'utc')::date, 'write', 900),
           ((clock_timestamp() at time zone 'utc')::date, 'delete', 900)";

fn budget(health: &Answer, kind: &str) -> Value {
    kv_of(health)["budget"][kind].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_instances_writes_a_version() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let url = database.url();
    let (first, second, third) = tokio::join!(start(&url, &kv), start(&url, &kv), start(&url, &kv));
    for server in [&first, &second, &third] {
        server.until("/api/models?limit=1", |list| list.json()["source"] != "builtin").await;
    }
    eventually(async || kv.value(KEY).is_some()).await;
    // Each server sends its waiting writes before it ends.
    tokio::join!(first.stop(), second.stop(), third.stop());
    assert_eq!(kv.used_today().writes, 1);
    kv.assert_conforming();

    let fourth = start(&url, &kv).await;
    let health = fourth.until("/api/health", |health| budget(health, "writes")["used"] == 1).await;
    assert_eq!(budget(&health, "writes")["limit"], 900);
    assert!(budget(&health, "writes")["resets_at"].as_str().unwrap().ends_with("T00:00:00Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_values_in_kv_are_rewritten_within_ten_seconds() {
    let database = database().await;
    for damaged in [
        "<html>",
        "{\"format\":1,\"schema\":2,\"key\":\"chatchonk:other:catalogue.2:all\",\"version\":1,\
        \"loaded_at\":\"2026-11-22T00:00:00Z\",\"value\":{}}",
    ] {
        let kv = FakeKv::start(Clock::system()).unwrap();
        kv.plant(KEY, damaged.as_bytes());
        run(&database.pool().await, "truncate chatchonk.kv_keys").await;
        let server = start(&database.url(), &kv).await;
        server.until("/api/models?limit=1", |list| list.json()["source"] == "postgres").await;
        let clock = Clock::system();
        let read = clock.now();
        eventually(async || kv.value(KEY).is_some_and(|value| value != damaged.as_bytes())).await;
        let took = clock.now() - read;
        assert!(took.as_secs() < 10, "{took:?}");
        let used = kv.used_today();
        assert_eq!((used.writes, used.deletes), (1, 1), "{damaged}");
        kv.assert_conforming();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_another_release_are_left_alone() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    kv.plant("chatchonk:development:catalogue.3:all", b"of a newer release");
    start_and_fill(&database, &kv).await;
    assert_eq!(kv.value("chatchonk:development:catalogue.3:all").unwrap(), b"of a newer release");
    assert_eq!(kv.used_today().deletes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_stops_writes_until_the_next_day() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    run(&database.pool().await, USED_UP).await;
    kv.plant(KEY, b"damaged");
    let server = start(&database.url(), &kv).await;
    let health = server.until("/api/health", is_unavailable).await;
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("degraded")));
    let health = server
        .until("/api/health", |health| budget(health, "writes")["used"] == 900 && is_unavailable(health))
        .await;
    assert!(kv_of(&health)["reason"].as_str().unwrap().contains("the day's budget of"), "{}", kv_of(&health));
    assert!(kv_of(&health)["remedy"].as_str().unwrap().contains("CLOUDFLARE_KV_DAILY_WRITES"));
    assert_eq!(server.get("/api/models").await.json()["source"], "postgres");
    server.stop().await;
    assert_eq!((kv.used_today().writes, kv.used_today().deletes), (0, 0));
    assert_eq!(kv.value(KEY).unwrap(), b"damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_paid_plan_are_settings() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    run(&database.pool().await, USED_UP).await;
    let limits = [("CLOUDFLARE_KV_DAILY_WRITES", "1002"), ("CLOUDFLARE_KV_DAILY_DELETES", "10")];
    let server = start_with(&database.url(), &kv, &limits).await;
    eventually(async || kv.value(KEY).is_some()).await;
    let health = server.until("/api/health", |health| budget(health, "writes")["used"] == 901).await;
    let limit = |kind| budget(&health, kind)["limit"].clone();
    assert_eq!((limit("writes"), limit("deletes"), limit("reads")), (901.into(), 9.into(), 90_000.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_nothing_is_written_or_deleted() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let proxy = Proxy::to(&database.options()).await;
    proxy.cut();
    kv.plant(KEY, b"damaged");
    let server = start(&proxy.url(), &kv).await;
    server.until("/api/health", |health| kv_of(health)["skipped"]["no_database"].as_u64() > Some(1)).await;
    server.stop().await;
    assert_eq!((kv.calls(Call::PutMany), kv.calls(Call::DeleteMany)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_writes_are_sent_when_the_server_stops() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let server = start(&database.url(), &kv).await;
    server.until("/api/models?limit=1", |list| list.json()["source"] == "postgres").await;
    server.stop().await;
    assert!(kv.value(KEY).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_tenth_of_cloudflares_allowance_is_spared() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    kv.quirks(|quirks| quirks.calls = 3);
    let server = start(&database.url(), &kv).await;
    let health = server
        .until("/api/health", |health| {
            kv_of(health)["reason"].as_str().is_some_and(|reason| reason.starts_with("little is left"))
        })
        .await;
    assert!(is_unavailable(&health));
    server.stop().await;
    assert!(kv.requests().len() <= 3, "{:?}", kv.requests().len());
}
