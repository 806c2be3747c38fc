//! `/api/status`: the server's history of the last hour.

use std::time::Duration;

use chatchonk::clock::Clock;
use chatchonk::domain::provider::ProviderStatus;
use reqwest::Method;
use serde_json::{Value, json};
use time::macros::datetime;

use crate::support::kv::fake::{FakeKv, Fault};
use crate::support::kv::{is_enabled, start};
use crate::support::postgres::database;
use crate::support::proxy::Proxy;
use crate::support::server::{Answer, TestServer, eventually};

const STATUS: &str = "/api/status";

/// The changes of a part, oldest first: from, to and reason.
fn changes(status: &Answer, part: &str) -> Vec<[Value; 3]> {
    let status = status.json();
    let of_part = status["changes"].as_array().unwrap().iter().rev().filter(|change| change["part"] == part);
    of_part.map(|change| ["from", "to", "reason"].map(|member| change[member].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn state_changes_are_kept_with_their_reasons() {
    let (proxy, kv) = (Proxy::to(&database().await.options()).await, FakeKv::start(Clock::system()).unwrap());
    proxy.cut();
    let server = start(&proxy.url(), &kv).await;
    server.until("/api/health", is_enabled).await;
    // The database's catalogue waits to be written to KV, which reveals the fault.
    kv.fail_always(None, Fault::Page(503));
    proxy.restore();
    server.until(STATUS, |status| !changes(status, "cloudflare_kv").is_empty()).await;
    kv.heal();
    server.until(STATUS, |status| changes(status, "cloudflare_kv").len() == 2).await;
    proxy.cut();
    server.until(STATUS, |status| changes(status, "database").len() == 3).await;
    for (status, count) in [(ProviderStatus::Down, 1), (ProviderStatus::Healthy, 2)] {
        server.set_providers(&[("openai", status)]);
        server.until(STATUS, |status| changes(status, "provider").len() == count).await;
    }

    let status = server.get(STATUS).await;
    let away = json!("the database cannot be reached");
    let expected = [[json!(null), json!("down"), away.clone()], [json!("down"), json!("up"), json!(null)]];
    let database = changes(&status, "database");
    assert_eq!(database[..2], expected);
    assert_eq!(database[2], [json!("up"), json!("down"), away]);
    let of_kv = changes(&status, "cloudflare_kv");
    assert_eq!(of_kv[0][..2], [json!("enabled"), json!("unavailable")]);
    assert!(of_kv[0][2].as_str().is_some_and(|reason| reason.contains("Cloudflare")), "{of_kv:?}");
    assert_eq!(of_kv[1], [json!("unavailable"), json!("enabled"), json!(null)]);
    let catalogue = changes(&status, "catalogue");
    assert_eq!(catalogue.last().unwrap()[..2], [json!("builtin"), json!("postgres")]);
    let provider = changes(&status, "provider");
    assert_eq!(provider[0][..2], [json!(null), json!("down")]);
    assert_eq!(provider[1][..2], [json!("down"), json!("healthy")]);
    assert_eq!(status.json()["changes"][0]["provider"], "openai");

    // The answer is public.
    let text = String::from_utf8(status.body).unwrap();
    for (name, secret) in kv.variables() {
        assert!(!text.contains(&secret), "{name}");
    }
    assert!(!text.contains("127.0.0.1") && !text.contains("postgres://"), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_count_reads_for_an_hour_and_revalidate() {
    let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
    let server = TestServer::at(&[("DATABASE_URL", "postgres://absent@127.0.0.1:1/none")], clock).await;
    for _ in 0..7 {
        server.get("/api/models?limit=1").await;
    }
    let empty = server.get(STATUS).await;
    assert_eq!((empty.status, empty.header("cache-control")), (200, "no-cache"));
    assert_eq!(empty.json()["interval_seconds"], 10);
    let held = server.send(Method::GET, STATUS, &[("if-none-match", empty.header("etag"))]).await;
    assert_eq!((held.status, held.body.len()), (304, 0));

    let mut moods = [ProviderStatus::Down, ProviderStatus::Healthy].into_iter().cycle();
    let mut step = async || {
        server.set_providers(&[("openai", moods.next().unwrap())]);
        hand.advance(Duration::from_secs(10));
        server.get(STATUS).await.json()
    };
    let mut first = Value::Null;
    eventually(async || {
        first = step().await["samples"][0].clone();
        !first.is_null()
    })
    .await;
    assert_eq!(
        (&first["reads"], &first["memory_hits"], &first["other_hits"]),
        (&json!(7), &json!(0), &json!(7))
    );
    assert_eq!((&first["database_ms"], &first["kv_ms"]), (&json!(null), &json!(null)));
    let (mut status, mut steps) = (Value::Null, 0);
    while status["samples"][0]["at"].as_str() <= first["at"].as_str() {
        status = step().await;
        steps += 1;
        assert!(steps < 1_000, "old changes are never dropped");
    }
    assert_eq!(status["samples"].as_array().unwrap().len(), 360);
    assert_eq!(status["changes"].as_array().unwrap().len(), 50);
    assert_eq!(status["since"], "2026-11-22T12:00:00Z");
    let full = server.send(Method::GET, STATUS, &[("if-none-match", empty.header("etag"))]).await;
    assert_eq!(full.status, 200);
    server.stop().await;
}
