//! Remembers an hour of samples and the last changes of this instance's parts.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::domain::closed::closed_enum;
use crate::domain::id::ProviderId;
use crate::histogram::Durations;

/// Interval of samples.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum of samples: an hour.
pub const MAX_SAMPLES: usize = 360;
/// Maximum of changes.
pub const MAX_CHANGES: usize = 50;

closed_enum!(
    /// A part of the instance.
    Part {
        /// The database.
        Database = "database",
        /// Cloudflare KV.
        CloudflareKv = "cloudflare_kv",
        /// The catalogue's source.
        Catalogue = "catalogue",
        /// A provider.
        Provider = "provider",
    }
);

/// A part, with the id for providers.
pub type PartName = (Part, Option<ProviderId>);

/// Condition of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The part's own word for its state.
    pub state: &'static str,
    /// Cause of a fault.
    pub reason: Option<&'static str>,
    /// Whether it is healthy. A healthy part seen for the first time is not a change.
    pub is_good: bool,
}

/// A change of a part's state or reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatusChange)]
pub struct Change {
    /// When it was recorded, at most a second after the background check.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The part.
    pub part: Part,
    /// The provider, if `part` is `provider`.
    #[schema(value_type = Option<ProviderId>)]
    pub provider: Option<ProviderId>,
    /// The previous state, such as `up`; `null` if unknown.
    pub from: Option<&'static str>,
    /// The new state: of the database `up`, `read_only`, `down` or `not_configured`, of Cloudflare KV `enabled` or
    /// `unavailable`, of the catalogue its source, of a provider its status.
    pub to: &'static str,
    /// The cause, in plain words; for providers, its name in provider health.
    pub reason: Option<&'static str>,
}

/// Counters since the start of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Reads of the catalogue.
    pub reads: u64,
    /// Reads answered from memory.
    pub memory: u64,
    /// Reads answered from Cloudflare KV, or with a stale value.
    pub other_hits: u64,
    /// Lookups that Cloudflare KV answered.
    pub kv_lookups: u64,
    /// Lookups that found a value.
    pub kv_found: u64,
    /// Failed calls to Cloudflare.
    pub kv_failures: u64,
    /// Durations of all calls to Cloudflare.
    pub kv_took: Durations,
    /// Durations of all loads from the database, failed ones included.
    pub loads: Durations,
}

/// A sample of about 10 s.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = StatusSample)]
pub struct Sample {
    /// End of the sample.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Reads of the catalogue during the sample.
    pub reads: u64,
    /// Reads answered from memory.
    pub memory_hits: u64,
    /// Reads answered from Cloudflare KV, or with a stale catalogue.
    pub other_hits: u64,
    /// Latency of the last database check, in milliseconds; `null` while it does not answer.
    pub database_ms: Option<f64>,
    /// Lookups in Cloudflare KV.
    pub kv_lookups: u64,
    /// Lookups that found a value.
    pub kv_found: u64,
    /// Calls to Cloudflare of every kind.
    pub kv_calls: u64,
    /// Calls to Cloudflare that failed.
    pub kv_failures: u64,
    /// Mean duration of these calls, in milliseconds; `null` without any.
    pub kv_ms: Option<f64>,
    /// Loads of the catalogue from the database, failed ones included.
    pub loads: u64,
    /// Mean duration of these loads, in milliseconds; `null` without any.
    pub load_ms: Option<f64>,
}

/// At most [`MAX_SAMPLES`] samples and [`MAX_CHANGES`] changes, less than 64 KiB together.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    changes: VecDeque<Change>,
    known: BTreeMap<PartName, Condition>,
    before: Totals,
    revision: u64,
}

impl History {
    /// Returns the samples, oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Returns the changes, newest first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev()
    }

    /// Returns a number that rises with every addition.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Records the current conditions. A difference from the last ones is a change, and so is an unhealthy part that is new.
    /// Forgets parts that are missing from `seen`.
    pub fn observe(&mut self, at: OffsetDateTime, seen: BTreeMap<PartName, Condition>) {
        for ((part, provider), now) in &seen {
            let before = self.known.get(&(*part, provider.clone()));
            let is_news = before.map_or(!now.is_good, |before| before != now);
            if is_news {
                let (from, to) = (before.map(|before| before.state), now.state);
                let change =
                    Change { at, part: *part, provider: provider.clone(), from, to, reason: now.reason };
                push(&mut self.changes, change, MAX_CHANGES);
                self.revision += 1;
            }
        }
        self.known = seen;
    }

    /// Records what happened since the last sample; `database_ms` is the latency of the last check.
    pub fn sample(&mut self, at: OffsetDateTime, totals: Totals, database_ms: Option<f64>) {
        let before = std::mem::replace(&mut self.before, totals);
        let since = |count: fn(&Totals) -> u64| count(&totals).saturating_sub(count(&before));
        let sample = Sample {
            at,
            reads: since(|totals| totals.reads),
            memory_hits: since(|totals| totals.memory),
            other_hits: since(|totals| totals.other_hits),
            database_ms,
            kv_lookups: since(|totals| totals.kv_lookups),
            kv_found: since(|totals| totals.kv_found),
            kv_calls: since(|totals| totals.kv_took.count()),
            kv_failures: since(|totals| totals.kv_failures),
            kv_ms: totals.kv_took.mean_since(&before.kv_took),
            loads: since(|totals| totals.loads.count()),
            load_ms: totals.loads.mean_since(&before.loads),
        };
        push(&mut self.samples, sample, MAX_SAMPLES);
        self.revision += 1;
    }
}

