//! Rounds of probes, as the origin of a cache family.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::cache::{LoadError, Loaded, Origin, ScopeName};
use crate::clock::Clock;
use crate::domain::id::ProviderId;
use crate::domain::provider::ProviderStatus;

use super::probe::Prober;
use super::reason::Reason;
use super::standing::{Look, SHORTEST, Standing, Standings};
use super::target::Target;
use super::trust::Distrust;

/// The maximum age of the shared copy while nothing changes. Each write counts against the daily budget: three instances
/// write 72 times a day.
const SHARE_AFTER: Duration = Duration::from_hours(1);

/// The only key of the family.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AllProviders;

/// The result of a round.
pub(super) struct Findings {
    pub standings: Standings,
    /// Whether to share the result with other processes.
    is_news: bool,
}

/// The origin of the cache. Clones share its state.
#[derive(Clone)]
pub(super) struct Probes(Arc<Inner>);

struct Inner {
    prober: Prober,
    clock: Clock,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    targets: BTreeMap<ProviderId, Target>,
    standings: BTreeMap<ProviderId, Standing>,
    /// When each provider was last probed.
    probed: HashMap<ProviderId, Instant>,
    /// The statuses that were last shared, and when.
    shared: Option<(Vec<(ProviderId, ProviderStatus)>, Instant)>,
}

impl Known {
    fn due_in(&self, provider: &ProviderId, utc: OffsetDateTime, now: Instant) -> Duration {
        let probed = self.probed.get(provider).map(|at| now.saturating_duration_since(*at));
        let pause = probed.map_or(Duration::ZERO, |passed| SHORTEST.saturating_sub(passed));
        let standing = self.standings.get(provider);
        pause.max(standing.map_or(Duration::ZERO, |standing| standing.due_in(utc)))
    }

    fn record(&mut self, id: &ProviderId, look: Look, at: OffsetDateTime) -> (Standing, Standing) {
        let standing = self.standings.entry(id.clone()).or_insert_with(|| ProviderStatus::Unknown.into());
        let before = standing.clone();
        standing.record(look, at);
        (before, standing.clone())
    }

    /// Whether to share the statuses, and counts them as shared. A process always shares its first result, for the
    /// process after a restart.
    fn take_news(&mut self, now: Instant) -> bool {
        let statuses: Vec<_> =
            self.standings.iter().map(|(id, standing)| (id.clone(), standing.status)).collect();
        let is_known = self.shared.as_ref().is_some_and(|(shared, at)| {
            *shared == statuses && now.saturating_duration_since(*at) < SHARE_AFTER
        });
        if !is_known {
            self.shared = Some((statuses, now));
        }
        !is_known
    }
}

impl Probes {
    pub fn new(clock: Clock) -> Self {
        let prober = Prober::new(clock.clone());
        Self(Arc::new(Inner { prober, clock, known: Mutex::default() }))
    }

    /// Replaces the targets, and forgets the standings of other providers.
    pub fn set_targets(&self, targets: BTreeMap<ProviderId, Target>) {
        let mut known = self.0.known.lock();
        known.standings.retain(|id, _| targets.contains_key(id));
        known.targets = targets;
    }

    pub fn adopt(&self, standings: &Standings) {
        let adopted = standings.iter().map(|(id, standing)| (id.clone(), standing.adopted()));
        self.0.known.lock().standings = adopted.collect();
    }

    pub fn standings(&self) -> Standings {
        Standings(self.0.known.lock().standings.clone())
    }

    /// Returns `None` if no provider is probed.
    pub fn due_in(&self) -> Option<Duration> {
        let (utc, now, known) = (self.0.clock.utc(), self.0.clock.now(), self.0.known.lock());
        known.targets.keys().map(|id| known.due_in(id, utc, now)).min()
    }

    /// Takes the providers that are due, which count as probed now.
    fn take_due(&self, utc: OffsetDateTime) -> Vec<(ProviderId, Target)> {
        let (now, mut known) = (self.0.clock.now(), self.0.known.lock());
        let due = |(id, _): &(&ProviderId, &Target)| known.due_in(id, utc, now).is_zero();
        let due: Vec<_> =
            known.targets.iter().filter(due).map(|(id, target)| (id.clone(), target.clone())).collect();
        known.probed.extend(due.iter().map(|(id, _)| (id.clone(), now)));
        due
    }
}

impl Origin for Probes {
    type Key = AllProviders;
    type Value = Findings;

    fn scope(&self, _: &AllProviders) -> Option<ScopeName> {
        None
    }

