//! Follows the database's announcements, so that changes show at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use serde::Serialize;
use time::OffsetDateTime;

use crate::clock::Clock;
use crate::outage::Outage;

use super::origin::LoadError;
use super::scope::Scopes;

/// Pause between two reads of the versions without an announcement. Each read validates the values in memory and tests
/// the connection.
pub const CATCH_UP: Duration = Duration::from_secs(10);
/// Shortest pause between two reads because of announcements: at most 5 reads per second, hence at most 5 loads.
const BETWEEN_READS: Duration = Duration::from_millis(200);
/// Pause between two reads over the pool while nothing is announced, beside the time of each attempt to listen.
const POLL: Duration = Duration::from_secs(2);
/// Time limit of a read before the connection counts as broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// A database that has versions and announces their changes: PostgreSQL, or the simulator.
pub trait Announcer: Send + Sync + 'static {
    /// A connection that announces.
    type Connection: Announcements;

    /// Opens a connection that announces every later commit.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, LoadError>> + Send;
    /// Reads the versions of scopes. A scope that has never changed is absent.
    fn versions(
        &self,
        scopes: &[String],
    ) -> impl Future<Output = Result<HashMap<String, u64>, LoadError>> + Send;
}

/// A connection on which changes are announced.
pub trait Announcements: Send {
    /// Waits for the next announcement.
    fn next(&mut self) -> impl Future<Output = Result<(), LoadError>> + Send;
    /// Reads the versions on this connection.
    fn versions(
        &mut self,
        scopes: &[String],
    ) -> impl Future<Output = Result<HashMap<String, u64>, LoadError>> + Send;
}

/// How the instance learns of changes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ListenerState {
    /// True: through announcements. False: by polling every 2 s.
    pub listening: bool,
    /// When the versions were last read.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_event: Option<OffsetDateTime>,
}

/// Keeps the fences of all scopes up to date. One per process.
#[derive(Debug)]
pub struct Follower<A> {
    announcer: A,
    scopes: Arc<Scopes>,
    clock: Clock,
    state: Arc<RwLock<ListenerState>>,
    outage: Outage,
}

impl<A: Announcer> Follower<A> {
    /// Creates a follower that reports into `state`.
    pub fn new(announcer: A, scopes: Arc<Scopes>, clock: Clock, state: Arc<RwLock<ListenerState>>) -> Self {
        Self { announcer, scopes, clock, state, outage: Outage::new(CATCH_UP) }
    }

    /// Runs until dropped. After an error it polls the versions over the pool and reconnects. A loss is logged once,
    /// and so is a lasting recovery.
    pub async fn run(mut self) {
        loop {
            let error = match self.announcer.connect().await {
                Ok(connection) => self.listen(connection).await,
                Err(error) => error,
            };
            self.report(false, false);
            if self.outage.record_failure((), self.clock.now()) {
                tracing::warn!(%error, "cannot hear the database's announcements; polling every {} s", POLL.as_secs());
            }
            self.poll().await;
            self.clock.sleep(POLL).await;
        }
    }

    /// Listens until the connection breaks. Reads the versions first, because it missed earlier announcements.
    ///
    /// An announcement is only a hint, since anyone with a login can send one: its content is ignored, and it triggers
    /// a read on this connection. A read covers all announcements before it; later ones trigger the next.
    async fn listen(&mut self, mut connection: A::Connection) -> LoadError {
        let mut last_hint: Option<Instant> = None;
        loop {
            let begun = self.clock.now();
            match self.clock.timeout(ANSWER_LIMIT, connection.versions(&self.scopes.names())).await {
                Ok(Ok(versions)) => self.scopes.learn_versions(&versions, begun),
                Ok(Err(error)) => return error,
                Err(_) => return LoadError::TimedOut,
            }
            self.report(true, true);
            if self.outage.record_success(self.clock.now()).is_some() {
                tracing::info!("hears the database's announcements again");
            }
            match self.clock.timeout(CATCH_UP, connection.next()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => continue,
            }
            let now = self.clock.now();
            let next = last_hint.map_or(now, |last| (last + BETWEEN_READS).max(now));
            // Drains the connection meanwhile: in a storm the server must not block on this client.
            let more = async {
                loop {
                    if let Err(error) = connection.next().await {
                        return error;
                    }
                }
            };
            if let Ok(error) = self.clock.timeout(next.saturating_duration_since(now), more).await {
                return error;
            }
            last_hint = Some(self.clock.now());
        }
    }

    async fn poll(&self) {
        let begun = self.clock.now();
        let scopes = self.scopes.names();
        let versions = self.clock.timeout(ANSWER_LIMIT, self.announcer.versions(&scopes)).await;
        // The supervisor reports the failure.
        if let Ok(Ok(versions)) = versions {
            self.scopes.learn_versions(&versions, begun);
            self.report(false, true);
        }
    }

    fn report(&self, listening: bool, event: bool) {
        let mut state = self.state.write();
        state.listening = listening;
        if event {
            state.last_event = Some(self.clock.utc());
        }
    }
}