/// Appends to the ring and drops the oldest beyond `most`.
fn push<T>(ring: &mut VecDeque<T>, newest: T, most: usize) {
    let excess = (ring.len() + 1).saturating_sub(most);
    ring.drain(..excess);
    ring.push_back(newest);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);
    const UP: Condition = Condition { state: "up", reason: None, is_good: true };
    const DOWN: Condition = Condition { state: "down", reason: Some("unreachable"), is_good: false };

    fn seen(conditions: &[(Part, Option<&str>, Condition)]) -> BTreeMap<PartName, Condition> {
        let name = |id: Option<&str>| id.map(|id| id.parse().unwrap());
        conditions.iter().map(|(part, id, condition)| ((*part, name(*id)), *condition)).collect()
    }

    #[test]
    fn only_differences_and_initial_faults_are_changes() {
        let mut history = History::default();
        let other = Condition { reason: Some("paused"), ..DOWN };
        for (condition, changes) in [(UP, 0), (UP, 0), (DOWN, 1), (DOWN, 1), (other, 2), (UP, 3)] {
            history.observe(NOON, seen(&[(Part::Database, None, condition), (Part::Catalogue, None, UP)]));
            assert_eq!(history.changes().count(), changes, "{condition:?}");
        }
        let newest = history.changes().next().unwrap();
        assert_eq!((newest.from, newest.to, newest.reason), (Some("down"), "up", None));
        history.observe(NOON, seen(&[(Part::Provider, Some("openai"), DOWN)]));
        let newest = history.changes().next().unwrap();
        assert_eq!((newest.from, newest.to, newest.part), (None, "down", Part::Provider));
    }

    #[test]
    fn history_is_bounded_and_drops_the_oldest_first() {
        let mut history = History::default();
        for number in 0..2_000 {
            let at = NOON + Duration::from_secs(number);
            let condition = if number % 2 == 0 { DOWN } else { UP };
            history.observe(at, seen(&[(Part::Provider, Some("openai"), condition)]));
            history.sample(at, Totals { reads: number, ..Totals::default() }, None);
        }
        assert_eq!((history.changes().count(), history.samples().count()), (MAX_CHANGES, MAX_SAMPLES));
        let last = NOON + Duration::from_secs(1_999);
        assert_eq!(history.changes().next().unwrap().at, last);
        assert_eq!(history.samples().last().unwrap().at, last);
        let bytes = size_of::<Change>() * MAX_CHANGES + size_of::<Sample>() * MAX_SAMPLES;
        assert!(bytes < 64 * 1024, "{bytes}");
    }

    #[test]
    fn sample_counts_only_since_the_last_one() {
        let mut history = History::default();
        let timed = |count, milliseconds| {
            let mut durations =
                Durations { total: Duration::from_millis(milliseconds), ..Durations::default() };
            durations.counts[0] = count;
            durations
        };
        let totals =
            Totals { reads: 10, memory: 9, kv_took: timed(2, 160), loads: timed(1, 5), ..Totals::default() };
        history.sample(NOON, totals, Some(0.5));
        // Each sample covers only its own calls, not the slow ones before.
        history.sample(NOON, Totals { kv_took: timed(6, 170), ..totals }, None);
        history.sample(NOON, Totals { reads: 15, memory: 13, kv_took: timed(6, 170), ..totals }, None);
        let samples: Vec<_> = history
            .samples()
            .map(|sample| (sample.reads, sample.memory_hits, sample.kv_calls, sample.kv_ms, sample.load_ms))
            .collect();
        let expected = [(10, 9, 2, Some(80.0), Some(5.0)), (0, 0, 4, Some(2.5), None), (5, 4, 0, None, None)];
        assert_eq!(samples, expected);
        assert_eq!(history.samples().map(|sample| sample.database_ms).next(), Some(Some(0.5)));
        assert_eq!(history.revision(), 3);
    }
}
