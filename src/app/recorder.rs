//! Remembers what the background checks see, for the status page. Reads what they left, and asks nobody.

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

/// Between two looks at what the checks left. What comes and goes in between is not seen.
const INTERVAL: Duration = Duration::from_secs(1);

/// Writes the history of the status.
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

    /// How the parts are of which something is known.
    fn seen(&self) -> BTreeMap<PartName, Condition> {
        let mut seen = BTreeMap::new();
        let mut see = |part: PartName, condition: Option<Condition>| {
            if let Some(condition) = condition {
                seen.insert(part, condition);
            }
        };
        see((Part::Database, None), database(self.status.database().state));
        see((Part::CloudflareKv, None), self.shared.as_ref().and_then(kv));
        if self.status.is_decided() {
            see(
                (Part::Catalogue, None),
                self.catalogue.report().map(|report| catalogue(report.read.source())),
            );
        }
        for (id, standing) in self.provider_health.standings().iter() {
            see((Part::Provider, Some(id.clone())), Some(provider(standing)));
        }
        seen
    }

    fn totals(&self) -> Totals {
        let metered = self.catalogue.meter().read();
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
    // Before the first call has ended nothing is known.
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
