//! `check --url`: what it reads of a running server, and its messages about anything else.

use std::net::SocketAddr;

use chatchonk::clock::Clock;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::kv::fake::{Call, FakeKv, Fault};
use crate::support::postgres::database;
use crate::support::process::{run_elsewhere, text};
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;

/// Runs `check --url` in an environment that no server could start with, since the command ignores it.
async fn check(url: impl Into<String>) -> (Option<i32>, String, String) {
    let output = run_elsewhere(&["check", "--url", &url.into()]).await;
    let (printed, log) = text(&output);
    (output.status.code(), printed, log)
}

async fn check_address(address: SocketAddr) -> (Option<i32>, String, String) {
    check(format!("http://{address}")).await
}

/// Answers every request with these bytes while the test runs.
async fn stub(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let (listener, answer) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), answer.into());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    address
}

fn http(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// A server of another release: health and readiness answer with this, and its `status` is an unknown word.
pub(super) async fn other_release(health: &Value) -> SocketAddr {
    stub(http("200 OK", "application/json", &health.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_server_has_no_fault() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let server = TestServer::with_kv(&database.url(), &kv).await;
    server
        .until("/api/health", |answer| {
            let health = answer.json();
            health["status"] == "healthy"
                && health["cache"]["cloudflare_kv"] == "enabled"
                && health["cache"]["detail"]["listener"]["listening"] == true
                && health["cache"]["detail"]["kv"]["budget"]["writes"]["used"] == 1
        })
        .await;
    let (code, printed, log) = check_address(server.address()).await;
    assert_eq!((code, log.as_str()), (Some(0), ""), "{printed}");
    for line in [
        &format!("✓ server: chatchonk {} ({})", env!("CARGO_PKG_VERSION"), chatchonk::COMMIT),
        "development, up for 0 h ",
        " min: healthy\n",
        "✓ readiness: ready",
        "✓ database: postgres, answers in ",
        "✓ catalogue: 118 models of 12 providers, from ",
        "✓ cloudflare kv: enabled",
        " of 90000 reads by this server, 1 of 900 writes, 0 of 900 deletes used; it resets at 20",
        "✓ listener: hears the database's announcements",
    ] {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_server_come_with_remedies_and_exit_code_1() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    kv.fail_always(None, Fault::forbidden());
    let proxy = Proxy::to(&database.options()).await;
    proxy.cut();
    let server = TestServer::with_kv(&proxy.url(), &kv).await;
    server
        .until("/api/health", |answer| {
            let health = answer.json();
            health["status"] == "degraded" && health["cache"]["cloudflare_kv"] == "unavailable"
        })
        .await;
    let (code, printed, _) = check_address(server.address()).await;
    assert_eq!(code, Some(1), "{printed}");
    for line in [
        "degraded\n    → see the other lines",
        "✗ database: the database cannot be reached\n    → check host and port of DATABASE_URL",
        "✗ catalogue: 118 models of 12 providers, from builtin, revision 0, stale\n    → see the line on the database",
        "✗ cloudflare kv: 403 Forbidden: the API token does not open Workers KV\n    → give the token",
        "– listener: hears no announcements",
    ] {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starting_server_is_unready() {
    let database = database().await;
    let proxy = Proxy::to(&database.options()).await;
    proxy.hang();
    let server =
        TestServer::on(&crate::support::postgres::TestDatabase::at(proxy.url().parse().unwrap())).await;
    let (code, printed, _) = check_address(server.address()).await;
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed.contains("unhealthy\n") && printed.contains("✗ readiness: starting\n    → try again"),
        "{printed}"
    );
    proxy.restore();
    server.stop().await;
}

#[tokio::test]
async fn partly_configured_kv_and_skipped_rows_are_faults() {
    let mut health = json!({
        "service": "chatchonk-api", "status": "healthy",
        "catalogue": { "source": "postgres", "models": 3, "skipped": 2, "details_ignored": 3 },
        "cache": {
            "cloudflare_kv": "not_configured",
            "detail": { "kv": { "reason": "KV not configured: A is missing", "remedy": "set it" } },
        },
    });
    let (code, printed, _) = check_address(other_release(&health).await).await;
    assert_eq!(code, Some(1));
    assert!(printed.contains("✗ cloudflare kv: KV not configured: A is missing\n    → set it"), "{printed}");
    assert!(printed.contains(
        "✗ catalogue: 3 models of 0 providers, from postgres, revision 0; 2 rows left out; 3 details ignored"
    ));

    health["cache"]["detail"]["kv"] = json!({ "reason": null });
    let (_, printed, _) = check_address(other_release(&health).await).await;
    assert!(printed.contains("– cloudflare kv: KV not configured, memory only"), "{printed}");
}

#[tokio::test]
async fn fields_unknown_to_another_release_are_left_out() {
    let bare = json!({ "service": "chatchonk-api", "status": "healthy" });
    let (_, printed, log) = check_address(other_release(&bare).await).await;
    assert_eq!(log, "");
    for subject in ["database:", "catalogue:", "kv:", "budget:", "listener:"] {
        assert!(!printed.contains(subject), "{subject} is in {printed}");
    }
    let kind = |used: u64| json!({ "used": used, "limit": 900, "resets_at": "2026-11-23T00:00:00Z" });
    let newer = json!({
        "service": "chatchonk-api", "status": "healthy", "unheard_of": [1],
        "cache": { "cloudflare_kv": "enabled", "detail": { "kv": {
            "budget": { "reads": kind(1), "writes": kind(12), "deletes": { "used": null, "limit": 900 } },
            "skipped": { "budget": 1 },
        } } },
    });
    let (_, printed, _) = check_address(other_release(&newer).await).await;
    let budget = "✓ budget: today 1 of 900 reads by this server, 12 of 900 writes used; it resets at 2026-11-23T00:00:00Z";
    assert!(printed.contains(budget), "{printed}");
}

#[tokio::test]
async fn control_characters_never_reach_the_terminal() {
    let health =
        json!({ "service": "chatchonk-api", "version": "1\u{1b}[2J\u{9b}\r\nx", "status": "healthy" });
    let (_, printed, _) = check_address(other_release(&health).await).await;
    assert!(printed.contains("chatchonk 1[2Jx"), "{printed:?}");
    assert!(printed.chars().all(|c| c == '\n' || !c.is_control()), "{printed:?}");
}

/// Asserts that both commands that read a server fail with the same single line.
async fn refused(url: &str, begin: &str, parts: &[&str]) {
    for command in [&["check", "--url", url], &["cache", "stats", "--url", url] as &[&str]] {
        let output = run_elsewhere(command).await;
        let (printed, log) = text(&output);
        assert_eq!((output.status.code(), printed.as_str()), (Some(1), ""), "{log}");
        assert!(log.starts_with(&format!("chatchonk: {begin}")), "expected {begin} at the start: {log}");
        assert_eq!(log.trim_end().lines().count(), 1, "{log}");
        for part in parts {
            assert!(log.contains(part), "{part} is not in {log}");
        }
        assert!(!log.contains("hunter2"), "{log}");
    }
}

#[tokio::test]
async fn an_invalid_address_is_one_line_without_the_address() {
    for url in [
        "hunter2",
        "localhost:8080",
        "ftp://hunter2.example",
        "https://someone:hunter2@api.example.com",
        "https://api.example.com/?token=hunter2",
        "",
    ] {
        refused(url, "--url: expected the address of a running server, such as https://", &[]).await;
    }
}

#[tokio::test]
async fn an_absent_server_is_one_line_with_a_remedy() {
    // Port 1 refuses connections.
    let parts = ["onnection refused", "; check host and port"];
    refused("http://127.0.0.1:1", "http://127.0.0.1:1 cannot be reached (", &parts).await;
}

#[tokio::test]
async fn https_to_an_http_server_is_a_tls_fault() {
    let address = stub(http("400 Bad Request", "text/plain", "")).await;
    let parts = ["; check the server's certificate", "http://"];
    refused(&format!("https://{address}"), &format!("TLS with https://{address} failed ("), &parts).await;
}

#[tokio::test]
async fn another_service_is_one_line_that_describes_it() {
    for (status, kind, body) in [
        ("200 OK", "text/html", "<html>hunter2</html>"),
        ("404 Not Found", "application/json", r#"{"error":"hunter2"}"#),
        ("200 OK", "application/json", r#"{"service":"another"}"#),
        ("200 OK", "application/json", r#"{"service":"chatchonk-api""#),
        ("200 OK", "application/json", "[]"),
    ] {
        let address = stub(http(status, kind, body)).await;
        let found = format!("(status {}, {kind}); give the address of ChatChonk's own", &status[..3]);
        let begin = format!("http://{address} does not answer as ChatChonk does ");
        refused(&format!("http://{address}"), &begin, &[&found]).await;
    }
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let target = FakeKv::start(Clock::system()).unwrap();
    let location =
        format!("HTTP/1.1 301 Moved\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.base_url());
    let address = stub(location).await;
    let begin = format!("http://{address} redirects (status 301); give the address");
    refused(&format!("http://{address}/below/a/path/"), &begin, &[]).await;
    assert_eq!(target.calls(Call::Unknown), 0);
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_5_s() {
    // Accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let message = format!("http://{address} did not answer within 5 s; try again");
    let clock = Clock::system();
    let begun = clock.now();
    refused(&format!("http://{address}"), &message, &[]).await;
    let seconds = (clock.now() - begun).as_secs_f64();
    assert!((10.0..20.0).contains(&seconds), "two commands took {seconds} s");
}
