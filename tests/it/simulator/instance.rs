//! One instance of the server, composed as in `app`: three caches, the shared tier, and their background tasks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatchonk::cache::{CATALOGUE, Cache, Family, OnOriginFailure, PREFERENCES, RESPONSES, Scopes};
use chatchonk::kv_tier::SharedTier;
use chatchonk::store::EditTraces;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::task::AbortOnDropHandle;

use super::data::{Data, Subject};
use super::database::{Announced, Broken, State};
use super::following;
use super::knowledge::Knowledge;
use super::namespace::{self, reads_allowed};
use super::origin::Reached;
use super::world::{Dice, MINUTE, SECOND, World};

/// How long calls and announcements are remembered; no read waits as long.
const REMEMBERED: Duration = Duration::from_mins(1);
/// The number of version reads and of loads that announcements may cause per second.
const MOST_PER_SECOND: usize = 5;

/// The parts of an instance with their own source of chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Announcements,
    Follower,
    Kv(u8),
    Ledger,
    Load(Subject),
    Supervisor,
    Version(Subject),
}

/// Everything through which an instance reaches the world. A dead instance reaches nothing.
pub(super) struct Process {
    pub world: Arc<World>,
    pub born: Duration,
    number: usize,
    dice: Mutex<BTreeMap<Who, Arc<Dice>>>,
    /// One in this number of announcements is lost on its way; 0 means none.
    lossy: u32,
    alive: AtomicBool,
    connected: AtomicBool,
    kv_reads: AtomicU64,
    knowledge: Mutex<BTreeMap<Subject, Knowledge>>,
    /// Recent calls.
    calls: Mutex<Vec<Call>>,
    numbers: AtomicU64,
    loads: Mutex<BTreeMap<Subject, u64>>,
    /// When its connection read the versions, within the last second.
    version_reads: Mutex<Vec<Duration>>,
    /// The announcements that reached its connection: their subjects and commit times.
    reached: Mutex<Vec<(Subject, Duration)>>,
    /// When it first read the traces of edits.
    watches_since: Mutex<Option<Duration>>,
}

/// A call of the origin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    number: u64,
    pub subject: Subject,
    /// Whether it reads the value, or only its version.
    pub is_whole: bool,
    pub begun: Duration,
    pub ended: Option<Duration>,
}

/// A call in progress. Dropping it ends the call too.
pub(super) struct Calling<'a> {
    process: &'a Process,
    number: u64,
}

impl Calling<'_> {
    pub(super) fn ends(self) {
        drop(self);
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        let mut calls = self.process.calls.lock().unwrap();
        if let Some(call) = calls.iter_mut().find(|call| call.number == self.number) {
            call.ended = Some(self.process.world.now());
        }
    }
}

impl Process {
    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Returns whether there is an origin: there is none until the database has answered once.
    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    pub(super) fn connect(&self) -> bool {
        self.connected.swap(true, Ordering::Relaxed)
    }

    /// Returns separate dice for a part that may draw while others do.
    pub(super) fn dice(&self, who: Who) -> Arc<Dice> {
        let part = || Arc::new(self.world.dice_of(&format!("{} {who:?}", self.number)));
        Arc::clone(self.dice.lock().unwrap().entry(who).or_insert_with(part))
    }

    pub(super) async fn statement<T>(
        &self,
        who: Who,
        act: impl FnOnce(&mut State, &World) -> T,
    ) -> Result<T, Broken> {
        self.world.database.statement(&self.world, self, &self.dice(who), act).await
    }

    /// P6: four reads of KV at once and one every 30 s, in any situation.
    pub(super) fn reads_kv(&self) {
        let reads = self.kv_reads.fetch_add(1, Ordering::Relaxed) + 1;
        let alive = self.world.now().saturating_sub(self.born);
        let allowed = reads_allowed(self.world.namespace.limits(), alive);
        if f64::from(u32::try_from(reads).unwrap()) > allowed + 1e-3 {
            self.world.breaks("P6", &format!("{reads} reads of KV by an instance of {alive:?}"));
        }
    }

