//! Following the database's announcements, so that changes show at once.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use crate::clock::Clock;
use crate::store::{ChangeListener, Store, StoreError};

use super::scope::Scopes;

/// How often the versions are read although nothing was announced. It validates what is held, and proves the connection.
pub const CATCH_UP: Duration = Duration::from_secs(10);
/// The pause between two reads over the pool while there is no listener. Trying to listen again comes on top.
const POLL: Duration = Duration::from_secs(2);
/// How long a read of versions may take before the connection counts as broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How the instance learns of changes at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ListenerState {
    /// True: announcements arrive. False: the versions are polled, with 2 s in between.
    pub listening: bool,
    /// When the last announcement or successful read of the versions was.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_event: Option<OffsetDateTime>,
}

/// Keeps the fences of all scopes held up to date. One per process.
#[derive(Debug)]
pub struct Follower {
    store: Store,
    scopes: Arc<Scopes>,
    clock: Clock,
    state: Arc<RwLock<ListenerState>>,
}

impl Follower {
    /// Follows `store` for `scopes`, reporting into `state`.
    #[must_use]
    pub fn new(store: Store, scopes: Arc<Scopes>, clock: Clock, state: Arc<RwLock<ListenerState>>) -> Self {
        Self { store, scopes, clock, state }
    }

    /// Runs until it is dropped. Any error rebuilds the connection; meanwhile, and until that works, versions are polled
    /// over the pool. Each loss and each recovery is logged once.
    pub async fn run(self) {
        let mut lost = false;
        loop {
            let error = match ChangeListener::connect(&self.store).await {
                Ok(listener) => {
                    if std::mem::take(&mut lost) {
                        tracing::info!("hears the database's announcements again");
                    }
                    self.listen(listener).await
                }
                Err(error) => error,
            };
            self.report(false, false);
            if !std::mem::replace(&mut lost, true) {
                tracing::warn!(%error, "cannot hear the database's announcements; polling every {} s", POLL.as_secs());
            }
            self.poll().await;
            self.clock.sleep(POLL).await;
        }
    }

    /// Listens until the connection breaks. Reads the versions first: what changed before was announced to nobody.
    async fn listen(&self, mut listener: ChangeListener) -> StoreError {
        loop {
            let begun = self.clock.now();
            match listener.versions(&self.scopes.names(), ANSWER_LIMIT).await {
                Ok(versions) => self.scopes.learn_versions(&versions, begun),
                Err(error) => return error,
            }
            self.report(true, true);
            let announcements = async {
                loop {
                    match listener.next().await {
                        Ok(Some(change)) => {
                            self.scopes.learn_announced(&change.scope, change.version);
                            self.report(true, true);
                        }
                        // Something may have been missed: read the versions again.
                        Ok(None) => return None,
                        Err(error) => return Some(error),
                    }
                }
            };
            if let Ok(Some(error)) = self.clock.timeout(CATCH_UP, announcements).await {
                return error;
            }
        }
    }

    async fn poll(&self) {
        let begun = self.clock.now();
        let scopes = self.scopes.names();
        let versions = tokio::time::timeout(ANSWER_LIMIT, self.store.versions(&scopes)).await;
        // A failure says what is known already: the database is away.
        if let Ok(Ok(versions)) = versions {
            self.scopes.learn_versions(&versions, begun);
            self.report(false, true);
        }
    }

    fn report(&self, listening: bool, event: bool) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.listening = listening;
        if event {
            state.last_event = Some(self.clock.utc());
        }
    }
}
