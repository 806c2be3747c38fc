//! Compressed bodies, and the clients that get them.

use std::io::Read as _;

use reqwest::Method;

use crate::conditional::{CODINGS, TAGGED};
use crate::support::postgres::database;
use crate::support::server::{Answer, TestServer};

async fn accepting(server: &TestServer, path: &str, accept: &str) -> Answer {
    server.send(Method::GET, path, &[("accept-encoding", accept)]).await
}

/// Returns the decompressed body.
fn decoded(answer: &Answer) -> Vec<u8> {
    let mut body = Vec::new();
    match answer.header("content-encoding") {
        "" => body.clone_from(&answer.body),
        "gzip" => drop(flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut body).unwrap()),
        "br" => drop(brotli::Decompressor::new(&*answer.body, 4096).read_to_end(&mut body).unwrap()),
        other => panic!("unknown coding {other}"),
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn every_coding_decodes_to_the_same_bytes() {
    let server = TestServer::seeded(&database().await).await;
    for path in TAGGED {
        let plain = server.get(path).await;
        assert_eq!((plain.status, plain.header("content-encoding")), (200, ""), "{path}");
        for coding in CODINGS {
            let answer = accepting(&server, path, coding).await;
            assert_eq!(decoded(&answer), plain.body, "{path} {coding}");
            assert_eq!(answer.header("content-type"), "application/json", "{path} {coding}");
            assert_eq!(answer.header("content-length"), answer.body.len().to_string(), "{path} {coding}");
            assert!(
                answer.header("vary").to_ascii_lowercase().contains("accept-encoding"),
                "{path} {coding}"
            );
            let is_coded = plain.body.len() >= 1024 && coding != "identity";
            assert_eq!(answer.header("content-encoding"), if is_coded { coding } else { "" }, "{path}");
            assert!(!is_coded || answer.body.len() < plain.body.len(), "{path} {coding}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_decides_by_quality() {
    let server = TestServer::seeded(&database().await).await;
    for (accept, coding) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=1.0, br;q=0.9", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("*", "br"),
        ("*;q=0", ""),
        ("br;q=0, gzip;q=0", ""),
        ("identity, br;q=0.5", ""),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0, *;q=0", ""),
        ("zstd", ""),
        ("nonsense;;q=", ""),
    ] {
        assert_eq!(
            accepting(&server, "/api/models", accept).await.header("content-encoding"),
            coding,
            "{accept}"
        );
    }
    let short = "/v1/models/openai/gpt-6-astra";
    let (plain, forced) = (server.get(short).await, accepting(&server, short, "br, identity;q=0").await);
    assert_eq!((forced.header("content-encoding"), decoded(&forced)), ("br", plain.body.clone()));
    assert_ne!(forced.header("etag"), plain.header("etag"));
    server.stop().await;
}
