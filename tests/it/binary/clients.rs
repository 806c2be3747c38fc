//! Malformed bytes from clients are counted and not logged.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::process::{Serving, command, folder, from_shell};
use crate::support::scrape::Scrape;
use crate::support::server::{client, eventually};

const TOKEN: &str = "0123456789abcdef";

/// Messages that are not a request, or not one that can be answered.
fn malformed() -> Vec<Vec<u8>> {
    let head = |rest: &str| format!("GET / HTTP/1.1\r\n{rest}\r\n\r\n").into_bytes();
    let post = |rest: &str| format!("POST / HTTP/1.1\r\nhost: x\r\n{rest}").into_bytes();
    vec![
        b"\0\0\0\0\r\n\r\n".to_vec(),
        b"nonsense\r\n\r\n".to_vec(),
        b"G\xffT / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\nhost: x\r\n\r\n".to_vec(),
        b"GET /a b c HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        // The start of a TLS handshake, and of HTTP/2.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        head("no colon"),
        head("host: a\r\nhost: b"),
        head("host: x\r\nbad header\x01: y"),
        head("host: x\r\ncontent-length: many"),
        head("host: x\r\ncontent-length: 1\r\ncontent-length: 2"),
        head("host: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked"),
        head(&format!("host: x\r\nx-long: {}", "y".repeat(200_000))),
        head(&format!("host: x\r\n{}", "a: b\r\n".repeat(500))),
        post("transfer-encoding: chunked\r\n\r\nzz\r\n"),
        post("transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n"),
        post("transfer-encoding: gzip\r\n\r\n"),
    ]
}

/// Sends a message and reads until the server closes.
fn send(address: &str, message: &[u8]) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may close before it has read the whole message.
    let _ = connection.write_all(message);
    let _ = connection.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
}

async fn errors(address: &str, kind: &str) -> f64 {
    let answer = client().get(format!("http://{address}/metrics")).bearer_auth(TOKEN).send().await.unwrap();
    Scrape::parse(&answer.text().await.unwrap()).value("chatchonk_connection_errors_total", &[("kind", kind)])
}

fn serve(command: &mut Command) -> Serving {
    let command = command.env("METRICS_TOKEN", TOKEN).env("WORKERS", "1");
    Serving::start(command.env("DATABASE_URL", "postgres://none@127.0.0.1:1/none"))
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_counted_and_not_logged() {
    let folder = folder();
    let mut server = serve(&mut command(folder.path()));
    let address = server.address();
    let (messages, at) = (malformed(), address.clone());
    let send_all = move || (0..20).for_each(|_| messages.iter().for_each(|message| send(&at, message)));
    tokio::task::spawn_blocking(send_all).await.unwrap();
    // Some messages end without an event, such as those whose answer was already on its way.
    eventually(async || errors(&address, "request").await >= 200.0).await;
    server.signal(Signal::SIGTERM);
    let (status, lines) = server.end();
    assert_eq!(status.code(), Some(0));
    assert!(lines.len() < 15 && !lines.iter().any(|line| line.contains("actix")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_logging_shows_malformed_requests() {
    for filter in ["debug", "info,actix_http=error"] {
        let folder = folder();
        let mut server = serve(command(folder.path()).env("RUST_LOG", filter));
        let address = server.address();
        tokio::task::spawn_blocking(move || send(&address, b"nonsense\r\n\r\n")).await.unwrap();
        server.line_with("actix_http::h1::dispatcher");
        server.signal(Signal::SIGTERM);
        server.end();
    }
}

/// The client keeps all the connections that the server can have.
#[tokio::test(flavor = "multi_thread")]
async fn descriptor_exhaustion_is_counted_with_one_warning() {
    let folder = folder();
    let mut server = serve(&mut from_shell("ulimit -n 100", &command(folder.path())));
    let address = server.address();
    let mut kept = TcpStream::connect(&address).unwrap();
    let crowd: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
    server.line_with("connections cannot be accepted");
    // The server accepts no new connection but serves the existing ones.
    let request = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    let scrape = async |connection: &mut TcpStream| {
        connection.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        while !text.ends_with("# EOF\n") {
            let mut bytes = [0; 4_096];
            let count = connection.read(&mut bytes).unwrap();
            assert!(count > 0, "{text}");
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        Scrape::parse(text.split_once("\r\n\r\n").unwrap().1)
    };
    let accept = [("kind", "accept")];
    eventually(async || scrape(&mut kept).await.value("chatchonk_connection_errors_total", &accept) > 4.0)
        .await;
    drop(crowd);
    eventually(async || errors(&address, "request").await >= 0.0).await;
    server.signal(Signal::SIGTERM);
    let (_, lines) = server.end();
    let of_it = lines.iter().filter(|line| line.contains("accept")).count();
    assert_eq!(of_it, 1, "{lines:#?}");
}
