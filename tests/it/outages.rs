//! Database outages of a running server: lists and health go on, health reports the outage, and the server recovers.

use std::time::Duration;

use chatchonk::clock::Clock;
use serde_json::Value;

use crate::support::load::Load;
use crate::support::postgres::{database, private_server};
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;

const HEALTHY_WITHIN: Duration = Duration::from_secs(30);

async fn healthy(server: &TestServer) {
    let is_healthy = |health: &Value| {
        health["status"] == "healthy" && health["cache"]["detail"]["listener"]["listening"] == true
    };
    server.until("/api/health", |health| is_healthy(&health.json())).await;
}

/// Waits until the database is down, and returns the time that took and the reason.
async fn degraded(server: &TestServer) -> (Duration, String) {
    let clock = Clock::system();
    let begun = clock.now();
    let health = server.until("/api/health", |health| health.json()["database"]["status"] == "down").await;
    let took = clock.now() - begun;
    let health = health.json();
    assert_eq!(health["status"], "degraded");
    assert!(!health["database"]["remedy"].as_str().unwrap().is_empty());
    assert_eq!(health["catalogue"]["source"], "postgres");
    (took, health["database"]["reason"].as_str().unwrap().to_owned())
}

async fn back_within_limit(server: &TestServer) {
    let clock = Clock::system();
    let begun = clock.now();
    healthy(server).await;
    assert!(clock.now() - begun < HEALTHY_WITHIN);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_on_while_postgres_is_cut_off_and_recover() {
    let proxy = Proxy::to(&database().await.options()).await;
    let server = TestServer::with(&[("DATABASE_URL", &proxy.url())]).await;
    healthy(&server).await;
    let load = Load::on(&server);
    proxy.cut();
    let (took, reason) = degraded(&server).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(reason, "the database cannot be reached");
    proxy.restore();
    back_within_limit(&server).await;
    load.finish_without_a_fault("postgres").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_on_while_postgres_hangs_and_recover() {
    let proxy = Proxy::to(&database().await.options()).await;
    let server = TestServer::with(&[("DATABASE_URL", &proxy.url())]).await;
    healthy(&server).await;
    let load = Load::on(&server);
    proxy.hang();
    let (took, reason) = degraded(&server).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(reason, "the database answers too slowly");
    proxy.restore();
    back_within_limit(&server).await;
    load.finish_without_a_fault("postgres").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_during_a_postgres_restart_show_afterwards() {
    let mut postgres = private_server().await;
    let server = TestServer::on(postgres.database()).await;
    healthy(&server).await;
    let load = Load::on(&server);
    postgres.stop_hard().await;
    let (took, _) = degraded(&server).await;
    assert!(took < Duration::from_secs(10), "{took:?}");

    postgres.start().await;
    let pool = postgres.database().pool().await;
    sqlx::raw_sql("update chatchonk.models set name = 'Afterwards' where id = 'openai/gpt-4o'")
        .execute(&pool)
        .await
        .unwrap();
    back_within_limit(&server).await;
    server.until("/api/models/openai/gpt-4o", |answer| answer.json()["name"] == "Afterwards").await;
    load.finish_without_a_fault("postgres").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_dying_before_a_load_keeps_the_older_catalogue() {
    let mut postgres = private_server().await;
    let server = TestServer::on(postgres.database()).await;
    healthy(&server).await;
    let revision = server.get("/api/models").await.json()["revision"].as_u64().unwrap();
    let pool = postgres.database().pool().await;
    // Another session comes in between: it waits for the edit's lock and gets it before the server's load.
    let mut edit = pool.begin().await.unwrap();
    sqlx::raw_sql(
        "lock table chatchonk.models in access exclusive mode;
         update chatchonk.models set name = 'Announced' where id = 'openai/gpt-4o'",
    )
    .execute(&mut *edit)
    .await
    .unwrap();
    let mut intruder = pool.begin().await.unwrap();
    let intrusion = tokio::spawn(async move {
        sqlx::raw_sql("lock table chatchonk.models in access exclusive mode")
            .execute(&mut *intruder)
            .await
            .unwrap();
        intruder
    });
    let waits = "select count(*) from pg_locks where not granted";
    crate::support::server::eventually(async || {
        sqlx::query_scalar::<_, i64>(waits).fetch_one(&pool).await.unwrap() == 1
    })
    .await;
    let load = Load::on(&server);
    edit.commit().await.unwrap();
    let intruder = intrusion.await.unwrap();
    // The announcement has arrived once the catalogue counts as outdated.
    server.until("/api/health", |health| health.json()["catalogue"]["stale"] == true).await;
    postgres.stop_hard().await;
    drop(intruder);

    let (took, _) = degraded(&server).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    let list = server.get("/api/models").await;
    assert_eq!((list.status, list.json()["revision"].as_u64()), (200, Some(revision)));
    postgres.start().await;
    back_within_limit(&server).await;
    server.until("/api/models/openai/gpt-4o", |answer| answer.json()["name"] == "Announced").await;
    load.finish_without_a_fault("postgres").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_in_milliseconds_while_postgres_hangs() {
    let proxy = Proxy::to(&database().await.options()).await;
    let server = TestServer::with(&[("DATABASE_URL", &proxy.url())]).await;
    healthy(&server).await;
    proxy.hang();
    degraded(&server).await;
    let clock = Clock::system();
    let mut times = Vec::new();
    for _ in 0..100 {
        let begun = clock.now();
        assert_eq!(server.get("/api/health").await.status, 200);
        times.push(clock.now() - begun);
    }
    times.sort_unstable();
    // The median, since the machine has other load; over HTTP with an unoptimised server.
    assert!(times[50] < Duration::from_millis(50), "{times:?}");
    server.stop().await;
}
