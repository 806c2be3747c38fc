//! Provider health: how probes classify each misbehaviour, what they send, and which providers they skip.

mod shared;

use std::collections::HashMap;
use std::time::Duration;

use chatchonk::clock::{Clock, ClockHand};
use chatchonk::domain::provider::ProviderStatus;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;

use crate::support::server::{TestServer, eventually};
use crate::support::upstream::{Behaviour, Upstream};

const HEALTH: &str = "/api/automodel/health";
const KEY: (&str, &str) = ("OPENAI_API_KEY", "sk-hunter2");
/// Port 1 refuses connections, so the builtin catalogue is served at once.
const NO_DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://absent@127.0.0.1:1/none");
const MINUTE: Duration = Duration::from_mins(1);
/// Longer than the time between two probes.
const ROUND: Duration = Duration::from_secs(331);

/// A server on a manual clock, and the providers that it watches.
struct Watched {
    server: TestServer,
    upstream: Upstream,
    clock: Clock,
    hand: ClockHand,
}

impl Watched {
    /// A server with these variables; later ones win.
    async fn with(variables: &[(&str, &str)]) -> Self {
        let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
        let upstream = Upstream::start(clock.clone()).await;
        let base_urls = upstream.base_urls();
        let own = [NO_DATABASE, ("PROBE_PROVIDERS", "true"), ("PROVIDER_BASE_URLS", base_urls.as_str())];
        let variables: Vec<_> = own.iter().chain(variables).copied().collect();
        let server = TestServer::at(&variables, clock.clone()).await;
        Self { server, upstream, clock, hand }
    }

    /// A server with OpenAI's key, after its first probe.
    async fn start() -> Self {
        let this = Self::with(&[KEY]).await;
        this.probed().await;
        this
    }

    /// Returns the health of the provider.
    async fn provider(&self, id: &str) -> Value {
        provider(&self.server, id).await
    }

    /// Waits until the current probe of OpenAI ends, and returns the resulting health.
    async fn probed(&self) -> Value {
        let now = self.clock.utc().format(&Rfc3339).unwrap();
        eventually(async || self.provider("openai").await["last_checked"] == now).await;
        self.provider("openai").await
    }

    /// Advances the clock to the next probe.
    async fn next_probe(&self) -> Value {
        self.hand.advance(ROUND);
        self.probed().await
    }

    /// Ends the test, and asserts that no provider was probed twice within a minute.
    async fn end(self) {
        let mut last = HashMap::new();
        for received in self.upstream.received() {
            if let Some(before) = last.insert(received.provider.clone(), received.at) {
                assert!(
                    received.at - before >= MINUTE,
                    "{} at {before} and {}",
                    received.provider,
                    received.at
                );
            }
        }
        self.server.stop().await;
    }
}

async fn provider(server: &TestServer, id: &str) -> Value {
    let health = server.get(HEALTH).await.json();
    let mut providers = health["providers"].as_array().into_iter().flatten();
    providers.find(|provider| provider["id"] == id).cloned().unwrap_or_default()
}

