//! Entity tags, `If-None-Match` and 304.

use std::collections::HashMap;

use chatchonk::domain::provider::ProviderStatus;
use reqwest::Method;

use crate::changes::{MODEL, listening};
use crate::support::postgres::{database, run};
use crate::support::server::{Answer, TestServer};

/// Every route whose answers carry an entity tag.
pub(crate) const TAGGED: [&str; 11] = [
    "/api/models",
    "/api/models?limit=3&facets=true",
    "/api/models?q=no+such+model",
    "/api/models/openai/gpt-4o",
    "/api/models/openai/gpt-6-astra/cost?input_tokens=1",
    "/api/providers",
    "/api/providers/openai",
    "/api/providers/openai/models",
    "/api/tasks",
    "/v1/models",
    "/v1/models/openai/gpt-6-astra",
];
pub(crate) const CODINGS: [&str; 3] = ["identity", "gzip", "br"];
const ORIGIN: (&str, &str) = ("origin", "http://localhost:3000");

async fn request(server: &TestServer, path: &str, coding: &str, tags: &str) -> Answer {
    server.send(Method::GET, path, &[("accept-encoding", coding), ("if-none-match", tags), ORIGIN]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_matching_tag_gets_a_304_without_a_body() {
    let server = TestServer::seeded(&database().await).await;
    for path in TAGGED {
        for coding in CODINGS {
            let whole = request(&server, path, coding, "\"none\"").await;
            let tag = whole.header("etag").to_owned();
            assert_eq!((whole.status, tag.len()), (200, 34), "{path}");
            assert!(tag.starts_with('"') && tag.ends_with('"'), "{path}: not a strong tag: {tag}");
            for tags in [&tag, &format!("W/{tag}"), &format!("\"a,b\", W/\"c\",{tag}, \"d\""), "*"] {
                let held = request(&server, path, coding, tags).await;
                assert_eq!((held.status, held.body.len()), (304, 0), "{path} {tags}");
                for name in ["etag", "cache-control", "vary", "access-control-allow-origin"] {
                    assert_eq!(held.header(name), whole.header(name), "{path} {name}");
                    assert!(!held.header(name).is_empty(), "{path} {name}");
                }
                for name in ["cache-status", "x-request-id", "access-control-expose-headers", "date"] {
                    assert!(!held.header(name).is_empty(), "{path} {name}");
                }
                for name in ["content-type", "content-encoding"] {
                    assert_eq!(held.header(name), "", "{path} {name}");
                }
            }
            for other in
                [tag.trim_matches('"'), &tag.replace('"', "'"), &tag[..33], "\"", "W/*", "\"\", x, *"]
            {
                assert_eq!(request(&server, path, coding, other).await.status, 200, "{path} {other}");
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_has_no_body_on_the_wire() {
    let server = TestServer::seeded(&database().await).await;
    for method in ["GET", "HEAD"] {
        for path in ["/api/models", MODEL, "/v1/models"] {
            let both = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\nAccept-Encoding: br\r\n\r\n\
                 GET /api/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            );
            let answers = server.raw(both.as_bytes()).await;
            assert!(answers.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{answers}");
            let (head, next) = answers.split_once("\r\n\r\n").unwrap();
            assert!(next.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            assert!(length.is_none_or(|length| length != "0"), "a 304 must not claim an empty body: {head}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_if_none_match_lines_are_one_list() {
    let server = TestServer::seeded(&database().await).await;
    let tag = server.get(MODEL).await.header("etag").to_owned();
    let lines = |tag: &str| format!("If-None-Match: \"a\"\r\nIf-None-Match: {tag}\r\n");
    assert_eq!(server.send_raw("GET", MODEL, &lines(&tag)).await.status, 304);
    assert_eq!(server.send_raw("GET", MODEL, &lines("\"b\"")).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_headers_of_get_and_its_conditions() {
    let server = TestServer::seeded(&database().await).await;
    for path in TAGGED {
        for coding in CODINGS {
            for tags in ["\"none\"", "*"] {
                let headers =
                    [("accept-encoding", coding), ("if-none-match", tags), ("x-request-id", "same")];
                let get = server.send(Method::GET, path, &headers).await;
                let head = server.send(Method::HEAD, path, &headers).await;
                assert_eq!((get.status, head.body.len()), (head.status, 0), "{path}");
                for name in ["etag", "content-length", "content-type", "content-encoding", "vary"] {
                    assert_eq!(get.header(name), head.header(name), "{path} {name}");
                }
                assert!(!head.header("cache-control").is_empty() && !head.header("cache-status").is_empty());
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_equal_exactly_when_the_bytes_are() {
    let server = TestServer::seeded(&database().await).await;
    let mut tags: HashMap<String, Vec<u8>> = HashMap::new();
    let mut seen: HashMap<Vec<u8>, String> = HashMap::new();
    let limits: Vec<_> = (1..=20).map(|limit| format!("/api/models?limit={limit}")).collect();
    for path in TAGGED.into_iter().chain(limits.iter().map(String::as_str)) {
        for coding in CODINGS {
            let answer = request(&server, path, coding, "\"none\"").await;
            let tag = answer.header("etag").to_owned();
            let known = tags.entry(tag.clone()).or_insert_with(|| answer.body.clone());
            assert_eq!(*known, answer.body, "{path} {coding}");
            assert_eq!(*seen.entry(answer.body).or_insert_with(|| tag.clone()), tag, "{path} {coding}");
        }
    }
    assert!(tags.len() > 60, "only {} tags", tags.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sql_edit_changes_the_tags_of_what_it_touches() {
    let database = database().await;
    let server = listening(&database).await;
    let pool = database.pool().await;
    let other = "/api/models/openai/gpt-4o-mini";
    let mut before = HashMap::new();
    for path in ["/api/models", MODEL, other] {
        for coding in CODINGS {
            before.insert(
                (path, coding),
                request(&server, path, coding, "\"none\"").await.header("etag").to_owned(),
            );
        }
    }
    run(&pool, "update chatchonk.models set name = 'Renamed' where id = 'openai/gpt-4o'").await;
    server.until(MODEL, |answer| answer.json()["name"] == "Renamed").await;
    for ((path, coding), tag) in before {
        let answer = request(&server, path, coding, &tag).await;
        // The unchanged item is the same, byte for byte.
        assert_eq!(answer.status, if path == other { 304 } else { 200 }, "{path} {coding}");
        assert_eq!(answer.header("etag") == tag, path == other, "{path} {coding}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_provider_status_shows_at_once_in_bodies_and_tags() {
    let server = listening(&database().await).await;
    let healthy = "/api/models?healthy_only=true&limit=1";
    let paths = ["/api/models", MODEL, "/api/providers", "/api/providers/openai", healthy];
    let mut before = Vec::new();
    for path in paths {
        before.push(request(&server, path, "br", "\"none\"").await);
    }
    server.set_providers(&[("openai", ProviderStatus::Down)]);
    for (path, before) in paths.into_iter().zip(before) {
        let after = request(&server, path, "br", before.header("etag")).await;
        assert_eq!((before.status, after.status), (200, 200), "{path}");
        assert_ne!(before.header("etag"), after.header("etag"), "{path}");
        assert!(before.header("cache-control").contains("stale-while-revalidate"), "{path}");
        assert_eq!(after.header("cache-control"), "public, max-age=30", "{path}");
    }
    let total = async |path: &str| server.get(path).await.json()["total"].as_u64().unwrap();
    assert_eq!(total(healthy).await + total("/api/models?provider=openai").await, total("/api/models").await);
    assert_eq!(server.get(MODEL).await.json()["provider_status"], "down");
    // Answers without provider statuses keep their lifetime.
    for path in ["/v1/models", "/api/tasks", "/api/models?fields=id"] {
        assert!(
            server.get(path).await.header("cache-control").contains("stale-while-revalidate=270"),
            "{path}"
        );
    }
    server.set_providers(&[]);
    assert_eq!(total(healthy).await, total("/api/models").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_no_tag_and_no_304() {
    let server = TestServer::seeded(&database().await).await;
    for path in ["/api/models?limit=0", "/api/models/nothing", "/api/nothing", "/v1/models/nothing"] {
        let answer = request(&server, path, "br, gzip", "*").await;
        assert!((400..500).contains(&answer.status), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        for name in ["etag", "cache-status", "content-encoding"] {
            assert_eq!(answer.header(name), "", "{path} {name}");
        }
    }
    server.stop().await;
}
