//! The next step, chosen at random.

use std::sync::Arc;
use std::time::Duration;

use chatchonk::kv_tier::{KvLimits, Operation};
use time::OffsetDateTime;
use time::macros::datetime;

use super::SUBJECTS;
use super::damage::{Planted, narrow};
use super::data::Subject;
use super::database::Mode;
use super::history::History;
use super::instance::{Families, Start};
use super::namespace::Fault;
use super::world::{MINUTE, World};

/// The maximum number of instances at a time.
const MOST: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Step {
    Read,
    ReadTogether,
    Abandon,
    Blink,
    Wait,
    WaitLong,
    Edit,
    LoseEdit,
    Storm,
    Forge,
    Upstream,
    Database,
    Empty,
    BackUp,
    Restore,
    Replace,
    CutListeners,
    Kv,
    Plant,
    Start,
    Crash,
    Stop,
}

/// Each step with its frequency per thousand.
const STEPS: [(Step, u32); 22] = [
    (Step::Read, 330),
    (Step::ReadTogether, 60),
    (Step::Abandon, 20),
    (Step::Blink, 200),
    (Step::Wait, 110),
    (Step::WaitLong, 14),
    (Step::Edit, 60),
    (Step::LoseEdit, 15),
    (Step::Storm, 5),
    (Step::Forge, 11),
    (Step::Upstream, 20),
    (Step::Database, 30),
    (Step::Empty, 15),
    (Step::BackUp, 5),
    (Step::Restore, 5),
    (Step::Replace, 5),
    (Step::CutListeners, 10),
    (Step::Kv, 35),
    (Step::Plant, 20),
    (Step::Start, 25),
    (Step::Crash, 20),
    (Step::Stop, 15),
];

/// The faults that a history may have: a history with all of them would hide much.
#[expect(clippy::struct_excessive_bools, reason = "each may hold with any of the others")]
struct Temper {
    database: bool,
    edits_past_triggers: bool,
    replaced: bool,
    kv: bool,
}

/// Sets up the world and makes random steps.
pub(super) async fn run(seed: u64) -> Result<(), String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let noon = datetime!(2026-11-22 12:00 UTC);
    let near_midnight = datetime!(2026-11-22 23:58 UTC) + Duration::from_millis(rng.u64(0..120_000));
    let began: OffsetDateTime = if rng.bool() { noon } else { near_midnight };
    let temper = Temper {
        database: rng.bool(),
        edits_past_triggers: rng.bool(),
        replaced: rng.u32(0..4) == 0,
        kv: rng.bool(),
    };
    let world = World::new(rng.u64(..), began);
    let limits = if rng.bool() { narrow(&world) } else { KvLimits::FREE_PLAN };
    let lag = [Duration::ZERO, MINUTE, 5 * MINUTE, 60 * 24 * MINUTE][rng.usize(0..4)];
    let [flaky, damage] = if temper.kv { [rng.u32(0..12), rng.u32(0..12)] } else { [0, 0] };
    world.namespace.behaves(limits, flaky, damage, lag, temper.kv && rng.bool());
    let families = if rng.bool() { &Families::REAL } else { &Families::QUICK };
    let lossy = if rng.bool() { 0 } else { rng.u32(1..4) };
    let raises = rng.u32(0..4) > 0;
    let mut history =
        History::new(Arc::clone(&world), Start { families, lossy, deaf: false, connected: true, raises });
    let steps = rng.usize(40..=80);
    let mut trace = Vec::new();
    history.start_one();
    for _ in 0..steps {
        world.pass(world.dice.milliseconds(0..2)).await;
        let step = draw(&world, &temper);
        trace.push(format!("{:?} {step:?}", world.now()));
        history.take(step, &temper).await;
        history.collect().await;
        if world.broken().is_some() {
            break;
        }
    }
    if world.broken().is_none() {
        trace.push(format!("{:?} End", world.now()));
        history.end().await;
    }
    world.broken().map_or(Ok(()), |broken| Err(format!("{broken}\n{}", trace.join("\n"))))
}

fn draw(world: &World, temper: &Temper) -> Step {
    let happens = |step: Step| match step {
        Step::Database | Step::Empty => temper.database,
        Step::LoseEdit => temper.edits_past_triggers,
        Step::BackUp | Step::Restore | Step::Replace => temper.replaced,
        Step::Kv | Step::Plant => temper.kv,
        _ => true,
    };
    let total: u32 = STEPS.iter().map(|(_, often)| often).sum();
    loop {
        let mut drawn = world.dice.draw(|rng| rng.u32(0..total));
        let step = STEPS.iter().find_map(|(step, often)| {
            let hit = drawn < *often;
            drawn = drawn.saturating_sub(*often);
            hit.then_some(*step)
        });
        if let Some(step) = step.filter(|step| happens(*step)) {
            return step;
        }
    }
}

impl History {
    fn subject(&self) -> Subject {
        let place = self.world.dice.draw(|rng| rng.usize(0..2 * SUBJECTS.len()));
        SUBJECTS.get(place).copied().unwrap_or(Subject::Catalogue)
    }

    fn member(&self) -> usize {
        self.world.dice.draw(|rng| rng.usize(0..self.members.len().max(1)))
    }

