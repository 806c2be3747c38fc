//! The report behind `/api/automodel/health`.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::domain::provider::ProviderStatus;
use crate::domain::snapshot::Snapshot;

use super::reason::Reason;
use super::standing::{Standing, Standings};
use super::watch::ProbeSettings;

/// The health of all providers at one moment.
#[derive(Debug, Serialize, ToSchema)]
pub struct AutoModelHealth<'a> {
    /// `degraded` when a configured provider is not healthy, else `healthy`. Without any key it is `healthy`.
    #[schema(value_type = ProviderStatus)]
    pub status: &'static str,
    /// When this report was built.
    #[serde(with = "time::serde::rfc3339")]
    pub timestamp: OffsetDateTime,
    /// Providers that are enabled and not down.
    pub active_providers: usize,
    /// All providers, enabled or not.
    pub total_providers: usize,
    /// Listed models of active providers.
    pub available_models: usize,
    /// All listed models.
    pub total_models: usize,
    /// For each task type, the number of listed models of active providers that can serve it.
    pub tasks: Vec<TaskReport<'a>>,
    /// All providers, one by one.
    pub providers: Vec<ProviderReport<'a>>,
    /// How to get a status for providers that are not probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

/// One task type.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskReport<'a> {
    /// The id of the task type.
    pub id: &'a str,
    /// Models that can serve it now.
    pub models: usize,
}

/// One provider.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderReport<'a> {
    /// The id of the provider.
    pub id: &'a str,
    /// The name for people.
    pub name: &'a str,
    /// Whether the provider is shown.
    pub enabled: bool,
    /// Whether a key for the provider is set.
    pub configured: bool,
    /// The status that the probes found.
    pub status: ProviderStatus,
    /// Why the provider is not healthy, or why its status is unknown.
    pub reason: Option<Reason>,
    /// Since when the provider has that status.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// When the last probe began.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_checked: Option<OffsetDateTime>,
    /// How long probes take.
    pub latency_ms: Latency,
    /// Listed models of the provider.
    pub models: usize,
}

/// Percentiles over the last 20 answers, in whole milliseconds; `null` before the first.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ProbeLatency)]
pub struct Latency {
    /// Half of the answers took no longer.
    pub p50: Option<u32>,
    /// All but one in twenty took no longer.
    pub p95: Option<u32>,
}

impl<'a> AutoModelHealth<'a> {
    /// Builds the report from what the probes found, without a request.
    pub fn of(
        snapshot: &'a Snapshot,
        standings: &Standings,
        settings: &ProbeSettings,
        timestamp: OffsetDateTime,
    ) -> Self {
        let listed: Vec<_> = snapshot.models().iter().filter(|model| snapshot.is_listed(model)).collect();
        let is_active = |id: &str| {
            standings.status_of(id) != ProviderStatus::Down
                && snapshot.provider(id).is_some_and(|p| p.enabled)
        };
        let available: Vec<_> = listed.iter().filter(|model| is_active(model.provider.as_str())).collect();
        let unknown = Standing::from(ProviderStatus::Unknown);
        let providers: Vec<_> = snapshot
            .providers()
            .iter()
            .map(|provider| {
                let standing = standings.of(provider.id.as_str()).unwrap_or(&unknown);
                ProviderReport {
                    id: provider.id.as_str(),
                    name: &provider.name,
                    enabled: provider.enabled,
                    configured: settings.keys.configured(&provider.id),
                    status: standing.status,
                    reason: standing.reason,
                    since: standing.since,
                    last_checked: standing.last_checked,
                    latency_ms: Latency { p50: standing.latency(50), p95: standing.latency(95) },
                    models: listed.iter().filter(|model| model.provider == provider.id).count(),
                }
            })
            .collect();
        let at_fault = |provider: &ProviderReport<'_>| {
            provider.enabled
                && provider.configured
                && (matches!(provider.status, ProviderStatus::Degraded | ProviderStatus::Down)
                    || matches!(provider.reason, Some(Reason::BadKey | Reason::UntrustedAddress)))
        };
        Self {
            status: if providers.iter().any(at_fault) { "degraded" } else { "healthy" },
            timestamp,
            active_providers: snapshot.providers().iter().filter(|p| is_active(p.id.as_str())).count(),
            total_providers: providers.len(),
            available_models: available.len(),
            total_models: listed.len(),
            tasks: snapshot
                .tasks()
                .iter()
                .map(|task| TaskReport {
                    id: task.id.as_str(),
                    models: available.iter().filter(|model| model.tasks.contains(&task.id)).count(),
                })
                .collect(),
            hint: hint(settings, &providers),
            providers,
        }
    }
}

fn hint(settings: &ProbeSettings, providers: &[ProviderReport<'_>]) -> Option<&'static str> {
    if !settings.enabled {
        Some("providers are not probed, so their status is unknown: PROBE_PROVIDERS is false")
    } else if !providers.iter().any(|provider| provider.configured) {
        Some("providers are not probed, so their status is unknown: set a key of one, such as OPENAI_API_KEY")
    } else {
        None
    }
}
