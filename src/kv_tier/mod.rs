//! The shared tier of the cache: Cloudflare KV within its quotas. It never fails a read.
//!
//! Reads pass a gate. Writes and deletes wait in a queue until the ledger grants them and a flush sends them.

mod budget;
mod delete;
mod envelope;
mod flush;
mod gate;
mod key;
mod ledger;
mod namespace;
mod notice;
mod operation;
mod queue;
mod stats;
mod tier;

pub use budget::{KvBudget, KvBudgetLine, KvLimits};
pub use delete::{Undeleted, delete_within_budget};
pub use key::{key_of, key_prefix};
pub use ledger::Ledger;
pub use namespace::Namespace;
pub use operation::{Operation, Skip};
pub use stats::{CallOutcome, KvCalls, KvReport, LatencyReport};
pub use tier::SharedTier;
