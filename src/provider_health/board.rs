//! The current health of the providers.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::domain::health::ProviderHealth;

use super::standing::Standings;

/// The providers' health, written by the probing task and read by every answer. Clones share it.
///
/// Starts empty: every status is unknown. Reads return the same allocation as long as nothing changes.
#[derive(Debug, Clone, Default)]
pub struct ProviderHealthBoard(Arc<RwLock<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    statuses: Arc<ProviderHealth>,
    standings: Arc<Standings>,
}

impl ProviderHealthBoard {
    /// Returns the statuses, which change far less often than the standings.
    pub fn current(&self) -> Arc<ProviderHealth> {
        Arc::clone(&self.0.read().statuses)
    }

    /// Returns everything that is known.
    pub fn standings(&self) -> Arc<Standings> {
        Arc::clone(&self.0.read().standings)
    }

    /// Replaces everything. Answers that start later show it.
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
    use crate::provider_health::reason::Reason;
    use crate::provider_health::standing::{Look, Standing};

    #[test]
    fn only_a_change_replaces_what_the_board_shows() {
        let openai = "openai".parse().unwrap();
        let board = ProviderHealthBoard::default();
        let before = board.current();
        let mut standing = Standing::from(ProviderStatus::Unknown);
        standing.record(Look::Failed(Reason::Connect), OffsetDateTime::UNIX_EPOCH);
        let show = |standing: &Standing| {
            board.clone().replace(Standings::from_iter([(<_>::clone(&openai), standing.clone())]));
            (board.current(), board.standings())
        };
        let first = show(&standing);
        assert!(first.0.status_of("openai") == ProviderStatus::Down && !Arc::ptr_eq(&before, &first.0));
        let same = show(&standing);
        assert!(Arc::ptr_eq(&first.0, &same.0) && Arc::ptr_eq(&first.1, &same.1));
        standing.record(Look::Failed(Reason::Dns), OffsetDateTime::UNIX_EPOCH);
        let later = show(&standing);
        assert!(Arc::ptr_eq(&first.0, &later.0) && !Arc::ptr_eq(&first.1, &later.1));
    }
}
