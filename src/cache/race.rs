//! Loads with an empty memory: the shared tier and the origin race.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::entry::{Entry, Source};
use super::family::OnOriginFailure;
use super::inner::{Inner, Landed, Landing};
use super::origin::{LoadError, Origin, Proof};
use super::scope::{Learned, Scope};
use super::stats::Outcome;
use super::tier::{Digest, Found, Tier, Verdict};

/// Head start of the shared tier while a caller waits.
const HEDGE: Duration = Duration::from_millis(80);
/// Time limit of the origin's version. After it a value from the shared tier is used unverified and stale.
const VERSION_LIMIT: Duration = Duration::from_secs(1);
/// Longest lead of another machine's clock that still allows an age.
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(5);

/// A value from the shared tier, compared with what the origin says.
enum Confirmed<V> {
    /// Published: current, or of unknown age and good enough for the family.
    Usable(Arc<Entry<V>>),
    /// Good enough only while the origin fails.
    Stale(Arc<Entry<V>>),
    /// Unusable.
    Nothing,
}

/// What the origin says about its version.
#[derive(Clone, Copy)]
enum OriginState {
    /// The version, its epoch, the digest of the value that was written for it, and when the read began. `is_current`:
    /// no later read has overtaken it.
    Known { version: u64, digest: Option<Digest>, epoch: u64, begun: Instant, is_current: bool },
    /// The origin failed or was too slow.
    Unknown,
}

