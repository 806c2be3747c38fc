//! What became of the parts of this instance: a ring of samples, which is an hour, and a ring of changes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::domain::closed::closed_enum;
use crate::domain::id::ProviderId;
use crate::histogram::Durations;

/// Between two samples.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
/// How many samples are kept: an hour.
pub const MAX_SAMPLES: usize = 360;
/// How many changes are kept.
pub const MAX_CHANGES: usize = 50;

closed_enum!(
    /// What is watched.
    Part {
        /// The database.
        Database = "database",
        /// Cloudflare KV.
        CloudflareKv = "cloudflare_kv",
        /// Where the catalogue is from.
        Catalogue = "catalogue",
        /// A provider.
        Provider = "provider",
    }
);

/// Which part: providers are several.
pub type PartName = (Part, Option<ProviderId>);

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// In a word of the part's own.
    pub state: &'static str,
    /// What is wrong.
    pub reason: Option<&'static str>,
    /// Whether it is as it should be, so that it is no news when it is seen for the first time.
    pub is_good: bool,
}

/// A part whose state became another one, or has another reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatusChange)]
pub struct Change {
    /// When it was seen, at most a second after the background check saw it.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What changed.
    pub part: Part,
    /// Which provider, where `part` is `provider`.
    #[schema(required, value_type = Option<ProviderId>)]
    pub provider: Option<ProviderId>,
    /// The state before, such as `up`; `null` where none was known.
    #[schema(required)]
    pub from: Option<&'static str>,
    /// The state since then: of the database `up`, `read_only`, `down` or `not_configured`, of Cloudflare KV `enabled`
    /// or `unavailable`, of the catalogue its source, of a provider its status.
    pub to: &'static str,
    /// What is wrong, in plain words, or by the name that the health of providers has for it.
    #[schema(required)]
    pub reason: Option<&'static str>,
}

/// What the counters say at one moment, since the start of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Reads of the catalogue, whatever came of them.
    pub reads: u64,
    /// Those answered from memory.
    pub memory: u64,
    /// Those answered from Cloudflare KV, or with a stale value.
    pub other_hits: u64,
    /// Values that Cloudflare KV was asked for and has answered about.
    pub kv_lookups: u64,
    /// Those of them that were found.
    pub kv_found: u64,
    /// Calls to Cloudflare that failed.
    pub kv_failures: u64,
    /// Calls to Cloudflare of every kind, and how long they took.
    pub kv_took: Durations,
    /// Loads of the catalogue from the database that ended, well or not, and how long they took.
    pub loads: Durations,
}

/// One sample of about 10 s.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = StatusSample)]
pub struct Sample {
    /// Its end.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Reads of the catalogue that ended in these seconds.
    pub reads: u64,
    /// Those of them that memory answered.
    pub memory_hits: u64,
    /// Those of them that Cloudflare KV answered, or that were answered with a stale catalogue.
    pub other_hits: u64,
    /// The last look at the database, in milliseconds; `null` while it does not answer.
    #[schema(required)]
    pub database_ms: Option<f64>,
    /// Values that Cloudflare KV was asked for.
    pub kv_lookups: u64,
    /// Those of them that were found.
    pub kv_found: u64,
    /// Calls to Cloudflare of every kind.
    pub kv_calls: u64,
    /// Those of them that failed.
    pub kv_failures: u64,
    /// How long these calls took, the mean in milliseconds; `null` where there was none.
    #[schema(required)]
    pub kv_ms: Option<f64>,
    /// Loads of the catalogue from the database that ended in these seconds, well or not.
    pub loads: u64,
    /// How long they took, the mean in milliseconds; `null` where there was none.
    #[schema(required)]
    pub load_ms: Option<f64>,
}

/// What is remembered: at most [`MAX_SAMPLES`] samples and [`MAX_CHANGES`] changes, less than 64 KiB together.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    changes: VecDeque<Change>,
    known: BTreeMap<PartName, Condition>,
    before: Totals,
    revision: u64,
}

impl History {
    /// The samples, the oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// The changes, the newest first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev()
    }

    /// Rises whenever there is something new in it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes in how the parts are now. What differs from the last time is a change; a part seen for the first time is one
    /// only when it is not as it should be. Parts that are not named any more are forgotten.
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

    /// Takes in what happened since the last sample; `database_ms` is the last look at the database, in milliseconds.
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

/// Puts the newest last, and drops the oldest where there are too many.
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
    fn only_what_differs_is_a_change_and_what_is_well_at_first_is_none() {
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
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
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
    fn a_sample_counts_what_happened_since_the_last_one() {
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
        // Each sample tells of its own calls: the slow ones before are not among them.
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
