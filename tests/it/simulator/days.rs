//! The cost of whole days on Cloudflare's free plan. `cargo test --test it simulator::days -- --nocapture` prints it.

use std::sync::Arc;
use std::time::Duration;

use chatchonk::kv_tier::{KvLimits, Operation};
use time::macros::datetime;

use super::damage::Planted;
use super::data::Subject;
use super::history::History;
use super::instance::{Families, Start};
use super::namespace::Fault;
use super::runtime;
use super::world::{MINUTE, SECOND, World};

/// Just before midnight, so all events belong to one day.
const EVENING: Duration = Duration::from_mins(24 * 60 - 1);
const START: Start =
    Start { families: &Families::REAL, lossy: 0, deaf: false, connected: false, raises: true };

/// Operations of a day.
#[derive(Debug)]
struct Cost {
    reads: u64,
    writes: u64,
    deletes: u64,
}

/// A day that begins at midnight.
struct Day {
    history: History,
    instances: usize,
    /// The planned events, with the next one last.
    plan: Vec<(Duration, Event)>,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Read,
    Edit,
    /// Replaces every instance by a new one, and stops the old one a while later.
    Deploy,
    /// Crashes the first instance and starts it again.
    Crash,
    Plant(Planted),
    Kv(Option<Fault>),
}

impl Day {
    fn new(instances: usize) -> Self {
        let world = World::new(7, datetime!(2026-11-22 0:00 UTC));
        world.namespace.behaves(KvLimits::FREE_PLAN, 0, 0, MINUTE, false);
        Self { history: History::new(world, START), instances, plan: Vec::new() }
    }

    /// Plans the event `count` times, spread over the day at random.
    fn plan(&mut self, count: u32, event: Event) {
        let span = u64::try_from(EVENING.as_millis()).unwrap();
        for _ in 0..count {
            let at = self.history.world.dice.milliseconds(0..span);
            self.plan.push((at, event));
        }
    }

    async fn happens(&mut self, event: Event) {
        let world = Arc::clone(&self.history.world);
        let member = world.dice.draw(|rng| rng.usize(0..self.history.members.len()));
        match event {
            Event::Read => {
                self.history.read(member, Subject::Catalogue);
                if world.dice.one_in(100) {
                    self.history.collect().await;
                }
            }
            Event::Edit => self.history.edit(Subject::Catalogue),
            Event::Deploy => {
                let before = self.history.members.len();
                for _ in 0..before {
                    self.history.starts(START);
                }
                world.pass(30 * SECOND).await;
                for _ in 0..before {
                    self.history.stop(0).await;
                }
            }
            Event::Crash => {
                drop(self.history.members.remove(0));
                self.history.starts(START);
                let last = self.history.members.pop().unwrap();
                self.history.members.insert(0, last);
            }
            Event::Plant(planted) => planted.plant(&world, Subject::Catalogue),
            Event::Kv(fault) => world.namespace.has(fault),
        }
    }

    fn run(mut self) -> Cost {
        self.plan.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        runtime().block_on(async {
            let world = Arc::clone(&self.history.world);
            for _ in 0..self.instances {
                self.history.starts(START);
            }
            while let Some((at, event)) = self.plan.pop() {
                world.pass(at.saturating_sub(world.now())).await;
                self.happens(event).await;
            }
            world.pass((EVENING + 59 * SECOND).saturating_sub(world.now())).await;
            self.history.collect().await;
            assert_eq!(world.broken(), None);
            let total = |operation| world.namespace.total(operation);
            Cost {
                reads: total(Operation::Read),
                writes: total(Operation::Write),
                deletes: total(Operation::Delete),
            }
        })
    }
}

#[test]
fn an_ordinary_day_costs_1_percent_of_reads_and_10_of_writes() {
    let mut day = Day::new(3);
    day.plan(100_000, Event::Read);
    day.plan(20, Event::Edit);
    day.plan(4, Event::Deploy);
    let cost = day.run();
    println!("{cost:?}");
    assert!(cost.reads <= 1_000 && cost.writes <= 100 && cost.deletes <= 50, "{cost:?}");
    assert!(cost.reads > 0 && cost.writes > 0, "KV is used");
}

#[test]
fn the_worst_day_stays_within_90_percent_of_the_free_plan() {
    let mut day = Day::new(10);
    day.plan(20_000, Event::Read);
    day.plan(10_000, Event::Edit);
    for loops in 0..(6 * 60 * 12) {
        day.plan.push((Duration::from_hours(3) + loops * 5 * SECOND, Event::Crash));
    }
    for planted in Planted::ALL {
        day.plan(100, Event::Plant(planted));
    }
    for fault in [Fault::Server, Fault::Hangs, Fault::Throttled(Some(30)), Fault::Forbidden, Fault::Page] {
        day.plan(4, Event::Kv(Some(fault)));
        day.plan(4, Event::Kv(None));
    }
    let cost = day.run();
    println!("{cost:?}");
    let usable = |limit| KvLimits::usable(limit);
    let free = KvLimits::FREE_PLAN;
    assert!(
        cost.reads <= usable(free.reads)
            && cost.writes <= usable(free.writes)
            && cost.deletes <= usable(free.deletes),
        "{cost:?}"
    );
}
