//! Writes and deletes that wait, and what is known of their keys. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::cache::{Backoff, Digest};
use crate::kv_client::{KvKey, KvPair};

/// Shortest time between two writes of a key; Cloudflare allows one per second.
const BETWEEN_WRITES: Duration = Duration::from_mins(1);
/// Shortest time between two deletes of a key.
const BETWEEN_DELETES: Duration = Duration::from_hours(1);
/// A key counts as absent for this long, because KV caches absence at least as long.
const ABSENT: Duration = Duration::from_secs(30);
/// First and longest pause after a failed flush.
const FLUSH_PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(5));
/// Most keys that wait, and most keys with knowledge.
const MAX_KEYS: usize = 1_000;
/// Most keys of a flush: a batch beyond the rest of the day's budget would never go.
const MAX_BATCH: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub key: KvKey,
    pub version: u64,
    /// Digest of the value in `bytes`.
    pub digest: Digest,
    pub bytes: Vec<u8>,
    /// How long it may serve in an outage.
    pub keep: Duration,
    /// Whether the ledger has granted it to this instance.
    pub claimed: bool,
    /// Earliest time to write it.
    pub not_before: Option<Instant>,
}

impl From<&Write> for KvPair {
    fn from(write: &Write) -> Self {
        Self { key: write.key.clone(), value: write.bytes.clone(), time_to_live: write.keep }
    }
}

#[derive(Debug, Default)]
struct Known {
    written: Option<Instant>,
    deleted: Option<Instant>,
    absent: Option<Instant>,
    /// The tier has this version, and needs it again only then.
    held: Option<(u64, Instant)>,
}

/// The queue. Beyond [`MAX_KEYS`] keys it takes no new one.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<KvKey, Write>,
    deletes: BTreeSet<KvKey>,
    known: BTreeMap<KvKey, Known>,
    backoff: Option<Backoff>,
}

impl Queue {
    /// Queues a pair in place of an older one of its key, unless the tier is known to have this version.
    pub fn put(&mut self, pending: Write, now: Instant) {
        let waits = self.waiting.get(&pending.key).map(|waiting| waiting.version);
        let is_newest = waits.is_none_or(|version| version < pending.version);
        let full = self.waiting.len() >= MAX_KEYS && waits.is_none();
        if is_newest && !full && !self.is_held(&pending.key, pending.version, now) {
            self.waiting.insert(pending.key.clone(), pending);
        }
    }

    /// Takes out a batch of pairs that may be written now.
    pub fn due(&mut self, now: Instant) -> Vec<Write> {
        if self.is_paused(now) {
            return Vec::new();
        }
        let known = &self.known;
        let held = |pending: &Write| {
            let held = known.get(&pending.key).and_then(|known| known.held);
            held.is_some_and(|(version, until)| version == pending.version && now < until)
        };
        self.waiting.retain(|_, pending| !held(pending));
        let rests = |key: &KvKey| {
            let written = known.get(key).and_then(|known| known.written);
            written.is_some_and(|at| now.saturating_duration_since(at) < BETWEEN_WRITES)
        };
        let may_go = |pending: &&Write| pending.not_before.is_none_or(|at| now >= at) && !rests(&pending.key);
        let due: Vec<_> = self.waiting.values().filter(may_go).take(MAX_BATCH).cloned().collect();
        for pending in &due {
            self.waiting.remove(&pending.key);
        }
        due
    }

    /// Queues a key to delete, unless it was deleted within the hour.
    pub fn delete(&mut self, key: KvKey, now: Instant) {
        let deleted = self.known.get(&key).and_then(|known| known.deleted);
        let recently = deleted.is_some_and(|at| now.saturating_duration_since(at) < BETWEEN_DELETES);
        if !recently && self.deletes.len() < MAX_KEYS {
            self.deletes.insert(key);
        }
    }

    /// Takes out a batch of keys to delete.
    pub fn due_deletes(&mut self, now: Instant) -> Vec<KvKey> {
        if self.is_paused(now) {
            return Vec::new();
        }
        let due: Vec<_> = self.deletes.iter().take(MAX_BATCH).cloned().collect();
        for key in &due {
            self.deletes.remove(key);
        }
        due
    }

