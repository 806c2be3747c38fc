//! What waits to be written to the shared tier: the newest value of each key, each key at most once a minute. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::kv::KvKey;

/// The shortest time between two writes of one key; Cloudflare itself allows one a second.
const BETWEEN_WRITES: Duration = Duration::from_mins(1);
/// The most keys that wait, and the most whose last write is remembered.
const MAX_KEYS: usize = 1_000;

/// A pair to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub key: KvKey,
    pub version: u64,
    pub bytes: Vec<u8>,
    /// How long it may serve in an outage.
    pub keep: Duration,
}

/// The queue. Bounded: beyond [`MAX_KEYS`] keys a new one is not taken.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: HashMap<KvKey, Pending>,
    written: HashMap<KvKey, Instant>,
    held: HashMap<KvKey, (u64, Instant)>,
}

impl Queue {
    /// Takes a pair, in place of an older one of the same key, unless the shared tier is known to hold that version.
    pub fn put(&mut self, pending: Pending, now: Instant) {
        let newer_waits = self.waiting.get(&pending.key).is_some_and(|held| held.version > pending.version);
        let held = self.held.get(&pending.key);
        let is_held = held.is_some_and(|(version, until)| *version == pending.version && now < *until);
        let full = self.waiting.len() >= MAX_KEYS && !self.waiting.contains_key(&pending.key);
        if !newer_waits && !is_held && !full {
            self.waiting.insert(pending.key.clone(), pending);
        }
    }

    /// Takes out what may be written now.
    pub fn due(&mut self, now: Instant) -> Vec<Pending> {
        self.written.retain(|_, at| now.saturating_duration_since(*at) < BETWEEN_WRITES);
        let held = &self.held;
        self.waiting.retain(|key, pending| {
            held.get(key).is_none_or(|(version, until)| *version != pending.version || now >= *until)
        });
        let due: Vec<_> =
            self.waiting.keys().filter(|key| !self.written.contains_key(*key)).cloned().collect();
        due.into_iter().filter_map(|key| self.waiting.remove(&key)).collect()
    }

    /// Remembers what was written, for half of its life: in the other half it may be written again.
    pub fn written(&mut self, pairs: impl IntoIterator<Item = Pending>, now: Instant) {
        for Pending { key, version, keep, .. } in pairs {
            self.written.insert(key.clone(), now);
            self.holds(key, version, now + keep / 2);
        }
    }

    /// Remembers until then that the shared tier holds that version.
    pub fn holds(&mut self, key: KvKey, version: u64, until: Instant) {
        if self.held.len() < MAX_KEYS || self.held.contains_key(&key) {
            self.held.insert(key, (version, until));
        }
    }

    /// Puts back what could not be written, unless something newer has come meanwhile.
    pub fn put_back(&mut self, pairs: Vec<Pending>, now: Instant) {
        for pending in pairs {
            self.put(pending, now);
        }
    }

    /// How many keys wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const KEEP: Duration = Duration::from_hours(10);

    fn pair(key: &str, version: u64) -> Pending {
        Pending { key: key.parse().unwrap(), version, bytes: Vec::new(), keep: KEEP }
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
        queue.written([pair("a", 1)], now);
        queue.put(pair("a", 2), now);
        assert_eq!(queue.due(now + Duration::from_secs(59)), []);
        assert_eq!(queue.due(now + BETWEEN_WRITES), [pair("a", 2)]);
    }

    #[test]
    fn what_is_held_already_is_written_again_in_the_last_half_of_its_life_only() {
        let (mut queue, now) = (Queue::default(), Clock::system().now());
        queue.written([pair("a", 1)], now);
        queue.put(pair("a", 1), now + KEEP * 49 / 100);
        assert_eq!(queue.len(), 0);
        queue.put(pair("a", 1), now + KEEP / 2);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn what_failed_goes_again_only_while_it_is_the_newest() {
        let (mut queue, now) = (Queue::default(), Clock::system().now());
        queue.put(pair("a", 1), now);
        let failed = queue.due(now);
        queue.put(pair("a", 2), now);
        queue.put_back(failed, now);
        assert_eq!(queue.due(now), [pair("a", 2)]);
    }

    #[test]
    fn the_queue_is_bounded() {
        let (mut queue, now) = (Queue::default(), Clock::system().now());
        for n in 0..2_000 {
            queue.put(pair(&n.to_string(), 1), now);
        }
        assert_eq!(queue.len(), MAX_KEYS);
    }
}
