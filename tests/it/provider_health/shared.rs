//! Probe results in KV: other instances and later starts read them, and refuse forged ones.

use chatchonk::clock::Clock;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{KEY, MINUTE, provider, state};
use crate::support::kv::fake::FakeKv;
use crate::support::kv::start_with;
use crate::support::postgres::database;
use crate::support::server::eventually;
use crate::support::upstream::{Behaviour, Upstream};

/// Where the results are in KV.
const RESULTS: &str = "chatchonk:development:responses.1:providers";

/// Runs a server until its results are in KV, and returns them in their envelope.
async fn left_by_a_server(database: &str, kv: &FakeKv, variables: &[(&str, &str)]) -> Value {
    let server = start_with(database, kv, variables).await;
    eventually(async || kv.value(RESULTS).is_some()).await;
    server.stop().await;
    serde_json::from_slice(&kv.value(RESULTS).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_reads_probe_results_from_kv() {
    let (database, clock) = (database().await, Clock::system());
    let kv = FakeKv::start(clock.clone()).unwrap();
    let upstream = Upstream::start(clock).await;
    upstream.set("openai", Behaviour::Says(401, "wrong key sk-hunter2"));
    let base_urls = upstream.base_urls();
    let variables = [KEY, ("PROBE_PROVIDERS", "true"), ("PROVIDER_BASE_URLS", base_urls.as_str())];
    let first = start_with(&database.url(), &kv, &variables).await;
    eventually(async || kv.value(RESULTS).is_some()).await;
    let before = provider(&first, "openai").await;
    assert_eq!(state(&before), ("down", Some("unauthorized")));

    let second = start_with(&database.url(), &kv, &variables).await;
    eventually(async || provider(&second, "openai").await["status"] != "unknown").await;
    assert_eq!(provider(&second, "openai").await, before);
    assert_eq!(state(&provider(&second, "openrouter").await), ("healthy", None));
    for id in ["openai", "openrouter", "huggingface"] {
        assert_eq!(upstream.count(id), 1, "{id}");
    }
    let shared = String::from_utf8(kv.value(RESULTS).unwrap()).unwrap();
    assert!(shared.contains("unauthorized") && !shared.contains("hunter2"), "{shared}");
    kv.assert_conforming();
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_shows_old_results_while_it_probes_again() {
    let (database, clock) = (database().await, Clock::system());
    let kv = FakeKv::start(clock.clone()).unwrap();
    let upstream = Upstream::start(clock.clone()).await;
    upstream.set("openai", Behaviour::Says(401, "{}"));
    let base_urls = upstream.base_urls();
    let variables = [KEY, ("PROBE_PROVIDERS", "true"), ("PROVIDER_BASE_URLS", base_urls.as_str())];
    // As if the service had slept for this time.
    let mut left = left_by_a_server(&database.url(), &kv, &variables).await;
    let then = (clock.utc() - 20 * 60 * MINUTE).format(&Rfc3339).unwrap();
    left["loaded_at"] = json!(then);
    for standing in left["value"].as_object_mut().unwrap().values_mut() {
        standing["last_checked"] = json!(then);
    }
    kv.plant(RESULTS, left.to_string().as_bytes());
    upstream.set("openai", Behaviour::Waits);
    let second = start_with(&database.url(), &kv, &variables).await;
    eventually(async || upstream.count("openai") == 2).await;
    let openai = provider(&second, "openai").await;
    assert_eq!((state(&openai), &openai["last_checked"]), (("down", Some("unauthorized")), &json!(then)));
    upstream.set("openai", Behaviour::Lists);
    eventually(async || provider(&second, "openai").await["status"] == "healthy").await;
    kv.assert_conforming();
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_answers_in_kv_that_no_instance_wrote_are_refused() {
    let (database, clock) = (database().await, Clock::system());
    let kv = FakeKv::start(clock.clone()).unwrap();
    let upstream = Upstream::start(clock.clone()).await;
    let base_urls = upstream.base_urls();
    let variables = [KEY, ("PROBE_PROVIDERS", "true"), ("PROVIDER_BASE_URLS", base_urls.as_str())];
    let left = left_by_a_server(&database.url(), &kv, &variables).await;
    upstream.set("openai", Behaviour::Waits);
    let tomorrow = (clock.utc() + 24 * 60 * MINUTE).format(&Rfc3339).unwrap();
    for (case, (detail, forged, shown)) in [
        ("latencies", json!([7]), "healthy"),
        ("latencies", json!(vec![7; 21]), "unknown"),
        ("latencies", json!([-7]), "unknown"),
        ("last_checked", json!(tomorrow), "unknown"),
        ("since", json!(tomorrow), "unknown"),
        ("status", json!("excellent"), "unknown"),
        ("reason", json!("unauthorized"), "unknown"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut value = left.clone();
        // An answer for a provider of another instance is ignored and does not affect the others.
        value["value"]["elsewhere"] = value["value"]["openai"].clone();
        // Due at once: a probe that waits keeps the state found at the start.
        let then = (clock.utc() - 60 * MINUTE).format(&Rfc3339).unwrap();
        (value["value"]["openai"]["last_checked"], value["value"]["openai"]["since"]) =
            (json!(then), json!(then));
        value["value"]["openai"][detail] = forged.clone();
        kv.plant(RESULTS, value.to_string().as_bytes());
        let server = start_with(&database.url(), &kv, &variables).await;
        eventually(async || upstream.count("openai") == case + 2).await;
        assert_eq!(provider(&server, "openai").await["status"], shown, "{detail}: {forged}");
        assert_eq!(provider(&server, "elsewhere").await, Value::Null);
        server.stop().await;
    }
}
