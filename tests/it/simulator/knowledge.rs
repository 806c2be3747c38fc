//! An instance's knowledge of a scope by the rules of learning: the model that the cache is checked against.

use std::time::Duration;

/// Knowledge of one scope.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Knowledge {
    fence: u64,
    learned: Duration,
    epoch_began: Duration,
    /// The instance knows the state of this moment or a later one.
    pub as_of: Duration,
    /// When the last answer arrived, including one that the cache may ignore.
    pub heard: Duration,
}

impl Knowledge {
    /// Records a read that began and saw the state at these moments. If it began before the fence was learned, a lower
    /// version means nothing; otherwise it means a restored or replaced database.
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
