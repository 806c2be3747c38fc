//! The promises, checked against every read and every state. Each check names its promise.

use std::time::Duration;

use chatchonk::cache::{Family, OnOriginFailure, Outcome};
use chatchonk::kv_tier::{KvLimits, Operation};

use super::SUBJECTS;
use super::data::Subject;
use super::following::RECOVERY;
use super::history::{Begun, Ended, History, Member, Shown};
use super::world::SECOND;

/// The time that a cold read may wait for KV.
const HEDGE: Duration = Duration::from_millis(80);
/// The delay until an announced edit shows. The announcement travels for 200 ms, waits for a running version read and
/// the pause after it, and causes another read; each statement takes up to 600 ms here. The second value is for an edit
/// that was not announced.
const ANNOUNCED: Duration = Duration::from_millis(1_600);
const UNANNOUNCED: Duration = Duration::from_secs(15);
/// The delay until an edit that raised no version is served: PostgreSQL counts it within 10 s, and checks are 5 s
/// apart.
const LOST: Duration = Duration::from_secs(20);
/// The time of a load, with and without answers from the database: a flight ends after 10 s.
const LOAD: Duration = Duration::from_secs(2);
const SLOW_LOAD: Duration = Duration::from_secs(11);
/// The time after a replacement of the database during which an instance may still mix up the two.
const CONFUSION: Duration = Duration::from_secs(45);
/// The time until a new instance has a database.
const BIRTH: Duration = Duration::from_secs(5);

impl History {
    pub(super) fn check_read(&self, member: &Member, begun: &Begun, ended: &Ended) {
        let family = *member.instance.start.families.of(begun.subject);
        let is_healthy = self.is_healthy(member, begun);
        let breaks = |promise: &str, how: &str| {
            let what = format!(
                "{how}: {:?} of instance {:?} begun at {:?}: {ended:?}; the database answers: {is_healthy}",
                begun.subject, member.instance.process.born, begun.at
            );
            self.world.breaks(promise, &what);
        };
        self.check_wait(member, begun, ended, &family, is_healthy, &breaks);
        let Some(shown) = ended.shown else {
            let is_refused = is_healthy || begun.subject == Subject::Catalogue;
            if is_refused {
                breaks("P1", "refused");
            }
            return;
        };
        if shown.data.subject != begun.subject || shown.data.schema != 1 {
            breaks("P4", "something else was taken for it");
        }
        if begun.subject.scope().is_some() && shown.data.version != shown.version {
            breaks("P3", "the value is not of its version");
        }
        // A read with a value does not wait for an origin beyond the soft limit; it serves the value marked as stale.
        let calls = member.instance.process.calls_since(begun.subject, begun.at);
        let is_slow = shown.outcome == Outcome::Stale && !calls.is_empty();
        self.check_freshness(ended, &shown, &family, is_healthy && !is_slow, &breaks);
        if is_healthy {
            self.check_promptness(member, begun, &shown, &breaks);
        }
        self.check_order(begun, &shown, is_healthy, &breaks);
    }

    /// Returns whether the database answered throughout, and for long enough before.
    fn is_healthy(&self, member: &Member, begun: &Begun) -> bool {
        let instance = &member.instance;
        let has_started = instance.start.connected || instance.process.born + BIRTH <= begun.at;
        begun.connected
            && has_started
            && begun.answers_since.is_some_and(|since| since.is_zero() || since + RECOVERY <= begun.at)
            && self.world.database.answers_since() == begun.answers_since
    }

    fn check_freshness(
        &self,
        ended: &Ended,
        shown: &Shown,
        family: &Family,
        is_healthy: bool,
        breaks: &impl Fn(&str, &str),
    ) {
        let (knows, ceased) =
            self.world.database.truth(|truth| (truth.knows(shown.data), truth.ceased(shown.data)));
        let old_by = ceased.map_or(Duration::ZERO, |ceased| ended.at.saturating_sub(ceased));
        let load = if is_healthy { LOAD } else { SLOW_LOAD };
        if is_healthy || shown.is_fresh {
            if !knows {
                breaks("P1", "never current");
            }
            if old_by > family.fresh + load {
                breaks("P1", "outdated for too long");
            }
        }
        if shown.outcome == Outcome::Stale && shown.is_fresh {
            breaks("P1", "stale and fresh");
        }
        match family.on_origin_failure {
            OnOriginFailure::ServeUpTo(limit) if old_by > limit + SLOW_LOAD || !knows => {
                breaks("P1", "older than the family serves");
            }
            _ => {}
        }
    }

    fn check_order(&self, begun: &Begun, shown: &Shown, is_healthy: bool, breaks: &impl Fn(&str, &str)) {
        let database = &self.world.database;
        let Some(ceased) = database.truth(|truth| truth.ceased(shown.data)) else { return };
        let replaced = database.replaced();
        let is_confused = replaced.is_some_and(|at| begun.at < at + CONFUSION || ceased == at);
        let is_user = matches!(begun.subject, Subject::User(_));
        if begun.subject.scope().is_some() && !is_confused && (is_healthy || is_user) && ceased <= begun.as_of
        {
            breaks("P3", "below what the database had reported");
        }
        if replaced.is_none() && begun.newest.is_some_and(|newest| ceased <= newest) {
            breaks("P3", "backwards");
        }
    }

