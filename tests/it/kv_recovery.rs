//! A server without requests uses KV again by itself after a fault, within limits counted by a manual clock.
//!
//! The clock advances by a second when every background task is asleep and no call to KV is in flight.

#![expect(clippy::float_cmp, clippy::cast_precision_loss, reason = "counts are small integers")]

use std::time::Duration;

use chatchonk::clock::{Clock, ClockHand};
use time::macros::datetime;

use crate::support::kv::fake::{FakeKv, Fault};
use crate::support::kv::{KEY, start_at};
use crate::support::postgres::database;
use crate::support::scrape::Scrape;
use crate::support::server::{TestServer, eventually};

/// The tasks that sleep at rest: the shared tier until its next flush, the database supervisor, the listener, the
/// recorder, and the task that watches for connections that cannot be accepted.
const RESTING: usize = 5;
/// The time that a start waits for the first source; a sleeper too, which ends after that time.
const START: Duration = Duration::from_secs(3);
/// Long enough for the breaker to reach its longest pause.
const OUTAGE: u64 = 120;

/// A server without requests, whose KV is broken from the start.
struct Simulation {
    kv: FakeKv,
    hand: ClockHand,
    server: TestServer,
}

impl Simulation {
    async fn start(broken: impl FnOnce(&FakeKv)) -> Self {
        let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
        let kv = FakeKv::start(clock.clone()).unwrap();
        broken(&kv);
        let server = start_at(&database().await.url(), &kv, clock).await;
        let simulation = Self { kv, hand, server };
        let is_started = async || {
            let scrape = Scrape::of(&simulation.server).await;
            scrape.sum("chatchonk_database_listening", &[]) + scrape.sum("chatchonk_kv_queued", &[]) == 2.0
        };
        eventually(is_started).await;
        assert!(!simulation.is_available().await);
        simulation.rest().await;
        simulation.hand.advance(START);
        simulation.rest().await;
        simulation
    }

    async fn rest(&self) {
        let is_resting = async || {
            let calls = Scrape::of(&self.server).await.sum("chatchonk_kv_calls_total", &[]);
            calls == self.kv.requests().len() as f64 && self.hand.sleepers() >= RESTING
        };
        eventually(is_resting).await;
    }

    async fn is_available(&self) -> bool {
        Scrape::of(&self.server).await.sum("chatchonk_kv_available", &[]) == 1.0
    }

    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.hand.advance(Duration::from_secs(1));
            self.rest().await;
        }
    }

    /// Advances the clock until a call has just been made, so that its whole pause is still ahead.
    async fn pass_until_called(&self) {
        let calls = self.kv.requests().len();
        while self.kv.requests().len() == calls {
            self.pass(1).await;
        }
    }

    /// Returns the number of seconds until KV is available and has the catalogue.
    async fn seconds_until_used(&self) -> u64 {
        let mut seconds = 0;
        while !self.is_available().await || self.kv.value(KEY).is_none() {
            assert!(seconds < 1_000, "KV is not used again");
            self.pass(1).await;
            seconds += 1;
        }
        self.kv.assert_conforming();
        seconds
    }
}

/// Returns the seconds until KV is used again after such a fault ends at the worst moment.
async fn seconds_after(fault: Fault, outage: u64) -> u64 {
    let simulation = Simulation::start(|kv| kv.fail_always(None, fault)).await;
    simulation.pass(outage).await;
    simulation.pass_until_called().await;
    simulation.kv.heal();
    simulation.seconds_until_used().await
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_is_used_again_within_45_seconds_after_a_fault_ends() {
    let (page, reset, hang) = tokio::join!(
        seconds_after(Fault::Page(502), OUTAGE),
        seconds_after(Fault::Reset, OUTAGE),
        // Each call takes its full limit in real time, so this fault ends as soon as the breaker opens.
        seconds_after(Fault::Hang, 0),
    );
    assert!((20..=45).contains(&page), "502: {page} s");
    assert!((20..=45).contains(&reset), "reset: {reset} s");
    assert!((1..=45).contains(&hang), "hanging: {hang} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_is_used_again_within_90_seconds_after_a_correction() {
    let (permission, namespace) =
        tokio::join!(seconds_after(Fault::forbidden(), 0), seconds_after(Fault::no_namespace(), 0));
    assert!((45..=90).contains(&permission), "permission: {permission} s");
    assert!((45..=90).contains(&namespace), "namespace: {namespace} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_is_used_again_exactly_after_retry_after() {
    // After too many calls, the fake refuses all calls for 5 minutes and reports the remaining time.
    let simulation = Simulation::start(|kv| kv.quirks(|quirks| quirks.calls = 0)).await;
    simulation.kv.quirks(|quirks| quirks.calls = 1_200);
    let calls = simulation.kv.requests().len();
    simulation.pass(300 - START.as_secs() - 1).await;
    assert_eq!(simulation.kv.requests().len(), calls, "KV was called too early");
    let seconds = simulation.seconds_until_used().await;
    assert!((1..=5).contains(&seconds), "{seconds} s after the 299th");
}
