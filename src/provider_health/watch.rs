//! The loop that keeps an eye on the providers. Nothing in it stands in the way of a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::cache::{Cache, Meter, RESPONSES, Scopes, Tier};
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::domain::id::ProviderId;
use crate::domain::provider::Provider;
use crate::status::Status;

use super::base_urls::ProviderBaseUrls;
use super::board::ProviderHealthBoard;
use super::keys::ProviderKeys;
use super::rounds::{Everything, Probes};
use super::standing::{Reason, Standing};
use super::target::{Refusal, Target};
use super::trust::Distrusted;

/// How long a change of the catalogue may go unnoticed.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Whom to ask, and how.
#[derive(Debug, Clone, Default)]
pub struct ProbeSettings {
    /// Whether to ask at all.
    pub enabled: bool,
    /// The keys.
    pub keys: ProviderKeys,
    /// Other hosts than those that this build knows.
    pub base_urls: ProviderBaseUrls,
}

impl ProbeSettings {
    /// Whether any of these providers will be probed: none is, as long as none has a key.
    pub fn ask_any(&self, providers: &[Provider]) -> bool {
        self.enabled && providers.iter().any(|provider| self.keys.configured(&provider.id))
    }
}

/// Watches the enabled providers: asks each for its list of models about every 5 minutes and a minute after a surprise,
/// never twice within a minute, and shows on the board how they stand. A process that starts shows at once what another
/// one saw last, within 24 hours, if they share Cloudflare KV, and asks those who are due by that.
///
/// As long as no provider has a key, none is probed, not even those whose lists need none.
pub struct Watch {
    settings: ProbeSettings,
    catalogue: Catalogue,
    status: Arc<Status>,
    board: ProviderHealthBoard,
    clock: Clock,
    probes: Probes,
    cache: Cache<Probes>,
    distrusted: Distrusted,
}

impl Watch {
    /// Makes no request yet. Probes run on `runtime`.
    pub fn new(
        settings: ProbeSettings,
        catalogue: Catalogue,
        status: Arc<Status>,
        board: ProviderHealthBoard,
        (shared, scopes): (Option<Arc<dyn Tier>>, Arc<Scopes>),
        clock: Clock,
        runtime: Handle,
    ) -> Self {
        let probes = Probes::new(clock.clone());
        let cache = Cache::new(RESPONSES, probes.clone(), None, shared, scopes, clock.clone(), runtime);
        Self { settings, catalogue, status, board, clock, probes, cache, distrusted: Distrusted::default() }
    }

    /// A reader of the counters of its cache.
    pub fn meter(&self) -> Meter {
        self.cache.meter()
    }

    /// Watches until it is dropped. Begins when the first source of the catalogue is decided, with what another process
    /// saw last.
    pub async fn run(mut self) {
        self.status.decided().await;
        let unprobed = self.aim();
        if let Some(entry) = self.cache.recall(&Everything).await {
            self.probes.adopt(&entry.value.standings);
            self.show(unprobed);
        }
        loop {
            let unprobed = self.aim();
            if self.probes.due_in().is_some_and(|wait| wait.is_zero()) {
                // That a provider fails is what it finds; what fails here is tried again.
                drop(self.cache.refresh(&Everything).await);
            }
            let wait = self.probes.due_in().unwrap_or(LONGEST_WAIT);
            let wait = wait.clamp(Duration::from_secs(1), LONGEST_WAIT);
            // In this order: a test that sees the sleep can count on the board.
            tokio::join!(biased; self.clock.sleep(wait), async { self.show(unprobed) });
        }
    }

    fn show(&self, unprobed: Vec<(ProviderId, Standing)>) {
        self.board.replace(self.probes.standings().into_iter().chain(unprobed).collect());
    }

    /// Decides which providers are probed. Returns those that are enabled and are not.
    fn aim(&mut self) -> Vec<(ProviderId, Standing)> {
        let Some(report) = self.catalogue.report() else { return Vec::new() };
        let (providers, source) = (report.read.snapshot().providers(), report.read.source());
        let asks_any = self.settings.ask_any(providers);
        let (mut targets, mut unprobed, mut distrusted) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        for provider in providers.iter().filter(|provider| provider.enabled) {
            let target = Target::of(provider, source, &self.settings.keys, &self.settings.base_urls);
            let reason = match target {
                Ok(target) if asks_any => {
                    targets.insert(provider.id.clone(), target);
                    continue;
                }
                Ok(_) => Reason::NoKey,
                Err(refusal) => {
                    let reason = refusal.reason();
                    if let Refusal::Untrusted(distrust) = refusal {
                        distrusted.insert(provider.id.clone(), distrust);
                    }
                    reason
                }
            };
            unprobed.push((provider.id.clone(), Standing::unprobed(reason)));
        }
        self.distrusted.replace(distrusted);
        self.probes.aim(targets);
        unprobed
    }
}
