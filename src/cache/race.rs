//! The start with an empty memory: the shared tier and the origin race, and whoever is right first wins.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::entry::{Entry, Source};
use super::flight::{Landed, Landing};
use super::origin::Origin;
use super::read::Inner;
use super::scope::{Learned, Scope};
use super::shared::{Found, SharedTier};
use super::stats::Outcome;

/// How long the shared tier alone may try before the origin is asked too, when somebody waits.
const HEDGE: Duration = Duration::from_millis(80);
/// How long the origin may take to tell the version before a value is used unverified, marked stale.
const VERSION_LIMIT: Duration = Duration::from_secs(1);

impl<O: Origin> Inner<O> {
    /// Asks the shared tier and, as soon as that has nothing, the origin: also after 80 ms when somebody waits
    /// (`awaited`), after 1 s when nobody does.
    ///
    /// The shared tier's value counts as fresh only when the origin confirms its version. When the origin fails, or does
    /// not tell the version within 1 s, it is used as a stale one.
    pub(super) async fn race(
        &self,
        key: &O::Key,
        scope: &Arc<Scope>,
        shared: &SharedTier,
        awaited: bool,
    ) -> Landing<O::Value> {
        let without_shared = Notify::new();
        // In a task of its own: a call that loses the race still runs to its end, and is counted.
        let call = self.runtime.spawn({
            let (shared, family, id) = (shared.clone(), self.family, self.origin.id(key));
            async move { shared.get(&family, &id).await }
        });
        let found = async {
            let found = call.await.ok().flatten();
            if found.is_none() {
                without_shared.notify_one();
            }
            found
        };
        let confirmed = async {
            let begun = self.clock.now();
            let version = self.clock.timeout(VERSION_LIMIT, self.origin.version(key));
            let (found, version) = tokio::join!(found, version);
            let version = version.ok().and_then(Result::ok);
            let entry =
                found.and_then(|found| self.confirm(key, scope, shared, &found, version.map(|v| (v, begun))));
            if entry.is_none() {
                without_shared.notify_one();
            }
            entry
        };
        let origin = async {
            tokio::select! {
                () = self.clock.sleep(if awaited { HEDGE } else { VERSION_LIMIT }) => {}
                () = without_shared.notified() => {}
            }
            self.load(key, scope).await
        };
        tokio::pin!(confirmed, origin);
        let mut asked_shared = false;
        loop {
            tokio::select! {
                entry = &mut confirmed, if !asked_shared => match entry {
                    Some(entry) => return Ok(Landed { entry, outcome: Outcome::Kv }),
                    None => asked_shared = true,
                },
                landing = &mut origin => match landing {
                    Err(error) if !asked_shared => {
                        let entry = confirmed.await.ok_or(error)?;
                        return Ok(Landed { entry, outcome: Outcome::Kv });
                    }
                    landing => return landing,
                },
            }
        }
    }

    /// The value found, published, if it is whole and of the version that the origin told, or if the origin told none.
    fn confirm(
        &self,
        key: &O::Key,
        scope: &Arc<Scope>,
        shared: &SharedTier,
        found: &Found,
        version: Option<(u64, std::time::Instant)>,
    ) -> Option<Arc<Entry<O::Value>>> {
        let value = self.origin.decode(&found.json);
        shared.decoded(&self.family, &self.origin.id(key), found, value.is_some());
        let value = value?;
        let _one_step = self.slots();
        let (validated, epoch) = match version {
            None => (None, scope.known().epoch),
            Some((version, begun)) => {
                let (learned, epoch) = self.scopes.learn_read(scope, version, begun);
                if version != found.version || learned == Learned::Older {
                    return None;
                }
                (Some(begun), epoch)
            }
        };
        let entry = Arc::new(Entry {
            weight: self.origin.weight(&value),
            value,
            version: found.version,
            source: Source::Kv,
            loaded_at: found.loaded_at,
            loaded: self.clock.now(),
            validated,
            epoch,
            scope: Arc::clone(scope),
        });
        self.publish(key, &entry);
        Some(entry)
    }
}
