//! The shared tier of the cache: Cloudflare KV within its quotas, and without ever failing a read.
//!
//! Reads pass a gate. Writes and deletes wait in a queue, which a flush empties once the ledger has granted them to this
//! instance.

mod budget;
mod delete;
mod envelope;
mod fault;
mod flush;
mod gate;
mod key;
mod ledger;
mod namespace;
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
