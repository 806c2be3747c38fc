//! Stored states, and the choice of the state that a read shows.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::web::Bytes;
use time::OffsetDateTime;

/// The state that a read shows, among those that it may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The oldest.
    Oldest,
    /// A random one, repeatable by seed. A later read may show an older state.
    Any {
        /// The seed.
        seed: u64,
    },
}

/// A value that has not expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) value: Bytes,
    pub(super) expires: Option<OffsetDateTime>,
}

/// A key's state since a time: a value or none.
#[derive(Debug, Clone)]
struct Since {
    at: OffsetDateTime,
    found: Option<Found>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pairs: HashMap<String, Vec<Since>>,
    absent_since: HashMap<String, OffsetDateTime>,
    draws: u64,
}

impl Store {
    /// Writes a value, or deletes it with `None`. States that no read can show are dropped.
    pub(super) fn change(
        &mut self,
        key: &str,
        found: Option<Found>,
        now: OffsetDateTime,
        stale_for: Duration,
    ) {
        let states = self.pairs.entry(key.to_owned()).or_default();
        let settled = states.iter().rposition(|state| state.at <= now - stale_for).unwrap_or(0);
        states.drain(..settled);
        states.push(Since { at: now, found });
    }

    pub(super) fn plant(&mut self, key: &str, value: &[u8]) {
        let found = Some(Found { value: Bytes::copy_from_slice(value), expires: None });
        self.pairs.insert(key.to_owned(), vec![Since { at: OffsetDateTime::UNIX_EPOCH, found }]);
        self.absent_since.remove(key);
    }

    pub(super) fn truth(&self, key: &str, now: OffsetDateTime) -> Option<Found> {
        alive(self.pairs.get(key)?.last()?.found.clone(), now)
    }

    /// Returns the state that a read shows.
    pub(super) fn read(
        &mut self,
        key: &str,
        now: OffsetDateTime,
        (stale_for, which, absent_for): (Duration, Which, Duration),
    ) -> Option<Found> {
        if self.absent_since.get(key).is_some_and(|since| now - *since < absent_for) {
            return None;
        }
        let states = self.pairs.get(key).map(Vec::as_slice).unwrap_or_default();
        let settled = states.iter().rposition(|state| state.at <= now - stale_for);
        // The key was absent before its first state.
        let mut shown: Vec<Option<Found>> = if settled.is_none() { vec![None] } else { Vec::new() };
        shown.extend(states[settled.unwrap_or(0)..].iter().map(|state| state.found.clone()));
        let place = match which {
            Which::Oldest => 0,
            Which::Any { seed } => {
                self.draws += 1;
                usize::try_from(mixed(seed ^ self.draws) % shown.len() as u64).unwrap_or(0)
            }
        };
        let found = alive(shown.swap_remove(place), now);
        if found.is_none() {
            self.absent_since.insert(key.to_owned(), now);
        }
        found
    }
}

fn alive(found: Option<Found>, now: OffsetDateTime) -> Option<Found> {
    found.filter(|found| found.expires.is_none_or(|expires| now < expires))
}

/// `SplitMix64`: maps neighbouring numbers to unrelated ones.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
