//! Purges the shared cache, and makes every server reload.

use crate::cache::CATALOGUE;
use crate::clock::Clock;
use crate::kv_client::{KvClient, KvConnection, KvError, KvErrorClass, KvKey};
use crate::kv_tier::KvLimits;
use crate::store::{KvSpending, Store, StoreError};

use super::check::{Line, Mark};

const SUBJECT: &str = "cloudflare kv";
/// Keys per call: Cloudflare's limit.
const BATCH: usize = 10_000;

/// Why keys were not deleted, and how to fix it.
struct Obstacle {
    reason: String,
    remedy: &'static str,
}

impl From<StoreError> for Obstacle {
    fn from(error: StoreError) -> Self {
        Self { reason: error.to_string(), remedy: error.fault().remedy() }
    }
}

impl From<KvError> for Obstacle {
    fn from(error: KvError) -> Self {
        Self { reason: error.to_string(), remedy: error.remedy() }
    }
}

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
    if let Some(Obstacle { reason, remedy }) = obstacle {
        let left = format!("{} of {} keys not deleted: {reason}", keys.len() - deleted, keys.len());
        lines.push(Line::fault(SUBJECT, left, remedy));
    }
    lines
}

/// Returns the keys of the ledger, and the catalogue's, which servers may have written before there was a ledger.
async fn known_keys(store: &Store, environment: &str) -> Result<Vec<KvKey>, StoreError> {
    let known = store.kv_keys(&format!("chatchonk:{environment}:")).await?;
    let own = format!("chatchonk:{environment}:{}.{}:all", CATALOGUE.name, CATALOGUE.schema);
    let mut keys: Vec<KvKey> =
        known.into_iter().map(|known| known.key).chain([own]).filter_map(|key| key.parse().ok()).collect();
    keys.sort();
    keys.dedup();
    Ok(keys)
}

async fn delete(
    store: &Store,
    client: &KvClient,
    keys: &[KvKey],
    usable: u64,
    deleted: &mut usize,
) -> Result<(), Obstacle> {
    let used_up = || Obstacle {
        reason: format!("today's budget of {usable} deletes is used up"),
        remedy: "run it again after 00:00 UTC; on a paid plan, raise CLOUDFLARE_KV_DAILY_DELETES",
    };
    let left = usable.saturating_sub(store.kv_used().await?.deletes);
    let affordable = keys.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    let mut refused_any = false;
    for batch in keys[..affordable].chunks(BATCH) {
        if !store.spend_kv(KvSpending::Delete, batch.len() as u64, usable).await? {
            return Err(used_up());
        }
        let refused = match client.delete_many(batch).await {
            Ok(refused) => refused,
            Err(error) => {
                // After other failures the keys may be deleted, and count.
                if !matches!(error.class, KvErrorClass::Failure(_)) {
                    store.refund_kv(KvSpending::Delete, batch.len() as u64).await?;
                }
                return Err(error.into());
            }
        };
        let gone = batch.iter().filter(|key| !refused.contains(key)).map(|key| key.as_str().to_owned());
        let gone: Vec<_> = gone.collect();
        *deleted += gone.len();
        store.forget_kv_keys(&gone).await?;
        if !refused.is_empty() {
            refused_any = true;
            store.refund_kv(KvSpending::Delete, refused.len() as u64).await?;
        }
    }
    if refused_any {
        return Err(Obstacle { reason: "Cloudflare refused them".to_owned(), remedy: "run it again" });
    }
    if affordable < keys.len() { Err(used_up()) } else { Ok(()) }
}
