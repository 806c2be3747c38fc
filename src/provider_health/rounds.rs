//! Rounds of probes: asking all providers that are due, as the origin of what the cache holds of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::cache::{LoadError, Loaded, Origin, ScopeName};
use crate::clock::Clock;
use crate::domain::id::ProviderId;
use crate::domain::provider::ProviderStatus;

use super::probe::Prober;
use super::standing::{Look, Reason, SHORTEST, Standing, Standings};
use super::target::Target;
use super::trust::Distrust;

/// How old the copy in the shared tier may get while nothing changes. Each instance writes its own, and each writing
/// counts against a day's budget: three instances write 72 times a day.
const SHARE_AFTER: Duration = Duration::from_hours(1);

/// The only key of the family: all providers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Everything;

/// What a round of probes saw.
pub(super) struct Findings {
    pub standings: Standings,
    /// Whether other processes should know of it.
    is_news: bool,
}

/// The providers as the cache's origin.
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
    /// When each was last asked, whatever became of it.
    asked: HashMap<ProviderId, Instant>,
    /// The statuses that were last shared, and when.
    shared: Option<(Vec<(ProviderId, ProviderStatus)>, Instant)>,
}

/// Status and reason.
type Before = (ProviderStatus, Option<Reason>);

impl Known {
    fn due_in(&self, provider: &ProviderId, utc: OffsetDateTime, now: Instant) -> Duration {
        let asked = self.asked.get(provider).map(|at| now.saturating_duration_since(*at));
        let pause = asked.map_or(Duration::ZERO, |passed| SHORTEST.saturating_sub(passed));
        let standing = self.standings.get(provider);
        pause.max(standing.map_or(Duration::ZERO, |standing| standing.due_in(utc)))
    }

    /// Takes in a look. Returns status and reason before it, and how the provider stands now.
    fn took(&mut self, id: &ProviderId, look: Look, at: OffsetDateTime) -> (Before, Standing) {
        let standing = self.standings.entry(id.clone()).or_insert_with(|| ProviderStatus::Unknown.into());
        let before = (standing.status, standing.reason);
        standing.took(look, at);
        (before, standing.clone())
    }

