//! Traces that the program sends to a collector.

use std::time::Duration;

use chatchonk::clock::Clock;
use nix::sys::signal::Signal;

use crate::support::collector::Collector;
use crate::support::process::{Serving, command, folder};
use crate::support::server::client;

const NO_DATABASE: &str = "postgres://absent@127.0.0.1:1/none";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER_TRACE: &str = "5bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Serves with this collector, answers these requests and stops; returns the log lines.
async fn serve(endpoint: &str, traceparents: &[String]) -> Vec<String> {
    let folder = folder();
    let mut server = Serving::start(
        command(folder.path())
            .env("DATABASE_URL", NO_DATABASE)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=overridden,general=yes")
            .env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=hunter2")
            .env("OTEL_SERVICE_NAME", "under-test"),
    );
    let address = server.address();
    for traceparent in traceparents {
        let request = client().get(format!("http://{address}/api/models/openai/gpt-4o"));
        let answer = request.header("traceparent", traceparent).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let clock = Clock::system();
    let stopped = clock.now();
    server.signal(Signal::SIGTERM);
    let (status, lines) = tokio::task::spawn_blocking(|| server.end()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert!(clock.now() - stopped < Duration::from_secs(10));
    assert!(!lines.iter().any(|line| line.contains("hunter2") || line.contains("ERROR")), "{lines:#?}");
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_joins_the_sampled_trace_of_its_caller() {
    let collector = Collector::start(false).await;
    let sampled = format!("00-{TRACE}-{CALLER}-01");
    let unsampled = format!("00-{OTHER_TRACE}-{CALLER}-00");
    let lines = serve(&collector.endpoint, &[sampled, unsampled]).await;
    let requests = collector.requests();
    assert!(!requests.is_empty(), "{lines:#?}");
    for (head, _) in &requests {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("api-key: hunter2\r\n") && !head.contains("general: yes"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    }
    assert_eq!(collector.count(b"GET /api/models/{id}"), 1);
    assert!(collector.count(&bytes(TRACE)) >= 1 && collector.count(&bytes(CALLER)) >= 1);
    assert_eq!(collector.count(&bytes(OTHER_TRACE)), 0);
    assert!(collector.count(b"under-test") >= 1 && collector.count(b"http.response.status_code") >= 1);
    assert!(!lines.iter().any(|line| line.contains("answered")), "the log does not change: {lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_is_a_warning_and_delays_nothing() {
    let hanging = Collector::start(true).await;
    for (endpoint, is_logged) in [("http://127.0.0.1:1", true), (hanging.endpoint.as_str(), false)] {
        let lines = serve(endpoint, &vec![format!("00-{TRACE}-{CALLER}-01"); 50]).await;
        let warnings = lines.iter().filter(|line| line.contains("traces are lost")).count();
        assert!(warnings == 1 || (warnings == 0 && !is_logged), "{lines:#?}");
    }
}
