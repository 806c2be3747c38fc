//! Deletes within the day's budget.

use time::OffsetDateTime;

use crate::kv_client::{KvError, KvErrorClass, KvKey};
use crate::store::{KvSpending, StoreError};

use super::budget::is_day_young;
use super::ledger::Ledger;

/// Why keys were not deleted.
#[derive(Debug)]
pub enum Undeleted {
    /// What is left of the day's budget does not cover them.
    OverBudget,
    /// The ledger failed, so nothing was sent.
    Ledger(StoreError),
    /// Cloudflare refused or failed; in the latter case some may be gone.
    Kv(KvError),
}

impl From<StoreError> for Undeleted {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error)
    }
}

/// Pays for the deletion of keys, runs `delete`, and forgets the keys that are gone, in this order: nothing is deleted
/// unpaid, and other keys stay known. Returns the keys that KV refused. `limit` is the day's.
///
/// # Errors
/// [`Undeleted`]. The budget gets the payment back if Cloudflare is known to have deleted nothing.
pub async fn delete_within_budget(
    ledger: &(impl Ledger + ?Sized),
    keys: &[KvKey],
    limit: u64,
    now: OffsetDateTime,
    delete: impl Future<Output = Result<Vec<KvKey>, KvError>>,
) -> Result<Vec<KvKey>, Undeleted> {
    let count = keys.len() as u64;
    if !ledger.spend(KvSpending::Delete, count, limit).await? {
        return Err(Undeleted::OverBudget);
    }
    let refused = match delete.await {
        Ok(refused) => refused,
        Err(error) => {
            refund(ledger, KvSpending::Delete, count, error.class, now).await;
            return Err(Undeleted::Kv(error));
        }
    };
    let gone = keys.iter().filter(|key| !refused.contains(key)).map(|key| key.as_str().to_owned());
    // If the database is lost in between, the keys are written again 10 minutes later.
    let _ = ledger.forget(&gone.collect::<Vec<_>>()).await;
    Ok(refused)
}

/// Returns a payment if Cloudflare refused the call, which then costs no quota. A call that failed otherwise may have been
/// executed. In the first minute of a day nothing is returned, because the day before may have paid.
pub(super) async fn refund(
    ledger: &(impl Ledger + ?Sized),
    kind: KvSpending,
    count: u64,
    class: KvErrorClass,
    now: OffsetDateTime,
) {
    let is_refused = matches!(
        class,
        KvErrorClass::Configuration(_) | KvErrorClass::Permission | KvErrorClass::Throttled { .. }
    );
    if is_refused && !is_day_young(now) {
        // If it fails, the day has a few operations less.
        let _ = ledger.refund(kind, count).await;
    }
}
