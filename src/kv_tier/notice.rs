//! Faults of the shared tier, in plain words.

use crate::kv_client::KvError;

use super::operation::Operation;

/// A fault as health shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub reason: &'static str,
    /// How to fix it.
    pub remedy: &'static str,
}

impl Fault {
    /// No call has ended yet.
    pub const UNTRIED: Self = Self {
        reason: "Workers KV has not answered yet",
        remedy: "nothing to do: the first answer is awaited",
    };
    /// Less than a tenth of Cloudflare's rate limit is left.
    pub const HELD_BACK: Self = Self {
        reason: "little is left of the calls that Cloudflare's API grants in 5 minutes",
        remedy: "nothing to do: calls go on later; a token owned by the account does not share its limit with people",
    };

    /// All instances together have used the day's budget.
    pub const fn over_budget(operation: Operation) -> Self {
        let reason = match operation {
            Operation::Read => "the day's budget of reads from Workers KV is used up",
            Operation::Write => "the day's budget of writes to Workers KV is used up",
            Operation::Delete => "the day's budget of deletes from Workers KV is used up",
        };
        let remedy = "nothing to do: it opens again at 00:00 UTC; on a paid plan raise CLOUDFLARE_KV_DAILY_READS, \
                      CLOUDFLARE_KV_DAILY_WRITES and CLOUDFLARE_KV_DAILY_DELETES";
        Self { reason, remedy }
    }
}

impl From<&KvError> for Fault {
    fn from(error: &KvError) -> Self {
        Self { reason: error.reason(), remedy: error.remedy() }
    }
}
