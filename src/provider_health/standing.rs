//! A provider's standing as it follows from its probes. Pure: the caller gives the time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::domain::health::ProviderHealth;
use crate::domain::id::ProviderId;
use crate::domain::provider::ProviderStatus;

use super::reason::Reason;

/// Time between two looks while nothing changes, give or take a tenth.
const INTERVAL: Duration = Duration::from_mins(5);
/// The shortest time between two looks, such as one that confirms the last.
pub(super) const SHORTEST: Duration = Duration::from_mins(1);
/// Slower answers are [`Reason::Slow`].
const SLOW: Duration = Duration::from_secs(3);
/// How far the clock of another instance may be ahead.
const CLOCK_SKEW: Duration = Duration::from_mins(5);
/// How many answers the percentiles cover.
const LATENCIES: usize = 20;

/// The result of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A model list came, after this time.
    Answered(Duration),
    /// No model list came.
    Failed(Reason),
}

/// The standing of a provider. Two contrary looks in a row change its status. One is enough if the status rests on no look,
/// or is bad and rests on one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The current status.
    pub status: ProviderStatus,
    /// The reason for the status.
    pub reason: Option<Reason>,
    /// Since when it has the status.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// When the last probe began.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_checked: Option<OffsetDateTime>,
    /// Whether two looks are needed to change the status.
    settled: bool,
    /// The verdict of the last look, if contrary.
    contrary: Option<ProviderStatus>,
    /// In milliseconds, the newest last.
    latencies: Vec<u32>,
}

impl From<ProviderStatus> for Standing {
    /// The status rests on no look.
    fn from(status: ProviderStatus) -> Self {
        Self {
            status,
            reason: None,
            since: None,
            last_checked: None,
            settled: false,
            contrary: None,
            latencies: Vec::new(),
        }
    }
}

impl Standing {
    pub(super) fn unprobed(reason: Reason) -> Self {
        Self { reason: Some(reason), ..ProviderStatus::Unknown.into() }
    }

    /// Records the result of a probe that began at `at`.
    pub(super) fn record(&mut self, look: Look, at: OffsetDateTime) {
        let (status, reason) = verdict(look);
        if let Look::Answered(latency) = look {
            let excess = (self.latencies.len() + 1).saturating_sub(LATENCIES);
            self.latencies.drain(..excess);
            self.latencies.push(u32::try_from(latency.as_millis()).unwrap_or(u32::MAX));
        }
        self.last_checked = Some(at);
        if status == self.status {
            (self.reason, self.settled, self.contrary) = (reason, true, None);
        } else if self.settled && self.contrary.is_none() {
            self.contrary = Some(status);
        } else {
            self.settled = status == ProviderStatus::Healthy || self.contrary == Some(status);
            (self.status, self.reason, self.since, self.contrary) = (status, reason, Some(at), None);
        }
    }

    /// Whether an instance could have written this by `now`. The shared tier is not trusted.
    pub(super) fn is_possible(&self, now: OffsetDateTime) -> bool {
        let has_passed = |at: Option<OffsetDateTime>| at.is_none_or(|at| at <= now + CLOCK_SKEW);
        self.latencies.len() <= LATENCIES
            && has_passed(self.last_checked)
            && has_passed(self.since)
            && (self.status != ProviderStatus::Healthy || self.reason.is_none())
    }

    /// Adopts the standing from another process. The key may have changed since, so a bad status is probed again soon, and
    /// one good look changes it.
    pub(super) fn adopted(&self) -> Self {
        let settled = self.settled && self.status == ProviderStatus::Healthy;
        Self { settled, ..self.clone() }
    }

    /// Returns how long to wait for the next look; zero when it is due.
    pub(super) fn due_in(&self, now: OffsetDateTime) -> Duration {
        let Some(last) = self.last_checked else { return Duration::ZERO };
        let is_open = self.contrary.is_some() || (!self.settled && self.status != ProviderStatus::Healthy);
        let (interval, spread) = if is_open { (SHORTEST, 10) } else { (INTERVAL * 9 / 10, 20) };
        // The look's time decides the jitter: one instance's probes stay together, those of several spread out.
        let hash = xxhash_rust::xxh3::xxh3_64(&last.unix_timestamp_nanos().to_le_bytes()) % 1_000;
        let jitter = interval * spread / 100 * u32::try_from(hash).unwrap_or(0) / 1_000;
        // Clocks differ a little. A clock that was set back must not stop the probes.
        let ahead = if last > now + SHORTEST { Duration::MAX } else { Duration::ZERO };
        let passed = Duration::try_from(now - last).unwrap_or(ahead);
        (interval + jitter).saturating_sub(passed)
    }

    /// Returns a percentile of the last 20 latencies in milliseconds; `None` before the first answer.
    pub fn latency(&self, percent: usize) -> Option<u32> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.checked_sub(1)?).copied()
    }
}

fn verdict(look: Look) -> (ProviderStatus, Option<Reason>) {
    match look {
        Look::Answered(latency) if latency <= SLOW => (ProviderStatus::Healthy, None),
        Look::Answered(_) => (ProviderStatus::Degraded, Some(Reason::Slow)),
        Look::Failed(Reason::RateLimited) => (ProviderStatus::Degraded, Some(Reason::RateLimited)),
        // Nothing was sent.
        Look::Failed(Reason::UntrustedAddress) => (ProviderStatus::Unknown, Some(Reason::UntrustedAddress)),
        Look::Failed(reason) => (ProviderStatus::Down, Some(reason)),
    }
}

/// The standings of all providers. A provider without one is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standings(pub(super) BTreeMap<ProviderId, Standing>);

impl FromIterator<(ProviderId, Standing)> for Standings {
    fn from_iter<T: IntoIterator<Item = (ProviderId, Standing)>>(standings: T) -> Self {
        Self(standings.into_iter().collect())
    }
}

impl Standings {
    /// Returns a provider's standing.
    pub fn of(&self, provider: &str) -> Option<&Standing> {
        self.0.get(provider)
    }

    /// Returns a provider's status.
    pub fn status_of(&self, provider: &str) -> ProviderStatus {
        self.of(provider).map_or(ProviderStatus::Unknown, |standing| standing.status)
    }

    /// Iterates by id.
    pub fn iter(&self) -> impl Iterator<Item = (&ProviderId, &Standing)> {
        self.0.iter()
    }

    /// Returns the size in memory.
    pub fn bytes(&self) -> usize {
        let entry = |(id, standing): (&ProviderId, &Standing)| {
            size_of_val(id)
                + id.as_str().len()
                + size_of_val(standing)
                + standing.latencies.capacity() * size_of::<u32>()
        };
        size_of::<Self>() + self.iter().map(entry).sum::<usize>()
    }

    /// Returns the statuses alone.
    pub fn statuses(&self) -> ProviderHealth {
        self.iter().map(|(id, standing)| (id.clone(), standing.status)).collect()
    }
}

#[cfg(test)]
mod tests;
