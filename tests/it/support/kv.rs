//! A fake of Cloudflare KV, with the server's own client or a whole server connected to it.

// Tests control the same emulator that users run.
#[path = "../../../examples/kv_emulator/fake/mod.rs"]
pub(crate) mod fake;

use chatchonk::clock::{Clock, ClockHand};
use chatchonk::config::{Config, Environment};
use chatchonk::kv_client::{KvClient, KvConnection, KvKey, KvPair, KvSettings};
use serde_json::Value;
use std::time::Duration;
use time::macros::datetime;

use super::postgres::TestDatabase;
use super::server::{Answer, TestServer};
use fake::FakeKv;

/// A lifetime longer than every test.
pub(crate) const LONG: Duration = Duration::from_hours(24 * 30);

/// A fake account with a manual clock, and a client for its namespace.
#[derive(Debug)]
pub(crate) struct Kv {
    pub(crate) fake: FakeKv,
    pub(crate) client: KvClient,
    pub(crate) hand: ClockHand,
    pub(crate) clock: Clock,
}

impl Kv {
    /// Starts at noon.
    pub(crate) fn start() -> Self {
        let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
        let fake = FakeKv::start(clock.clone()).unwrap();
        let client = KvClient::new(&connection(&fake, &[]), clock.clone()).unwrap();
        Self { fake, client, hand, clock }
    }

    /// Returns a client of the same fake with other variables.
    pub(crate) fn client_with(&self, variables: &[(&str, &str)]) -> KvClient {
        KvClient::new(&connection(&self.fake, variables), self.clock.clone()).unwrap()
    }
}

/// Returns the connection that the server builds from the fake's variables, with some replaced.
pub(crate) fn connection(fake: &FakeKv, others: &[(&str, &str)]) -> KvConnection {
    let own = fake.variables();
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let environment: Environment =
        own.chain(others.iter().copied()).chain([("DATA_DIR", "/nonexistent")]).collect();
    match Config::from_environment(&environment, None).unwrap().kv {
        KvSettings::Configured(connection) => connection,
        KvSettings::NotConfigured { missing } => panic!("not configured: {missing:?}"),
    }
}

pub(crate) fn key(text: &str) -> KvKey {
    text.parse().unwrap()
}

/// A pair with a long lifetime.
pub(crate) fn pair(key: &str, value: &[u8]) -> KvPair {
    KvPair { key: self::key(key), value: value.to_vec(), time_to_live: LONG }
}

/// The catalogue's key, as an operator would look for it.
pub(crate) const KEY: &str = "chatchonk:development:catalogue.2:all";

/// Starts a server on this database and this fake.
pub(crate) async fn start(url: &str, kv: &FakeKv) -> TestServer {
    start_with(url, kv, &[]).await
}

/// Starts one with further variables.
pub(crate) async fn start_with(url: &str, kv: &FakeKv, others: &[(&str, &str)]) -> TestServer {
    let own = kv.variables();
    TestServer::with(&variables(url, &own, others)).await
}

/// Starts one on this clock, with a port for metrics, since a stopped clock stops the health document too.
pub(crate) async fn start_at(url: &str, kv: &FakeKv, clock: Clock) -> TestServer {
    let own = kv.variables();
    TestServer::at(&variables(url, &own, &[("METRICS_PORT", "0")]), clock).await
}

fn variables<'a>(
    url: &'a str,
    own: &'a [(&'a str, String)],
    others: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    own.chain([("DATABASE_URL", url)]).chain(others.iter().copied()).collect()
}

/// Starts a server and waits until it has written its catalogue to KV.
pub(crate) async fn start_and_fill(database: &TestDatabase, kv: &FakeKv) -> TestServer {
    let server = start(&database.url(), kv).await;
    server.until("/api/health", |health| kv_of(health)["writes"] != 0).await;
    server
}

/// Returns KV's section of health.
pub(crate) fn kv_of(health: &Answer) -> Value {
    health.json()["cache"]["detail"]["kv"].clone()
}

/// Returns whether health reports KV as enabled.
pub(crate) fn is_enabled(health: &Answer) -> bool {
    health.json()["cache"]["cloudflare_kv"] == "enabled"
}

/// Returns whether health reports KV as unavailable.
pub(crate) fn is_unavailable(health: &Answer) -> bool {
    health.json()["cache"]["cloudflare_kv"] == "unavailable"
}
