//! Where the providers' health stands for all to see.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::domain::health::ProviderHealth;

use super::standing::Standings;

/// The providers' health, written by the task that probes them and read by every answer. Cheap to clone; clones share it.
///
/// Empty at first, hence all unknown. Two readings that are the same allocation are the same state; a change, and only a
/// change, makes a new one.
#[derive(Debug, Clone, Default)]
pub struct ProviderHealthBoard(Arc<RwLock<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    statuses: Arc<ProviderHealth>,
    standings: Arc<Standings>,
}

impl ProviderHealthBoard {
    /// The statuses known now. They change far less often than the rest.
    pub fn current(&self) -> Arc<ProviderHealth> {
        Arc::clone(&self.0.read().statuses)
    }

    /// All that is known now.
    pub fn standings(&self) -> Arc<Standings> {
        Arc::clone(&self.0.read().standings)
    }

    /// Takes the place of what was known. Shows in every answer that begins later.
    pub fn replace(&self, standings: Standings) {
        let statuses = standings.statuses();
        let mut shown = self.0.write();
        if *shown.statuses != statuses {
            shown.statuses = Arc::new(statuses);
        }
        if *shown.standings != standings {
            shown.standings = Arc::new(standings);
        }
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::domain::provider::ProviderStatus;
    use crate::provider_health::standing::{Look, Reason, Standing};

    #[test]
    fn only_a_change_makes_a_new_state_and_another_look_is_no_change_of_status() {
        let openai = "openai".parse().unwrap();
        let board = ProviderHealthBoard::default();
        let before = board.current();
        let mut standing = Standing::from(ProviderStatus::Unknown);
        standing.took(Look::Failed(Reason::Connect), OffsetDateTime::UNIX_EPOCH);
        let show = |standing: &Standing| {
            board.clone().replace(Standings::from_iter([(<_>::clone(&openai), standing.clone())]));
            (board.current(), board.standings())
        };
        let first = show(&standing);
        assert!(first.0.status_of("openai") == ProviderStatus::Down && !Arc::ptr_eq(&before, &first.0));
        let same = show(&standing);
        assert!(Arc::ptr_eq(&first.0, &same.0) && Arc::ptr_eq(&first.1, &same.1));
        standing.took(Look::Failed(Reason::Dns), OffsetDateTime::UNIX_EPOCH);
        let later = show(&standing);
        assert!(Arc::ptr_eq(&first.0, &later.0) && !Arc::ptr_eq(&first.1, &later.1));
    }
}
