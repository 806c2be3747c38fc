//! The same health in the shape of the IETF draft `draft-inadarei-api-health-check-06`, for tools that read it.

use serde::Serialize;
use serde_json::{Value, json};

use super::document::{Health, Overall};

/// Its media type.
pub(super) const CONTENT_TYPE: &str = "application/health+json";

/// A health document of the draft.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HealthDraft {
    status: &'static str,
    version: &'static str,
    release_id: &'static str,
    service_id: &'static str,
    checks: Value,
}

impl From<&Health> for HealthDraft {
    fn from(health: &Health) -> Self {
        let of = |good: bool| if good { "pass" } else { "warn" };
        let time = health
            .database
            .checked_at
            .and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok());
        let catalogue = health.catalogue.as_ref();
        Self {
            status: match health.status {
                Overall::Healthy => "pass",
                Overall::Degraded => "warn",
                Overall::Unhealthy => "fail",
            },
            version: health.version,
            release_id: health.commit,
            service_id: "chatchonk-api",
            checks: json!({
                "database:responseTime": [{
                    "componentType": "datastore",
                    "observedValue": health.database.latency_ms,
                    "observedUnit": "ms",
                    "status": of(health.database.status == "up" && health.database.reason.is_none()),
                    "time": time,
                    "output": health.database.reason,
                }],
                "cache:cloudflareKv": [{
                    "componentType": "datastore",
                    "observedValue": health.cache.cloudflare_kv,
                    "status": of(health.cache.cloudflare_kv != "unavailable"),
                }],
                "catalogue:models": [{
                    "componentType": "component",
                    "observedValue": catalogue.map(|catalogue| catalogue.models),
                    "observedUnit": "models",
                    "status": of(catalogue.is_some_and(|catalogue| !catalogue.stale)),
                }],
            }),
        }
    }
}
