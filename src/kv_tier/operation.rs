//! Operations on Cloudflare KV, and reasons to skip them.

use crate::domain::closed::closed_enum;

closed_enum!(
    /// Operations that have a quota each.
    Operation {
        /// Looking a key up, found or not.
        Read = "read",
        /// Writing a pair, also within a bulk write.
        Write = "write",
        /// Deleting a key.
        Delete = "delete",
    }
);

closed_enum!(
    /// Why a call is not made.
    Skip {
        /// The last calls failed.
        BreakerOpen = "breaker_open",
        /// Token, account or namespace is wrong.
        Misconfigured = "misconfigured",
        /// Cloudflare asked to wait, or little is left of its rate limit.
        Throttled = "throttled",
        /// The day's quota of this operation is used up.
        Quota = "quota",
        /// This instance has used its share of reads for now.
        ReadBudget = "read_budget",
        /// The key was found absent less than 30 s ago.
        KnownAbsent = "known_absent",
        /// The database, which keeps the ledger, does not answer.
        NoDatabase = "no_database",
    }
);
