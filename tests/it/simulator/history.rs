//! One history: a world, its instances, and the reads in progress.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chatchonk::cache::{Outcome, Source};
use tokio::task::JoinHandle;

use super::SUBJECTS;
use super::data::{Data, Subject};
use super::instance::{Instance, Start};
use super::world::{World, all_tasks_wait};

/// An instance, and the history's record of its reads.
pub(super) struct Member {
    pub instance: Instance,
    /// Ended reads by subject and outcome; `None` is an error.
    pub counted: BTreeMap<(Subject, Option<Outcome>), u64>,
    /// When the newest value that it has shown became current.
    pub newest: BTreeMap<Subject, Duration>,
    reads: Vec<Begun>,
}

/// A read that began, and the state at that moment.
#[expect(clippy::struct_excessive_bools, reason = "each may hold with any of the others")]
pub(super) struct Begun {
    pub subject: Subject,
    pub at: Duration,
    /// The instance knew the state of this moment.
    pub as_of: Duration,
    /// When the newest value shown before became current.
    pub newest: Option<Duration>,
    /// Since when the database answered.
    pub answers_since: Option<Duration>,
    pub connected: bool,
    /// Whether memory held a fresh value.
    pub is_hit: bool,
    /// Whether memory held no value of a database and no other read waited for one.
    pub is_cold: bool,
    /// Whether the circuit breaker was closed.
    pub is_closed: bool,
    task: JoinHandle<Ended>,
}

/// The end of a read.
#[derive(Debug)]
pub(super) struct Ended {
    pub at: Duration,
    /// `None` is an error.
    pub shown: Option<Shown>,
}

/// The value that a read showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub outcome: Outcome,
    pub data: Data,
    /// The version that the cache assigned to the value.
    pub version: u64,
    /// Whether it counts as fresh.
    pub is_fresh: bool,
}

pub(super) struct History {
    pub world: Arc<World>,
    pub members: Vec<Member>,
    pub start: Start,
    /// When each subject was last edited.
    pub edited: BTreeMap<Subject, Duration>,
}

impl History {
    pub(super) fn new(world: Arc<World>, start: Start) -> Self {
        Self { world, members: Vec::new(), start, edited: BTreeMap::new() }
    }

    pub(super) fn starts(&mut self, start: Start) {
        self.members.push(Member {
            instance: Instance::start(&self.world, start),
            counted: BTreeMap::new(),
            newest: BTreeMap::new(),
            reads: Vec::new(),
        });
    }

    pub(super) fn edit(&mut self, subject: Subject) {
        self.world.database.edit(&self.world, subject);
        self.edited.insert(subject, self.world.now());
    }

    /// Starts a read, which goes on while the history proceeds.
    pub(super) fn read(&mut self, member: usize, subject: Subject) {
        let Some(member) = self.members.get_mut(member) else { return };
        let (world, instance) = (&self.world, &member.instance);
        let cache = instance.cache(subject).clone();
        let held = cache.held(&subject);
        let is_awaited = member.reads.iter().any(|read| read.subject == subject);
        let at = world.now();
        let is_hit = held.as_ref().is_some_and(|held| !held.stale);
        let task = tokio::spawn({
            let world = Arc::clone(world);
            async move {
                let read = cache.read(&subject).await;
                let shown = read.ok().map(|read| Shown {
                    outcome: read.outcome,
                    data: read.entry.value,
                    version: read.entry.version,
                    is_fresh: !read.fresh_for.is_zero(),
                });
                Ended { at: world.now(), shown }
            }
        });
        member.reads.push(Begun {
            subject,
            at,
            as_of: instance.process.knowledge(subject).as_of,
            newest: member.newest.get(&subject).copied(),
            answers_since: world.database.answers_since(),
            connected: instance.process.is_connected(),
            is_hit,
            is_cold: !is_awaited && held.is_none_or(|held| held.entry.source == Source::Builtin),
            is_closed: is_hit || instance.shared.report().state == "closed",
            task,
        });
    }

    /// Cancels the callers of the last reads.
    pub(super) fn abandon(&mut self, member: usize) {
        if let Some(read) = self.members.get_mut(member).and_then(|member| member.reads.last()) {
            read.task.abort();
        }
    }

    /// Collects the reads that have ended and checks them against the promises.
    pub(super) async fn collect(&mut self) {
        all_tasks_wait().await;
        for place in 0..self.members.len() {
            let member = &mut self.members[place];
            let (ended, going): (Vec<_>, Vec<_>) =
                std::mem::take(&mut member.reads).into_iter().partition(|read| read.task.is_finished());
            member.reads = going;
            for mut begun in ended {
                // An aborted read does not count.
                let Ok(ended) = (&mut begun.task).await else { continue };
                let member = &mut self.members[place];
                let outcome = ended.shown.map(|shown| shown.outcome);
                *member.counted.entry((begun.subject, outcome)).or_default() += 1;
                self.check_read(&self.members[place], &begun, &ended);
                self.remember(place, begun.subject, &ended);
            }
        }
        self.check_all();
    }

    fn remember(&mut self, place: usize, subject: Subject, ended: &Ended) {
        let Some(shown) = ended.shown else { return };
        let first = self.world.database.truth(|truth| truth.first_current(shown.data));
        let newest = self.members[place].newest.entry(subject).or_default();
        *newest = (*newest).max(first.unwrap_or_default());
    }

    /// Heals everything; after a while every instance must show the current state.
    pub(super) async fn end(&mut self) {
        use super::database::Mode;
        use super::following::RECOVERY;
        self.world.database.set_mode(&self.world, Mode::Answers);
        self.world.database.empties(&self.world, false);
        self.world.namespace.has(None);
        self.world.pass(RECOVERY + Duration::from_secs(5)).await;
        self.collect().await;
        for place in 0..self.members.len() {
            for subject in SUBJECTS {
                self.read(place, subject);
            }
        }
        self.world.pass(Duration::from_secs(4)).await;
        self.collect().await;
    }
}
