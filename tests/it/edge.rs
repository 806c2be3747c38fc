//! The limits on what one client can cost the others.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::postgres::{TestDatabase, database};
use crate::support::server::{Answer, TestServer};

const LIST: &str = "/api/models?limit=1";

async fn limited(database: &TestDatabase, others: &[(&str, &str)]) -> TestServer {
    let url = database.url();
    let variables: Vec<_> = [("DATABASE_URL", url.as_str()), ("RATE_LIMIT", "5")]
        .into_iter()
        .chain(others.iter().copied())
        .collect();
    TestServer::with(&variables).await
}

async fn get_as(server: &TestServer, client: &str) -> Answer {
    server.send(reqwest::Method::GET, LIST, &[("CF-Connecting-IP", client)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limited_clients_get_retry_after_and_health_is_exempt() {
    let server = limited(&database().await, &[]).await;
    for _ in 0..5 {
        assert_eq!(server.get(LIST).await.status, 200);
    }
    for path in [LIST, "/v1/models", "/api/providers/openai", "/api/models/openai/health", "/nowhere/health"]
    {
        let refused = server.get(path).await;
        refused.problem(429, "rate_limited");
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=12).contains(&seconds), "{seconds}");
        assert_eq!(refused.header("ratelimit-policy"), "\"client\";q=5;w=60");
        assert_eq!(refused.header("ratelimit"), format!("\"client\";r=0;t={seconds}"));
        assert_eq!(refused.header("cache-control"), "no-store");
    }
    for path in [
        "/api/health",
        "/api/health/live",
        "/api/health/ready",
        "/api/automodel/health",
        "/api/modelswapper/health",
    ] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let page = [("Origin", "http://localhost:3000")];
    let refused = server.send(reqwest::Method::GET, LIST, &page).await;
    assert_eq!(refused.header("access-control-allow-origin"), "http://localhost:3000", "a page may read it");
    assert!(refused.header("access-control-expose-headers").contains("ratelimit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn renders_client_header_counts_only_behind_render() {
    let database = database().await;
    let origins = ("ALLOWED_ORIGINS", "https://app.example.com");
    let render = limited(&database, &[("RENDER", "true"), origins]).await;
    let direct = limited(&database, &[]).await;
    for _ in 0..5 {
        assert_eq!(get_as(&render, "198.51.100.1").await.status, 200);
        assert_eq!(get_as(&direct, "198.51.100.1").await.status, 200);
    }
    assert_eq!(get_as(&render, "198.51.100.1").await.status, 429);
    let other = get_as(&render, "198.51.100.2").await;
    assert_eq!((other.status, other.header("strict-transport-security")), (200, "max-age=31536000"));
    assert_eq!(get_as(&direct, "198.51.100.2").await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_security_headers() {
    let server = TestServer::seeded(&database().await).await;
    let etag = server.get(LIST).await.header("etag").to_owned();
    let unchanged = server.send(reqwest::Method::GET, LIST, &[("If-None-Match", &etag)]).await;
    assert_eq!(unchanged.status, 304);
    let mut answers = vec![unchanged];
    for path in [LIST, "/api/health", "/nowhere", "/api/models?limit=x"] {
        answers.push(server.get(path).await);
    }
    for answer in answers {
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        assert_eq!((answer.header("server"), answer.header("strict-transport-security")), ("", ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_refused_and_small_ones_discarded() {
    let server = TestServer::seeded(&database().await).await;
    let large = server.send_raw("GET", LIST, "Content-Length: 10000000\r\n").await;
    large.problem(413, "payload_too_large");
    let small = server.send_raw("GET", LIST, "Content-Length: 2\r\n\r\n{}").await;
    assert_eq!(small.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_is_discarded_up_to_the_limit() {
    let server = TestServer::seeded(&database().await).await;
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let small = server.send_raw("GET", LIST, &format!("{chunked}2\r\n{{}}\r\n0\r\n")).await;
    assert_eq!(small.status, 200);
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!("GET {LIST} HTTP/1.1\r\nHost: localhost\r\n{chunked}");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reads, mut writes) = stream.into_split();
    // Endless: it stops when the server takes no more.
    let chunk = [b"2000\r\n".as_slice(), &[b'a'; 0x2000], b"\r\n"].concat();
    let sent = tokio::spawn(async move {
        let mut sent = 0;
        while writes.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let mut answer = Vec::new();
    // The connection ends with a reset if the system still held unread bytes.
    let _ = reads.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 413") && answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with('}') && answer.contains("payload_too_large"), "{answer}");
    drop(reads);
    assert!(sent.await.unwrap() > 64 << 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_slow_clients_are_cut_off_and_delay_no_request() {
    let server = TestServer::seeded(&database().await).await;
    let address = server.address();
    let mut slow = JoinSet::new();
    for _ in 0..200 {
        slow.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut answer = Vec::new();
            let mut bytes = b"GET /api/models HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
                .iter()
                .chain([b'a'].iter().cycle());
            let mut pace = tokio::time::interval(Duration::from_millis(200));
            loop {
                tokio::select! {
                    _ = pace.tick() => {
                        if stream.write_all(&[*bytes.next().unwrap()]).await.is_err() {
                            break;
                        }
                    }
                    read = stream.read_buf(&mut answer) => {
                        if read.unwrap_or(0) == 0 {
                            break;
                        }
                    }
                }
            }
            answer
        });
    }
    for _ in 0..50 {
        assert_eq!(server.get(LIST).await.status, 200);
    }
    for answer in slow.join_all().await {
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}
