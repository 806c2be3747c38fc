//! The simulated database: versions raised as by the triggers, one state that is edited, restored and replaced, and
//! answers that are late, broken or missing.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chatchonk::clock::Clock;
use chatchonk::store::EditTraces;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::data::{Data, Subject, Truth};
use super::instance::Process;
use super::ledger::Ledger;
use super::world::{Dice, SECOND, World};

/// The current condition of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A statement takes 600 ms at most.
    Answers,
    /// A statement takes up to 8 s.
    Slow,
    /// A statement fails, or its answer is lost.
    Fails,
    /// A statement gets no answer, even after the database is back, or an error then.
    Hangs,
}

/// The longest transit of a statement or of its answer, in milliseconds.
const LEG: u64 = 299;
/// The longest delay until PostgreSQL counts an edit, in milliseconds.
const COUNTED: u64 = 10_000;

/// All rows.
#[derive(Debug, Clone)]
pub(super) struct State {
    number: u32,
    versions: BTreeMap<Subject, u64>,
    /// Whether the catalogue's tables are empty.
    emptied: bool,
    /// The last edit of the catalogue that raised no version.
    lost: u32,
    /// The file of its tables, and the time at which each edit of them is counted.
    file: u32,
    counted: usize,
    uncounted: Vec<Duration>,
    pub ledger: Ledger,
}

impl State {
    /// Returns the version of a scope, 0 if it has never changed; for an upstream API, its answer.
    pub(super) fn version(&self, subject: Subject) -> u64 {
        self.versions.get(&subject).copied().unwrap_or(0)
    }

    /// Returns the result of a load. An empty catalogue fails the load.
    pub(super) fn load(&self, subject: Subject) -> Option<Data> {
        (!self.emptied || subject != Subject::Catalogue).then(|| self.data(subject))
    }

    pub(super) fn data(&self, subject: Subject) -> Data {
        // Upstream APIs are not part of any database.
        let number = if subject.scope().is_some() { self.number } else { 1 };
        let lost = if subject == Subject::Catalogue { self.lost } else { 0 };
        Data { lost, ..Data::new(subject, number, self.version(subject)) }
    }

    fn new(number: u32, version: u64) -> Self {
        let versions = BTreeMap::from([(Subject::Catalogue, version)]);
        let (ledger, uncounted) = (Ledger::default(), Vec::new());
        Self { number, versions, emptied: false, lost: 0, file: 0, counted: 0, uncounted, ledger }
    }

    /// Returns the traces that edits have left.
    pub(super) fn traces(&mut self, now: Duration) -> EditTraces {
        let edits = self.uncounted.len();
        self.uncounted.retain(|at| *at > now);
        self.counted += edits - self.uncounted.len();
        let version = i64::try_from(self.version(Subject::Catalogue)).ok();
        EditTraces { version, traces: vec![format!("{} {} {}", self.number, self.file, self.counted)] }
    }
}

/// A `NOTIFY`. Instances ignore its payload; this records whether an edit sent it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Announced {
    /// Sent by the trigger of an edit committed at this time.
    Edit { subject: Subject, committed: Duration },
    /// Sent by another role with a login.
    Forged,
}

struct Listener {
    process: Arc<Process>,
    hears: UnboundedSender<Announced>,
}

struct Inner {
    state: State,
    backup: Option<State>,
    mode: Mode,
    since: Duration,
    databases: u32,
    /// Every version that any of the databases ever had.
    taken: HashSet<(Subject, u64)>,
    truth: Truth,
    /// When the database was last replaced or restored.
    replaced: Option<Duration>,
    listeners: Vec<Listener>,
    /// The number of edits that raised no version, and of table files, in all databases.
    lost: u32,
    files: u32,
}

impl Inner {
    fn announce(&mut self, announced: Announced) {
        self.listeners.retain(|listener| !listener.hears.is_closed());
        for listener in &self.listeners {
            listener.process.announce(announced, listener.hears.clone());
        }
    }
}

pub(super) struct Database {
    inner: Mutex<Inner>,
    restored: Notify,
}

/// A statement that failed.
#[derive(Debug)]
pub(super) struct Broken;

