//! Handwritten requests that no proper client would send.

use crate::support::postgres::database;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn invalid_utf_8_is_refused_in_query_and_path() {
    let server = TestServer::seeded(&database().await).await;
    for (target, code) in [
        ("/api/models?q=%ff", "bad_request"),
        ("/api/models?%ff=1", "bad_request"),
        ("/api/models?q=%ED%A0%80", "bad_request"),
        ("/api/providers?%c3%28", "bad_request"),
        ("/api/models/%ff", "invalid_path"),
        ("/api/models/openai/%C3%28", "invalid_path"),
        ("/api/models/openai/%ff/cost", "invalid_path"),
        ("/api/providers/%ff", "invalid_path"),
        ("/api/providers/%ff/models", "invalid_path"),
        ("/v1/models/%ed%a0%80", "invalid_path"),
    ] {
        server.send_raw("GET", target, "").await.problem(400, code);
    }
    // Not encoded at all: any layer may refuse it, and none may fail.
    for target in [&b"/api/models?q=\xff"[..], b"/api/models/\xff\xfe", b"/api/providers/\xc3\xa9", b"/\x80"]
    {
        let answer = server.send_raw("GET", target, "").await;
        assert!((400..500).contains(&answer.status), "{target:?}: {}", answer.status);
    }
    assert_eq!(server.get("/api/models").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_ids_are_not_found() {
    let server = TestServer::seeded(&database().await).await;
    for id in [
        "openai/gpt%00",
        "%00",
        "..",
        "../providers",
        "../../etc/passwd",
        "..%2F..%2Fetc%2Fpasswd",
        "openai/../openai/gpt-6-astra",
        "openai//gpt-6-astra",
        "/openai/gpt-6-astra",
        "openai/gpt-6-astra/",
        "openai%252Fgpt-6-astra",
        "openai/gpt-6-astra%20",
        "%F0%9F%98%80",
        "%3Cscript%3E",
        "'%20or%201=1--",
        "%25%25%25",
        "%",
        "%4",
        "{id}",
        "*",
    ] {
        for route in ["/api/models/", "/v1/models/"] {
            let answer = server.send_raw("GET", format!("{route}{id}"), "").await;
            answer.problem(404, "model_not_found");
        }
        let answer = server.send_raw("GET", format!("/api/providers/{id}"), "").await;
        assert!(["provider_not_found", "route_not_found"].contains(&answer.json()["code"].as_str().unwrap()));
        answer.problem(404, answer.json()["code"].as_str().unwrap());
    }
    let long = format!("/api/models/openai/{}", "x".repeat(4_000));
    let problem = server.send_raw("GET", long, "").await.problem(404, "model_not_found");
    assert!(problem.to_string().len() < 600, "an error repeats too much: {problem}");
    assert_eq!(server.get("/api/models/openai/gpt-6-astra").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_address_is_a_414() {
    let server = TestServer::seeded(&database().await).await;
    let of_length = |bytes: usize| format!("/api/models?q={}", "x".repeat(bytes - "/api/models?q=".len()));
    server.send_raw("GET", of_length(8 * 1024), "").await.refuses("invalid_parameter", "q");
    for target in [of_length(8 * 1024 + 1), of_length(10 * 1024), format!("/{}", "y".repeat(10 * 1024))] {
        server.send_raw("GET", target, "").await.problem(414, "uri_too_long");
    }
    let answer = server.send_raw("GET", format!("/api/health?{}", "z".repeat(10 * 1024)), "").await;
    answer.problem(414, "uri_too_long");
    // Beyond 64 KiB the HTTP library answers itself.
    assert!((400..500).contains(&server.send_raw("GET", of_length(200 * 1024), "").await.status));
    assert_eq!(server.get("/api/models").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_a_4xx_and_the_server_goes_on() {
    let server = TestServer::seeded(&database().await).await;
    for request in [
        &b"HELLO\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /api/models HTTP/9.9\r\n\r\n",
        b"GET /api/models HTTP/1.1\r\nNo colon here\r\n\r\n",
        b"GET /api/models HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET /api models HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ] {
        let answer = server.raw(request).await;
        let status = answer.split(' ').nth(1).unwrap_or("nothing");
        assert!(answer.is_empty() || status.starts_with('4'), "{request:?}: {answer:?}");
    }
    assert_eq!(server.get("/api/models").await.status, 200);
    server.stop().await;
}
