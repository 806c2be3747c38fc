//! Where the providers' health stands for all to see.

use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::health::ProviderHealth;

/// The providers' health, written by whoever probes them and read by every answer. Cheap to clone; clones share it.
///
/// Empty at first, hence all unknown. Two readings that are the same allocation are the same state; a change, and only a
/// change, makes a new one.
#[derive(Debug, Clone, Default)]
pub struct ProviderHealthBoard(Arc<RwLock<Arc<ProviderHealth>>>);

impl ProviderHealthBoard {
    /// What is known now.
    #[must_use]
    pub fn current(&self) -> Arc<ProviderHealth> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the place of what was known. Shows in every answer that begins later.
    pub fn replace(&self, health: ProviderHealth) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if **current != health {
            *current = Arc::new(health);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::provider::ProviderStatus;

    #[test]
    fn only_a_change_makes_a_new_state() {
        let down = || ProviderHealth::from_iter([("openai".parse().unwrap(), ProviderStatus::Down)]);
        let board = ProviderHealthBoard::default();
        let before = board.current();
        board.clone().replace(down());
        let after = board.current();
        assert!(*after == down() && !Arc::ptr_eq(&before, &after));
        board.replace(down());
        assert!(Arc::ptr_eq(&after, &board.current()));
    }
}
