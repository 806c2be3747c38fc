//! `/metrics`: its figures, its access rules, and its bounded size.
#![expect(clippy::float_cmp, reason = "counts are integers")]

mod documents;
mod figures;

use reqwest::Method;

use crate::support::postgres::database;
use crate::support::scrape::Scrape;
use crate::support::server::{TestServer, client};

/// Port 1 refuses connections, so the builtin catalogue is served at once.
const NO_DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://absent@127.0.0.1:1/none");
const TOKEN: &str = "correct-horse-battery";

async fn with_port() -> TestServer {
    TestServer::with(&[NO_DATABASE, ("METRICS_PORT", "0")]).await
}

fn answers<'l>(method: &'l str, route: &'l str, status: &'l str) -> [(&'l str, &'l str); 3] {
    [("method", method), ("route", route), ("status", status)]
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_method_route_and_status() {
    let server = TestServer::with(&[("DATABASE_URL", &database().await.url()), ("METRICS_PORT", "0")]).await;
    for (method, path, times) in [
        (Method::GET, "/api/models", 3),
        (Method::HEAD, "/api/models", 1),
        (Method::POST, "/api/models", 2),
        (Method::GET, "/api/models/openai/gpt-4o", 4),
        (Method::GET, "/api/models/unknown/nothing", 5),
        (Method::GET, "/api/nothing", 6),
        (Method::from_bytes(b"BREW").unwrap(), "/api/tasks", 1),
    ] {
        for _ in 0..times {
            server.send(method.clone(), path, &[]).await;
        }
    }
    let tag = server.get("/api/tasks").await.header("etag").to_owned();
    server.send(Method::GET, "/api/tasks", &[("if-none-match", &tag)]).await;
    let scrape = Scrape::of(&server).await;
    let item = "/api/models/{id}";
    for (labels, times) in [
        (answers("GET", "/api/models", "2xx"), 3.0),
        (answers("HEAD", "/api/models", "2xx"), 1.0),
        (answers("other", "/api/models", "4xx"), 2.0),
        (answers("GET", item, "2xx"), 4.0),
        (answers("GET", item, "4xx"), 5.0),
        (answers("GET", "unmatched", "4xx"), 6.0),
        (answers("other", "/api/tasks", "4xx"), 1.0),
        (answers("GET", "/api/tasks", "2xx"), 1.0),
        (answers("GET", "/api/tasks", "3xx"), 1.0),
    ] {
        assert_eq!(scrape.value("chatchonk_http_requests_total", &labels), times, "{labels:?}");
    }
    for route in ["/api/models", item, "/api/tasks", "unmatched"] {
        let faults = answers("GET", route, "5xx");
        assert_eq!(
            scrape.value("chatchonk_http_requests_total", &faults),
            0.0,
            "{route}: there from the start"
        );
    }
    assert_eq!(scrape.sum("chatchonk_http_requests_total", &[]), 24.0);
    let took = |suffix, labels: &[_]| {
        scrape.sum(&format!("chatchonk_http_request_duration_seconds{suffix}"), labels)
    };
    assert_eq!(took("_count", &[("route", item)]), 9.0);
    assert_eq!(took("_bucket", &[("route", item), ("le", "+Inf")]), 9.0);
    assert!(took("_sum", &[("route", item)]) > 0.0);
    assert_eq!(took("_count", &[]), 24.0);
    assert_eq!(scrape.value("chatchonk_http_requests_in_flight", &[]), 0.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cost_and_models_of_a_provider_have_their_own_labels() {
    let server = TestServer::with(&[("DATABASE_URL", &database().await.url()), ("METRICS_PORT", "0")]).await;
    for (path, route) in [
        ("/api/models/openai%2Fgpt-4o/cost?input_tokens=1", "/api/models/{id}/cost"),
        ("/api/models/openai/gpt-4o", "/api/models/{id}"),
        ("/api/providers/openai/models", "/api/providers/{id}/models"),
        ("/api/providers/openai", "/api/providers/{id}"),
        ("/v1/models/openai/gpt-4o", "/v1/models/{id}"),
    ] {
        // The second answer skips routing.
        for _ in 0..2 {
            assert_eq!(server.get(path).await.status, 200, "{path}");
        }
        let scrape = Scrape::of(&server).await;
        assert_eq!(
            scrape.value("chatchonk_http_requests_total", &answers("GET", route, "2xx")),
            2.0,
            "{route}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_paths_methods_and_hosts_adds_no_series() {
    let server = with_port().await;
    let ask = async |n: usize| {
        let method = Method::from_bytes(format!("BREW{n}").as_bytes()).unwrap();
        server.send(method, &format!("/{n}/x"), &[]).await;
        server.get(&format!("/api/models?limit=1&q={n}")).await;
        server.get(&format!("/api/models/openai/{n}")).await;
        server.get(&format!("/api/providers/{n}")).await;
        server
            .send(Method::GET, "/api/tasks", &[("user-agent", &n.to_string()), ("host", &n.to_string())])
            .await;
    };
    ask(0).await;
    let before = Scrape::of(&server).await;
    for n in 1..200 {
        ask(n).await;
    }
    let after = Scrape::of(&server).await;
    assert_eq!(after.series(), before.series());
    assert_eq!(after.sum("chatchonk_http_requests_total", &[]), 1_000.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_request_is_in_flight_until_abandoned() {
    // The database hangs, so lists wait until the source is decided.
    let proxy = crate::support::proxy::Proxy::to(&database().await.options()).await;
    proxy.hang();
    let server = TestServer::with(&[("DATABASE_URL", &proxy.url()), ("METRICS_PORT", "0")]).await;
    let waiting = tokio::spawn(client().get(format!("http://{}/api/models", server.address())).send());
    let in_flight = async || Scrape::of(&server).await.value("chatchonk_http_requests_in_flight", &[]);
    crate::support::server::eventually(async || in_flight().await >= 1.0).await;
    waiting.abort();
    crate::support::server::eventually(async || in_flight().await == 0.0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_route_is_absent_without_settings() {
    let server = TestServer::with(&[NO_DATABASE]).await;
    let answer = server.send(Method::GET, "/metrics", &[("authorization", "Bearer x")]).await;
    assert_eq!((answer.status, &answer.json()["code"]), (404, &"route_not_found".into()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_port_requires_the_token() {
    let server = TestServer::with(&[NO_DATABASE, ("METRICS_TOKEN", TOKEN)]).await;
    for (name, value) in [
        ("accept", "*/*".to_owned()),
        ("authorization", format!("Bearer {TOKEN}x")),
        ("authorization", format!("Bearer {}", &TOKEN[1..])),
        ("authorization", format!("Basic {TOKEN}")),
        ("authorization", TOKEN.to_owned()),
        ("x-api-key", TOKEN.to_owned()),
    ] {
        let answer = server.send(Method::GET, "/metrics", &[(name, &value)]).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &"unauthorized".into()), "{name}: {value}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"metrics\"");
        assert!(!String::from_utf8_lossy(&answer.body).contains(TOKEN));
    }
    assert_eq!(server.get(&format!("/metrics?token={TOKEN}")).await.status, 401);
    let authorization = format!("Bearer {TOKEN}");
    let answer = server.send(Method::GET, "/metrics", &[("authorization", &authorization)]).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    let scrape = Scrape::parse(std::str::from_utf8(&answer.body).unwrap());
    assert_eq!(scrape.value("chatchonk_http_requests_total", &answers("GET", "/metrics", "4xx")), 7.0);
    assert_eq!(scrape.value("chatchonk_http_requests_in_flight", &[]), 1.0, "the scrape itself");
    assert_eq!(server.send(Method::POST, "/metrics", &[]).await.status, 405);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_separate_port_demands_the_token_too() {
    let server = TestServer::with(&[NO_DATABASE, ("METRICS_PORT", "0"), ("METRICS_TOKEN", TOKEN)]).await;
    let url = format!("http://{}/metrics", server.metrics_address());
    let wrong = format!("{}y", &TOKEN[1..]);
    for authorization in [None, Some(format!("Bearer {wrong}")), Some(format!("Basic {TOKEN}"))] {
        let request = client().get(&url);
        let request = match &authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 401, "{authorization:?}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"metrics\"");
        assert!(answer.headers().contains_key("x-request-id"));
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "unauthorized");
    }
    assert_eq!(server.get("/metrics").await.status, 401);
    let answer = client().get(&url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let scrape = Scrape::parse(&answer.text().await.unwrap());
    assert_eq!(scrape.value("chatchonk_metrics_refused_total", &[]), 4.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_port_serves_only_metrics() {
    let server = with_port().await;
    assert_eq!(server.get("/metrics").await.status, 404);
    let at = server.metrics_address();
    assert_ne!(at, server.address());
    let status =
        async |path| client().get(format!("http://{at}{path}")).send().await.unwrap().status().as_u16();
    assert_eq!((status("/metrics").await, status("/api/models").await, status("/").await), (200, 404, 404));
    server.stop().await;
    assert!(client().get(format!("http://{at}/metrics")).send().await.is_err(), "the port is closed");
}