/// Returns its status and reason.
fn state(provider: &Value) -> (&str, Option<&str>) {
    (provider["status"].as_str().unwrap(), provider["reason"].as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_has_its_status_and_reason_after_two_probes() {
    let watched = Watched::start().await;
    assert_eq!(state(&watched.provider("openai").await), ("healthy", None));
    let google = r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key."}}"#;
    for (behaviour, status, reason) in [
        (Behaviour::Says(401, "{}"), "down", "unauthorized"),
        (Behaviour::Says(403, "{}"), "down", "unauthorized"),
        (Behaviour::Says(400, google), "down", "unauthorized"),
        (Behaviour::Says(400, "{}"), "down", "unexpected_status"),
        (Behaviour::Says(404, "{}"), "down", "unexpected_status"),
        (Behaviour::Redirects, "down", "unexpected_status"),
        (Behaviour::Says(429, "{}"), "degraded", "rate_limited"),
        (Behaviour::Says(500, "{}"), "down", "http_5xx"),
        (Behaviour::Says(503, "<html>"), "down", "http_5xx"),
        (Behaviour::Says(200, "<html>garbage</html>"), "down", "bad_body"),
        (Behaviour::Says(200, "{}"), "down", "bad_body"),
        (Behaviour::Says(200, ""), "down", "bad_body"),
        (Behaviour::BreaksOff, "down", "bad_body"),
        (Behaviour::Floods, "down", "bad_body"),
        (Behaviour::HangsUp, "down", "connect"),
    ] {
        watched.upstream.set("openai", behaviour);
        assert_eq!(
            state(&watched.next_probe().await),
            ("healthy", None),
            "{behaviour:?}: one failure changes nothing"
        );
        let bad = watched.next_probe().await;
        assert_eq!(state(&bad), (status, Some(reason)), "{behaviour:?}");
        assert_eq!(bad["since"], bad["last_checked"], "{behaviour:?}");
        watched.upstream.set("openai", Behaviour::Lists);
        assert_eq!(
            state(&watched.next_probe().await),
            (status, Some(reason)),
            "{behaviour:?}: one success changes nothing"
        );
        assert_eq!(state(&watched.next_probe().await), ("healthy", None), "{behaviour:?}");
        assert_eq!(state(&watched.provider("openrouter").await), ("healthy", None));
    }
    assert_eq!(watched.upstream.count("elsewhere"), 0, "a key goes to the configured host only");
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_silent_providers_show_their_latency() {
    let watched = Watched::start().await;
    for (takes, status, reason) in [(4, "degraded", "slow"), (8, "down", "timeout")] {
        for _ in 0..2 {
            watched.upstream.set("openai", Behaviour::Waits);
            let received = watched.upstream.count("openai");
            watched.hand.advance(ROUND);
            let began = watched.clock.utc().format(&Rfc3339).unwrap();
            eventually(async || watched.upstream.count("openai") > received).await;
            watched.hand.advance(Duration::from_secs(takes));
            if takes < 8 {
                watched.upstream.set("openai", Behaviour::Lists);
            }
            eventually(async || watched.provider("openai").await["last_checked"] == began).await;
        }
        assert_eq!(state(&watched.provider("openai").await), (status, Some(reason)));
        watched.upstream.set("openai", Behaviour::Lists);
        watched.next_probe().await;
        assert_eq!(state(&watched.next_probe().await), ("healthy", None));
    }
    // Two of seven answers took 4 s.
    assert_eq!(watched.provider("openai").await["latency_ms"], json!({ "p50": 0, "p95": 4_000 }));
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_failures_differ_from_refused_connections() {
    let watched = Watched::with(&[
        ("MISTRAL_API_KEY", "k"),
        ("GROQ_API_KEY", "k"),
        (
            "PROVIDER_BASE_URLS",
            "mistral=https://nowhere.invalid,groq=http://127.0.0.1:1,openrouter=http://127.0.0.1:1,\
             huggingface=http://127.0.0.1:1",
        ),
    ])
    .await;
    eventually(async || !watched.provider("mistral").await["last_checked"].is_null()).await;
    assert_eq!(state(&watched.provider("mistral").await), ("down", Some("dns")));
    assert_eq!(state(&watched.provider("groq").await), ("down", Some("connect")));
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_probe_is_repeated_after_a_minute() {
    let watched = Watched::start().await;
    watched.hand.advance(Duration::from_mins(4));
    watched.hand.advance(Duration::from_secs(20));
    let _ = watched.server.get(HEALTH).await;
    assert_eq!(watched.upstream.count("openai"), 1, "not before 270 s have passed");
    watched.upstream.set("openai", Behaviour::Says(500, ""));
    watched.next_probe().await;
    watched.hand.advance(Duration::from_secs(67));
    assert_eq!(state(&watched.probed().await), ("down", Some("http_5xx")));
    assert_eq!(watched.upstream.count("openai"), 3);
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_provider_gets_only_its_own_key() {
    let watched = Watched::with(&[
        KEY,
        ("ANTHROPIC_API_KEY", "sk-ant"),
        ("GEMINI_API_KEY", "AIza"),
        ("COHERE_API_KEY", "co-key"),
    ])
    .await;
    watched.probed().await;
    let received = watched.upstream.received();
    let mut providers: Vec<_> = received.iter().map(|received| received.provider.as_str()).collect();
    providers.sort_unstable();
    assert_eq!(providers, ["anthropic", "cohere", "google", "huggingface", "openai", "openrouter"]);
    for (provider, path, header, value) in [
        ("openai", "models", "authorization", Some("Bearer sk-hunter2")),
        ("anthropic", "models", "x-api-key", Some("sk-ant")),
        ("google", "models", "x-goog-api-key", Some("AIza")),
        ("cohere", "v1/models", "authorization", Some("Bearer co-key")),
        ("openrouter", "models", "authorization", None),
    ] {
        let received = received.iter().find(|received| received.provider == provider).unwrap();
        assert_eq!(received.path, path);
        assert_eq!(received.headers.get(header).map(String::as_str), value, "{provider}");
        let keys = ["authorization", "x-api-key", "x-goog-api-key"];
        let sent = keys.iter().filter(|header| received.headers.contains_key(**header)).count();
        assert_eq!(sent, usize::from(value.is_some()), "{provider}");
        let version = (provider == "anthropic").then_some("2023-06-01");
        assert_eq!(received.headers.get("anthropic-version").map(String::as_str), version, "{provider}");
    }
    assert_eq!(state(&watched.provider("groq").await), ("unknown", Some("no_key")));
    let health = watched.server.get(HEALTH).await.json();
    assert_eq!((&health["status"], &health["hint"]), (&json!("healthy"), &Value::Null));
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_probe_without_a_key_or_when_probes_are_off() {
    for (variables, hint) in [
        (&[("PROBE_PROVIDERS", "true")][..], "set a key"),
        (&[KEY, ("PROBE_PROVIDERS", "false")], "PROBE_PROVIDERS is false"),
    ] {
        let watched = Watched::with(variables).await;
        watched.server.until("/api/health/ready", |answer| answer.status == 200).await;
        if hint == "set a key" {
            eventually(async || state(&watched.provider("openrouter").await).1 == Some("no_key")).await;
        }
        for _ in 0..3 {
            watched.hand.advance(ROUND);
            let health = watched.server.get(HEALTH).await.json();
            assert_eq!(health["status"], "healthy");
            assert!(health["hint"].as_str().unwrap().contains(hint), "{health}");
            let providers = health["providers"].as_array().unwrap();
            assert!(providers.iter().all(|provider| provider["status"] == "unknown"), "{health}");
        }
        assert_eq!(watched.upstream.received().len(), 0);
        watched.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_a_down_provider_leave_the_healthy_list() {
    const LIST: &str = "/api/models?healthy_only=true&fields=id,provider";
    let watched = Watched::start().await;
    let list = async || {
        let answer = watched.server.get(LIST).await;
        (answer.header("etag").to_owned(), answer.json()["total"].as_u64().unwrap())
    };
    let health = async |field: &str| watched.server.get(HEALTH).await.json()[field].clone();
    let own = watched.server.get("/api/models?provider=openai").await.json()["total"].as_u64().unwrap();
    let (tag, all) = list().await;
    assert_eq!((all, health("status").await), (118, json!("healthy")));

    watched.upstream.set("openai", Behaviour::Says(401, "{}"));
    watched.next_probe().await;
    assert_eq!(list().await, (tag.clone(), all), "a probe without a change of status changes nothing");
    watched.next_probe().await;
    let (other, left) = list().await;
    assert!(other != tag && left == all - own, "{left}");
    let model = watched.server.get("/api/models/openai/gpt-4o").await.json();
    assert_eq!(model["provider_status"], ProviderStatus::Down.as_str());
    assert_eq!((health("status").await, health("active_providers").await), (json!("degraded"), json!(11)));
    assert_eq!(health("available_models").await, json!(all - own));
    assert_eq!(watched.server.get("/api/health").await.status, 200);

    watched.upstream.set("openai", Behaviour::Lists);
    watched.next_probe().await;
    watched.next_probe().await;
    assert_eq!((list().await, health("status").await), ((tag, all), json!("healthy")));
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_shows_the_cache_family_of_probes() {
    let watched = Watched::start().await;
    let health = watched.server.get("/api/health").await.json();
    let families = health["cache"]["detail"]["families"].as_object().unwrap().clone();
    assert_eq!(families.keys().collect::<Vec<_>>(), ["catalogue", "responses"]);
    assert_eq!((&families["responses"]["loads"], &families["responses"]["reads"]), (&json!(1), &json!(0)));
    watched.end().await;
}
