//! Figures collected at a scrape agree with health.

use chatchonk::clock::Clock;
use chatchonk::domain::provider::ProviderStatus;
use serde_json::Value;

use super::with_port;
use crate::support::kv::fake::{FakeKv, Fault};
use crate::support::kv::{is_enabled, is_unavailable, kv_of, start_with};
use crate::support::postgres::database;
use crate::support::scrape::Scrape;
use crate::support::server::{Answer, TestServer};

/// Returns health and a scrape with no event between them.
async fn at_rest(server: &TestServer) -> (Answer, Scrape) {
    loop {
        let before = server.get("/api/health").await;
        let scrape = Scrape::of(server).await;
        let after = server.get("/api/health").await;
        if ["cache", "catalogue"].iter().all(|part| before.json()[part] == after.json()[part]) {
            return (after, scrape);
        }
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_agree_with_health() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let server = start_with(&database.url(), &kv, &[("METRICS_PORT", "0")]).await;
    server.until("/api/health", is_enabled).await;
    server.until("/api/models?limit=1", |answer| answer.json()["source"] == "postgres").await;
    for _ in 0..5 {
        server.get("/api/models").await;
    }
    let (health, scrape) = at_rest(&server).await;
    let health_kv = kv_of(&health);
    let health = health.json();
    let of = |name: &str, labels: &[(&str, &str)]| scrape.value(name, labels);
    assert_eq!((of("chatchonk_ready", &[]), of("chatchonk_database_up", &[])), (1.0, 1.0));
    assert_eq!(of("chatchonk_database_read_only", &[]), 0.0);
    assert!(of("chatchonk_database_check_latency_seconds", &[]) > 0.0);
    let connections = scrape.sum("chatchonk_database_connections", &[]);
    assert!((1.0..=of("chatchonk_database_connections_limit", &[])).contains(&connections), "{connections}");
    for (name, key) in [("revision", "revision"), ("models", "models"), ("providers", "providers")] {
        let name = format!("chatchonk_catalogue_{name}");
        assert_eq!(of(&name, &[]), number(&health["catalogue"][key]), "{name}");
    }
    assert_eq!(of("chatchonk_catalogue_source", &[("source", "postgres")]), 1.0);
    assert_eq!(scrape.sum("chatchonk_catalogue_source", &[]), 1.0);
    for name in ["stale", "skipped_rows", "ignored_details"] {
        assert_eq!(of(&format!("chatchonk_catalogue_{name}"), &[]), 0.0, "{name}");
    }
    assert!((0.0..600.0).contains(&of("chatchonk_catalogue_age_seconds", &[])));
    let family = &health["cache"]["detail"]["families"]["catalogue"];
    for outcome in ["memory", "kv", "stale", "origin", "error"] {
        let labels = [("family", "catalogue"), ("outcome", outcome)];
        assert_eq!(of("chatchonk_cache_reads_total", &labels), number(&family[outcome]), "{outcome}");
    }
    assert!(number(&family["memory"]) >= 5.0);
    let labels = [("family", "catalogue")];
    for (name, key) in [
        ("loads_total", "loads"),
        ("load_failures_total", "load_failures"),
        ("validations_total", "validations"),
        ("entries", "entries"),
        ("bytes", "bytes"),
    ] {
        assert_eq!(of(&format!("chatchonk_cache_{name}"), &labels), number(&family[key]), "{name}");
    }
    // A load that was abandoned because KV was faster has no duration.
    let timed = of("chatchonk_cache_load_duration_seconds_count", &labels);
    assert!((1.0..=number(&family["loads"])).contains(&timed), "{timed}");
    let representations = &health["cache"]["detail"]["representations"];
    assert_eq!(of("chatchonk_representations", &[]), number(&representations["entries"]));
    assert_eq!(of("chatchonk_kv_available", &[]), 1.0);
    assert_eq!(of("chatchonk_kv_gate", &[("state", "closed")]), 1.0);
    assert_eq!(scrape.sum("chatchonk_kv_calls_total", &[]), number(&health_kv["calls"]));
    assert_eq!(scrape.sum("chatchonk_kv_call_duration_seconds_count", &[]), number(&health_kv["calls"]));
    for (outcome, key) in [("hit", "hits"), ("miss", "misses"), ("rejected", "rejected")] {
        assert_eq!(of("chatchonk_kv_lookups_total", &[("outcome", outcome)]), number(&health_kv[key]));
    }
    for (operation, key) in [("read", "reads"), ("write", "writes"), ("delete", "deletes")] {
        let line = &health_kv["budget"][key];
        assert_eq!(of("chatchonk_kv_budget_limit", &[("operation", operation)]), number(&line["limit"]));
        let used = scrape.sum("chatchonk_kv_budget_used", &[("operation", operation)]);
        assert_eq!(used, line["used"].as_f64().unwrap_or(0.0), "{operation}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_kv_calls_are_counted_by_cause() {
    let kv = FakeKv::start(Clock::system()).unwrap();
    let refusal =
        Fault::Refused { status: 403, code: 10_000, message: "Authentication error", retry_after: None };
    kv.fail_always(None, refusal);
    let server = start_with(super::NO_DATABASE.1, &kv, &[("METRICS_PORT", "0")]).await;
    server.until("/api/health", |health| is_unavailable(health) && kv_of(health)["failures"] != 0).await;
    let (health, scrape) = at_rest(&server).await;
    let refused = [("operation", "read"), ("outcome", "permission")];
    let calls = scrape.value("chatchonk_kv_calls_total", &refused);
    assert_eq!(calls, number(&kv_of(&health)["failures"]));
    assert_eq!(scrape.sum("chatchonk_kv_calls_total", &[]), calls, "all of them");
    assert_eq!(scrape.value("chatchonk_kv_available", &[]), 0.0);
    assert_eq!(scrape.value("chatchonk_kv_gate", &[("state", "open")]), 1.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_show_one_status_each() {
    let server = with_port().await;
    server.set_providers(&[("openai", ProviderStatus::Healthy), ("groq", ProviderStatus::Down)]);
    let scrape = Scrape::of(&server).await;
    let of = |provider, status| {
        scrape.value("chatchonk_provider_status", &[("provider", provider), ("status", status)])
    };
    assert_eq!((of("openai", "healthy"), of("openai", "down"), of("groq", "down")), (1.0, 0.0, 1.0));
    assert_eq!(scrape.sum("chatchonk_provider_status", &[]), 2.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn process_build_and_database_state_are_shown() {
    let server = with_port().await;
    server.get("/api/models").await;
    let scrape = Scrape::of(&server).await;
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("commit", chatchonk::COMMIT)];
    assert_eq!(scrape.value("chatchonk_build_info", &labels), 1.0);
    let now = u32::try_from(Clock::system().utc().unix_timestamp()).unwrap();
    let age = f64::from(now) - scrape.value("process_start_time_seconds", &[]);
    assert!((-1.0..600.0).contains(&age), "{age}");
    let again = Scrape::of(&server).await.value("process_start_time_seconds", &[]);
    assert_eq!(again.to_bits(), scrape.value("process_start_time_seconds", &[]).to_bits());
    assert!(scrape.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.value("process_threads", &[]) > 1.0 && scrape.value("process_open_fds", &[]) > 3.0);
    assert_eq!(scrape.value("chatchonk_database_up", &[]), 0.0);
    assert!(!scrape.series().iter().any(|series| series.starts_with("chatchonk_kv_")), "there is no KV");
    assert_eq!(scrape.value("chatchonk_catalogue_stale", &[]), 1.0);
    assert_eq!(scrape.value("chatchonk_catalogue_source", &[("source", "builtin")]), 1.0);
    server.stop().await;
}
