//! Scopes: sets of values with one version, which invalidates them together.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::outage::Outage;

/// Versions must not fall for this long before the next fall counts as another restore.
const REPLACED_ONCE: Duration = Duration::from_mins(1);

/// The name of a scope, such as `catalogue` or `user:{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScopeName(Arc<str>);

impl ScopeName {
    /// Creates a name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name in `cache_version`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What this instance knows of a scope at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Highest version read from the database.
    pub fence: u64,
    /// When the fence was learned.
    pub learned: Instant,
    /// The last read of the version.
    pub seen: Option<Seen>,
    /// Number of times the database was replaced. Versions of different epochs do not compare.
    pub epoch: u64,
    /// Start of the epoch. A read that began earlier may have seen the previous database.
    pub epoch_began: Instant,
}

impl Known {
    pub fn nothing(now: Instant) -> Self {
        Self { fence: 0, learned: now, seen: None, epoch: 0, epoch_began: now }
    }
}

/// A version, and when the read of it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub version: u64,
    pub begun: Instant,
}

/// What a version means for the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    /// The fence rose.
    Raised,
    /// The version is known.
    Unchanged,
    /// The fence fell and the epoch rose: the database was restored or replaced.
    Lowered,
    /// The read began before the fence was learned, so it shows an older state.
    Older,
}

impl Learned {
    /// Warns once when the database was restored or replaced. The caller must hold no lock, because logging may block.
    pub fn log(self, scope: &Scope, version: u64, now: Instant) {
        let is_news = {
            let mut replaced = scope.replaced.lock();
            if self == Self::Lowered {
                replaced.record_failure((), now)
            } else {
                replaced.record_success(now);
                false
            }
        };
        if is_news {
            tracing::warn!(
                scope = scope.name.as_str(),
                version,
                "the database shows an older version than before: it was restored or replaced; loading it again"
            );
        }
    }
}

/// A scope. Shared by its entries, loads and follower.
#[derive(Debug)]
pub struct Scope {
    name: ScopeName,
    known: RwLock<Known>,
    /// Falls of the version: a restore, or several databases that answer in turn.
    replaced: Mutex<Outage>,
}

impl Scope {
    fn new(name: ScopeName, now: Instant) -> Self {
        Self {
            name,
            known: RwLock::new(Known::nothing(now)),
            replaced: Mutex::new(Outage::new(REPLACED_ONCE)),
        }
    }

    /// Creates the scope of values that no version invalidates.
    pub(super) fn none(now: Instant) -> Self {
        Self::new(ScopeName::new(""), now)
    }

    /// Whether a version invalidates its values.
    pub(super) fn has_versions(&self) -> bool {
        !self.name.0.is_empty()
    }

    pub(super) fn known(&self) -> Known {
        *self.known.read()
    }

    fn update<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.write())
    }

    /// Records a version and when its read began. Returns its meaning and its epoch in one step, because another read
    /// may see the database replaced right after.
    fn learn_read(&self, version: u64, begun: Instant, now: Instant) -> (Learned, u64) {
        self.update(|known| {
            let learned = match version.cmp(&known.fence) {
                _ if begun < known.epoch_began => return (Learned::Older, known.epoch),
                std::cmp::Ordering::Less if begun <= known.learned => return (Learned::Older, known.epoch),
                std::cmp::Ordering::Less => {
                    known.epoch += 1;
                    known.epoch_began = now;
                    Learned::Lowered
                }
                std::cmp::Ordering::Equal => Learned::Unchanged,
                std::cmp::Ordering::Greater => Learned::Raised,
            };
            if learned != Learned::Unchanged {
                known.fence = version;
                known.learned = now;
            }
            if known.seen.is_none_or(|seen| seen.version != version || seen.begun < begun) {
                known.seen = Some(Seen { version, begun });
            }
            (learned, known.epoch)
        })
    }
}

/// All scopes of this instance.
#[derive(Debug)]
pub struct Scopes {
    clock: Clock,
    held: Mutex<HashMap<ScopeName, Arc<Scope>>>,
    changes: watch::Sender<u64>,
}

impl Scopes {
    /// Creates an empty set.
    pub fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default(), changes: watch::channel(0).0 }
    }

    /// Returns the scope, created if new. Drops scopes without users.
    pub(super) fn of(&self, name: &ScopeName) -> Arc<Scope> {
        let mut held = self.held.lock();
        if let Some(scope) = held.get(name) {
            return Arc::clone(scope);
        }
        held.retain(|_, scope| Arc::strong_count(scope) > 1);
        let scope = Arc::new(Scope::new(name.clone(), self.clock.now()));
        held.insert(name.clone(), Arc::clone(&scope));
        scope
    }

    /// Returns the names of all scopes.
    pub fn names(&self) -> Vec<String> {
        let held = self.held.lock();
        held.keys().map(ToString::to_string).collect()
    }

    /// Records the versions that the follower read, and when the read began: moves fences, and validates values at
    /// equal versions. A scope absent from `versions` has never changed.
    pub fn learn_versions(&self, versions: &HashMap<String, u64>, begun: Instant) {
        let scopes: Vec<_> = {
            let held = self.held.lock();
            held.values().cloned().collect()
        };
        let mut moved = false;
        for scope in scopes {
            let version = versions.get(scope.name.as_str()).copied().unwrap_or(0);
            let (learned, _) = self.learn_read(&scope, version, begun);
            learned.log(&scope, version, self.clock.now());
            moved |= matches!(learned, Learned::Raised | Learned::Lowered);
        }
        if moved {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Records a version. Callers may hold a lock, so they call [`Learned::log`] afterwards.
    pub(super) fn learn_read(&self, scope: &Scope, version: u64, begun: Instant) -> (Learned, u64) {
        scope.learn_read(version, begun, self.clock.now())
    }

    /// Marks all values of a scope as outdated: its data changed without a new version. The caller reloads them.
    pub fn outdate(&self, name: &ScopeName) {
        let now = self.clock.now();
        self.of(name).update(|known| {
            known.epoch += 1;
            known.epoch_began = now;
        });
    }

    /// Signals that a follower's read moved a fence, at most 5 times per second. A load publishes its value itself.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn scope() -> (Scope, Instant) {
        let now = Clock::system().now();
        (Scope::new(ScopeName::new("catalogue"), now), now)
    }

    #[test]
    fn a_read_begun_before_the_fence_was_learned_says_nothing() {
        let (scope, t) = scope();
        let s = Duration::from_secs(1);
        assert_eq!(scope.learn_read(5, t, t + 2 * s), (Learned::Raised, 0));
        assert_eq!(scope.learn_read(4, t + s, t + 3 * s), (Learned::Older, 0));
        assert_eq!(scope.known().fence, 5);
        assert_eq!(scope.known().seen, Some(Seen { version: 5, begun: t }));
    }

    #[test]
    fn a_later_read_that_shows_less_means_another_database() {
        let (scope, t) = scope();
        let s = Duration::from_secs(1);
        assert_eq!(scope.learn_read(5, t, t + s), (Learned::Raised, 0));
        assert_eq!(scope.learn_read(3, t + 2 * s, t + 2 * s), (Learned::Lowered, 1));
        assert_eq!((scope.known().fence, scope.known().epoch), (3, 1));
        let older = scope.learn_read(9, t + s, t + 3 * s);
        assert_eq!(older, (Learned::Older, 1), "begun in the database before");
    }
}