    /// Records writes. For half of their life they are not repeated.
    pub fn record_written(&mut self, pairs: impl IntoIterator<Item = Write>, now: Instant) {
        for Write { key, version, keep, .. } in pairs {
            if let Some(known) = self.known_of(&key, now) {
                *known = Known {
                    written: Some(now),
                    deleted: known.deleted,
                    absent: None,
                    held: Some((version, now + rewrite_after(keep))),
                };
            }
        }
        self.backoff = None;
    }

    /// Records deletes. Such a key may be written at once.
    pub fn record_deleted(&mut self, keys: &[KvKey], now: Instant) {
        for key in keys {
            if let Some(known) = self.known_of(key, now) {
                *known = Known { deleted: Some(now), absent: Some(now), ..Known::default() };
            }
        }
    }

    /// Records that the tier has a version until then.
    pub fn record_held(&mut self, key: &KvKey, version: u64, until: Instant, now: Instant) {
        if let Some(known) = self.known_of(key, now) {
            (known.held, known.absent) = (Some((version, until)), None);
        }
    }

    /// Records that the tier lacks the key.
    pub fn record_absent(&mut self, key: &KvKey, now: Instant) {
        if let Some(known) = self.known_of(key, now) {
            (known.held, known.absent) = (None, Some(now));
        }
    }

    /// Returns how long ago the key was found absent, unless it was written since.
    pub fn missing_for(&self, key: &KvKey, now: Instant) -> Option<Duration> {
        let absent = self.known.get(key).and_then(|known| known.absent);
        absent.map(|at| now.saturating_duration_since(at))
    }

    /// Whether the key was found absent just now, so that another query is useless.
    pub fn is_known_absent(&self, key: &KvKey, now: Instant) -> bool {
        self.missing_for(key, now).is_some_and(|missing| missing < ABSENT)
    }

    /// Puts back what could not be written, unless newer values wait.
    pub fn put_back(&mut self, pairs: impl IntoIterator<Item = Write>, now: Instant) {
        for pending in pairs {
            self.put(pending, now);
        }
    }

    /// Pauses everything after a failed flush: 2 s, doubling to 5 min.
    pub fn pause(&mut self, now: Instant) {
        self.backoff = Some(Backoff::after(self.backoff, FLUSH_PAUSES, now, 0));
    }

    /// Ends the pause: the tier answers again.
    pub fn resume(&mut self) {
        self.backoff = None;
    }

    /// Returns the number of keys that wait.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.deletes.len()
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.backoff.is_some_and(|backoff| !backoff.due_in(now).is_zero())
    }

    fn is_held(&self, key: &KvKey, version: u64, now: Instant) -> bool {
        let held = self.known.get(key).and_then(|known| known.held);
        held.is_some_and(|(of, until)| of == version && now < until)
    }

    /// Returns what is known of a key, to change it; `None` when too many keys are known. The ledger then prevents
    /// repeated writes.
    fn known_of(&mut self, key: &KvKey, now: Instant) -> Option<&mut Known> {
        if self.known.len() >= MAX_KEYS && !self.known.contains_key(key) {
            let counts =
                |at: Option<Instant>, limit| at.is_some_and(|at| now.saturating_duration_since(at) < limit);
            self.known.retain(|_, known| {
                known.held.is_some_and(|(_, until)| now < until)
                    || counts(known.written, BETWEEN_WRITES)
                    || counts(known.deleted, BETWEEN_DELETES)
                    || counts(known.absent, ABSENT)
            });
            if self.known.len() >= MAX_KEYS {
                return None;
            }
        }
        Some(self.known.entry(key.clone()).or_default())
    }
}

