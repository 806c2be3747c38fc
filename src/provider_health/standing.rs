//! How a provider stands after what the probes saw, and when to look again. Pure, on a given time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::domain::closed::closed_enum;
use crate::domain::health::ProviderHealth;
use crate::domain::id::ProviderId;
use crate::domain::provider::ProviderStatus;

/// Between two looks at a provider as long as nothing is new, give or take a tenth.
const INTERVAL: Duration = Duration::from_mins(5);
/// Between two looks at the least, and after a look that asks for a second one.
pub(super) const SHORTEST: Duration = Duration::from_mins(1);
/// An answer that takes longer is slow.
const SLOW: Duration = Duration::from_secs(3);
/// How far another instance's clock may be ahead of this one.
const CLOCK_SKEW: Duration = Duration::from_mins(5);
/// How many answers the percentiles are of: a little more than an hour and a half.
const LATENCIES: usize = 20;

closed_enum!(
    /// Why a provider is not healthy, or why its status is unknown.
    Reason {
        /// It refuses the key.
        Unauthorized = "unauthorized",
        /// It has received too many requests with this key.
        RateLimited = "rate_limited",
        /// It answers, but takes longer than 3 s.
        Slow = "slow",
        /// It has not answered within 8 s.
        Timeout = "timeout",
        /// Its name leads to no address.
        Dns = "dns",
        /// No connection, no TLS, or a connection that broke before an answer.
        Connect = "connect",
        /// It reports a fault of its own.
        Http5xx = "http_5xx",
        /// Another status that is not that of an answer, redirects included.
        UnexpectedStatus = "unexpected_status",
        /// What it sends is no list of models, broke off, or is longer than any such list.
        BadBody = "bad_body",
        /// Not probed: no key is set.
        NoKey = "no_key",
        /// Not probed: the key holds characters that no header can carry.
        BadKey = "bad_key",
        /// Not probed: the catalogue has no address of its list, or headers that cannot be sent.
        NoList = "no_list",
        /// Not probed: its row would send the key to a host that neither this build nor `PROVIDER_BASE_URLS` names, or in
        /// another way; or its host leads to private addresses only.
        UntrustedAddress = "untrusted_address",
    }
);

/// What one probe saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A list of models, after so long.
    Answered(Duration),
    /// Something else.
    Failed(Reason),
}

/// How a provider stands. Two looks in a row that contradict its status move it. One is enough where the status rests on
/// no look, or is a bad one that rests on a single look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The status.
    pub status: ProviderStatus,
    /// Why it is not healthy.
    pub reason: Option<Reason>,
    /// Since when it has that status.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// When it was last probed.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_checked: Option<OffsetDateTime>,
    /// Whether the status needs two looks to be given up.
    settled: bool,
    /// What the last look said, if it was something else than the status.
    contrary: Option<ProviderStatus>,
    /// How long the last answers took, in milliseconds, the newest last.
    latencies: Vec<u32>,
}

impl From<ProviderStatus> for Standing {
    /// A status that rests on no look.
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
    /// A provider that is not probed.
    pub(super) fn unprobed(reason: Reason) -> Self {
        Self { reason: Some(reason), ..ProviderStatus::Unknown.into() }
    }

    /// Takes in what a probe saw that began then.
    pub(super) fn took(&mut self, look: Look, at: OffsetDateTime) {
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

    /// Whether an instance could have written this by `now`. Anyone who can write to the shared tier may have.
    pub(super) fn is_possible(&self, now: OffsetDateTime) -> bool {
        let has_passed = |at: Option<OffsetDateTime>| at.is_none_or(|at| at <= now + CLOCK_SKEW);
        self.latencies.len() <= LATENCIES
            && has_passed(self.last_checked)
            && has_passed(self.since)
            && (self.status != ProviderStatus::Healthy || self.reason.is_none())
    }

    /// What another process saw, as a process that starts takes it: a key may have been replaced meanwhile, so a bad
    /// status is looked at again soon and given up at once.
    pub(super) fn adopted(&self) -> Self {
        let settled = self.settled && self.status == ProviderStatus::Healthy;
        Self { settled, ..self.clone() }
    }

    /// How long to wait for the next look; nothing when it is due.
    pub(super) fn due_in(&self, now: OffsetDateTime) -> Duration {
        let Some(last) = self.last_checked else { return Duration::ZERO };
        let is_open = self.contrary.is_some() || (!self.settled && self.status != ProviderStatus::Healthy);
        let (interval, spread) = if is_open { (SHORTEST, 10) } else { (INTERVAL * 9 / 10, 20) };
        // By the time of the look: providers that were probed together stay together, and instances do not.
        let hash = xxhash_rust::xxh3::xxh3_64(&last.unix_timestamp_nanos().to_le_bytes()) % 1_000;
        let jitter = interval * spread / 100 * u32::try_from(hash).unwrap_or(0) / 1_000;
        // Clocks are a little apart. One that was set back must not stop the probes.
        let ahead = if last > now + SHORTEST { Duration::MAX } else { Duration::ZERO };
        let passed = Duration::try_from(now - last).unwrap_or(ahead);
        (interval + jitter).saturating_sub(passed)
    }

    /// The latency that this share of the last 20 answers did not exceed, in whole milliseconds; `None` before the first.
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

/// How all providers stand. Those of which nothing is said are unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standings(BTreeMap<ProviderId, Standing>);

impl FromIterator<(ProviderId, Standing)> for Standings {
    fn from_iter<T: IntoIterator<Item = (ProviderId, Standing)>>(standings: T) -> Self {
        Self(standings.into_iter().collect())
    }
}

impl IntoIterator for Standings {
    type Item = (ProviderId, Standing);
    type IntoIter = std::collections::btree_map::IntoIter<ProviderId, Standing>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Standings {
    /// How that provider stands, if anything is said of it.
    pub fn of(&self, provider: &str) -> Option<&Standing> {
        self.0.get(provider)
    }

    /// The status of that provider.
    pub fn status_of(&self, provider: &str) -> ProviderStatus {
        self.of(provider).map_or(ProviderStatus::Unknown, |standing| standing.status)
    }

    /// All of which something is said, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&ProviderId, &Standing)> {
        self.0.iter()
    }

    /// Its bytes in memory.
    pub fn bytes(&self) -> usize {
        let entry = |(id, standing): (&ProviderId, &Standing)| {
            size_of_val(id)
                + id.as_str().len()
                + size_of_val(standing)
                + standing.latencies.capacity() * size_of::<u32>()
        };
        size_of::<Self>() + self.iter().map(entry).sum::<usize>()
    }

    /// What the domain wants to know of it.
    pub fn statuses(&self) -> ProviderHealth {
        self.iter().map(|(id, standing)| (id.clone(), standing.status)).collect()
    }
}

#[cfg(test)]
mod tests;
