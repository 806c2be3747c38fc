//! Records the results of the background checks for the status page.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::catalogue::Catalogue;
use crate::catalogue::CatalogueSource;
use crate::clock::Clock;
use crate::domain::provider::ProviderStatus;
use crate::histogram::Durations;
use crate::kv_tier::SharedTier;
use crate::provider_health::{ProviderHealthBoard, Reason, Standing};
use crate::status::{Condition, DatabaseState, Part, PartName, SAMPLE_INTERVAL, Status, Totals};
use crate::store::DatabaseFault;

/// Time between two looks. A change that comes and goes in between is missed.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Recorder {
    pub status: Arc<Status>,
    pub catalogue: Catalogue,
    pub provider_health: ProviderHealthBoard,
    pub shared: Option<SharedTier>,
    pub clock: Clock,
}

impl Recorder {
    /// Runs until it is dropped.
    pub async fn run(self) {
        let mut sampled = self.clock.now();
        loop {
            self.clock.sleep(INTERVAL).await;
            let (now, utc, seen) = (self.clock.now(), self.clock.utc(), self.seen());
            let is_due = now.saturating_duration_since(sampled) >= SAMPLE_INTERVAL;
            let totals = is_due.then(|| self.totals());
            let mut history = self.status.history().write();
            history.observe(utc, seen);
            if let Some(totals) = totals {
                sampled = now;
                history.sample(utc, totals, self.status.database().latency_ms());
            }
        }
    }

    /// Returns the condition of each part whose state is known.
    fn seen(&self) -> BTreeMap<PartName, Condition> {
        let catalogue_report = self.catalogue.report().filter(|_| self.status.is_decided());
        let parts = [
            (Part::Database, database(self.status.database().state)),
            (Part::CloudflareKv, self.shared.as_ref().and_then(kv)),
            (Part::Catalogue, catalogue_report.map(|report| catalogue(report.read.source()))),
        ];
        let parts = parts.into_iter().filter_map(|(part, condition)| Some(((part, None), condition?)));
        let standings = self.provider_health.standings();
        let providers =
            standings.iter().map(|(id, standing)| ((Part::Provider, Some(id.clone())), provider(standing)));
        parts.chain(providers).collect()
    }

    fn totals(&self) -> Totals {
        let metered = self.catalogue.meter()();
        let (reads, kv) = (metered.statistics, self.shared.as_ref().map(SharedTier::report));
        let of_kv = kv.as_ref();
        let mut kv_took = Durations::default();
        for calls in self.shared.as_ref().map(SharedTier::calls).unwrap_or_default() {
            kv_took += calls.took;
        }
        Totals {
            reads: reads.reads,
            memory: reads.memory,
            other_hits: reads.kv + reads.stale,
            kv_lookups: of_kv.map_or(0, |kv| kv.hits + kv.misses + kv.rejected),
            kv_found: of_kv.map_or(0, |kv| kv.hits),
            kv_failures: of_kv.map_or(0, |kv| kv.failures),
            kv_took,
            loads: metered.loads,
        }
    }
}

fn database(state: DatabaseState) -> Option<Condition> {
    let name = match state {
        DatabaseState::Unknown => return None,
        DatabaseState::Up { fault: Some(DatabaseFault::ReadOnly), .. } => "read_only",
        DatabaseState::Up { .. } => "up",
        DatabaseState::Down(_) => "down",
        DatabaseState::NotConfigured => "not_configured",
    };
    let fault = state.fault();
    let is_good = name == "up" && fault.is_none();
    Some(Condition { state: name, reason: fault.map(DatabaseFault::reason), is_good })
}

fn kv(tier: &SharedTier) -> Option<Condition> {
    let report = tier.report();
    // Nothing is known before the first call has ended.
    (report.calls > 0).then_some(Condition {
        state: if report.available { "enabled" } else { "unavailable" },
        reason: report.reason,
        is_good: report.available,
    })
}

fn catalogue(source: CatalogueSource) -> Condition {
    Condition { state: source.as_str(), reason: None, is_good: source != CatalogueSource::Builtin }
}

fn provider(standing: &Standing) -> Condition {
    Condition {
        state: standing.status.as_str(),
        reason: standing.reason.map(Reason::as_str),
        is_good: matches!(standing.status, ProviderStatus::Healthy | ProviderStatus::Unknown),
    }
}
