//! An instance's supervision of its database: `Follower` on the simulated one, and the tasks of `app`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chatchonk::cache::{
    Announcements, Announcer, Cache, Follower, ListenerState, LoadError, ScopeName, Scopes,
};
use chatchonk::kv_tier::SharedTier;
use chatchonk::store::EditTraces;
use parking_lot::RwLock;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_util::task::AbortOnDropHandle;

use super::data::Subject;
use super::database::{Announced, Broken};
use super::instance::{Process, Start, Who};
use super::ledger;
use super::origin::Reached;
use super::world::SECOND;

/// As in `src/app/database.rs`.
const WHEN_UP: Duration = Duration::from_secs(5);
const WHEN_DOWN: Duration = Duration::from_secs(2);
/// The time limit that the pool and the server set for a statement.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);

/// As `app::load_changes`.
pub(super) fn load_changes(
    catalogue: Cache<Reached>,
    scopes: &Scopes,
) -> impl Future<Output = ()> + Send + use<> {
    let mut changes = scopes.changes();
    async move {
        while changes.changed().await.is_ok() {
            if catalogue.held(&Subject::Catalogue).is_none_or(|held| held.stale) {
                let _ = catalogue.refresh(&Subject::Catalogue).await;
            }
        }
    }
}

/// Like `Supervisor::look_after`: identifies the database once it answers, refreshes the catalogue whenever it is back,
/// and follows it unless the instance starts deaf.
pub(super) async fn look_after(
    process: Arc<Process>,
    catalogue: Cache<Reached>,
    shared: SharedTier,
    scopes: Arc<Scopes>,
    start: Start,
) {
    let (mut prepared, mut first, mut follower) = (false, true, None);
    let (mut traces, mut suspects) = (None::<EditTraces>, false);
    loop {
        let look =
            process.world.clock.timeout(STATEMENT_LIMIT, process.traces()).await.ok().and_then(Result::ok);
        let answers = look.is_some();
        if let Some(found) = look {
            suspects |= traces.as_ref().is_some_and(|before| found.show_an_edit_since(before));
            traces = Some(found);
        }
        if answers && !prepared {
            process.connect();
            shared.connect(ledger::Connected(Arc::clone(&process)));
        }
        let refresh_due = first || !prepared;
        prepared = answers && (prepared || catalogue.refresh(&Subject::Catalogue).await.is_ok());
        if !answers && refresh_due && first {
            let _ = catalogue.refresh(&Subject::Catalogue).await;
        }
        if answers && suspects {
            suspects = look_for_lost_edit(&process, &catalogue, &scopes, start.raises).await.is_err();
        }
        first = false;
        if prepared && follower.is_none() && !start.deaf {
            let state = Arc::new(RwLock::new(ListenerState { listening: false, last_event: None }));
            let clock = process.world.clock.clone();
            let following = Follower::new(Connected(Arc::clone(&process)), Arc::clone(&scopes), clock, state);
            follower = Some(AbortOnDropHandle::new(tokio::spawn(following.run())));
        }
        process.world.sleep(if prepared { WHEN_UP } else { WHEN_DOWN }).await;
    }
}

/// Like `Tables::look_for_lost_edits` and `Catalogue::reload_at_new_version`.
async fn look_for_lost_edit(
    process: &Process,
    catalogue: &Cache<Reached>,
    scopes: &Scopes,
    raises: bool,
) -> Result<(), Broken> {
    let aside = process.statement(Who::Supervisor, |state, _| state.load(Subject::Catalogue)).await?;
    let aside = aside.ok_or(Broken)?;
    let held = catalogue.held(&Subject::Catalogue).filter(|held| held.entry.version == aside.version);
    if held.is_none_or(|held| held.entry.value == aside) {
        return Ok(());
    }
    if raises && process.statement(Who::Supervisor, |_, _| ()).await.is_ok() {
        process.world.database.raise(&process.world, Subject::Catalogue);
    } else {
        process.heard(Subject::Catalogue);
        scopes.outdate(&ScopeName::new("catalogue"));
    }
    let _ = catalogue.refresh(&Subject::Catalogue).await;
    Ok(())
}

/// The simulated database as the follower of one process reaches it.
struct Connected(Arc<Process>);

/// A connection that receives announcements.
struct Listening {
    process: Arc<Process>,
    announcements: UnboundedReceiver<Announced>,
}

impl Announcer for Connected {
    type Connection = Listening;

    async fn connect(&self) -> Result<Listening, LoadError> {
        let process = Arc::clone(&self.0);
        process.statement(Who::Follower, |_, _| ()).await.map_err(|_| LoadError::TimedOut)?;
        let (hears, announcements) = mpsc::unbounded_channel();
        process.world.database.listen(&process, hears);
        Ok(Listening { process, announcements })
    }

    async fn versions(&self, scopes: &[String]) -> Result<HashMap<String, u64>, LoadError> {
        read_versions(&self.0, scopes).await
    }
}

impl Announcements for Listening {
    async fn next(&mut self) -> Result<(), LoadError> {
        self.announcements.recv().await.map(drop).ok_or(LoadError::TimedOut)
    }

    async fn versions(&mut self, scopes: &[String]) -> Result<HashMap<String, u64>, LoadError> {
        self.process.reads_versions();
        read_versions(&self.process, scopes).await
    }
}

async fn read_versions(process: &Process, scopes: &[String]) -> Result<HashMap<String, u64>, LoadError> {
    let begun = process.world.now();
    let read = process.statement(Who::Follower, |state, world| {
        let versions = scopes.iter().map(|name| (name.clone(), state.version(Subject::of_scope(name))));
        // A scope that has never changed has no row.
        let versions: HashMap<_, _> = versions.filter(|(_, version)| *version > 0).collect();
        (versions, world.now())
    });
    let (versions, seen) = read.await.map_err(|_| LoadError::TimedOut)?;
    for name in scopes {
        let version = versions.get(name).copied().unwrap_or(0);
        process.read_version(Subject::of_scope(name), version, begun, seen);
    }
    Ok(versions)
}

/// The time until the state is as if the database had always answered: a check, an attempt that is delayed by 30 s, a
/// flight that hangs for 10 s, and a statement that hangs meanwhile.
pub(super) const RECOVERY: Duration = Duration::from_secs(45 * SECOND.as_secs());
