//! Purges the shared cache, and makes every server reload.

use crate::cache::CATALOGUE;
use crate::clock::Clock;
use crate::kv_client::{KvClient, KvConnection, KvKey};
use crate::kv_tier::{KvLimits, Undeleted, delete_within_budget, key_of, key_prefix};
use crate::store::{Store, StoreError};

use super::check::{Line, Mark};

const SUBJECT: &str = "cloudflare kv";
/// Keys per call: Cloudflare's limit.
const BATCH: usize = 10_000;

/// Raises the version of a scope, so that every server reloads its data.
pub async fn raise_version(store: &Store, scope: &str) -> Line {
    match store.raise_version(scope).await {
        Ok(version) => {
            let finding = format!(
                "{scope} has the new version {version}: every server reloads it within a second and ignores older versions \
                 in KV"
            );
            Line::new(Mark::Good, "purge", finding)
        }
        Err(error) => Line::store_fault("purge", &error),
    }
}

/// Deletes from KV every key of this environment in the ledger, within the rest of the daily budget. A key stays in the
/// ledger until KV has deleted it, so a later purge deletes the rest.
pub async fn delete_from_kv(
    store: &Store,
    connection: &KvConnection,
    environment: &str,
    limits: KvLimits,
) -> Vec<Line> {
    let client = match KvClient::new(connection, Clock::system()) {
        Ok(client) => client,
        Err(error) => return vec![Line::kv_fault(SUBJECT, &error)],
    };
    let keys = match known_keys(store, environment).await {
        Ok(keys) => keys,
        Err(error) => return vec![Line::store_fault(SUBJECT, &error)],
    };
    let usable = KvLimits::usable(limits.deletes);
    let mut deleted = 0;
    let fault = delete(store, &client, &keys, usable, &mut deleted).await.err();
    let mut lines = Vec::new();
    if deleted > 0 || fault.is_none() {
        let word = if deleted == 1 { "key" } else { "keys" };
        let finding =
            format!("{deleted} {word} of {environment} deleted; KV may show them for another minute");
        lines.push(Line::new(Mark::Good, SUBJECT, finding));
    }
    if let Some(mut fault) = fault {
        let left = keys.len() - deleted;
        fault.finding = format!("{left} of {} keys not deleted: {}", keys.len(), fault.finding);
        lines.push(fault);
    }
    lines
}

/// Returns the keys of the ledger, and the catalogue's, which servers may have written before there was a ledger.
async fn known_keys(store: &Store, environment: &str) -> Result<Vec<KvKey>, StoreError> {
    let known = store.kv_keys(&key_prefix(environment)).await?;
    let claimed = known.into_iter().filter_map(|known| known.key.parse().ok());
    let mut keys: Vec<KvKey> =
        claimed.chain(key_of(environment, CATALOGUE.name, CATALOGUE.schema, "all")).collect();
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// Deletes what the budget covers, batch by batch, and counts it in `deleted`.
async fn delete(
    store: &Store,
    client: &KvClient,
    keys: &[KvKey],
    usable: u64,
    deleted: &mut usize,
) -> Result<(), Line> {
    let over_budget = || {
        let remedy = "run it again after 00:00 UTC; on a paid plan, raise CLOUDFLARE_KV_DAILY_DELETES";
        Line::fault(SUBJECT, format!("today's budget of {usable} deletes is used up"), remedy)
    };
    let used = store.kv_used().await.map_err(|error| Line::store_fault(SUBJECT, &error))?;
    let left = usable.saturating_sub(used.deletes);
    let affordable = keys.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    let mut refused = 0;
    for batch in keys[..affordable].chunks(BATCH) {
        let now = Clock::system().utc();
        let kept = delete_within_budget(store, batch, usable, now, client.delete_many(batch)).await;
        let kept = kept.map_err(|undeleted| match undeleted {
            Undeleted::Ledger(error) => Line::store_fault(SUBJECT, &error),
            Undeleted::Kv(error) => Line::kv_fault(SUBJECT, &error),
            Undeleted::OverBudget => over_budget(),
        })?;
        *deleted += batch.len() - kept.len();
        refused += kept.len();
    }
    match refused {
        0 if affordable == keys.len() => Ok(()),
        0 => Err(over_budget()),
        _ => Err(Line::fault(SUBJECT, "Cloudflare refused them", "run it again")),
    }
}
