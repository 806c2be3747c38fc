//! The simulated KV: it counts calls, and it may show any value that a key had, late, damaged, or not at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chatchonk::cache::Pending;
use chatchonk::kv_client::{
    KvAllowance, KvError, KvErrorClass, KvFailure, KvKey, KvMisconfiguration, KvPair,
};
use chatchonk::kv_tier::{self, KvLimits, Operation};
use chatchonk::store::KvSpending;
use time::Date;

use super::damage::damaged;
use super::instance::{Process, Who};
use super::world::{Dice, MINUTE, World};

/// The client's time limits.
const READ_LIMIT: Duration = Duration::from_secs(1);
const WRITE_LIMIT: Duration = Duration::from_secs(3);
/// The number of calls that Cloudflare grants per window, and the window's length.
const GRANTED: u64 = 1_200;
const WINDOW: Duration = Duration::from_mins(5);
/// A call that was paid before midnight has arrived by then.
const AFTER_MIDNIGHT: Duration = Duration::from_secs(40);

/// A fault of KV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Forbidden,
    NoNamespace,
    Throttled(Option<u64>),
    Server,
    Page,
    Hangs,
    Spent(Operation),
}

/// A value that a key shows from a moment on.
#[derive(Debug, Clone)]
struct Held {
    at: Duration,
    value: Option<(Vec<u8>, Duration)>,
}

#[derive(Debug)]
struct Inner {
    /// By key, in chronological order; includes future values.
    held: HashMap<String, Vec<Held>>,
    fault: Option<Fault>,
    limits: KvLimits,
    /// One in this number of calls fails by itself; 0 means none.
    flaky: u32,
    /// One in this number of values is damaged; 0 means none.
    damage: u32,
    /// How long it may show a key's earlier values.
    lag: Duration,
    /// Whether slow answers sometimes exceed the client's limits.
    slow: bool,
    counted: HashMap<(Date, Operation), u64>,
    /// The operations that may have been paid the day before.
    late: HashMap<(Date, Operation), u64>,
    /// The operations that the ledger granted without a refund, and those that were made.
    paid: [i64; 2],
    made: [i64; 2],
    calls: (Duration, u64),
}

pub(super) struct Namespace(Mutex<Inner>);

impl Default for Namespace {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            held: HashMap::new(),
            fault: None,
            limits: KvLimits::FREE_PLAN,
            flaky: 0,
            damage: 0,
            lag: Duration::ZERO,
            slow: false,
            counted: HashMap::new(),
            late: HashMap::new(),
            paid: [0; 2],
            made: [0; 2],
            calls: (Duration::ZERO, 0),
        }))
    }
}

fn place(kind: KvSpending) -> usize {
    usize::from(kind == KvSpending::Write)
}

impl Namespace {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Configures the faults of this history.
    pub(super) fn behaves(&self, limits: KvLimits, flaky: u32, damage: u32, lag: Duration, slow: bool) {
        let mut inner = self.inner();
        (inner.limits, inner.flaky, inner.damage, inner.lag, inner.slow) = (limits, flaky, damage, lag, slow);
    }

    pub(super) fn limits(&self) -> KvLimits {
        self.inner().limits
    }

    pub(super) fn has(&self, fault: Option<Fault>) {
        self.inner().fault = fault;
    }

    pub(super) fn paid(&self, kind: KvSpending, count: u64) {
        self.inner().paid[place(kind)] += count.cast_signed();
    }

    pub(super) fn refunded(&self, kind: KvSpending, count: u64) {
        self.inner().paid[place(kind)] -= count.cast_signed();
    }

    /// Returns the operations of a day, and how many of them may have been paid the day before.
    pub(super) fn counted(&self, day: Date, operation: Operation) -> (u64, u64) {
        let inner = self.inner();
        let of = |counts: &HashMap<_, _>| counts.get(&(day, operation)).copied().unwrap_or(0);
        (of(&inner.counted), of(&inner.late))
    }

    /// Returns the operations of all days.
    pub(super) fn total(&self, operation: Operation) -> u64 {
        let inner = self.inner();
        inner.counted.iter().filter(|((_, of), _)| *of == operation).map(|(_, count)| count).sum()
    }

    /// Writes a value as a foreign process.
    pub(super) fn plant(&self, world: &World, key: &str, bytes: Vec<u8>) {
        self.inner().changes(key, world.now(), Some((bytes, world.now() + 30 * 24 * 60 * MINUTE)));
    }

