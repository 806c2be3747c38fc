//! What a connection may cost that is of no use.

use std::time::Duration;

use chatchonk::clock::Clock;
use time::macros::datetime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::postgres::database;
use crate::support::server::{TestServer, eventually};

/// Nobody listens there, so that the builtin catalogue is served at once.
const NO_DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
const ASK: &[u8] = b"GET /api/health/live HTTP/1.1\r\nHost: x\r\n\r\n";
const LIVE: &[u8] = br#"{"status":"live"}"#;

/// A connection over which one request has been answered.
async fn used(server: &TestServer) -> TcpStream {
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    ask(&mut connection).await;
    connection
}

async fn ask(connection: &mut TcpStream) {
    connection.write_all(ASK).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(LIVE) {
        assert!(connection.read_buf(&mut answer).await.unwrap() > 0, "it is closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_cut_off_that_is_busy_without_ever_asking() {
    let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
    let server = TestServer::at(&[NO_DATABASE], clock).await;
    let mut polite = used(&server).await;
    for busy in [
        "GET /api/mo",
        "G",
        "POST /api/models HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        "GET /api/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let mut connection = used(&server).await;
        connection.write_all(busy.as_bytes()).await.unwrap();
        let ended = tokio::spawn(async move {
            let mut rest = Vec::new();
            // An end or a reset, as the system likes.
            let _ = connection.read_to_end(&mut rest).await;
        });
        eventually(async || {
            hand.advance(Duration::from_secs(70));
            ask(&mut polite).await;
            ended.is_finished()
        })
        .await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_longer_than_a_slice_comes_whole() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    let copies = "insert into chatchonk.models
        select (jsonb_populate_record(m, jsonb_build_object('id', m.id || '-v' || copy))).*
        from chatchonk.models m, generate_series(1, 9) copy";
    sqlx::query(copies).execute(&database.pool().await).await.unwrap();
    server.until("/api/models?limit=1", |page| page.json()["total"].as_u64() > Some(1_000)).await;
    let list = server.get("/api/models").await;
    assert!(list.body.len() > 1_000_000, "{}", list.body.len());
    assert_eq!(list.header("content-length"), list.body.len().to_string());
    let mut ids = list.ids();
    assert_eq!(list.json()["total"], ids.len());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(list.json()["total"], ids.len());
    server.stop().await;
}
