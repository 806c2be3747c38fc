//! Values in the cache.

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::family::Family;
use super::scope::{Known, Scope};

/// Where a value came from. The owner of a family names its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Loaded from its origin.
    Origin,
    /// Found in the shared tier.
    Kv,
    /// Compiled into the binary.
    Builtin,
}

/// A value with its source and age. Immutable.
#[derive(Debug)]
pub struct Entry<V> {
    /// The value.
    pub value: V,
    /// The version of its scope; 0 for a builtin value.
    pub version: u64,
    /// Where it came from.
    pub source: Source,
    /// When it was read from the origin.
    pub loaded_at: OffsetDateTime,
    /// When this instance got it.
    pub(super) loaded: Instant,
    /// `loaded_at` on the monotonic clock.
    pub(super) born: Instant,
    /// When the read began that loaded or proved the value. `None`: no origin has confirmed it.
    pub(super) validated: Option<Instant>,
    /// Epoch of the version.
    pub(super) epoch: u64,
    /// In bytes.
    pub(super) weight: u32,
    /// What invalidates it. Kept here so that a hit looks nothing up.
    pub(super) scope: Arc<Scope>,
}

/// Whether a value may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is fresh.
    Fresh { left: Duration, refresh_due: bool },
    /// It was not validated for too long. Nothing newer is known.
    Expired { age: Duration },
    /// A newer version is known, or the database was replaced.
    Outdated,
}

impl<V> Entry<V> {
    /// Whether the entry may replace `held`. Versions never go backwards. Anyone who can write to the shared tier
    /// chooses the version there: a confirmed value replaces an unconfirmed one of any version, and an unconfirmed
    /// value replaces a confirmed one only if that is outdated.
    pub(super) fn supersedes(&self, held: &Self, known: &Known) -> bool {
        match (self.is_confirmed(), held.is_confirmed()) {
            _ if self.epoch != held.epoch => self.epoch > held.epoch,
            (true, false) => true,
            (false, true) => held.version < known.fence && held.version < self.version,
            _ => held.version <= self.version,
        }
    }

    /// Whether the origin has loaded or proved this value. An age without a version proves nothing.
    fn is_confirmed(&self) -> bool {
        self.source == Source::Origin || (self.validated.is_some() && self.scope.has_versions())
    }

    /// Returns the last moment at which the value was known to be current.
    pub(super) fn validated(&self, known: &Known) -> Option<Instant> {
        let validated = self.validated?;
        let seen = known.seen.filter(|seen| seen.version == self.version && self.epoch == known.epoch);
        Some(seen.map_or(validated, |seen| validated.max(seen.begun)))
    }

    pub(super) fn standing(&self, family: &Family, known: &Known, now: Instant) -> Standing {
        if self.epoch != known.epoch || self.version < known.fence {
            return Standing::Outdated;
        }
        let Some(validated) = self.validated(known) else {
            return Standing::Expired { age: now.saturating_duration_since(self.born) };
        };
        let age = now.saturating_duration_since(validated);
        match family.fresh.checked_sub(age) {
            Some(left) if !left.is_zero() => Standing::Fresh {
                left,
                refresh_due: age >= self.refresh_at(family)
                    || now.saturating_duration_since(self.loaded) >= family.reload_after,
            },
            _ => Standing::Expired { age },
        }
    }

    /// 75 to 85 % of the freshness, so instances that loaded together do not refresh together.
    fn refresh_at(&self, family: &Family) -> Duration {
        let spread = xxhash_rust::xxh3::xxh3_64(&self.loaded_at.unix_timestamp_nanos().to_le_bytes()) % 11;
        family.fresh * (75 + u32::try_from(spread).unwrap_or(0)) / 100
    }
}
