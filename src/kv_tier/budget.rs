//! The day's budget of operations, and its use. Pure.

use std::time::{Duration, Instant};

use serde::Serialize;
use time::{Date, OffsetDateTime};

use crate::store::KvUsed;

/// Reads at once, also right after a start: a process that crashes every 5 s makes 69,000 a day.
const BURST: u32 = 4;
/// Most that one instance uses of the daily limit: 2,880 of the free plan's 100,000, one every 30 s.
const SHARE: f64 = 0.0288;

/// Operations that the account may make per UTC day. Instances use at most 90 % of each and leave the rest to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvLimits {
    /// Lookups, found or not.
    pub reads: u64,
    /// Pairs written.
    pub writes: u64,
    /// Keys deleted.
    pub deletes: u64,
}

impl KvLimits {
    /// The free plan (<https://developers.cloudflare.com/kv/platform/limits/>).
    pub const FREE_PLAN: Self = Self { reads: 100_000, writes: 1_000, deletes: 1_000 };

    /// Returns what instances may use of a limit.
    pub const fn usable(limit: u64) -> u64 {
        limit / 10 * 9 + limit % 10 * 9 / 10
    }
}

/// A bucket of reads, refilled steadily.
#[derive(Debug)]
pub(super) struct Bucket {
    interval: Duration,
    full_at: Option<Instant>,
}

impl Bucket {
    /// Creates a full bucket for a daily limit.
    pub fn new(limit: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a limit of more than 2^52 reads is none")]
        let seconds = 86_400.0 / (limit.max(1) as f64 * SHARE);
        Self { interval: Duration::from_secs_f64(seconds), full_at: None }
    }

    /// Whether it has a read left.
    pub fn has_one(&self, now: Instant) -> bool {
        let rest = self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        rest <= self.interval * (BURST - 1)
    }

    /// Takes a read, if one is left.
    pub fn take(&mut self, now: Instant) -> bool {
        let has_one = self.has_one(now);
        if has_one {
            self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + self.interval);
        }
        has_one
    }
}

/// Operations of the day: reads by this instance, writes and deletes by all.
#[derive(Debug, Default)]
pub(super) struct Spending {
    reads: Option<(Date, u64)>,
    used: Option<KvUsed>,
}

impl Spending {
    /// Counts a read.
    pub fn read(&mut self, now: OffsetDateTime) {
        let today = self.reads.filter(|(day, _)| *day == now.date());
        self.reads = Some((now.date(), today.map_or(0, |(_, count)| count) + 1));
    }

    /// Records what the ledger says.
    pub fn take_in(&mut self, used: KvUsed) {
        self.used = Some(used);
    }

    /// Returns today's budget.
    pub fn report(&self, limits: KvLimits, now: OffsetDateTime) -> KvBudget {
        let today = now.date();
        let resets_at = today.next_day().unwrap_or(today).midnight().assume_utc();
        let of = |used, limit| KvBudgetLine { used, limit: KvLimits::usable(limit), resets_at };
        let reads = self.reads.filter(|(day, _)| *day == today).map_or(0, |(_, count)| count);
        // Unknown before the ledger has answered; 0 if its answer is of another day.
        let used_today =
            |count: fn(KvUsed) -> u64| self.used.map(|used| if used.day == today { count(used) } else { 0 });
        KvBudget {
            reads: of(Some(reads), limits.reads),
            writes: of(used_today(|used| used.writes), limits.writes),
            deletes: of(used_today(|used| used.deletes), limits.deletes),
        }
    }
}

/// Use of the day's budget.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct KvBudget {
    /// Lookups by this instance, found or not: on the free plan at most 2,880 a day and a burst of 4.
    pub reads: KvBudgetLine,
    /// Pairs written by all instances.
    pub writes: KvBudgetLine,
    /// Keys deleted by all instances.
    pub deletes: KvBudgetLine,
}

/// One kind of operation.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct KvBudgetLine {
    /// Operations of today; `None` until the database has answered.
    pub used: Option<u64>,
    /// The limit: 90 % of the plan's.
    pub limit: u64,
    /// When counting starts again.
    #[serde(with = "time::serde::rfc3339")]
    pub resets_at: OffsetDateTime,
}

/// Whether the previous day may have paid for an operation that ends now.
pub(super) fn is_day_young(now: OffsetDateTime) -> bool {
    now.hour() == 0 && now.minute() == 0
}

/// Returns the time to 00:00 UTC, when quotas return (<https://developers.cloudflare.com/kv/platform/pricing/>). In the
/// first minutes of a day other clocks may still be in the previous one.
pub(super) fn until_renewal(now: OffsetDateTime) -> Duration {
    let passed = (now - now.replace_time(time::Time::MIDNIGHT)).unsigned_abs();
    if passed < Duration::from_mins(5) {
        Duration::from_mins(1)
    } else {
        Duration::from_hours(24).saturating_sub(passed) + Duration::from_secs(5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn four_at_once_then_one_every_thirty_seconds() {
        let (mut bucket, now) = (Bucket::new(KvLimits::FREE_PLAN.reads), Clock::system().now());
        let taken = |bucket: &mut Bucket, at| (0..10).filter(|_| bucket.take(at)).count();
        assert_eq!(taken(&mut bucket, now), 4);
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(29)), 0);
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(30)), 1);
        assert_eq!(taken(&mut bucket, now + Duration::from_hours(1)), 4);
    }

    #[test]
    fn nine_steady_instances_and_a_crashing_one_stay_within_quota() {
        let (mut bucket, now) = (Bucket::new(KvLimits::FREE_PLAN.reads), Clock::system().now());
        let steady = (0..86_400).filter(|second| bucket.take(now + Duration::from_secs(*second))).count();
        assert!(steady <= 2_884, "{steady}");
        let crashing = 86_400 / 5 * BURST as usize;
        assert!(9 * steady + crashing <= 97_000, "{}", 9 * steady + crashing);
    }
}
