//! Following the database's announcements, so that changes show at once.

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

/// How often the versions are read although nothing was announced. It validates what is held, and proves the connection.
pub const CATCH_UP: Duration = Duration::from_secs(10);
/// The shortest time between two reads of the versions because of announcements: at most 5 reads per second, and as every
/// fence that announcements move is moved by such a read, at most 5 loads.
const BETWEEN_READS: Duration = Duration::from_millis(200);
/// The pause between two reads over the pool while there is no listener. Trying to listen again comes on top.
const POLL: Duration = Duration::from_secs(2);
/// How long a read of versions may take before the connection counts as broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// A database that has versions and announces their changes. Two kinds exist: PostgreSQL, and the simulated one that
/// proves the cache.
pub trait Announcer: Send + Sync + 'static {
    /// See [`Announcements`].
    type Connection: Announcements;

    /// Opens a connection that hears of every change committed from then on.
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

/// How the instance learns of changes at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ListenerState {
    /// True: announcements arrive. False: the versions are polled, with 2 s in between.
    pub listening: bool,
    /// When the versions were last read.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_event: Option<OffsetDateTime>,
}

/// Keeps the fences of all scopes held up to date. One per process.
#[derive(Debug)]
pub struct Follower<A> {
    announcer: A,
    scopes: Arc<Scopes>,
    clock: Clock,
    state: Arc<RwLock<ListenerState>>,
    outage: Outage,
}

impl<A: Announcer> Follower<A> {
    /// Follows `announcer` for `scopes`, reporting into `state`.
    pub fn new(announcer: A, scopes: Arc<Scopes>, clock: Clock, state: Arc<RwLock<ListenerState>>) -> Self {
        Self { announcer, scopes, clock, state, outage: Outage::new(CATCH_UP) }
    }

    /// Runs until it is dropped. Any error rebuilds the connection; meanwhile, and until that works, versions are polled
    /// over the pool. A loss is logged once, and so is a recovery once it has lasted.
    pub async fn run(mut self) {
        loop {
            let error = match self.announcer.connect().await {
                Ok(connection) => self.listen(connection).await,
                Err(error) => error,
            };
            self.report(false, false);
            if self.outage.fails((), self.clock.now()) {
                tracing::warn!(%error, "cannot hear the database's announcements; polling every {} s", POLL.as_secs());
            }
            self.poll().await;
            self.clock.sleep(POLL).await;
        }
    }

    /// Listens until the connection breaks. Reads the versions first: earlier changes were announced to other
    /// connections only.
    ///
    /// An announcement is a hint. Anyone with a login can send one, so what it says is ignored: it makes this read the
    /// versions, on the same connection. The read answers all announcements that came before it; those that come during
    /// or after it cause the next one.
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
            if self.outage.works(self.clock.now()).is_some() {
                tracing::info!("hears the database's announcements again");
            }
            match self.clock.timeout(CATCH_UP, connection.next()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => continue,
            }
            let now = self.clock.now();
            let next = last_hint.map_or(now, |last| (last + BETWEEN_READS).max(now));
            // The connection is emptied meanwhile: in a storm the server must not wait for this end.
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
        // A failure says what is known already: the database is away.
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
