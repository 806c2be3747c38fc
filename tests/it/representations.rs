//! Each body is written once for all requests, and bodies take bounded memory.

use std::time::Duration;

use chatchonk::clock::Clock;
use reqwest::Method;
use serde_json::Value;
use time::macros::datetime;

use crate::changes::{MODEL, listening};
use crate::support::postgres::database;
use crate::support::proxy::Proxy;
use crate::support::scrape::Scrape;
use crate::support::server::TestServer;

/// The bound for all bodies of a small catalogue.
const BOUND: u64 = 16 << 20;

async fn kept(server: &TestServer) -> (u64, u64) {
    let health = server.current_health().await;
    let of = |name: &str| health["cache"]["detail"]["representations"][name].as_u64().unwrap();
    (of("entries"), of("bytes"))
}

#[tokio::test(flavor = "multi_thread")]
async fn equivalent_queries_share_one_body() {
    let server = listening(&database().await).await;
    for spellings in [
        vec![
            "/api/models",
            "/api/models?",
            "/api/models?sort=provider",
            "/api/models?enabled=true&facets=false&healthy_only=false&q=+&limit=",
            "/api/models?status=deprecated,active&status[]=preview",
        ],
        vec![
            "/api/models?capability=tools,vision&limit=5&fields=id,name",
            "/api/models?fields=name&limit=5&capability[]=vision&capability=tools&fields=id",
            "/api/models?limit=5&fields=name,id,name&%63apability=tools%2Cvision&sort=provider",
        ],
        vec!["/api/models?q=gpt-5&max_input_price=1.50", "/api/models?max_input_price=1.5&q=GPT%205"],
    ] {
        server.get(spellings[0]).await;
        let before = kept(&server).await;
        let mut tags = Vec::new();
        // Twice, since the second request finds a known address.
        for path in spellings.iter().chain(&spellings) {
            let answer = server.get(path).await;
            assert_eq!(answer.status, 200, "{path}");
            tags.push(answer.header("etag").to_owned());
        }
        tags.dedup();
        assert_eq!((tags.len(), kept(&server).await), (1, before), "{spellings:?}");
    }
    let all = server.get("/api/models").await;
    for other in [
        "/api/models?limit=5",
        "/api/models?sort=-provider",
        "/api/models?facets=true",
        "/api/models?fields=id",
    ] {
        assert_ne!(server.get(other).await.header("etag"), all.header("etag"), "{other}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_queries_stays_bounded_and_correct() {
    let server = listening(&database().await).await;
    let hot = ["/api/models", MODEL, "/api/providers", "/v1/models"];
    let mut tags = Vec::new();
    for path in hot {
        tags.push(server.get(path).await.header("etag").to_owned());
    }
    for n in 0..5_000 {
        let path = format!("/api/models?min_context={n}&limit=40");
        assert_eq!(server.send(Method::HEAD, &path, &[]).await.status, 200);
    }
    let (entries, bytes) = kept(&server).await;
    assert!(bytes < BOUND && (50..5_000).contains(&entries), "{entries} bodies of {bytes} bytes");
    for (path, tag) in hot.into_iter().zip(tags) {
        let answer = server.send(Method::GET, path, &[("if-none-match", &tag)]).await;
        assert_eq!(answer.status, 304, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_counts_as_one_read_with_its_cache_status() {
    let server = listening(&database().await).await;
    let counts = async || {
        let family = server.current_health().await["cache"]["detail"]["families"]["catalogue"].clone();
        ["reads", "memory"].map(|name| family[name].as_u64().unwrap())
    };
    server.get("/api/models").await;
    let before = counts().await;
    for (method, tags) in [(Method::GET, ""), (Method::GET, "*"), (Method::HEAD, ""), (Method::HEAD, "*")] {
        for path in crate::conditional::TAGGED {
            let answer = server.send(method.clone(), path, &[("if-none-match", tags)]).await;
            let way = answer.header("cache-status");
            let ttl =
                way.strip_prefix("chatchonk-memory; hit; ttl=").unwrap_or_else(|| panic!("{path}: {way}"));
            assert!(ttl.parse::<u64>().unwrap() <= 300, "{path}: {way}");
        }
    }
    let answered = 4 * crate::conditional::TAGGED.len() as u64;
    assert_eq!(counts().await, before.map(|count| count + answered));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_status_agrees_with_the_counters_in_an_outage() {
    let database = database().await;
    let proxy = Proxy::to(&database.options()).await;
    let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
    let server = TestServer::at(&[("DATABASE_URL", &proxy.url()), ("METRICS_PORT", "0")], clock).await;
    // Migrates and seeds the empty database.
    server.until("/api/models?limit=1", |page| page.json()["source"] == "postgres").await;
    let counts = async || {
        let scrape = Scrape::of(&server).await;
        ["memory", "stale", "origin", "kv", "error"].map(|outcome| {
            scrape.sum("chatchonk_cache_reads_total", &[("family", "catalogue"), ("outcome", outcome)])
        })
    };
    let ask = async |path: &str| {
        let before = counts().await;
        let way = server.get(path).await.header("cache-status").to_owned();
        let after = counts().await;
        let raised: Vec<_> = std::iter::zip(before, after).map(|(before, after)| after - before).collect();
        (way, raised)
    };
    // Twice, since the second request finds a known address.
    for path in ["/api/models", "/api/models", MODEL, MODEL] {
        let (way, raised) = ask(path).await;
        assert!(way.starts_with("chatchonk-memory; hit; ttl="), "{path}: {way}");
        assert_eq!(raised, [1.0, 0.0, 0.0, 0.0, 0.0], "{path}");
    }
    proxy.cut();
    hand.advance(Duration::from_mins(6));
    for path in ["/api/models", "/api/models", MODEL, MODEL] {
        let stale =
            ("chatchonk-memory; hit; detail=stale-if-error".to_owned(), vec![0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(ask(path).await, stale, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_stay_fresh_five_minutes_and_providers_an_hour() {
    let server = listening(&database().await).await;
    for path in crate::conditional::TAGGED {
        let window =
            if path.starts_with("/api/providers") && !path.ends_with("/models") { 3_570 } else { 270 };
        assert_eq!(
            server.get(path).await.header("cache-control"),
            format!("public, max-age=30, stale-while-revalidate={window}, stale-if-error=86400"),
            "{path}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_must_be_revalidated_at_once() {
    // Port 1 refuses connections, so only the builtin catalogue exists.
    let server = TestServer::with(&[("DATABASE_URL", "postgres://absent@127.0.0.1:1/none")]).await;
    for path in crate::conditional::TAGGED {
        let answer = server.get(path).await;
        assert_eq!(answer.header("cache-control"), "public, max-age=0, stale-if-error=86400", "{path}");
        assert_eq!(answer.header("cache-status"), "chatchonk-memory; hit; detail=stale-if-error", "{path}");
        let held = server.send(Method::GET, path, &[("if-none-match", answer.header("etag"))]).await;
        assert_eq!(
            (held.status, held.header("cache-control")),
            (304, answer.header("cache-control")),
            "{path}"
        );
    }
    let health = server.current_health().await;
    let family: &Value = &health["cache"]["detail"]["families"]["catalogue"];
    assert_eq!(family["stale"], 2 * crate::conditional::TAGGED.len());
    server.stop().await;
}
