//! The order of a stop: readiness first, then requests in progress, then the end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::postgres::database;
use crate::support::proxy::Proxy;
use crate::support::server::{TestServer, eventually};

/// Sends a request over a kept connection and returns the answer's status and body.
async fn request(connection: &mut TcpStream, path: &str) -> (u16, String) {
    send(connection, path).await;
    answer(connection).await
}

async fn send(connection: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
}

async fn answer(connection: &mut TcpStream) -> (u16, String) {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return (head[9..12].parse().unwrap(), body.to_owned());
            }
        }
        let mut buffer = vec![0; 64 * 1024];
        let count = connection.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the connection ended early: {text}");
        read.extend_from_slice(&buffer[..count]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_drops_readiness_first_and_finishes_open_requests() {
    let proxy = Proxy::to(&database().await.options()).await;
    proxy.hang();
    let server = TestServer::with(&[("DATABASE_URL", &proxy.url())]).await;
    let address = server.address();
    let mut kept = TcpStream::connect(address).await.unwrap();
    assert_eq!(request(&mut kept, "/api/health/live").await.0, 200);
    let mut under_way = TcpStream::connect(address).await.unwrap();
    assert_eq!(request(&mut under_way, "/api/health/live").await.0, 200);
    // It waits for the first source while the database hangs.
    send(&mut under_way, "/api/models").await;

    let stopping = tokio::spawn(server.stop());
    let mut refused = None;
    eventually(async || {
        let (status, body) = request(&mut kept, "/api/health/ready").await;
        refused = Some(status);
        body.contains("draining")
    })
    .await;
    assert_eq!(refused, Some(503));
    assert_eq!(request(&mut kept, "/api/health").await.0, 503);
    drop(kept);
    let (status, body) = answer(&mut under_way).await;
    assert_eq!(status, 200);
    assert!(body.contains("\"source\":\"builtin\""));
    drop(under_way);
    stopping.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_does_not_delay_the_stop_by_10_s() {
    let server = TestServer::on(&database().await).await;
    let mut kept = TcpStream::connect(server.address()).await.unwrap();
    assert_eq!(request(&mut kept, "/api/models").await.0, 200);
    tokio::time::timeout(Duration::from_secs(10), server.stop()).await.unwrap();
}
