//! Rules for every route: HEAD, wrong methods, unknown addresses, request ids.

use serde_json::Value;

use crate::support::postgres::database;
use crate::support::server::{Answer, TestServer};

const ROUTES: [&str; 18] = [
    "/api/health",
    "/api/health/live",
    "/api/health/ready",
    "/api/automodel/health",
    "/api/modelswapper/health",
    "/api/status",
    "/",
    "/page/style.css",
    "/api/models",
    "/api/models?limit=3&facets=true",
    "/api/models/openrouter/openai/gpt-oss-120b:free",
    "/api/models/openai/gpt-6-astra/cost?input_tokens=1",
    "/api/providers",
    "/api/providers/openai",
    "/api/providers/openai/models",
    "/api/tasks",
    "/v1/models",
    "/v1/models/openai%2Fgpt-6-astra",
];

/// Error answers with a body.
const ERRORS: [&str; 7] = [
    "/api/models?limit=0",
    "/api/models/nothing",
    "/api/providers/unknown",
    "/api/nothing",
    "/page/nothing.js",
    "/v1/models/%ff",
    "/api/models/meta/llama-3.3-70b-instruct/cost",
];

/// Returns a header's list in alphabetical order, since the order of exposed headers differs between threads.
fn words<'a>(answer: &'a Answer, header: &str) -> Vec<&'a str> {
    let mut words: Vec<_> = answer.header(header).split(", ").filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_status_and_headers_of_get_and_no_body() {
    let server = TestServer::seeded(&database().await).await;
    for route in ROUTES.iter().chain(&ERRORS) {
        let id = "X-Request-Id: head-and-get\r\nOrigin: http://localhost:3000\r\n";
        let (get, head) = (server.send_raw("GET", route, id).await, server.send_raw("HEAD", route, id).await);
        assert_eq!(get.status, head.status, "{route}");
        assert!(head.body.is_empty(), "{route}: {}", String::from_utf8_lossy(&head.body));
        let length =
            |headers: &str| headers.parse::<usize>().unwrap_or_else(|_| panic!("{route}: no length"));
        assert_eq!(length(get.header("content-length")), get.body.len(), "{route}");
        for name in get.headers.keys().chain(head.headers.keys()) {
            let (of_get, of_head) = (words(&get, name.as_str()), words(&head, name.as_str()));
            // Headers with times differ between any two answers.
            let moves = ["date", "cache-status", "cache-control", "age"].contains(&name.as_str())
                || (route.ends_with("/health") && name == "content-length")
                || (*route == "/api/status" && ["content-length", "etag"].contains(&name.as_str()));
            assert!(
                of_get == of_head || (moves && !of_head.is_empty()),
                "{route}: {name}: {of_get:?} {of_head:?}"
            );
        }
        assert!(length(head.header("content-length")) > 0, "{route}");
    }
    // On a kept connection the next answer follows at once.
    let kept = "HEAD /api/models HTTP/1.1\r\nHost: x\r\n\r\nGET /api/health/live HTTP/1.1\r\nHost: x\r\n\
                Connection: close\r\n\r\n";
    let answers = server.raw(kept.as_bytes()).await;
    assert!(answers.contains("\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answers}");
    assert!(answers.ends_with(r#"{"status":"live"}"#), "{answers}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_a_405_that_names_the_right_ones() {
    let server = TestServer::seeded(&database().await).await;
    for route in ROUTES {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"] {
            let answer = server.send_raw(method, route, "Content-Length: 2\r\n\r\n{}").await;
            answer.problem(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), "GET, HEAD", "{method} {route}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_address_is_a_404_whatever_the_method() {
    let server = TestServer::seeded(&database().await).await;
    for path in [
        "/page/",
        "/page/../page/main.js",
        "/api",
        "/api/",
        "/api/model",
        "/api/Models",
        "/api/models/",
        "/api/models//",
        "//api/models",
        "/api/providers/",
        "/api/providers/openai/",
        "/api/providers/openai/model",
        "/api/providers//models",
        "/api/health/",
        "/api/health/lively",
        "/api/../api/models",
        "/v1/models/",
        "/v1",
        "/favicon.ico",
        "/.env",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/%00",
        "/%ff",
    ] {
        for method in ["GET", "POST"] {
            let answer = server.send_raw(method, path, "").await;
            // `/api/models//` names a model whose id is `/`.
            if path != "/api/models//" {
                let problem = answer.problem(404, "route_not_found");
                assert!(problem["detail"].as_str().unwrap().contains("/api/models"));
            } else if method == "GET" {
                answer.problem(404, "model_not_found");
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_a_request_id() {
    let server = TestServer::seeded(&database().await).await;
    let preflight = "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: GET\r\n";
    let too_long = format!("/{}", "x".repeat(10_000));
    for path in ROUTES.iter().chain(&ERRORS).chain([&too_long.as_str()]) {
        for (method, headers) in [("GET", ""), ("HEAD", ""), ("POST", ""), ("OPTIONS", preflight)] {
            let answer = server.send_raw(method, path, headers).await;
            assert_eq!(answer.header("x-request-id").len(), 36, "{method} {path}");
            let answer =
                server.send_raw(method, path, &format!("{headers}X-Request-Id: a.b_c:D-9\r\n")).await;
            assert_eq!(answer.header("x-request-id"), "a.b_c:D-9", "{method} {path}");
        }
    }
    for unsafe_id in ["", "a b", "a,b", "<script>", "a\"b", "\u{e9}", "a;b", "../x", &"x".repeat(65)] {
        let answer = server.send_raw("GET", "/api/tasks", &format!("X-Request-Id: {unsafe_id}\r\n")).await;
        let given = answer.header("x-request-id");
        assert!(given.len() == 36 && given.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()), "{given}");
    }
    let longest = "x".repeat(64);
    let answer = server.send_raw("GET", "/api/nothing", &format!("X-Request-Id: {longest}\r\n")).await;
    assert_eq!(answer.problem(404, "route_not_found")["request_id"], Value::String(longest));
    let new = server.get("/api/tasks").await;
    assert_ne!(new.header("x-request-id"), server.get("/api/tasks").await.header("x-request-id"));
    server.stop().await;
}