    /// P7 and P8: one load per key and generation at a time, and two in total.
    pub(super) fn loads(&self, subject: Subject) -> Calling<'_> {
        let heard = self.knowledge(subject).heard;
        let others: Vec<_> = {
            let calls = self.calls.lock().unwrap();
            let is_other = |call: &&Call| call.subject == subject && call.is_whole && call.ended.is_none();
            calls.iter().filter(is_other).copied().collect()
        };
        // Nothing was heard since the other load began, so it is as recent.
        let is_same = others.iter().any(|other| subject.scope().is_none() || heard <= other.begun);
        if is_same && self.is_alive() {
            self.world.breaks("P7", &format!("two loads of {subject:?} at a time who know the same"));
        }
        if others.len() >= 2 && self.is_alive() {
            self.world.breaks("P8", &format!("{} loads of {subject:?} at a time", others.len() + 1));
        }
        *self.loads.lock().unwrap().entry(subject).or_default() += 1;
        let calling = self.calls(subject, true);
        // Those that announcements cause, one at the start, and two by the supervisor.
        let now = self.world.now();
        let calls = self.calls.lock().unwrap();
        let is_recent = |call: &&Call| call.subject == subject && call.is_whole && call.begun + SECOND > now;
        let recent = calls.iter().filter(is_recent).count();
        if recent > MOST_PER_SECOND + 3 && self.is_alive() {
            self.world.breaks("P7", &format!("{recent} loads of {subject:?} in a second"));
        }
        drop(calls);
        calling
    }

    /// Records a call.
    pub(super) fn calls(&self, subject: Subject, is_whole: bool) -> Calling<'_> {
        let (begun, number) = (self.world.now(), self.numbers.fetch_add(1, Ordering::Relaxed));
        let mut calls = self.calls.lock().unwrap();
        calls.retain(|call| call.ended.is_none_or(|ended| ended + REMEMBERED > begun));
        calls.push(Call { number, subject, is_whole, begun, ended: None });
        Calling { process: self, number }
    }

    /// Returns the recent calls for a subject that ended after that moment or have not ended.
    pub(super) fn calls_since(&self, subject: Subject, at: Duration) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        let is_wanted = |call: &&Call| call.subject == subject && call.ended.is_none_or(|ended| ended >= at);
        calls.iter().filter(is_wanted).copied().collect()
    }

    pub(super) fn knowledge(&self, subject: Subject) -> Knowledge {
        self.knowledge.lock().unwrap().get(&subject).copied().unwrap_or_default()
    }

    fn learn(&self, subject: Subject, learn: impl FnOnce(&mut Knowledge)) {
        learn(self.knowledge.lock().unwrap().entry(subject).or_default());
    }

    pub(super) fn read_version(&self, subject: Subject, version: u64, begun: Duration, seen: Duration) {
        self.learn(subject, |known| known.read(version, begun, seen, self.world.now()));
    }

    /// Reads the traces that edits of the catalogue have left.
    pub(super) async fn traces(&self) -> Result<EditTraces, Broken> {
        let read = self.statement(Who::Supervisor, |state, world| (state.traces(world.now()), world.now()));
        let (traces, seen) = read.await?;
        self.watches_since.lock().unwrap().get_or_insert(seen);
        Ok(traces)
    }

    /// Returns whether it looked for lost edits at that moment.
    pub(super) fn watched(&self, at: Duration) -> bool {
        self.watches_since.lock().unwrap().is_some_and(|since| since < at)
    }

    pub(super) fn heard(&self, subject: Subject) {
        self.learn(subject, |known| known.heard = self.world.now());
    }

    /// A3: announcements cost at most 5 version reads per second, in addition to the read every 10 s and the first one
    /// of a connection.
    pub(super) fn reads_versions(&self) {
        let now = self.world.now();
        let mut reads = self.version_reads.lock().unwrap();
        reads.retain(|at| *at + SECOND > now);
        reads.push(now);
        if reads.len() > MOST_PER_SECOND + 2 {
            self.world.breaks("P8", &format!("{} reads of the versions in a second", reads.len()));
        }
    }

    /// Delivers an announcement: late, out of order, or not at all.
    pub(super) fn announce(self: &Arc<Self>, announced: Announced, hears: UnboundedSender<Announced>) {
        let process = Arc::clone(self);
        if self.lossy > 0 && self.dice(Who::Announcements).one_in(self.lossy) {
            return;
        }
        let late_by = self.dice(Who::Announcements).milliseconds(1..200);
        tokio::spawn(async move {
            process.world.sleep(late_by).await;
            // The listener may be gone.
            if hears.send(announced).is_ok()
                && let Announced::Edit { subject, committed } = announced
            {
                let mut reached = process.reached.lock().unwrap();
                reached.retain(|(_, at)| *at + REMEMBERED > committed);
                reached.push((subject, committed));
            }
        });
    }

    /// Returns the last edit until then whose announcement has reached the connection.
    pub(super) fn announced_until(&self, subject: Subject, until: Duration) -> Option<Duration> {
        let reached = self.reached.lock().unwrap();
        let edits = reached.iter().filter(|(of, committed)| *of == subject && *committed <= until);
        edits.map(|(_, committed)| *committed).max()
    }

    pub(super) fn loads_of(&self, is_wanted: impl Fn(Subject) -> bool) -> u64 {
        let loads = self.loads.lock().unwrap();
        loads.iter().filter(|(subject, _)| is_wanted(**subject)).map(|(_, count)| count).sum()
    }
}

