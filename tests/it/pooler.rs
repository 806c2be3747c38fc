//! A database behind Supabase's pooler: the server understands its messages, verifies its certificate and avoids its
//! block.

use std::time::Duration;

use chatchonk::clock::Clock;
use serde_json::json;
use time::macros::datetime;

use crate::support::pooler::{Authority, Pooler, Refusal};
use crate::support::postgres::database;
use crate::support::process::{command, folder, run, text};
use crate::support::server::{Answer, TestServer, eventually};

const WRONG_PASSWORD: Refusal = refusal("28P01", "password authentication failed for user \"postgres\"");
const PAUSED: Refusal = refusal("XX000", "(ENOTFOUND) tenant/user postgres.abcdefghijklmnop not found");

const fn refusal(code: &'static str, message: &'static str) -> Refusal {
    Refusal { code, message, delay: Duration::ZERO }
}

/// Returns the output of `check`, which must find a fault.
async fn check(variables: &[(&str, &str)]) -> String {
    let folder = folder();
    let mut command = command(folder.path());
    command.arg("check").envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{:?}", text(&output));
    text(&output).0
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_check_show_the_reason_of_the_pooler() {
    let pooler = Pooler::to(&database().await.options()).await;
    let url = pooler.url("disable");
    let (paused, full) = ("the Supabase project is paused or gone", "no database connection is free");
    let (password, unreachable) =
        ("the database refuses the user or the password", "the database cannot be reached");
    let session =
        "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size";
    let max =
        "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15";
    for (code, message, status, reason) in [
        ("XX000", "Tenant or user not found", 200, paused),
        ("XX000", PAUSED.message, 200, paused),
        ("XX000", session, 200, full),
        ("XX000", max, 200, full),
        ("XX000", "Max client connections reached", 200, full),
        (
            "53300",
            "remaining connection slots are reserved for roles with the SUPERUSER attribute",
            200,
            full,
        ),
        ("28P01", WRONG_PASSWORD.message, 503, password),
        (
            "XX000",
            "(ENOIDENTIFIER) no tenant identifier provided (external_id or sni_hostname required)",
            503,
            password,
        ),
        (
            "XX000",
            "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked",
            503,
            "the pooler blocks this address after too many wrong passwords",
        ),
        (
            "XX000",
            "Circuit breaker open: too many failed attempts to connect to the database, new connections are temporarily blocked",
            200,
            unreachable,
        ),
        (
            "XX000",
            "(EADDRNOTALLOWED) address not in tenant allow_list: {1, 2, 3, 4}",
            503,
            "the database does not accept this server's address",
        ),
        ("57P03", "the database system is starting up", 200, unreachable),
    ] {
        pooler.refuse(refusal(code, message));
        let server = TestServer::with(&[("DATABASE_URL", &url)]).await;
        server.until("/api/health/ready", |ready| ready.status == 200).await;
        let health = server.get("/api/health").await;
        let database = &health.json()["database"];
        assert_eq!((health.status, &database["reason"]), (status, &json!(reason)), "{message}");
        let list = server.get("/api/models?limit=1").await;
        assert_eq!((list.status, &list.json()["source"]), (200, &json!("builtin")), "{message}");
        server.stop().await;

        let printed = check(&[("DATABASE_URL", &url)]).await;
        let remedy = database["remedy"].as_str().unwrap();
        assert!(printed.contains(&format!("✗ database: {reason}: {message}\n    → {remedy}")), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_reason_of_the_pooler_is_awaited() {
    let pooler = Pooler::to(&database().await.options()).await;
    // As long as the pooler waits, and longer than any list waits.
    pooler.refuse(Refusal { delay: Duration::from_millis(2_600), ..PAUSED });
    let url = pooler.url("disable");
    let server = TestServer::with(&[("DATABASE_URL", &url)]).await;
    let reason = json!("the Supabase project is paused or gone");
    server.until("/api/health", |health| health.json()["database"]["reason"] == reason).await;
    assert!(check(&[("DATABASE_URL", &url)]).await.contains("paused or gone"));
    pooler.accept();
    server.until_healthy().await;
    server.stop().await;

    // A deploy must fail with a configuration fault, however late the pooler reports it.
    let message =
        "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked";
    pooler.refuse(Refusal { delay: Duration::from_millis(2_600), ..refusal("XX000", message) });
    let server = TestServer::with(&[("DATABASE_URL", &url)]).await;
    let reason = json!("the pooler blocks this address after too many wrong passwords");
    let is_reported = |health: &Answer| health.json()["database"]["reason"] == reason;
    assert_eq!(server.until("/api/health", is_reported).await.status, 503);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_retried_rarely_enough_to_stay_unblocked() {
    let pooler = Pooler::to(&database().await.options()).await;
    let url = pooler.url("disable");
    // At the first start, and after a change at runtime.
    for source in ["builtin", "postgres"] {
        let before = pooler.refused();
        let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
        let refuse = || pooler.refuse(WRONG_PASSWORD);
        (source == "builtin").then(refuse);
        let server = TestServer::at(&[("DATABASE_URL", &url)], clock).await;
        server.until("/api/models?limit=1", |list| list.json()["source"] == source).await;
        (source == "postgres").then(refuse);
        // Five minutes with requests for lists throughout.
        for _ in 0..300 {
            hand.advance(Duration::from_secs(1));
            let list = server.get("/api/models?limit=1").await;
            assert_eq!((list.status, &list.json()["source"]), (200, &json!(source)));
        }
        let reason = json!("the database refuses the user or the password");
        server.until("/api/health", |health| health.json()["database"]["reason"] == reason).await;
        let tries = pooler.refused() - before;
        assert!((3..10).contains(&tries), "{tries}");
        pooler.accept();
        eventually(async || {
            hand.advance(Duration::from_secs(1));
            server.get("/api/health").await.json()["status"] == "healthy"
        })
        .await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_certificate_may_be_text_or_a_path() {
    let (options, authority) = (database().await.options(), Authority::named("ours"));
    let pooler = Pooler::with_tls(&options, &authority, "localhost").await;
    let folder = folder();
    let path = folder.path().join("root.crt");
    std::fs::write(&path, authority.pem()).unwrap();
    for root in [authority.pem(), path.to_str().unwrap().to_owned()] {
        // The URL's own mode verifies nothing; it is ignored where a root certificate is set.
        let server =
            TestServer::with(&[("DATABASE_URL", &pooler.url("disable")), ("PGSSLROOTCERT", &root)]).await;
        let health = server.until_healthy().await;
        assert_eq!(health.json()["catalogue"]["source"], "postgres");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_fault_fails_the_deploy_and_check() {
    let (options, authority) = (database().await.options(), Authority::named("ours"));
    let good = Pooler::with_tls(&options, &authority, "localhost").await;
    let misnamed = Pooler::with_tls(&options, &authority, "elsewhere.example").await;
    let plain = Pooler::to(&options).await;
    for (pooler, root, words) in [
        (&good, Authority::named("theirs").pem(), "UnknownIssuer"),
        (&misnamed, authority.pem(), "not valid for name \"localhost\""),
        (&plain, authority.pem(), "server does not support TLS"),
    ] {
        let variables = [("DATABASE_URL", &*pooler.url("require")), ("PGSSLROOTCERT", &*root)];
        let server = TestServer::with(&variables).await;
        server.until("/api/health/ready", |ready| ready.status == 200).await;
        let health = server.get("/api/health").await;
        let reason = &health.json()["database"]["reason"];
        assert_eq!((health.status, reason), (503, &json!("TLS with the database failed")), "{words}");
        server.stop().await;
        let printed = check(&variables).await;
        assert!(
            printed.contains("✗ database: TLS with the database failed: ") && printed.contains(words),
            "{printed}"
        );
        assert!(
            printed.contains("→ set PGSSLROOTCERT") && printed.contains("DATABASE_TLS=unverified"),
            "{printed}"
        );
    }
}