/// Returns the age from which a value may be written again: half of its life.
pub(super) fn rewrite_after(keep: Duration) -> Duration {
    keep / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const KEEP: Duration = Duration::from_hours(10);

    fn pair(key: &str, version: u64) -> Write {
        let key = key.parse().unwrap();
        Write {
            key,
            version,
            digest: [0; 32],
            bytes: Vec::new(),
            keep: KEEP,
            claimed: false,
            not_before: None,
        }
    }

    fn key(key: &str) -> KvKey {
        key.parse().unwrap()
    }

    #[test]
    fn only_the_newest_value_of_a_key_is_written() {
        let (mut queue, now) = (Queue::default(), Clock::system().now());
        for version in [1, 3, 2] {
            queue.put(pair("a", version), now);
        }
        assert_eq!(queue.due(now), [pair("a", 3)]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_key_is_written_at_most_once_a_minute() {
        let (mut queue, now) = (Queue::default(), Clock::system().now());
        queue.record_written([pair("a", 1)], now);
        queue.put(pair("a", 2), now);
        assert_eq!(queue.due(now + Duration::from_secs(59)), []);
        assert_eq!(queue.due(now + BETWEEN_WRITES), [pair("a", 2)]);
    }

    #[test]
    fn a_held_version_is_written_again_after_half_of_its_life() {
        let (mut queue, now) = (Queue::default(), Clock::system().now());
        queue.record_written([pair("a", 1)], now);
        queue.put(pair("a", 1), now + KEEP * 49 / 100);
        assert_eq!(queue.len(), 0);
        queue.put(pair("a", 1), now + KEEP / 2);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_failed_write_is_repeated_only_while_it_is_the_newest() {
        let (mut queue, now) = (Queue::default(), Clock::system().now());
        queue.put(pair("a", 1), now);
        let failed = queue.due(now);
        queue.put(pair("a", 2), now);
        queue.put_back(failed, now);
        assert_eq!(queue.due(now), [pair("a", 2)]);
    }

    #[test]
    fn pauses_double_to_five_minutes_until_a_write_succeeds() {
        let (mut queue, mut now) = (Queue::default(), Clock::system().now());
        queue.put(pair("a", 1), now);
        for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let failed = queue.due(now);
            assert_eq!(failed.len(), 1);
            queue.put_back(failed, now);
            queue.pause(now);
            assert_eq!(queue.due(now + Duration::from_millis(seconds * 1_000 - 1)), []);
            now += Duration::from_secs(seconds);
        }
        let due = queue.due(now);
        queue.record_written(due, now);
        queue.put(pair("b", 1), now);
        assert_eq!(queue.due(now).len(), 1);
    }

    #[test]
    fn a_key_is_deleted_once_an_hour_and_may_be_written_at_once() {
        let (mut queue, now) = (Queue::default(), Clock::system().now());
        queue.record_written([pair("a", 1)], now);
        queue.delete(key("a"), now);
        assert_eq!(queue.due_deletes(now), [key("a")]);
        queue.record_deleted(&[key("a")], now);
        queue.put(pair("a", 1), now);
        assert_eq!(queue.due(now), [pair("a", 1)]);
        queue.delete(key("a"), now + Duration::from_mins(59));
        assert_eq!(queue.due_deletes(now + Duration::from_mins(59)), []);
        queue.delete(key("a"), now + BETWEEN_DELETES);
        assert_eq!(queue.due_deletes(now + BETWEEN_DELETES), [key("a")]);
    }

    #[test]
    fn an_absent_key_is_not_queried_for_30_s_unless_written() {
        let (mut queue, now) = (Queue::default(), Clock::system().now());
        queue.record_absent(&key("a"), now);
        assert!(queue.is_known_absent(&key("a"), now + Duration::from_secs(29)));
        assert!(!queue.is_known_absent(&key("a"), now + ABSENT));
        assert_eq!(queue.missing_for(&key("a"), now + ABSENT), Some(ABSENT));
        queue.record_written([pair("a", 1)], now);
        assert!(!queue.is_known_absent(&key("a"), now));
        assert_eq!(queue.missing_for(&key("a"), now), None);
    }

    #[test]
    fn the_queue_and_what_it_remembers_are_bounded() {
        let (mut queue, now) = (Queue::default(), Clock::system().now());
        for n in 0..2_000 {
            queue.put(pair(&n.to_string(), 1), now);
            queue.delete(key(&n.to_string()), now);
            queue.record_held(&key(&n.to_string()), 1, now, now);
        }
        assert_eq!((queue.waiting.len(), queue.deletes.len()), (MAX_KEYS, MAX_KEYS));
        assert!(queue.known.len() <= MAX_KEYS);
        assert_eq!(queue.due(now).len(), MAX_BATCH);
        assert_eq!(queue.due_deletes(now).len(), MAX_BATCH);
    }
}