impl<O: Origin> Inner<O> {
    /// Queries the shared tier. Queries the origin as soon as the tier has nothing, 80 ms after a caller waits (at once
    /// if the tier's last calls failed), or after 1 s.
    ///
    /// A value of the shared tier is fresh only if the origin confirms its version and digest or, without versions, if
    /// it is young enough. If the origin fails, or takes over 1 s for the version, the value is stale, for families
    /// that serve such values.
    pub(super) async fn race(
        &self,
        key: &O::Key,
        scope: &Arc<Scope>,
        shared: &Arc<dyn Tier>,
        flight: u64,
    ) -> Landing<O::Value> {
        let without_shared = Notify::new();
        let mut waiters = self.waiters.subscribe();
        let a_caller_waits = async { drop(waiters.wait_for(|waiters| *waiters > 0).await) };
        let head_start = async {
            tokio::select! {
                biased;
                () = a_caller_waits => {
                    self.clock.sleep(if shared.is_answering() { HEDGE } else { Duration::ZERO }).await;
                }
                () = self.clock.sleep(VERSION_LIMIT) => {}
            }
        };
        let confirmed = async {
            let begun = self.clock.now();
            let version = async {
                let shared_key = shared.key(&self.family, &self.origin.id(key));
                let shared_key = shared_key.unwrap_or_default();
                let proof = self.clock.timeout(VERSION_LIMIT, self.origin.proof(key, &shared_key));
                let proof = if scope.has_versions() { proof.await.ok() } else { None };
                proof.and_then(Result::ok).map_or(OriginState::Unknown, |Proof { version, digest }| {
                    let (learned, epoch) = self.scopes.learn_read(scope, version, begun);
                    learned.log(scope, version, self.clock.now());
                    self.update_flights(key, |flights| flights.record_known(flight, &scope.known()));
                    OriginState::Known {
                        version,
                        digest,
                        epoch,
                        begun,
                        is_current: learned != Learned::Older,
                    }
                })
            };
            let found = async {
                let found = self.ask(key, shared).await;
                if found.is_none() {
                    without_shared.notify_one();
                }
                found
            };
            let (found, state) = tokio::join!(found, version);
            let confirmed = found.map(|found| self.confirm(key, scope, shared, &found, state));
            if !matches!(confirmed, Some(Confirmed::Usable(_))) {
                without_shared.notify_one();
            }
            confirmed
        };
        let origin = async {
            tokio::select! {
                biased;
                () = without_shared.notified() => {}
                () = head_start => {}
            }
            self.load(key, scope, flight).await
        };
        tokio::pin!(confirmed, origin);
        let (mut stale, mut failed) = (None, None);
        let mut asked_shared = false;
        let error = loop {
            tokio::select! {
                biased;
                confirmed = &mut confirmed, if !asked_shared => {
                    asked_shared = true;
                    match confirmed {
                        Some(Confirmed::Usable(entry)) => return Ok(Landed { entry, outcome: Outcome::Kv }),
                        Some(Confirmed::Stale(entry)) => stale = Some(entry),
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
        self.serve_stale(key, stale).ok_or(error)
    }

    /// The origin failed and memory has only an outdated value: another instance may have written a newer one to the
    /// shared tier.
    pub(super) async fn rescue(
        &self,
        key: &O::Key,
        scope: &Arc<Scope>,
        shared: &Arc<dyn Tier>,
        error: LoadError,
    ) -> Landing<O::Value> {
        let Some(found) = self.ask(key, shared).await else { return Err(error) };
        match self.confirm(key, scope, shared, &found, OriginState::Unknown) {
            Confirmed::Usable(entry) => Ok(Landed { entry, outcome: Outcome::Kv }),
            Confirmed::Stale(entry) => self.serve_stale(key, Some(entry)).ok_or(error),
            Confirmed::Nothing => Err(error),
        }
    }

    /// Puts the value of the shared tier into memory, as old as it is, unless the family would not serve it even while
    /// its origin fails.
    pub(super) async fn recall(&self, key: &O::Key) -> Option<Arc<Entry<O::Value>>> {
        let (shared, scope) = (self.shared.as_ref()?, self.scope(key));
        let found = self.ask(key, shared).await?;
        match self.confirm(key, &scope, shared, &found, OriginState::Unknown) {
            Confirmed::Usable(entry) => Some(entry),
            Confirmed::Stale(entry) => self.serve_stale(key, Some(entry)).map(|landed| landed.entry),
            Confirmed::Nothing => None,
        }
    }

    /// In its own task: a call that loses the race still ends, and is counted.
    async fn ask(&self, key: &O::Key, shared: &Arc<dyn Tier>) -> Option<Found> {
        let (shared, family, id) = (Arc::clone(shared), self.family, self.origin.id(key));
        self.runtime.spawn(async move { shared.get(&family, &id).await }).await.ok().flatten()
    }

    /// Publishes an outdated or old value, for families that serve such values.
    fn serve_stale(&self, key: &O::Key, stale: Option<Arc<Entry<O::Value>>>) -> Option<Landed<O::Value>> {
        let entry = stale?;
        let one_step = self.slots.lock();
        let known = entry.scope.known();
        if self.memory.get(key).is_some_and(|held| !entry.supersedes(&held, &known)) {
            return None;
        }
        self.memory.insert(key.clone(), Arc::clone(&entry));
        drop(one_step);
        Some(Landed { entry, outcome: Outcome::Stale })
    }

    /// Builds an entry from a value, and publishes it if it may be served now.
    fn confirm(
        &self,
        key: &O::Key,
        scope: &Arc<Scope>,
        shared: &Arc<dyn Tier>,
        found: &Found,
        state: OriginState,
    ) -> Confirmed<O::Value> {
        let value = self.origin.decode(&found.json);
        let verdict = match (&value, state) {
            (None, _) => Verdict::Unreadable,
            (_, OriginState::Known { version, digest, .. }) if version == found.version => match digest {
                Some(digest) if digest == found.digest => Verdict::Proven,
                Some(_) => Verdict::Forged,
                None => Verdict::Unrecorded,
            },
            // No writer has that version, unless the data changed since the query.
            (_, OriginState::Known { version, is_current: true, .. })
                if found.version > version.max(scope.known().fence) =>
            {
                Verdict::Forged
            }
            _ if !scope.has_versions() => Verdict::Proven,
            _ => Verdict::Unproven,
        };
        shared.judged(&self.family, &self.origin.id(key), found, verdict);
        let Some(value) = value.filter(|_| verdict != Verdict::Forged) else {
            return Confirmed::Nothing;
        };
        let now = self.clock.now();
        let utc = self.clock.utc();
        let age = Duration::try_from(utc - found.loaded_at).unwrap_or_default();
        // A value from the future may have any age: it serves only while the origin fails.
        let is_dated = found.loaded_at <= utc + MAX_CLOCK_SKEW;
        let born = now.checked_sub(age).unwrap_or(now);
        let _one_step = self.slots.lock();
        let (validated, epoch) = match state {
            OriginState::Known { epoch, begun, is_current, .. } => {
                ((is_current && verdict == Verdict::Proven).then_some(begun), epoch)
            }
            // Without versions its age decides.
            OriginState::Unknown if !scope.has_versions() => (is_dated.then_some(born), 0),
            OriginState::Unknown => (None, scope.known().epoch),
        };
        let known = scope.known();
        let is_outdated = epoch != known.epoch || found.version < known.fence;
        let is_usable = match (state, self.family.on_origin_failure) {
            (OriginState::Known { .. }, _) => validated.is_some() && !is_outdated,
            (OriginState::Unknown, _) if !scope.has_versions() => is_dated && age < self.family.fresh,
            (OriginState::Unknown, OnOriginFailure::Refuse) => false,
            (OriginState::Unknown, OnOriginFailure::ServeUpTo(limit)) => !is_outdated && age <= limit,
            (OriginState::Unknown, OnOriginFailure::ServeAnyAge) => !is_outdated,
        };
        let is_better_than_nothing = match self.family.on_origin_failure {
            OnOriginFailure::Refuse => false,
            OnOriginFailure::ServeUpTo(limit) => {
                age <= limit && !is_outdated && !matches!(state, OriginState::Known { .. })
            }
            OnOriginFailure::ServeAnyAge => true,
        };
        let entry = Arc::new(Entry {
            weight: self.origin.weight(&value),
            value,
            version: found.version,
            source: Source::Kv,
            loaded_at: found.loaded_at,
            loaded: now,
            born,
            validated,
            epoch,
            scope: Arc::clone(scope),
        });
        if is_usable {
            self.publish(key, &entry);
            Confirmed::Usable(entry)
        } else if is_better_than_nothing {
            Confirmed::Stale(entry)
        } else {
            Confirmed::Nothing
        }
    }
}
