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
    let obstacle = delete(store, &client, &keys, usable, &mut deleted).await.err();
    let mut lines = Vec::new();
    if deleted > 0 || obstacle.is_none() {
        let word = if deleted == 1 { "key" } else { "keys" };
        let finding =
            format!("{deleted} {word} of {environment} deleted; KV may show them for another minute");
        lines.push(Line::new(Mark::Good, SUBJECT, finding));
    }
    if let Some(obstacle) = obstacle {
        let (reason, remedy) = explained(&obstacle, usable);
        let left = format!("{} of {} keys not deleted: {reason}", keys.len() - deleted, keys.len());
        lines.push(Line::fault(SUBJECT, left, remedy));
    }
    lines
}

/// Returns why keys were not deleted, and how to fix it. `None` stands for keys that KV refused one by one.
fn explained(obstacle: &Obstacle, usable: u64) -> (String, &'static str) {
    match obstacle {
        Some(Undeleted::Ledger(error)) => (error.to_string(), error.fault().remedy()),
        Some(Undeleted::Kv(error)) => (error.to_string(), error.remedy()),
        Some(Undeleted::OverBudget) => (
            format!("today's budget of {usable} deletes is used up"),
            "run it again after 00:00 UTC; on a paid plan, raise CLOUDFLARE_KV_DAILY_DELETES",
        ),
        None => ("Cloudflare refused them".to_owned(), "run it again"),
    }
}

/// Why keys are left; `None` when Cloudflare refused these keys and took others.
type Obstacle = Option<Undeleted>;

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
) -> Result<(), Obstacle> {
    let used = store.kv_used().await.map_err(Undeleted::Ledger)?;
    let left = usable.saturating_sub(used.deletes);
    let affordable = keys.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    let mut refused = 0;
    for batch in keys[..affordable].chunks(BATCH) {
        let now = Clock::system().utc();
        let kept = delete_within_budget(store, batch, usable, now, client.delete_many(batch)).await?.len();
        *deleted += batch.len() - kept;
        refused += kept;
    }
    match refused {
        0 if affordable == keys.len() => Ok(()),
        0 => Err(Some(Undeleted::OverBudget)),
        _ => Err(None),
    }
}
