//! The start with an empty memory: the shared tier and the origin race, and whoever is right first wins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::entry::{Entry, Source};
use super::family::OnOriginFailure;
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

/// What the origin makes of a value found in the shared tier.
enum Confirmed<V> {
    /// It is current, or the origin did not tell.
    Usable(Arc<Entry<V>>),
    /// The origin has another version.
    Outdated(Arc<Entry<V>>),
    /// It cannot be decoded.
    Nothing,
}

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
            let version = version.map(|version| (version, begun));
            let confirmed = found.map(|found| self.confirm(key, scope, shared, &found, version));
            if !matches!(confirmed, Some(Confirmed::Usable(_))) {
                without_shared.notify_one();
            }
            confirmed
        };
        let origin = async {
            tokio::select! {
                () = self.clock.sleep(if awaited { HEDGE } else { VERSION_LIMIT }) => {}
                () = without_shared.notified() => {}
            }
            self.load(key, scope).await
        };
        tokio::pin!(confirmed, origin);
        let (mut outdated, mut failed) = (None, None);
        let mut asked_shared = false;
        let error = loop {
            tokio::select! {
                confirmed = &mut confirmed, if !asked_shared => {
                    asked_shared = true;
                    match confirmed {
                        Some(Confirmed::Usable(entry)) => return Ok(Landed { entry, outcome: Outcome::Kv }),
                        Some(Confirmed::Outdated(entry)) => outdated = Some(entry),
                        Some(Confirmed::Nothing) | None => {}
                    }
                }
                landing = &mut origin, if failed.is_none() => match landing {
                    Ok(landed) => return Ok(landed),
                    Err(error) => failed = Some(error),
                },
            }
            match failed.take() {
                Some(error) if asked_shared => break error,
                not_yet => failed = not_yet,
            }
        };
        // Better than nothing, where the family says so: the origin told that it is outdated, and then failed.
        match outdated.filter(|_| self.family.on_origin_failure == OnOriginFailure::ServeAnyAge) {
            Some(entry) => {
                let _one_step = self.slots();
                if !self.memory.contains_key(key) {
                    self.memory.insert(key.clone(), Arc::clone(&entry));
                }
                Ok(Landed { entry, outcome: Outcome::Stale })
            }
            None => Err(error),
        }
    }

    /// Makes an entry of the value found, and publishes it if it is of the version that the origin told, or if the
    /// origin told none.
    fn confirm(
        &self,
        key: &O::Key,
        scope: &Arc<Scope>,
        shared: &SharedTier,
        found: &Found,
        version: Option<(u64, Instant)>,
    ) -> Confirmed<O::Value> {
        let value = self.origin.decode(&found.json);
        shared.decoded(&self.family, &self.origin.id(key), found, value.is_some());
        let Some(value) = value else { return Confirmed::Nothing };
        let _one_step = self.slots();
        let (is_current, validated, epoch) = match version {
            None => (true, None, scope.known().epoch),
            Some((version, begun)) => {
                let (learned, epoch) = self.scopes.learn_read(scope, version, begun);
                let is_current = version == found.version && learned != Learned::Older;
                (is_current, is_current.then_some(begun), epoch)
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
        if !is_current {
            return Confirmed::Outdated(entry);
        }
        self.publish(key, &entry);
        Confirmed::Usable(entry)
    }
}