    fn start_one(&mut self) {
        let (deaf, connected) = self.world.dice.draw(|rng| (rng.u32(0..5) == 0, rng.bool()));
        self.starts(Start { deaf, connected, ..self.start });
    }

    async fn take(&mut self, step: Step, temper: &Temper) {
        let world = Arc::clone(&self.world);
        match step {
            Step::Read => self.read(self.member(), self.subject()),
            Step::ReadTogether => {
                let (member, subject) = (self.member(), self.subject());
                for _ in 0..world.dice.draw(|rng| rng.u32(2..9)) {
                    self.read(member, subject);
                }
            }
            Step::Abandon => {
                let member = self.member();
                self.read(member, self.subject());
                if world.dice.one_in(2) {
                    world.pass(world.dice.milliseconds(0..100)).await;
                }
                self.abandon(member);
            }
            Step::Blink => world.pass(world.dice.milliseconds(0..500)).await,
            Step::Wait => world.pass(world.dice.milliseconds(500..40_000)).await,
            Step::WaitLong => world.pass(world.dice.milliseconds(40_000..700_000)).await,
            Step::Edit => {
                let subject = self.subject();
                if subject.scope().is_some() {
                    self.edit(subject);
                }
            }
            Step::LoseEdit => world.database.loses_an_edit(&world),
            Step::Storm => self.storm().await,
            Step::Forge => {
                for _ in 0..world.dice.draw(|rng| rng.u32(1..40)) {
                    world.database.forge(world.dice.draw(|rng| rng.u32(1..20)));
                    world.pass(world.dice.milliseconds(0..100)).await;
                }
            }
            Step::Upstream => {
                let api = world.dice.draw(|rng| rng.u32(0..2));
                self.edit(Subject::Upstream(api));
            }
            Step::Database => {
                let modes = [Mode::Slow, Mode::Fails, Mode::Hangs];
                let mode = world.dice.draw(|rng| modes[rng.usize(0..3)]);
                let is_well = world.database.mode() == Mode::Answers;
                world
                    .database
                    .set_mode(&world, if is_well || world.dice.one_in(4) { mode } else { Mode::Answers });
            }
            Step::Empty => world.database.empties(&world, !world.database.is_emptied()),
            Step::BackUp => world.database.back_up(),
            Step::Restore => world.database.restore(&world),
            Step::Replace => world.database.replace(&world),
            Step::CutListeners => world.database.cut_listeners(),
            Step::Kv => self.kv_turns(),
            Step::Plant => self.plant(),
            Step::Start if self.members.len() < MOST => self.start_one(),
            Step::Start => {}
            Step::Crash => {
                let member = self.member();
                self.crash(member);
            }
            Step::Stop => {
                let member = self.member();
                self.stop(member).await;
            }
        }
        if self.members.is_empty() && (temper.kv || world.dice.one_in(3)) {
            self.start_one();
        }
    }

    fn crash(&mut self, member: usize) {
        if member < self.members.len() {
            self.members.remove(member);
        }
    }

    /// Stops as `App::run` does, with a last flush of 1 s at most.
    pub(super) async fn stop(&mut self, member: usize) {
        if member < self.members.len() {
            let member = self.members.remove(member);
            let world = Arc::clone(&self.world);
            let stopping = tokio::spawn(async move {
                let flush = member.instance.shared.flush();
                let _ = world.clock.timeout(Duration::from_secs(1), flush).await;
            });
            self.world.pass(Duration::from_secs(1)).await;
            drop(stopping);
        }
    }

    /// Makes many edits at once, with reads in between.
    async fn storm(&mut self) {
        let world = Arc::clone(&self.world);
        let (member, subject) =
            (self.member(), if world.dice.one_in(3) { Subject::User(0) } else { Subject::Catalogue });
        for _ in 0..world.dice.draw(|rng| rng.u32(5..30)) {
            self.edit(subject);
            self.read(member, subject);
            world.pass(world.dice.milliseconds(0..60)).await;
            self.collect().await;
        }
    }

    fn kv_turns(&self) {
        let faults = [
            Fault::Forbidden,
            Fault::NoNamespace,
            Fault::Throttled(Some(20)),
            Fault::Throttled(None),
            Fault::Server,
            Fault::Page,
            Fault::Hangs,
            Fault::Spent(Operation::Read),
            Fault::Spent(Operation::Write),
            Fault::Spent(Operation::Delete),
        ];
        let fault = self.world.dice.draw(|rng| faults.get(rng.usize(0..2 * faults.len())).copied());
        self.world.namespace.has(fault);
    }

    fn plant(&self) {
        let planted = self.world.dice.draw(|rng| Planted::ALL[rng.usize(0..Planted::ALL.len())]);
        let subject = if self.world.dice.one_in(3) { Subject::Upstream(0) } else { Subject::Catalogue };
        // Without versions, a whole envelope does not identify its database.
        if subject == Subject::Catalogue
            || !matches!(planted, Planted::Foreign | Planted::Future | Planted::Forged)
        {
            planted.plant(&self.world, subject);
        }
        if self.world.dice.one_in(8) {
            self.world.database.forgets_digests();
        }
    }
}