/// The families of a history: the real ones, or ones with times short enough to pass within a history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Families {
    pub catalogue: Family,
    pub preferences: Family,
    pub responses: Family,
}

impl Families {
    pub(super) const REAL: Self =
        Self { catalogue: CATALOGUE, preferences: PREFERENCES, responses: RESPONSES };
    pub(super) const QUICK: Self = Self {
        catalogue: Family {
            fresh: MINUTE,
            keep_shared: Some(Duration::from_mins(4)),
            reload_after: Duration::from_mins(3),
            ..CATALOGUE
        },
        preferences: Family {
            fresh: MINUTE,
            on_origin_failure: OnOriginFailure::ServeUpTo(Duration::from_mins(3)),
            ..PREFERENCES
        },
        responses: Family {
            fresh: MINUTE,
            on_origin_failure: OnOriginFailure::ServeUpTo(Duration::from_mins(3)),
            keep_shared: Some(Duration::from_mins(3)),
            ..RESPONSES
        },
    };

    pub(super) fn of(&self, subject: Subject) -> &Family {
        match subject {
            Subject::Catalogue => &self.catalogue,
            Subject::User(_) => &self.preferences,
            Subject::Upstream(_) => &self.responses,
        }
    }
}

/// The options of an instance's start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub families: &'static Families,
    /// One in this number of announcements is lost.
    pub lossy: u32,
    /// Whether it hears no announcements and reads no versions.
    pub deaf: bool,
    /// Whether the database counts as available from the start, as for families other than the catalogue.
    pub connected: bool,
    /// Whether it may raise versions.
    pub raises: bool,
}

/// A running instance. Dropping it is a crash.
pub(super) struct Instance {
    pub process: Arc<Process>,
    pub start: Start,
    pub shared: SharedTier,
    pub scopes: Arc<Scopes>,
    catalogue: Cache<Reached>,
    preferences: Cache<Reached>,
    responses: Cache<Reached>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.process.alive.store(false, Ordering::Relaxed);
    }
}

impl Instance {
    pub(super) fn start(world: &Arc<World>, start: Start) -> Self {
        let process = Arc::new(Process {
            world: Arc::clone(world),
            born: world.now(),
            number: world.starts(),
            dice: Mutex::default(),
            lossy: start.lossy,
            alive: AtomicBool::new(true),
            connected: AtomicBool::new(start.connected),
            kv_reads: AtomicU64::new(0),
            knowledge: Mutex::default(),
            calls: Mutex::default(),
            numbers: AtomicU64::new(0),
            loads: Mutex::default(),
            version_reads: Mutex::default(),
            reached: Mutex::default(),
            watches_since: Mutex::default(),
        });
        let scopes = Arc::new(Scopes::new(world.clock.clone()));
        let namespace = namespace::Connected(Arc::clone(&process));
        let limits = world.namespace.limits();
        let shared = SharedTier::new(namespace, "test".to_owned(), limits, world.clock.clone());
        let cache = |family: Family, floor| {
            Cache::new(
                family,
                Reached(Arc::clone(&process)),
                floor,
                Some(Arc::new(shared.clone())),
                Arc::clone(&scopes),
                world.clock.clone(),
                Handle::current(),
            )
        };
        let builtin = Data::new(Subject::Catalogue, 0, 0);
        let catalogue = cache(start.families.catalogue, Some((&Subject::Catalogue, builtin)));
        let tier = shared.clone();
        let mut tasks = vec![
            tokio::spawn(async move { tier.run().await }),
            tokio::spawn(following::load_changes(catalogue.clone(), &scopes)),
        ];
        tasks.push(tokio::spawn(following::look_after(
            Arc::clone(&process),
            catalogue.clone(),
            shared.clone(),
            Arc::clone(&scopes),
            start,
        )));
        Self {
            catalogue,
            preferences: cache(start.families.preferences, None),
            responses: cache(start.families.responses, None),
            process,
            start,
            shared,
            scopes,
            _tasks: tasks.into_iter().map(AbortOnDropHandle::new).collect(),
        }
    }

    pub(super) fn cache(&self, subject: Subject) -> &Cache<Reached> {
        match subject {
            Subject::Catalogue => &self.catalogue,
            Subject::User(_) => &self.preferences,
            Subject::Upstream(_) => &self.responses,
        }
    }
}