    /// Returns the current bytes of a key.
    pub(super) fn value(&self, key: &str, now: Duration) -> Option<Vec<u8>> {
        let inner = self.inner();
        let held = inner.held.get(key)?.iter().rev().find(|held| held.at <= now)?;
        held.value.as_ref().filter(|(_, expires)| now < *expires).map(|(bytes, _)| bytes.clone())
    }
}

impl Inner {
    fn changes(&mut self, key: &str, at: Duration, value: Option<(Vec<u8>, Duration)>) {
        let held = self.held.entry(key.to_owned()).or_default();
        let place = held.partition_point(|held| held.at <= at);
        held.insert(place, Held { at, value });
    }

    /// Returns any of the values that the key had within the lag, or the newest one.
    fn shown(&self, world: &World, dice: &Dice, key: &str) -> Option<Vec<u8>> {
        let now = world.now();
        let held = self.held.get(key)?;
        let newest = held.partition_point(|held| held.at <= now);
        // The value at the start of the lag counts too; before the first value there was none.
        let oldest = held[..newest].partition_point(|held| held.at + self.lag <= now);
        let place = if dice.one_in(2) { newest } else { dice.draw(|rng| rng.usize(oldest..=newest)) };
        let (bytes, expires) = held.get(place.checked_sub(1)?)?.value.as_ref()?;
        if now >= *expires {
            return None;
        }
        let is_damaged = self.damage > 0 && dice.one_in(self.damage);
        Some(if is_damaged { damaged(dice, bytes) } else { bytes.clone() })
    }

    fn count(&mut self, world: &World, operation: Operation, count: u64) -> Result<(), KvError> {
        let (day, time) = (world.clock.utc().date(), world.clock.utc().time());
        let limit = match operation {
            Operation::Read => self.limits.reads,
            Operation::Write => self.limits.writes,
            Operation::Delete => self.limits.deletes,
        };
        let counted = self.counted.entry((day, operation)).or_default();
        if *counted + count > limit {
            return Err(KvError::new(KvErrorClass::Quota));
        }
        *counted += count;
        if time.duration_since(time::Time::MIDNIGHT).unsigned_abs() < AFTER_MIDNIGHT {
            *self.late.entry((day, operation)).or_default() += count;
        }
        let kind = match operation {
            Operation::Read => return Ok(()),
            Operation::Write => KvSpending::Write,
            Operation::Delete => KvSpending::Delete,
        };
        self.made[place(kind)] += count.cast_signed();
        if self.made[place(kind)] > self.paid[place(kind)] {
            world.breaks("P6", &format!("{operation} operations that the ledger did not grant"));
        }
        Ok(())
    }

    fn grants(&mut self, world: &World) -> Result<(), KvError> {
        let now = world.now();
        if now >= self.calls.0 + WINDOW {
            self.calls = (now, 0);
        }
        self.calls.1 += 1;
        if self.calls.1 > GRANTED {
            return Err(KvError::new(KvErrorClass::Throttled { retry_after: Some(WINDOW) }));
        }
        Ok(())
    }

    /// Refused calls are not counted.
    fn admits(
        &mut self,
        world: &World,
        fault: Option<Fault>,
        operation: Option<(Operation, u64)>,
    ) -> Result<(), KvError> {
        self.grants(world)?;
        let class = match fault {
            Some(Fault::Forbidden) => KvErrorClass::Permission,
            Some(Fault::NoNamespace) => KvErrorClass::Configuration(KvMisconfiguration::Namespace),
            Some(Fault::Throttled(seconds)) => {
                KvErrorClass::Throttled { retry_after: seconds.map(Duration::from_secs) }
            }
            Some(Fault::Spent(spent)) if operation.is_some_and(|(operation, _)| operation == spent) => {
                KvErrorClass::Quota
            }
            _ => return operation.map_or(Ok(()), |(operation, count)| self.count(world, operation, count)),
        };
        Err(KvError::new(class))
    }

    fn fault(&self, dice: &Dice) -> Option<Fault> {
        if self.flaky == 0 || !dice.one_in(self.flaky) {
            return self.fault;
        }
        let faults = [Fault::Server, Fault::Page, Fault::Hangs, Fault::Throttled(Some(3)), Fault::Forbidden];
        Some(dice.draw(|rng| faults[rng.usize(0..faults.len())]))
    }
}

/// The namespace as one process reaches it.
pub(super) struct Connected(pub Arc<Process>);

