//! The background task that probes the providers. No request waits for it.

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
use super::reason::Reason;
use super::rounds::{AllProviders, Probes};
use super::standing::Standing;
use super::target::{Refusal, Target};
use super::trust::Distrusted;

/// The longest time until a change of the catalogue is noticed.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Which providers to probe, and how.
#[derive(Debug, Clone, Default)]
pub struct ProbeSettings {
    /// Whether to probe at all.
    pub enabled: bool,
    /// The providers' keys.
    pub keys: ProviderKeys,
    /// The hosts that the operator has named.
    pub base_urls: ProviderBaseUrls,
}

impl ProbeSettings {
    /// Whether to probe any of these providers. Without any key, not even those that need none are probed.
    pub fn probes_any(&self, providers: &[Provider]) -> bool {
        self.enabled && providers.iter().any(|provider| self.keys.configured(&provider.id))
    }
}

/// Probes each enabled provider about every 5 minutes, and a minute after an unexpected result. At its start it adopts what
/// another process shared through Cloudflare KV within the last 24 hours.
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
    /// Sends no request yet. Probes run on `runtime`.
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

    /// Returns a reader of the cache's counters.
    pub fn meter(&self) -> Meter {
        self.cache.meter()
    }

    /// Runs until it is dropped. Waits until the first source of the catalogue is decided.
    pub async fn run(mut self) {
        self.status.decided().await;
        let unprobed = self.choose_targets();
        if let Some(entry) = self.cache.recall(&AllProviders).await {
            self.probes.adopt(&entry.value.standings);
            self.show(unprobed);
        }
        loop {
            let unprobed = self.choose_targets();
            if self.probes.due_in().is_some_and(|wait| wait.is_zero()) {
                // The next round repeats a failed refresh.
                drop(self.cache.refresh(&AllProviders).await);
            }
            let wait = self.probes.due_in().unwrap_or(LONGEST_WAIT);
            let wait = wait.clamp(Duration::from_secs(1), LONGEST_WAIT);
            // In this order: a test that sees the sleep relies on the board.
            tokio::join!(biased; self.clock.sleep(wait), async { self.show(unprobed) });
        }
    }

    fn show(&self, unprobed: Vec<(ProviderId, Standing)>) {
        let mut standings = self.probes.standings();
        standings.0.extend(unprobed);
        self.board.replace(standings);
    }

    /// Returns the enabled providers that are not probed.
    fn choose_targets(&mut self) -> Vec<(ProviderId, Standing)> {
        let Some(report) = self.catalogue.report() else { return Vec::new() };
        let (providers, source) = (report.read.snapshot().providers(), report.read.source());
        let probes_any = self.settings.probes_any(providers);
        let (mut targets, mut unprobed, mut distrusted) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        for provider in providers.iter().filter(|provider| provider.enabled) {
            let target = Target::of(provider, source, &self.settings.keys, &self.settings.base_urls);
            let reason = match target {
                Ok(target) if probes_any => {
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
        self.probes.set_targets(targets);
        unprobed
    }
}
