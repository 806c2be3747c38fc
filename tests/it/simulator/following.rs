//! How an instance looks after its database: what `Follower` and `app` do, on the simulated database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chatchonk::cache::{Cache, Scopes, SharedTier};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_util::task::AbortOnDropHandle;

use super::data::Subject;
use super::database::{Announced, Broken};
use super::instance::{Process, Who};
use super::ledger;
use super::origin::Reached;
use super::world::SECOND;

/// As in `src/cache/follow.rs`.
const CATCH_UP: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_secs(2);
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// As in `src/app/database.rs`.
const WHEN_UP: Duration = Duration::from_secs(5);
const WHEN_DOWN: Duration = Duration::from_secs(2);
/// How long the pool and the server let a statement take.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);

/// As `app::load_changes`.
pub(super) fn load_changes(
    catalogue: Cache<Reached>,
    scopes: &Scopes,
) -> impl Future<Output = ()> + Send + use<> {
    let mut changes = scopes.changes();
    async move {
        while changes.changed().await.is_ok() {
            let _ = catalogue.refresh(&Subject::Catalogue).await;
        }
    }
}

/// As `Supervisor::look_after`: names the database when it has answered, refreshes the catalogue whenever it is back, and
/// follows it, unless `scopes` are not given.
pub(super) async fn look_after(
    process: Arc<Process>,
    catalogue: Cache<Reached>,
    shared: SharedTier,
    scopes: Option<Arc<Scopes>>,
) {
    let (mut prepared, mut first, mut follower) = (false, true, None);
    loop {
        let look =
            process.world.clock.timeout(STATEMENT_LIMIT, process.statement(Who::Supervisor, |_, _| ())).await;
        let answers = matches!(look, Ok(Ok(())));
        if answers && !prepared {
            process.connect();
            shared.connect(ledger::Connected(Arc::clone(&process)));
        }
        let refresh_due = first || !prepared;
        prepared = answers && (prepared || catalogue.refresh(&Subject::Catalogue).await.is_ok());
        if !answers && refresh_due && first {
            let _ = catalogue.refresh(&Subject::Catalogue).await;
        }
        first = false;
        if prepared
            && follower.is_none()
            && let Some(scopes) = &scopes
        {
            let following = follow(Arc::clone(&process), Arc::clone(scopes));
            follower = Some(AbortOnDropHandle::new(tokio::spawn(following)));
        }
        process.world.sleep(if prepared { WHEN_UP } else { WHEN_DOWN }).await;
    }
}

/// As `Follower::run`.
async fn follow(process: Arc<Process>, scopes: Arc<Scopes>) {
    loop {
        let (hears, announcements) = mpsc::unbounded_channel();
        let listens = process.statement(Who::Follower, |_, _| ()).await;
        if listens.is_ok() {
            process.world.database.listen(&process, hears);
            listen(&process, &scopes, announcements).await;
        }
        // A failure says what is known already.
        let polling = read_versions(&process, &scopes);
        let _ = process.world.clock.timeout(STATEMENT_LIMIT, polling).await;
        process.world.sleep(POLL).await;
    }
}

/// Until the connection breaks.
async fn listen(process: &Process, scopes: &Scopes, mut announcements: UnboundedReceiver<Announced>) {
    let clock = &process.world.clock;
    loop {
        let read = clock.timeout(ANSWER_LIMIT, read_versions(process, scopes)).await;
        if !matches!(read, Ok(Ok(()))) {
            return;
        }
        let hearing = async {
            while let Some(announced) = announcements.recv().await {
                if let Some(scope) = announced.subject.scope() {
                    process.was_announced(announced);
                    scopes.learn_announced(&scope, announced.version);
                }
            }
        };
        if clock.timeout(CATCH_UP, hearing).await.is_ok() {
            return;
        }
    }
}

async fn read_versions(process: &Process, scopes: &Scopes) -> Result<(), Broken> {
    let (begun, instant) = (process.world.now(), process.world.clock.now());
    let names = scopes.names();
    let read = process.statement(Who::Follower, |state, world| {
        let versions = names.iter().map(|name| (name.clone(), state.version(Subject::of_scope(name))));
        // A scope that has never changed has no row.
        let versions: HashMap<_, _> = versions.filter(|(_, version)| *version > 0).collect();
        (versions, world.now())
    });
    let (versions, seen) = read.await?;
    for name in &names {
        let version = versions.get(name).copied().unwrap_or(0);
        process.read_version(Subject::of_scope(name), version, begun, seen);
    }
    scopes.learn_versions(&versions, instant);
    Ok(())
}

/// How long it may take until everything is as if the database had always answered: a look, a try that is put off for
/// 30 s, a flight that hangs for 10 s, and a statement that hangs meanwhile.
pub(super) const RECOVERY: Duration = Duration::from_secs(45 * SECOND.as_secs());
