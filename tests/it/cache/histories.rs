//! Random histories: the promises hold after every step in any order of events.

use std::collections::HashMap;
use std::time::Duration;

use chatchonk::cache::{CATALOGUE, Outcome};
use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::{Data, Key, Rig, all_tasks_wait};

#[derive(Debug, Clone)]
enum Step {
    Read,
    /// A read whose caller is cancelled.
    Abandon,
    Pass(Duration),
    Change {
        announced: bool,
    },
    CatchUp,
    Replace,
    Fail(bool),
    Panic(bool),
    Hold,
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    let pass = prop_oneof![1..2_000_u64, 200_000..320_000_u64].prop_map(Duration::from_millis);
    prop_oneof![
        10 => Just(Step::Read),
        2 => Just(Step::Abandon),
        6 => pass.prop_map(Step::Pass),
        4 => any::<bool>().prop_map(|announced| Step::Change { announced }),
        3 => Just(Step::CatchUp),
        1 => Just(Step::Replace),
        2 => any::<bool>().prop_map(Step::Fail),
        1 => any::<bool>().prop_map(Step::Panic),
        1 => Just(Step::Hold),
        2 => Just(Step::Release),
    ]
}

type Pending = JoinHandle<Option<(Outcome, Data)>>;

/// The test's knowledge of the history so far.
struct History {
    rig: Rig,
    fails: bool,
    panics: bool,
    held: bool,
    /// Every past state of the data, and the time of its replacement.
    past: Vec<(Data, Duration)>,
    now: Duration,
    /// The oldest state that the instance may show, as it learnt of it.
    known: Data,
    last_read: Option<Data>,
    outcomes: HashMap<Option<Outcome>, u64>,
}

/// Versions of different databases never meet, since they contain the time.
const DATABASES: u64 = 1_000;

impl History {
    fn new() -> Self {
        let rig = Rig::of(CATALOGUE, false);
        let first = Data { database: 0, version: 1_000 * DATABASES };
        rig.origin.set(first);
        Self {
            rig,
            fails: false,
            panics: false,
            held: false,
            past: Vec::new(),
            now: Duration::ZERO,
            known: Data { database: 0, version: 0 },
            last_read: None,
            outcomes: HashMap::new(),
        }
    }

    fn answers(&self) -> bool {
        !self.fails && !self.panics && !self.held
    }

    async fn pass(&mut self, time: Duration) {
        self.now += time;
        self.rig.advance(time).await;
    }

    fn catch_up(&mut self) {
        self.rig.catch_up();
        self.known = self.rig.origin.data_now();
    }

    fn replace_data(&mut self, data: Data) {
        self.past.push((self.rig.origin.data_now(), self.now));
        self.rig.origin.set(data);
    }

    async fn begin(&self) -> Pending {
        let cache = self.rig.cache.clone();
        let read = tokio::spawn(async move {
            cache.read(&Key(0)).await.ok().map(|read| {
                assert_eq!(read.entry.value.version, read.entry.version);
                (read.outcome, read.entry.value)
            })
        });
        all_tasks_wait().await;
        read
    }

    fn count(&mut self, read: Option<(Outcome, Data)>) {
        *self.outcomes.entry(read.map(|(outcome, _)| outcome)).or_default() += 1;
    }

    async fn take(&mut self, step: Step) {
        // No two events happen at the same moment.
        self.pass(Duration::from_millis(1)).await;
        let data = self.rig.origin.data_now();
        match step {
            Step::Read => self.read().await,
            Step::Abandon => {
                let read = self.begin().await;
                read.abort();
                if let Ok(read) = read.await {
                    self.count(read);
                }
            }
            Step::Pass(time) => self.pass(time).await,
            Step::Change { announced } => {
                self.replace_data(Data { version: data.version + DATABASES, ..data });
                // While the database fails, the read after an announcement fails too.
                if announced && !self.fails {
                    self.catch_up();
                }
            }
            Step::CatchUp if !self.fails => self.catch_up(),
            Step::CatchUp => {}
            Step::Replace => {
                let version = data.version - 5 * DATABASES + 1;
                self.replace_data(Data { database: data.database + 1, version });
            }
            Step::Fail(fails) => {
                self.fails = fails;
                self.rig.origin.fail(fails);
                self.recover().await;
            }
            Step::Panic(panics) => {
                self.panics = panics;
                self.rig.origin.panic(panics);
                self.recover().await;
            }
            Step::Hold => {
                self.held = true;
                self.rig.origin.hold();
            }
            Step::Release => {
                self.held = false;
                self.rig.origin.release();
                self.recover().await;
            }
        }
        all_tasks_wait().await;
    }

    /// The supervisor refreshes the cache when the database answers again.
    async fn recover(&mut self) {
        all_tasks_wait().await;
        self.pass(Duration::from_millis(1)).await;
        if self.answers() {
            self.rig.cache.refresh(&Key(0)).await.unwrap();
        }
    }

    async fn read(&mut self) {
        let read = self.begin().await;
        if !read.is_finished() {
            assert!(self.held, "only a held answer makes a caller wait");
            self.pass(CATALOGUE.hard_limit).await;
        }
        assert!(read.is_finished(), "no caller waits longer than the hard limit");
        let read = read.await.unwrap();
        self.count(read);
        let Some((outcome, data)) = read else {
            assert!(!self.answers(), "an error while the origin answers");
            return;
        };
        let place = |data: Data| (data.database, data.version);
        if let Some(last) = self.last_read.replace(data) {
            assert!(place(data) >= place(last), "backwards: {data:?} after {last:?}");
        }
        if self.answers() {
            assert_ne!(outcome, Outcome::Stale, "the origin answers");
            assert!(place(data) >= place(self.known), "{data:?} although {:?} was known", self.known);
            let replaced = self.past.iter().find(|(past, _)| *past == data).map(|(_, at)| *at);
            let age = replaced.map_or(Duration::ZERO, |at| self.now.saturating_sub(at));
            assert!(age <= CATALOGUE.fresh, "{data:?} was current {age:?} ago");
        }
    }

    fn check_statistics(&self) {
        let statistics = self.rig.cache.statistics();
        let count = |outcome| self.outcomes.get(&outcome).copied().unwrap_or(0);
        assert_eq!(statistics.memory, count(Some(Outcome::Memory)));
        assert_eq!(statistics.stale, count(Some(Outcome::Stale)));
        assert_eq!(statistics.origin, count(Some(Outcome::Origin)));
        assert_eq!((statistics.kv, statistics.error), (0, count(None)));
        assert_eq!(statistics.reads, self.outcomes.values().sum::<u64>());
        assert_eq!(statistics.hits() + statistics.misses(), statistics.reads);
        let (loads, version_reads) = self.rig.origin.calls();
        assert_eq!(statistics.loads, loads);
        assert!(statistics.validations <= version_reads);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_are_bounded_truthful_and_counted_in_any_history(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut history = History::new();
            for step in steps {
                history.take(step).await;
                history.check_statistics();
            }
        });
    }
}
