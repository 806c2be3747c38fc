//! What `/api/automodel/health` reports.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::domain::health::ProviderHealth;
use crate::domain::provider::ProviderStatus;
use crate::domain::snapshot::Snapshot;

use super::ProviderKeys;

/// The health of all providers at one moment.
#[derive(Debug, Serialize, ToSchema)]
pub struct AutoModelHealth<'a> {
    /// `degraded` when a configured provider is not healthy, else `healthy`; without any key nothing is at fault.
    #[schema(value_type = ProviderStatus)]
    pub status: &'static str,
    /// Now.
    #[serde(with = "time::serde::rfc3339")]
    pub timestamp: OffsetDateTime,
    /// Providers that are enabled and not down.
    pub active_providers: usize,
    /// All providers.
    pub total_providers: usize,
    /// Listed models of active providers.
    pub available_models: usize,
    /// All listed models.
    pub total_models: usize,
    /// Per task type, the listed models of active providers that can serve it.
    pub tasks: Vec<TaskReport<'a>>,
    /// Each provider.
    pub providers: Vec<ProviderReport<'a>>,
    /// What to do to learn more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

/// One task type.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskReport<'a> {
    /// Its id.
    pub id: &'a str,
    /// Models that can serve it now.
    pub models: usize,
}

/// One provider.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderReport<'a> {
    /// Its id.
    pub id: &'a str,
    /// For people.
    pub name: &'a str,
    /// Whether it is shown.
    pub enabled: bool,
    /// Whether a key for it is set.
    pub configured: bool,
    /// What the probes say.
    pub status: ProviderStatus,
    /// Why it is not healthy.
    #[schema(required)]
    pub reason: Option<&'static str>,
    /// Since when it has that status.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required)]
    pub since: Option<OffsetDateTime>,
    /// When it was last probed.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required)]
    pub last_checked: Option<OffsetDateTime>,
    /// How long probes take.
    pub latency_ms: Latency,
    /// Its listed models.
    pub models: usize,
}

/// Percentiles over the last probes, in milliseconds.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ProbeLatency)]
pub struct Latency {
    /// Half of the probes were quicker.
    #[schema(required)]
    pub p50: Option<f64>,
    /// All but one in twenty were quicker.
    #[schema(required)]
    pub p95: Option<f64>,
}

impl<'a> AutoModelHealth<'a> {
    /// Puts together what is known. Pure: asks nobody.
    #[must_use]
    pub fn of(
        snapshot: &'a Snapshot,
        health: &ProviderHealth,
        keys: &ProviderKeys,
        timestamp: OffsetDateTime,
    ) -> Self {
        let listed: Vec<_> = snapshot.models().iter().filter(|model| snapshot.is_listed(model)).collect();
        let is_active = |id: &str| {
            health.status_of(id) != ProviderStatus::Down && snapshot.provider(id).is_some_and(|p| p.enabled)
        };
        let available: Vec<_> = listed.iter().filter(|model| is_active(model.provider.as_str())).collect();
        let providers: Vec<_> = snapshot
            .providers()
            .iter()
            .map(|provider| ProviderReport {
                id: provider.id.as_str(),
                name: &provider.name,
                enabled: provider.enabled,
                configured: keys.configured(provider),
                status: health.status_of(provider.id.as_str()),
                reason: None,
                since: None,
                last_checked: None,
                latency_ms: Latency::default(),
                models: listed.iter().filter(|model| model.provider == provider.id).count(),
            })
            .collect();
        let at_fault = |provider: &ProviderReport<'_>| {
            provider.enabled
                && provider.configured
                && matches!(provider.status, ProviderStatus::Degraded | ProviderStatus::Down)
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
            hint: Some("providers are not probed in this release, so their status is unknown"),
            providers,
        }
    }
}