impl Connected {
    /// Makes one call: it travels, is counted and takes effect in one moment, and its answer travels back, unless the
    /// client's limit passes first.
    async fn call<T>(
        &self,
        operation: Option<(Operation, u64)>,
        limit: Duration,
        act: impl FnOnce(&mut Inner, &World, &Dice, Duration) -> T,
    ) -> Result<T, KvError> {
        let world = &self.0.world;
        let dice = &*self.0.dice(Who::Kv(operation.map_or(0, |(operation, _)| 1 + operation as u8)));
        let failed = |failure| Err(KvError::new(KvErrorClass::Failure(failure)));
        let (fault, slow) = {
            let inner = world.namespace.inner();
            (inner.fault(dice), inner.slow && dice.one_in(4))
        };
        let leg = || dice.milliseconds(if slow { 100..2_000 } else { 2..150 });
        let (out, back) = (leg().min(limit), leg());
        world.sleep(out).await;
        if !self.0.is_alive() {
            return failed(KvFailure::Connect);
        }
        let done = {
            let mut inner = world.namespace.inner();
            inner.admits(world, fault, operation)?;
            // A failed call may have taken effect, at once or a while later.
            let is_lost = matches!(fault, Some(Fault::Server | Fault::Hangs)) && dice.one_in(2);
            let later =
                if fault == Some(Fault::Hangs) { dice.milliseconds(0..10_000) } else { Duration::ZERO };
            (!is_lost).then(|| act(&mut inner, world, dice, world.now() + later))
        };
        let is_late = fault == Some(Fault::Hangs) || out + back > limit;
        world.sleep(if is_late { limit.saturating_sub(out) } else { back }).await;
        match (fault, done) {
            _ if is_late => failed(KvFailure::Timeout),
            (Some(Fault::Page), _) => failed(KvFailure::Malformed),
            (Some(Fault::Server), _) | (_, None) => failed(KvFailure::Server),
            (_, Some(answer)) => Ok(answer),
        }
    }
}

impl kv_tier::Namespace for Connected {
    fn get<'a>(&'a self, key: &'a KvKey) -> Pending<'a, Result<Option<Vec<u8>>, KvError>> {
        Box::pin(async move {
            self.0.reads_kv();
            let read = Some((Operation::Read, 1));
            self.call(read, READ_LIMIT, |inner, world, dice, _| inner.shown(world, dice, key.as_str())).await
        })
    }

    fn put_many<'a>(&'a self, pairs: &'a [KvPair]) -> Pending<'a, Result<Vec<KvKey>, KvError>> {
        Box::pin(async move {
            let writes = Some((Operation::Write, pairs.len() as u64));
            let put = self.call(writes, WRITE_LIMIT, |inner, _, dice, at| {
                let refused = if dice.one_in(50) { pairs.first() } else { None };
                for pair in pairs.iter().filter(|pair| Some(*pair) != refused) {
                    let expires = at + pair.time_to_live.max(MINUTE);
                    inner.changes(pair.key.as_str(), at, Some((pair.value.clone(), expires)));
                }
                refused.map(|pair| pair.key.clone()).into_iter().collect()
            });
            put.await
        })
    }

    fn delete_many<'a>(&'a self, keys: &'a [KvKey]) -> Pending<'a, Result<Vec<KvKey>, KvError>> {
        Box::pin(async move {
            let operation = Some((Operation::Delete, keys.len() as u64));
            let deleted = self.call(operation, WRITE_LIMIT, |inner, _, _, at| {
                for key in keys {
                    inner.changes(key.as_str(), at, None);
                }
                Vec::new()
            });
            deleted.await
        })
    }

    fn probe(&self) -> Pending<'_, Result<(), KvError>> {
        Box::pin(self.call(None, READ_LIMIT, |_, _, _, _| ()))
    }

    fn allowance(&self) -> Option<KvAllowance> {
        let world = &self.0.world;
        let (began, calls) = world.namespace.inner().calls;
        let full_at = world.instant(began + WINDOW);
        (calls > 0).then(|| KvAllowance { left: GRANTED.saturating_sub(calls), quota: None, full_at })
    }
}

/// Returns the number of reads that a process may make in its lifetime.
pub(super) fn reads_allowed(limits: KvLimits, alive: Duration) -> f64 {
    4.0 + alive.as_secs_f64() * f64::from(u32::try_from(limits.reads).unwrap()) * 0.0288 / 86_400.0
}