fn milliseconds(clock: &Clock) -> u64 {
    u64::try_from(clock.utc().unix_timestamp_nanos() / 1_000_000).unwrap()
}

impl Database {
    pub(super) fn new(clock: &Clock) -> Self {
        let first = milliseconds(clock) - 1_000_000;
        let state = State::new(1, first);
        let mut truth = Truth::default();
        for subject in super::SUBJECTS {
            truth.becomes(state.data(subject), Duration::ZERO);
        }
        let inner = Inner {
            state,
            backup: None,
            mode: Mode::Answers,
            since: Duration::ZERO,
            databases: 1,
            taken: HashSet::from([(Subject::Catalogue, first)]),
            truth,
            replaced: None,
            listeners: Vec::new(),
            lost: 0,
            files: 0,
        };
        Self { inner: Mutex::new(inner), restored: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(super) fn mode(&self) -> Mode {
        self.inner().mode
    }

    /// Returns since when statements are answered and find a catalogue; `None` while they do not.
    pub(super) fn answers_since(&self) -> Option<Duration> {
        let inner = self.inner();
        (inner.mode == Mode::Answers && !inner.state.emptied).then_some(inner.since)
    }

    pub(super) fn replaced(&self) -> Option<Duration> {
        self.inner().replaced
    }

    pub(super) fn truth<T>(&self, ask: impl FnOnce(&Truth) -> T) -> T {
        ask(&self.inner().truth)
    }

    /// Returns a version that no database ever had, for a planted value.
    pub(super) fn foreign_version(&self, world: &World, subject: Subject) -> u64 {
        let mut inner = self.inner();
        let mut version = milliseconds(&world.clock) - world.dice.draw(|rng| rng.u64(0..2_000_000));
        while !inner.taken.insert((subject, version)) {
            version += 1;
        }
        version
    }

    pub(super) fn set_mode(&self, world: &World, mode: Mode) {
        let mut inner = self.inner();
        if inner.mode == mode {
            return;
        }
        (inner.mode, inner.since) = (mode, world.now());
        match mode {
            // Connections break.
            Mode::Fails => inner.listeners.clear(),
            Mode::Answers => self.restored.notify_waiters(),
            Mode::Slow | Mode::Hangs => {}
        }
    }

    /// Edits a subject: `version = greatest(version + 1, milliseconds of clock_timestamp())`, announced by its trigger.
    pub(super) fn edit(&self, world: &World, subject: Subject) {
        if subject == Subject::Catalogue {
            self.counts_an_edit(world);
        }
        self.raise(world, subject);
    }

    /// Edits the catalogue and bypasses its triggers.
    pub(super) fn loses_an_edit(&self, world: &World) {
        self.counts_an_edit(world);
        let (mut inner, now) = (self.inner(), world.now());
        inner.lost += 1;
        let before = inner.state.data(Subject::Catalogue);
        inner.state.lost = inner.lost;
        let after = inner.state.data(Subject::Catalogue);
        inner.truth.is_replaced_at_its_version(before, now);
        inner.truth.becomes(after, now);
    }

    fn counts_an_edit(&self, world: &World) {
        let counted = world.now() + world.dice.milliseconds(0..COUNTED);
        self.inner().state.uncounted.push(counted);
    }

    /// Raises a version and announces it, like a trigger or an instance that found a lost edit.
    pub(super) fn raise(&self, world: &World, subject: Subject) {
        let mut inner = self.inner();
        let before = inner.state.data(subject);
        let mut version = (inner.state.version(subject) + 1).max(milliseconds(&world.clock));
        // Versions of two databases never meet; here, where years pass in an instant, they might.
        while !inner.taken.insert((subject, version)) {
            version += 1;
        }
        inner.state.versions.insert(subject, version);
        let after = inner.state.data(subject);
        inner.truth.ceases(before, world.now());
        inner.truth.becomes(after, world.now());
        if subject.scope().is_some() && inner.mode != Mode::Hangs {
            inner.announce(Announced::Edit { subject, committed: world.now() });
        }
    }

    /// Announces changes that never happened, as a role that can only log in may.
    pub(super) fn forge(&self, announcements: u32) {
        let mut inner = self.inner();
        if inner.mode != Mode::Hangs {
            for _ in 0..announcements {
                inner.announce(Announced::Forged);
            }
        }
    }

    /// Empties the tables of the catalogue, or fills them again. Both raise its version.
    pub(super) fn empties(&self, world: &World, emptied: bool) {
        {
            let mut inner = self.inner();
            if inner.state.emptied == emptied {
                return;
            }
            (inner.state.emptied, inner.since) = (emptied, world.now());
        }
        self.edit(world, Subject::Catalogue);
    }

    pub(super) fn is_emptied(&self) -> bool {
        self.inner().state.emptied
    }

    pub(super) fn version(&self, subject: Subject) -> u64 {
        self.inner().state.version(subject)
    }

    /// See [`Ledger::forgets_digests`].
    pub(super) fn forgets_digests(&self) {
        self.inner().state.ledger.forgets_digests();
    }

    pub(super) fn back_up(&self) {
        let mut inner = self.inner();
        inner.backup = Some(inner.state.clone());
    }

    /// Restores the last backup, if there is one.
    pub(super) fn restore(&self, world: &World) {
        let backup = self.inner().backup.clone();
        if let Some(backup) = backup {
            self.swap(world, backup);
        }
    }

    /// Switches to another database with an empty ledger, whose versions may be lower or higher.
    pub(super) fn replace(&self, world: &World) {
        let version = self.foreign_version(world, Subject::Catalogue);
        let state = {
            let mut inner = self.inner();
            inner.databases += 1;
            State::new(inner.databases, version)
        };
        self.swap(world, state);
    }

    fn swap(&self, world: &World, mut state: State) {
        let mut inner = self.inner();
        state.versions.retain(|subject, _| subject.scope().is_some());
        let upstream = inner.state.versions.iter().filter(|(subject, _)| subject.scope().is_none());
        state.versions.extend(upstream);
        let now = world.now();
        for subject in super::SUBJECTS {
            let (before, after) = (inner.state.data(subject), state.data(subject));
            if before == after {
                continue;
            }
            if (before.database, before.version) == (after.database, after.version) {
                inner.truth.is_replaced_at_its_version(before, now);
            } else {
                inner.truth.ceases(before, now);
            }
            inner.truth.becomes(after, now);
        }
        if inner.state.emptied != state.emptied {
            inner.since = now;
        }
        inner.files += 1;
        state.file = inner.files;
        inner.state = state;
        inner.replaced = Some(now);
        inner.listeners.clear();
    }

    /// Breaks the connections that listen for announcements.
    pub(super) fn cut_listeners(&self) {
        self.inner().listeners.clear();
    }

    pub(super) fn listen(&self, process: &Arc<Process>, hears: UnboundedSender<Announced>) {
        self.inner().listeners.push(Listener { process: Arc::clone(process), hears });
    }

    /// Executes one statement: it travels, takes effect in one moment, and its answer travels back.
    pub(super) async fn statement<T>(
        &self,
        world: &World,
        process: &Process,
        dice: &Dice,
        act: impl FnOnce(&mut State, &World) -> T,
    ) -> Result<T, Broken> {
        self.travel(world, dice).await;
        self.passable(world, process, dice).await?;
        let answer = act(&mut self.inner().state, world);
        self.travel(world, dice).await;
        self.passable(world, process, dice).await?;
        Ok(answer)
    }

    async fn travel(&self, world: &World, dice: &Dice) {
        let leg = match self.mode() {
            Mode::Slow => dice.milliseconds(200..4_000),
            _ if dice.one_in(8) => dice.milliseconds(0..=LEG),
            _ => dice.milliseconds(0..30),
        };
        world.sleep(leg).await;
    }

    async fn passable(&self, world: &World, process: &Process, dice: &Dice) -> Result<(), Broken> {
        if !process.is_alive() {
            return Err(Broken);
        }
        match self.mode() {
            Mode::Answers | Mode::Slow => Ok(()),
            Mode::Fails => Err(Broken),
            Mode::Hangs => {
                let limit = 30 * SECOND;
                if dice.one_in(2) {
                    world.sleep(limit).await;
                } else {
                    // This connection is lost even if the database is back.
                    let _ = world.clock.timeout(limit, self.restored.notified()).await;
                }
                Err(Broken)
            }
        }
    }
}