    /// Probes in parallel. Never fails: a failed probe is a result.
    async fn load(&self, _: &AllProviders) -> Result<Loaded<Findings>, LoadError> {
        let begun = self.0.clock.utc();
        let mut looks = JoinSet::new();
        for (id, target) in self.take_due(begun) {
            let inner = Arc::clone(&self.0);
            looks.spawn(async move { (id, inner.prober.look(&target).await) });
        }
        while let Some(look) = looks.join_next().await {
            // A probe that panicked has no result.
            let Ok((id, look)) = look else { continue };
            let (before, standing) = self.0.known.lock().record(&id, look, begun);
            // Logs without the lock: logging may be slow.
            log_change(&id, &before, &standing);
        }
        let is_news = self.0.known.lock().take_news(self.0.clock.now());
        Ok(Loaded { value: Findings { standings: self.standings(), is_news }, version: 0 })
    }

    async fn version(&self, _: &AllProviders) -> Result<u64, LoadError> {
        Ok(0)
    }

    fn id(&self, _: &AllProviders) -> String {
        "providers".to_owned()
    }

    fn encode(&self, findings: &Findings) -> Option<Box<RawValue>> {
        // Older releases cannot read that reason, and other machines resolve names differently.
        let is_shared = |(_, standing): &(_, &Standing)| standing.reason != Some(Reason::UntrustedAddress);
        let shared = findings.standings.iter().filter(is_shared);
        let shared: Standings = shared.map(|(id, standing)| (id.clone(), standing.clone())).collect();
        serde_json::value::to_raw_value(&shared).ok().filter(|_| findings.is_news)
    }

    fn decode(&self, json: &str) -> Option<Findings> {
        let Standings(mut standings) = serde_json::from_str(json).ok()?;
        let (now, known) = (self.0.clock.utc(), self.0.known.lock());
        // Another instance may probe providers that this one does not.
        standings.retain(|id, _| known.targets.contains_key(id));
        let is_possible = standings.values().all(|standing| standing.is_possible(now));
        is_possible.then_some(Findings { standings: Standings(standings), is_news: false })
    }

    fn weight(&self, findings: &Findings) -> u32 {
        u32::try_from(findings.standings.bytes()).unwrap_or(u32::MAX)
    }
}

fn log_change(provider: &ProviderId, before: &Standing, standing: &Standing) {
    let (status, reason) = (standing.status, standing.reason.map_or("", |reason| reason.as_str()));
    match status {
        _ if standing.reason == Some(Reason::UntrustedAddress) && before.reason != standing.reason => {
            Distrust::Private.log(provider);
        }
        _ if status == before.status => tracing::debug!(%provider, %status, "probed provider {provider}"),
        ProviderStatus::Degraded | ProviderStatus::Down => {
            tracing::warn!(%provider, reason, "provider {provider} is {status}");
        }
        ProviderStatus::Healthy if before.status == ProviderStatus::Unknown => {
            tracing::debug!(%provider, "provider {provider} is healthy");
        }
        ProviderStatus::Healthy | ProviderStatus::Unknown => {
            tracing::info!(%provider, "provider {provider} is {status} again");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::*;
    use crate::telemetry::captured::Captured;

    const SECOND: Duration = Duration::from_secs(1);

    fn openai() -> ProviderId {
        "openai".parse().unwrap()
    }

    #[test]
    fn no_provider_is_probed_twice_within_a_minute() {
        let now = Clock::system().now();
        let mut known = Known::default();
        assert_eq!(known.due_in(&openai(), OffsetDateTime::UNIX_EPOCH, now), Duration::ZERO);
        known.probed.insert(openai(), now);
        for (passed, wait) in [(0, 60), (59, 1), (60, 0), (600, 0)] {
            let due_in = known.due_in(&openai(), OffsetDateTime::UNIX_EPOCH, now + passed * SECOND);
            assert_eq!(due_in, wait * SECOND, "after {passed} s");
        }
    }

    #[test]
    fn statuses_are_shared_first_on_change_and_every_hour() {
        let now = Clock::system().now();
        let mut known = Known::default();
        for (second, status, is_news) in [
            (0, ProviderStatus::Healthy, true),
            (300, ProviderStatus::Healthy, false),
            (360, ProviderStatus::Down, true),
            (420, ProviderStatus::Down, false),
            (3_959, ProviderStatus::Down, false),
            (3_960, ProviderStatus::Down, true),
            (3_961, ProviderStatus::Down, false),
        ] {
            known.standings.insert(openai(), status.into());
            assert_eq!(known.take_news(now + second * SECOND), is_news, "after {second} s");
        }
    }

    #[test]
    fn only_a_change_of_status_is_logged() {
        let (log, _captured) = Captured::here(LevelFilter::INFO);
        let mut standing = Standing::from(ProviderStatus::Unknown);
        let (well, broken) = (Look::Answered(SECOND), Look::Failed(Reason::Connect));
        for look in [well, well, broken, broken, broken, broken, well, well, well] {
            let before = standing.clone();
            standing.record(look, OffsetDateTime::UNIX_EPOCH);
            log_change(&openai(), &before, &standing);
        }
        assert_eq!(
            log.lines(),
            [
                r#"WARN provider openai is down provider=openai reason="connect""#,
                "INFO provider openai is healthy again provider=openai"
            ]
        );
    }
}
