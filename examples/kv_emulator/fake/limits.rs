//! Cloudflare's limits: <https://developers.cloudflare.com/kv/platform/limits/> and
//! <https://developers.cloudflare.com/fundamentals/api/reference/limits/>.

use std::collections::HashMap;
use std::time::Duration;

use time::{Date, OffsetDateTime};

/// The API's limit on calls of a user or an account's token in [`WINDOW`].
pub(super) const CALLS: u64 = 1_200;
/// The window of [`CALLS`], and the time for which all calls are refused beyond them.
pub(super) const WINDOW: Duration = Duration::from_mins(5);
/// The largest request: 100 MB, and some more to detect larger ones.
pub(super) const REQUEST_BYTES: usize = 101_000_000;

/// Operations per day in UTC. Listing keys has a fourth limit, which nothing here uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Daily {
    /// Reads, including those of absent keys.
    pub reads: u64,
    /// Written pairs, each pair of a bulk write counted.
    pub writes: u64,
    /// Deleted keys.
    pub deletes: u64,
}

impl Daily {
    /// The limits of the free plan.
    pub const FREE: Self = Self { reads: 100_000, writes: 1_000, deletes: 1_000 };

    fn plus(self, more: Self) -> Self {
        Self {
            reads: self.reads + more.reads,
            writes: self.writes + more.writes,
            deletes: self.deletes + more.deletes,
        }
    }

    fn is_within(self, limit: Self) -> bool {
        self.reads <= limit.reads && self.writes <= limit.writes && self.deletes <= limit.deletes
    }
}

/// The operations used so far.
#[derive(Debug, Default)]
pub(super) struct Limits {
    day: Option<(Date, Daily)>,
    window: Option<(OffsetDateTime, u64)>,
    blocked_until: Option<OffsetDateTime>,
    written: HashMap<String, OffsetDateTime>,
}

impl Limits {
    pub(super) fn used_on(&self, day: Date) -> Daily {
        self.day.filter(|(of, _)| *of == day).map(|(_, used)| used).unwrap_or_default()
    }

    /// Takes operations from the day's quotas. Each kind runs out separately. It is unknown whether Cloudflare executes
    /// a part of a bulk call that exceeds the quota; the fake refuses it as a whole.
    pub(super) fn take(&mut self, wanted: Daily, limit: Daily, now: OffsetDateTime) -> bool {
        let day = now.date();
        let used = self.used_on(day);
        let after = used.plus(wanted);
        let of_kind = |kind: u64, limit: u64| if kind == 0 { u64::MAX } else { limit };
        let granted = after.is_within(Daily {
            reads: of_kind(wanted.reads, limit.reads),
            writes: of_kind(wanted.writes, limit.writes),
            deletes: of_kind(wanted.deletes, limit.deletes),
        });
        if granted {
            self.day = Some((day, after));
        }
        granted
    }

    /// Counts a call against the API's limit.
    ///
    /// # Errors
    /// The remaining wait, after too many calls.
    pub(super) fn call(&mut self, limit: u64, now: OffsetDateTime) -> Result<(), Duration> {
        if let Some(wait) = self.blocked_until.and_then(|until| (until - now).try_into().ok()).filter(nonzero)
        {
            return Err(wait);
        }
        let (begun, used) = self.window.filter(|(begun, _)| now - *begun < WINDOW).unwrap_or((now, 0));
        if used >= limit {
            (self.window, self.blocked_until) = (None, Some(now + WINDOW));
            return Err(WINDOW);
        }
        self.window = Some((begun, used + 1));
        Ok(())
    }

    /// Returns the remaining calls, and the time until the limit is full again.
    pub(super) fn calls_left(&self, limit: u64, now: OffsetDateTime) -> (u64, Duration) {
        if let Some(wait) = self.blocked_until.and_then(|until| (until - now).try_into().ok()).filter(nonzero)
        {
            return (0, wait);
        }
        let (begun, used) = self.window.filter(|(begun, _)| now - *begun < WINDOW).unwrap_or((now, 0));
        (limit.saturating_sub(used), (begun + WINDOW - now).try_into().unwrap_or_default())
    }

    /// Returns whether a key may be written now: once per second.
    pub(super) fn write(&mut self, key: &str, now: OffsetDateTime) -> bool {
        let second = Duration::from_secs(1);
        self.written.retain(|_, at| now - *at < second);
        let free = !self.written.contains_key(key);
        if free {
            self.written.insert(key.to_owned(), now);
        }
        free
    }
}

fn nonzero(wait: &Duration) -> bool {
    !wait.is_zero()
}
