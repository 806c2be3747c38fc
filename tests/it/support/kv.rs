//! A fake of Cloudflare KV, with the server's own client or a whole server on it.

// The emulator that people run is the one the tests steer.
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

/// A life that outlasts every test.
pub(crate) const LONG: Duration = Duration::from_hours(24 * 30);

/// A fake account whose clock stands still, and a client of its namespace.
#[derive(Debug)]
pub(crate) struct Kv {
    pub(crate) fake: FakeKv,
    pub(crate) client: KvClient,
    pub(crate) hand: ClockHand,
    pub(crate) clock: Clock,
}

impl Kv {
    /// At noon of a day.
    pub(crate) fn start() -> Self {
        let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
        let fake = FakeKv::start(clock.clone()).unwrap();
        let client = KvClient::new(&connection(&fake, &[]), clock.clone()).unwrap();
        Self { fake, client, hand, clock }
    }

    /// A client of the same fake, but with other variables.
    pub(crate) fn client_with(&self, variables: &[(&str, &str)]) -> KvClient {
        KvClient::new(&connection(&self.fake, variables), self.clock.clone()).unwrap()
    }
}

/// What the server's settings make of the fake's variables, and of others in their place.
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

/// A key.
pub(crate) fn key(text: &str) -> KvKey {
    text.parse().unwrap()
}

/// A pair that lives long.
pub(crate) fn pair(key: &str, value: &[u8]) -> KvPair {
    KvPair { key: self::key(key), value: value.to_vec(), time_to_live: LONG }
}

/// The key of the catalogue, as an operator would look for it.
pub(crate) const KEY: &str = "chatchonk:development:catalogue.2:all";

/// A server on this database and this fake.
pub(crate) async fn start(url: &str, kv: &FakeKv) -> TestServer {
    start_with(url, kv, &[]).await
}

/// The same with other variables on top.
pub(crate) async fn start_with(url: &str, kv: &FakeKv, others: &[(&str, &str)]) -> TestServer {
    let own = kv.variables();
    TestServer::with(&variables(url, &own, others)).await
}

/// The same by this clock, with a port for metrics: while the clock stands still, so does the health document.
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

/// A server that has put its catalogue into KV.
pub(crate) async fn start_and_fill(database: &TestDatabase, kv: &FakeKv) -> TestServer {
    let server = start(&database.url(), kv).await;
    server.until("/api/health", |health| kv_of(health)["writes"] != 0).await;
    server
}

/// What health tells of KV.
pub(crate) fn kv_of(health: &Answer) -> Value {
    health.json()["cache"]["detail"]["kv"].clone()
}

/// Whether health says so.
pub(crate) fn is_enabled(health: &Answer) -> bool {
    health.json()["cache"]["cloudflare_kv"] == "enabled"
}

/// Whether health says so.
pub(crate) fn is_unavailable(health: &Answer) -> bool {
    health.json()["cache"]["cloudflare_kv"] == "unavailable"
}
