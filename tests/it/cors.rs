//! Which pages may read answers.

use reqwest::Method;

use crate::support::postgres::database;
use crate::support::server::{Answer, TestServer};

const APP: &str = "https://app.example.com";
const EXPOSED: [&str; 4] = ["etag", "cache-status", "x-request-id", "retry-after"];

async fn server_for(origins: &str) -> TestServer {
    let url = database().await.url();
    let server = TestServer::with(&[("DATABASE_URL", &url), ("ALLOWED_ORIGINS", origins)]).await;
    server.until("/api/models", |answer| answer.json()["source"] == "postgres").await;
    server
}

fn words(answer: &Answer, header: &str) -> Vec<String> {
    let values = answer.headers.get_all(header).iter().map(|value| value.to_str().unwrap());
    values.flat_map(|value| value.split(',')).map(|word| word.trim().to_ascii_lowercase()).collect()
}

fn assert_no_permission(answer: &Answer, what: &str) {
    let granted = answer.headers.keys().find(|name| name.as_str() == "access-control-allow-origin");
    assert_eq!(granted, None, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_origin_may_read_all_answers_and_errors() {
    let server = server_for(&format!("{APP}, http://127.0.0.1:5173")).await;
    let too_long = format!("/api/models?q={}", "x".repeat(10_000));
    for origin in [APP, "http://127.0.0.1:5173"] {
        for (method, path, status) in [
            (Method::GET, "/api/models", 200),
            (Method::HEAD, "/api/models", 200),
            (Method::GET, "/api/health", 200),
            (Method::GET, "/v1/models/openai/gpt-6-astra", 200),
            (Method::GET, "/api/models?limit=0", 400),
            (Method::GET, "/api/models/nothing", 404),
            (Method::GET, "/nothing", 404),
            (Method::POST, "/api/models", 405),
            (Method::GET, &too_long, 414),
            (Method::GET, "/api/models/meta/llama-3.3-70b-instruct/cost", 422),
        ] {
            let answer = server.send(method, path, &[("origin", origin)]).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), origin, "{path}");
            assert!(words(&answer, "vary").contains(&"origin".to_owned()), "{path}");
            assert_eq!(answer.header("access-control-allow-credentials"), "", "{path}");
            let exposed = words(&answer, "access-control-expose-headers");
            for name in EXPOSED {
                assert!(exposed.contains(&name.to_owned()), "{path}: {exposed:?}");
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_allows_only_what_a_page_needs() {
    let server = server_for(APP).await;
    let ask = async |origin: &str, method: &str, headers: &str| {
        let mut sent = vec![("origin", origin), ("access-control-request-method", method)];
        if !headers.is_empty() {
            sent.push(("access-control-request-headers", headers));
        }
        server.send(Method::OPTIONS, "/api/models/openai/gpt-6-astra", &sent).await
    };
    for headers in ["", "if-none-match", "If-None-Match, X-Request-Id", "accept, content-type"] {
        for method in ["GET", "HEAD"] {
            let answer = ask(APP, method, headers).await;
            assert!([200, 204].contains(&answer.status), "{method} {headers}: {}", answer.status);
            assert_eq!(answer.header("access-control-allow-origin"), APP);
            assert!(words(&answer, "access-control-allow-methods").contains(&method.to_ascii_lowercase()));
            let allowed = words(&answer, "access-control-allow-headers");
            assert!(allowed.contains(&"if-none-match".to_owned()), "{allowed:?}");
            assert_eq!(answer.header("access-control-max-age"), "3600");
            assert!(answer.body.is_empty() && !answer.header("x-request-id").is_empty());
        }
    }
    for (origin, method, headers) in
        [("https://evil.example.com", "GET", ""), (APP, "DELETE", ""), (APP, "GET", "authorization")]
    {
        let answer = ask(origin, method, headers).await;
        answer.problem(400, "bad_request");
        assert!(!words(&answer, "access-control-allow-methods").contains(&"delete".to_owned()));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_origins_get_an_answer_but_no_permission() {
    let server = server_for(APP).await;
    for origin in [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com.evil.com",
        "https://app.example.com:8443",
        "https://sub.app.example.com",
        "https://APP.example.com",
        "null",
        "*",
        "",
    ] {
        for (path, status) in [("/api/models", 200), ("/api/nothing", 404)] {
            let answer = server.send(Method::GET, path, &[("origin", origin)]).await;
            assert_eq!(answer.status, status, "{origin}");
            assert_no_permission(&answer, origin);
            assert!(words(&answer, "vary").contains(&"origin".to_owned()), "{origin}");
        }
    }
    let without = server.get("/api/models").await;
    assert_no_permission(&without, "no origin");
    assert!(words(&without, "vary").contains(&"origin".to_owned()), "caches must not mix the variants");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_development_allows_the_local_frontend() {
    let url = database().await.url();
    for (environment, allowed) in [("development", true), ("production", false), ("preview", false)] {
        let server = TestServer::with(&[("DATABASE_URL", &url), ("ENVIRONMENT", environment)]).await;
        let origin = "http://localhost:3000";
        let answer = server.send(Method::GET, "/api/health/live", &[("origin", origin)]).await;
        assert_eq!(answer.status, 200);
        let granted = answer.header("access-control-allow-origin");
        assert_eq!(granted, if allowed { origin } else { "" }, "{environment}");
        server.stop().await;
    }
}
