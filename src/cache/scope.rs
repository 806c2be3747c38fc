//! Scopes: what is invalidated together, and the newest version known of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::outage::Outage;

/// How long versions must not fall for the next fall to count as another restore.
const REPLACED_ONCE: Duration = Duration::from_mins(1);

/// What is invalidated together, such as `catalogue` or `user:{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScopeName(Arc<str>);

impl ScopeName {
    /// The scope of that name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name in `cache_version`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What this instance knows of a scope. A copy of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// The highest version learned from the database.
    pub fence: u64,
    /// When it was learned.
    pub learned: Instant,
    /// The newest read of the version, and when it began.
    pub seen: Option<Seen>,
    /// Counts replacements of the database: versions of different epochs do not compare.
    pub epoch: u64,
    /// When the current epoch began; a read begun earlier may have seen the database before.
    pub epoch_began: Instant,
}

impl Known {
    pub fn nothing(now: Instant) -> Self {
        Self { fence: 0, learned: now, seen: None, epoch: 0, epoch_began: now }
    }
}

/// A version that the database showed to a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub version: u64,
    pub begun: Instant,
}

/// What a version told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    /// The fence rose.
    Raised,
    /// Nothing new.
    Unchanged,
    /// The database was restored or replaced: the fence fell, and the epoch changed.
    Lowered,
    /// The read began before the fence was learned; it shows an older state and says nothing.
    Older,
}

impl Learned {
    /// Warns when the database was restored or replaced, once while versions go up and down. Must be called without a
    /// lock: a log may be slow.
    pub fn log(self, scope: &Scope, version: u64, now: Instant) {
        let is_news = {
            let mut replaced = scope.replaced.lock();
            if self == Self::Lowered {
                replaced.fails((), now)
            } else {
                replaced.works(now);
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

/// One scope. Shared by every entry, flight and listener that deals with it.
#[derive(Debug)]
pub struct Scope {
    name: ScopeName,
    known: RwLock<Known>,
    /// Versions that fell: the database was restored, or several answer in turn.
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

    /// The scope of values that nothing invalidates.
    pub(super) fn none(now: Instant) -> Self {
        Self::new(ScopeName::new(""), now)
    }

    /// Whether changes of what it covers are known by a version.
    pub(super) fn has_versions(&self) -> bool {
        !self.name.0.is_empty()
    }

    pub(super) fn known(&self) -> Known {
        *self.known.read()
    }

    fn update<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.write())
    }

    /// Takes in the version that a read of the database showed, and when that read began. Returns what it told, and the
    /// epoch that the version belongs to, in one step: another read may see the database replaced right after.
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

/// The scopes of everything this instance holds.
#[derive(Debug)]
pub struct Scopes {
    clock: Clock,
    held: Mutex<HashMap<ScopeName, Arc<Scope>>>,
    changes: watch::Sender<u64>,
}

impl Scopes {
    /// No scopes yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default(), changes: watch::channel(0).0 }
    }

    /// The scope of that name, made when it is new. Scopes that nobody holds any more are forgotten.
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

    /// The names of all scopes held.
    pub fn names(&self) -> Vec<String> {
        let held = self.held.lock();
        held.keys().map(ToString::to_string).collect()
    }

    /// Takes in the versions that the follower read, and when that read began: moves fences, and validates what is held at
    /// an equal version. A scope absent from `versions` has never changed.
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

    /// Takes in a version as [`Scope::learn_read`] does. Logs nothing, because callers may hold a lock: they call
    /// [`Learned::log`] once they hold none.
    pub(super) fn learn_read(&self, scope: &Scope, version: u64, begun: Instant) -> (Learned, u64) {
        scope.learn_read(version, begun, self.clock.now())
    }

    /// Marks all values of a scope as outdated, although the database shows no other version: its data changed without
    /// one. The caller loads them.
    pub fn outdate(&self, name: &ScopeName) {
        let now = self.clock.now();
        self.of(name).update(|known| {
            known.epoch += 1;
            known.epoch_began = now;
        });
    }

    /// Changes whenever the follower's reads move a fence, hence at most 5 times per second. What a flight learns is not
    /// news to others: the flight publishes the value that belongs to it.
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
