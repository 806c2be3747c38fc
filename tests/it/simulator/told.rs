//! What the database has told an instance of a scope, by the rules of learning: the model that the cache is held against.

use std::time::Duration;

/// Of one scope.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    fence: u64,
    learned: Duration,
    epoch_began: Duration,
    /// The instance knows the state of this moment, or a later one.
    pub as_of: Duration,
    /// When the last answer of any kind came, also one that the cache may not take in.
    pub heard: Duration,
}

impl Told {
    /// A read that began and saw the state at these moments. Begun before the fence was learned, a lower version says
    /// nothing; begun later, it means a restored or replaced database.
    pub(super) fn read(&mut self, version: u64, begun: Duration, seen: Duration, now: Duration) {
        self.heard = now;
        let is_older = begun < self.epoch_began || version < self.fence && begun <= self.learned;
        if is_older {
            return;
        }
        if version < self.fence {
            self.epoch_began = now;
        }
        if version != self.fence {
            (self.fence, self.learned) = (version, now);
        }
        self.as_of = self.as_of.max(seen);
    }
}