    /// Whether this should be shared; takes it for shared then. The first that a process finds always is: one that
    /// starts over and over must find what the last one did.
    fn is_news(&mut self, now: Instant) -> bool {
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
    /// No provider to probe yet.
    pub fn new(clock: Clock) -> Self {
        let prober = Prober::new(clock.clone());
        Self(Arc::new(Inner { prober, clock, known: Mutex::default() }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock()
    }

    /// Names those to ask from now on. Of others nothing is known any more.
    pub fn aim(&self, targets: BTreeMap<ProviderId, Target>) {
        let mut known = self.known();
        known.standings.retain(|id, _| targets.contains_key(id));
        known.targets = targets;
    }

    /// Takes over what another process saw.
    pub fn adopt(&self, standings: &Standings) {
        let mut known = self.known();
        known.standings = standings.iter().map(|(id, standing)| (id.clone(), standing.adopted())).collect();
    }

    /// How those stand who are asked.
    pub fn standings(&self) -> Standings {
        self.known().standings.clone().into_iter().collect()
    }

    /// How long until the next provider is due; `None` where none is probed.
    pub fn due_in(&self) -> Option<Duration> {
        let (utc, now, known) = (self.0.clock.utc(), self.0.clock.now(), self.known());
        known.targets.keys().map(|id| known.due_in(id, utc, now)).min()
    }

    /// Those who are due, as of now asked.
    fn take_due(&self, utc: OffsetDateTime) -> Vec<(ProviderId, Target)> {
        let (now, mut known) = (self.0.clock.now(), self.known());
        let due = |(id, _): &(&ProviderId, &Target)| known.due_in(id, utc, now).is_zero();
        let due: Vec<_> =
            known.targets.iter().filter(due).map(|(id, target)| (id.clone(), target.clone())).collect();
        known.asked.extend(due.iter().map(|(id, _)| (id.clone(), now)));
        due
    }
}

impl Origin for Probes {
    type Key = Everything;
    type Value = Findings;

    fn scope(&self, _: &Everything) -> Option<ScopeName> {
        None
    }

    /// Asks all who are due at the same time. Never fails: that a provider does is what it finds.
    async fn load(&self, _: &Everything) -> Result<Loaded<Findings>, LoadError> {
        let begun = self.0.clock.utc();
        let mut looks = JoinSet::new();
        for (id, target) in self.take_due(begun) {
            let inner = Arc::clone(&self.0);
            looks.spawn(async move { (id, inner.prober.look(&target).await) });
        }
        while let Some(look) = looks.join_next().await {
            // One that panicked has seen nothing.
            let Ok((id, look)) = look else { continue };
            let (before, standing) = self.known().took(&id, look, begun);
            // Without the lock: a log may be slow.
            log_change(&id, before, &standing);
        }
        let is_news = self.known().is_news(self.0.clock.now());
        Ok(Loaded { value: Findings { standings: self.standings(), is_news }, version: 0 })
    }

    async fn version(&self, _: &Everything) -> Result<u64, LoadError> {
        Ok(0)
    }

    fn id(&self, _: &Everything) -> String {
        "providers".to_owned()
    }

    fn encode(&self, findings: &Findings) -> Option<Box<RawValue>> {
        // A release without that reason could not read it, and where a name leads differs from machine to machine.
        let is_shared = |(_, standing): &(_, &Standing)| standing.reason != Some(Reason::UntrustedAddress);
        let shared = findings.standings.iter().filter(is_shared);
        let shared: Standings = shared.map(|(id, standing)| (id.clone(), standing.clone())).collect();
        serde_json::value::to_raw_value(&shared).ok().filter(|_| findings.is_news)
    }

    fn decode(&self, json: &str) -> Option<Findings> {
        let found: Standings = serde_json::from_str(json).ok()?;
        let (now, known) = (self.0.clock.utc(), self.known());
        // Another instance may probe providers that this one does not.
        let ours = found.into_iter().filter(|(id, _)| known.targets.contains_key(id));
        let standings = ours.map(|(id, standing)| standing.is_possible(now).then_some((id, standing)));
        Some(Findings { standings: standings.collect::<Option<_>>()?, is_news: false })
    }

    fn weight(&self, findings: &Findings) -> u32 {
        u32::try_from(findings.standings.bytes()).unwrap_or(u32::MAX)
    }
}

/// Logs a change of status in one line. A look that changes nothing leaves a line at debug only.
fn log_change(provider: &ProviderId, before: Before, standing: &Standing) {
    let (status, reason) = (standing.status, standing.reason.map_or("", |reason| reason.as_str()));
    match status {
        _ if standing.reason == Some(Reason::UntrustedAddress) && before.1 != standing.reason => {
            Distrust::Private.log(provider);
        }
        _ if status == before.0 => tracing::debug!(%provider, %status, "probed"),
        ProviderStatus::Degraded | ProviderStatus::Down => {
            tracing::warn!(%provider, reason, "the provider is {status}");
        }
        ProviderStatus::Healthy if before.0 == ProviderStatus::Unknown => {
            tracing::debug!(%provider, "the provider is healthy");
        }
        ProviderStatus::Healthy | ProviderStatus::Unknown => {
            tracing::info!(%provider, "the provider is {status} again");
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
    fn nobody_is_asked_again_within_a_minute_whatever_became_of_the_last_time() {
        let now = Clock::system().now();
        let mut known = Known::default();
        assert_eq!(known.due_in(&openai(), OffsetDateTime::UNIX_EPOCH, now), Duration::ZERO);
        known.asked.insert(openai(), now);
        for (passed, wait) in [(0, 60), (59, 1), (60, 0), (600, 0)] {
            let due_in = known.due_in(&openai(), OffsetDateTime::UNIX_EPOCH, now + passed * SECOND);
            assert_eq!(due_in, wait * SECOND, "after {passed} s");
        }
    }

    #[test]
    fn what_is_seen_is_shared_at_first_at_every_change_of_a_status_and_every_hour() {
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
            assert_eq!(known.is_news(now + second * SECOND), is_news, "after {second} s");
        }
    }

    #[test]
    fn a_change_is_one_line_and_a_look_that_changes_nothing_is_none() {
        let (log, _captured) = Captured::here(LevelFilter::INFO);
        let mut standing = Standing::from(ProviderStatus::Unknown);
        let (well, broken) = (Look::Answered(SECOND), Look::Failed(Reason::Connect));
        for look in [well, well, broken, broken, broken, broken, well, well, well] {
            let before = (standing.status, standing.reason);
            standing.took(look, OffsetDateTime::UNIX_EPOCH);
            log_change(&openai(), before, &standing);
        }
        assert_eq!(
            log.lines(),
            [
                r#"WARN the provider is down provider=openai reason="connect""#,
                "INFO the provider is healthy again provider=openai"
            ]
        );
    }
}
