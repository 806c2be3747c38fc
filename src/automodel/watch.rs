//! The loop that keeps an eye on the providers. Nothing in it stands in the way of a request.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::cache::{Cache, LoadError, Loaded, Origin, RESPONSES, ScopeName, Scopes, SharedTier, Source};
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::domain::id::ProviderId;
use crate::domain::provider::{Provider, ProviderStatus};
use crate::status::Status;

use super::board::ProviderHealthBoard;
use super::keys::ProviderKeys;
use super::probe::Prober;
use super::standing::{Reason, SHORTEST, Standing, Standings};
use super::target::{ProviderBaseUrls, Target};

/// How long a change of the catalogue may go unnoticed.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// How old the copy in the shared tier may get while nothing changes. Younger than a start takes for fresh (15 min),
/// older than a round (5 min): each writing counts against a day's budget.
const SHARE_AFTER: Duration = Duration::from_mins(8);

/// Whom to ask, and how.
#[derive(Debug, Clone, Default)]
pub struct ProbeSettings {
    /// Whether to ask at all.
    pub enabled: bool,
    /// The keys.
    pub keys: ProviderKeys,
    /// Other addresses than the catalogue's.
    pub base_urls: ProviderBaseUrls,
}

/// Watches the enabled providers: asks each for its list of models about every 5 minutes and a minute after a surprise,
/// never twice within a minute, and shows on the board how they stand. A process that starts takes over what another
/// one saw in the last 15 minutes, if it shares Cloudflare KV with it.
///
/// As long as no provider has a key nobody is asked, not even for lists that need none.
pub struct Watch {
    settings: ProbeSettings,
    catalogue: Catalogue,
    status: Arc<Status>,
    board: ProviderHealthBoard,
    clock: Clock,
    probes: Probes,
    cache: Cache<Probes>,
}

impl Watch {
    /// Asks nobody yet. Probes run on `runtime`.
    #[must_use]
    pub fn new(
        settings: ProbeSettings,
        catalogue: Catalogue,
        status: Arc<Status>,
        board: ProviderHealthBoard,
        (shared, scopes): (Option<SharedTier>, Arc<Scopes>),
        clock: Clock,
        runtime: Handle,
    ) -> Self {
        let probes = Probes(Arc::new(Inner {
            prober: Prober::new(clock.clone()),
            clock: clock.clone(),
            known: Mutex::default(),
        }));
        let cache = Cache::new(RESPONSES, probes.clone(), None, shared, scopes, clock.clone(), runtime);
        Self { settings, catalogue, status, board, clock, probes, cache }
    }

    /// Watches until it is dropped. Begins when the first source of the catalogue is decided.
    pub async fn run(self) {
        self.status.decided().await;
        loop {
            let unprobed = self.aim();
            if self.probes.due_in().is_some_and(|wait| wait.is_zero())
                && let Ok(entry) = self.cache.refresh(&Everything).await
                && entry.source == Source::Kv
            {
                self.probes.adopt(&entry.value.standings);
            }
            let standings = self.probes.standings().iter().map(cloned).chain(unprobed).collect();
            let wait = self.probes.due_in().unwrap_or(LONGEST_WAIT);
            let wait = wait.clamp(Duration::from_secs(1), LONGEST_WAIT);
            // In this order: whoever sees the one can count on the other.
            tokio::join!(biased; self.clock.sleep(wait), async { self.board.replace(standings) });
        }
    }

    /// Finds out whom to ask. Returns those who are enabled and are not asked.
    fn aim(&self) -> Vec<(ProviderId, Standing)> {
        let Some(report) = self.catalogue.report() else { return Vec::new() };
        let providers = report.read.snapshot().providers();
        let has_keys = providers.iter().any(|provider| self.settings.keys.configured(provider));
        let target = |provider: &Provider| {
            let target = Target::of(provider, &self.settings.keys, &self.settings.base_urls);
            if has_keys { target } else { Err(target.err().unwrap_or(Reason::NoKey)) }
        };
        let (mut targets, mut unprobed) = (BTreeMap::new(), Vec::new());
        for provider in providers.iter().filter(|provider| provider.enabled) {
            match target(provider) {
                Ok(target) => drop(targets.insert(provider.id.clone(), target)),
                Err(reason) => unprobed.push((provider.id.clone(), Standing::unprobed(reason))),
            }
        }
        self.probes.aim(targets);
        unprobed
    }
}

fn cloned((id, standing): (&ProviderId, &Standing)) -> (ProviderId, Standing) {
    (id.clone(), standing.clone())
}

/// The only key of the family: all providers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Everything;

/// What a round of probes saw.
struct Findings {
    standings: Standings,
    /// Whether other processes should know of it.
    is_news: bool,
}

/// The providers as the cache's origin.
#[derive(Clone)]
struct Probes(Arc<Inner>);

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

impl Known {
    fn due_in(&self, provider: &ProviderId, utc: OffsetDateTime, now: Instant) -> Duration {
        let asked = self.asked.get(provider).map(|at| now.saturating_duration_since(*at));
        let pause = asked.map_or(Duration::ZERO, |passed| SHORTEST.saturating_sub(passed));
        let standing = self.standings.get(provider);
        pause.max(standing.map_or(Duration::ZERO, |standing| standing.due_in(utc)))
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
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn aim(&self, targets: BTreeMap<ProviderId, Target>) {
        let mut known = self.known();
        known.standings.retain(|id, _| targets.contains_key(id));
        known.targets = targets;
    }

    fn adopt(&self, standings: &Standings) {
        let mut known = self.known();
        let ours = standings.iter().filter(|(id, _)| known.targets.contains_key(*id));
        known.standings = ours.map(|(id, standing)| (id.clone(), standing.adopted())).collect();
    }

    fn standings(&self) -> Standings {
        self.known().standings.iter().map(cloned).collect()
    }

    /// How long until somebody is to be asked; `None` where there is nobody.
    fn due_in(&self) -> Option<Duration> {
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
            let mut known = self.known();
            let standing =
                known.standings.entry(id.clone()).or_insert_with(|| ProviderStatus::Unknown.into());
            let before = standing.status;
            standing.took(look, begun);
            tell(&id, before, standing);
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
        serde_json::value::to_raw_value(&findings.standings).ok().filter(|_| findings.is_news)
    }

    fn decode(&self, json: &str) -> Option<Findings> {
        serde_json::from_str(json).ok().map(|standings| Findings { standings, is_news: false })
    }

    fn weight(&self, findings: &Findings) -> u32 {
        u32::try_from(findings.standings.iter().count() * 300).unwrap_or(u32::MAX)
    }
}

/// One line for a change of status, none for a look.
fn tell(provider: &ProviderId, before: ProviderStatus, standing: &Standing) {
    let (status, reason) = (standing.status, standing.reason.map_or("", |reason| reason.as_str()));
    match status {
        _ if status == before => tracing::debug!(%provider, %status, "probed"),
        ProviderStatus::Degraded | ProviderStatus::Down => {
            tracing::warn!(%provider, reason, "the provider is {status}");
        }
        ProviderStatus::Healthy if before == ProviderStatus::Unknown => {
            tracing::debug!(%provider, "the provider is healthy");
        }
        ProviderStatus::Healthy | ProviderStatus::Unknown => {
            tracing::info!(%provider, "the provider is {status} again");
        }
    }
}