    fn check_promptness(&self, member: &Member, begun: &Begun, shown: &Shown, breaks: &impl Fn(&str, &str)) {
        let database = &self.world.database;
        let is_deaf = member.instance.start.deaf;
        // Once its version is raised, an instance that reads no versions has until its value expires.
        let lost = database.truth(|truth| {
            let lost = truth.replaced_at_its_version(shown.data);
            lost.filter(|_| !is_deaf || truth.ceased(shown.data).is_none())
        });
        if lost.is_some_and(|at| at + LOST <= begun.at && member.instance.process.watched(at)) {
            breaks("P2", "an edit that raised no version was not seen within 20 s");
        }
        let Some(ceased) = database.truth(|truth| truth.ceased(shown.data)) else { return };
        let replaced = database.replaced();
        let is_confused = replaced.is_some_and(|at| begun.at < at + CONFUSION || ceased == at);
        let instance = &member.instance;
        if begun.subject.scope().is_none() || is_deaf {
            return;
        }
        let announced = begun
            .at
            .checked_sub(ANNOUNCED)
            .and_then(|until| instance.process.announced_until(begun.subject, until));
        if !is_confused && announced.is_some_and(|edit| ceased <= edit) {
            breaks("P2", "an announced edit was not seen in time");
        }
        if replaced.is_none_or(|at| at + CONFUSION <= begun.at) && ceased + UNANNOUNCED <= begun.at {
            breaks("P2", "an edit was not seen within 15 s");
        }
    }

    fn check_wait(
        &self,
        member: &Member,
        begun: &Begun,
        ended: &Ended,
        family: &Family,
        is_healthy: bool,
        breaks: &impl Fn(&str, &str),
    ) {
        if begun.is_hit && ended.at > begun.at {
            breaks("P5", "a hit waited");
        }
        if ended.at > begun.at + family.hard_limit {
            breaks("P5", "longer than the hard limit");
        }
        let quiet = self.edited.get(&begun.subject).is_none_or(|at| *at + 5 * SECOND <= begun.at);
        if !is_healthy || !begun.is_cold || !quiet || self.world.database.replaced().is_some() {
            return;
        }
        let for_kv = if begun.is_closed && family.keep_shared.is_some() { HEDGE } else { Duration::ZERO };
        let latest = begun.at + for_kv;
        if ended.at <= latest {
            return;
        }
        let calls = member.instance.process.calls_since(begun.subject, begun.at);
        let Some(load) = calls.iter().find(|call| call.is_whole && call.begun <= latest) else {
            return breaks("P5", "waited for KV without asking the database");
        };
        if load.ended.is_none_or(|end| end < ended.at) {
            breaks("P5", "waited although the database had answered");
        }
    }

    /// Checks the promises that hold at any time.
    pub(super) fn check_all(&self) {
        self.check_budget();
        for member in &self.members {
            self.check_counts(member);
            let instance = &member.instance;
            let scoped = SUBJECTS.iter().filter(|subject| subject.scope().is_some()).count();
            let held = instance.scopes.names().len();
            let queued = instance.shared.report().queued;
            if held > scoped || queued > 2 * SUBJECTS.len() {
                self.world.breaks("P8", &format!("{held} scopes held, {queued} keys queued"));
            }
        }
    }

    /// P6: per day, for all instances together. A replacement database has its own budget.
    fn check_budget(&self) {
        if self.world.database.replaced().is_some() {
            return;
        }
        let limits = self.world.namespace.limits();
        let today = self.world.clock.utc().date();
        for (operation, limit) in [(Operation::Write, limits.writes), (Operation::Delete, limits.deletes)] {
            let (counted, late) = self.world.namespace.counted(today, operation);
            if counted - late > KvLimits::usable(limit) {
                let how =
                    format!("{counted} operations of {operation} on {today}, {late} of them paid before");
                self.world.breaks("P6", &how);
            }
        }
    }

    /// P9: every read has one outcome, and the cache's counters equal its callers'.
    fn check_counts(&self, member: &Member) {
        type IsOf = fn(Subject) -> bool;
        let families: [(Subject, IsOf); 3] = [
            (Subject::Catalogue, |subject| subject == Subject::Catalogue),
            (Subject::User(0), |subject| matches!(subject, Subject::User(_))),
            (Subject::Upstream(0), |subject| matches!(subject, Subject::Upstream(_))),
        ];
        for (example, is_of) in families {
            let statistics = member.instance.cache(example).statistics();
            let count = |outcome| {
                let counted =
                    member.counted.iter().filter(|((of, ended), _)| is_of(*of) && *ended == outcome);
                counted.map(|(_, count)| count).sum::<u64>()
            };
            let knowledge =
                [statistics.memory, statistics.kv, statistics.stale, statistics.origin, statistics.error];
            let outcomes =
                [Some(Outcome::Memory), Some(Outcome::Kv), Some(Outcome::Stale), Some(Outcome::Origin), None];
            let seen = outcomes.map(count);
            let loads = member.instance.process.loads_of(is_of);
            if knowledge != seen
                || statistics.reads != seen.iter().sum::<u64>()
                || statistics.hits() + statistics.misses() != statistics.reads
                || statistics.loads < loads
            {
                let how = format!("{example:?}: {seen:?} ended with {loads} loads, counted: {statistics:?}");
                self.world.breaks("P9", &how);
            }
        }
    }
}
