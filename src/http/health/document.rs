//! The JSON of `/api/health`.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::web::Data;
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::cache::{ListenerState, Meter, Metered, Statistics};
use crate::catalogue::{CatalogueReport, CatalogueSource};
use crate::domain::closed::closed_enum;
use crate::http::reply::Reader;
use crate::kv_client::{KvError, KvSettings};
use crate::kv_tier::SharedTier;
use crate::status::{DatabaseKind, DatabaseReport, DatabaseState, Status};
use crate::store::DatabaseTls;

/// Reason and remedy.
const NOT_INSTALLED: (&str, &str) = (
    "no PostgreSQL is installed here",
    "set DATABASE_URL, or install PostgreSQL 15 or newer and start again",
);

/// The role of Cloudflare KV in this instance.
pub enum KvState {
    /// Unused; the settings say what is missing.
    NotConfigured(KvSettings),
    /// The shared tier.
    Tier(SharedTier),
    /// Configured, but the client could not be built.
    Broken(KvError),
}

impl KvState {
    /// Returns the shared tier, if in use.
    pub fn tier(&self) -> Option<&SharedTier> {
        if let Self::Tier(tier) = self { Some(tier) } else { None }
    }

    /// Returns status and detail.
    fn health(&self) -> (&'static str, serde_json::Value) {
        match self {
            Self::Tier(tier) => {
                let report = tier.report();
                (if report.available { "enabled" } else { "unavailable" }, json!(report))
            }
            Self::Broken(error) => (
                "unavailable",
                json!({ "state": "open", "reason": error.reason(), "remedy": error.remedy() }),
            ),
            Self::NotConfigured(settings) => {
                let (reason, remedy) = settings.remark().unzip();
                let detail = json!({ "state": "not_configured", "reason": reason, "remedy": remedy });
                ("not_configured", detail)
            }
        }
    }
}

/// The sources of health and metrics.
pub struct Sources {
    pub reader: Data<Reader>,
    pub status: Arc<Status>,
    pub kv: KvState,
    pub meters: Vec<Meter>,
    pub environment: String,
}

closed_enum!(
    /// The overall state.
    Overall {
        /// No faults.
        Healthy = "healthy",
        /// Serves with a fault.
        Degraded = "degraded",
        /// Must not receive traffic.
        Unhealthy = "unhealthy",
    }
);

/// The health of this server.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    pub status: Overall,
    /// Always `chatchonk-api`.
    service: &'static str,
    /// The running release.
    version: &'static str,
    /// The commit of the build, or `unknown`.
    commit: &'static str,
    /// The deployment, such as `production`.
    environment: String,
    /// Uptime of the process.
    uptime_seconds: u64,
    /// Time of this answer, at most a second ago.
    #[serde(with = "time::serde::rfc3339")]
    timestamp: OffsetDateTime,
    database: Database,
    cache: CacheHealth,
    catalogue: Option<CatalogueHealth>,
}

/// The database at its last background check.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseHealth)]
pub struct Database {
    /// `up`, `down` or `not_configured`.
    status: &'static str,
    kind: DatabaseKind,
    /// `verified`: certificate and host name are checked. `unverified`: `DATABASE_TLS` disables that. `local`: the
    /// connection stays on this machine.
    tls: Option<DatabaseTls>,
    /// Round trip of that check, in milliseconds.
    latency_ms: Option<f64>,
    /// Time of that check.
    #[serde(with = "time::serde::rfc3339::option")]
    checked_at: Option<OffsetDateTime>,
    /// What is wrong.
    reason: Option<&'static str>,
    /// How to fix it.
    remedy: Option<&'static str>,
}

/// Monitors rely on the first five keys: names and types stay.
#[derive(Debug, Serialize, ToSchema)]
pub struct CacheHealth {
    /// `enabled`, `not_configured` or `unavailable`; `detail.kv` gives reason and remedy.
    cloudflare_kv: &'static str,
    /// Always `available`.
    fallback_cache: &'static str,
    /// Reads answered from memory or Cloudflare KV since the start of the process.
    cache_hits: u64,
    /// All other reads.
    cache_misses: u64,
    /// Share of hits, such as `96.5%`.
    hit_ratio: String,
    /// Counters for diagnosis. Members may change between releases.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

/// Reads of one family.
#[derive(Debug, Serialize)]
struct FamilyHealth {
    hit_ratio: String,
    #[serde(flatten)]
    statistics: Statistics,
}

/// The served catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogueHealth {
    source: CatalogueSource,
    /// Its version; 0 for `builtin`.
    revision: u64,
    /// Number of listed models.
    models: usize,
    /// Number of providers.
    providers: usize,
    /// Unreadable rows, which are left out.
    skipped: usize,
    /// Unreadable optional details, which show as `null` or are missing from their list.
    details_ignored: usize,
    /// Time of its load.
    #[serde(with = "time::serde::rfc3339")]
    loaded_at: OffsetDateTime,
    /// Last time it was found current.
    #[serde(with = "time::serde::rfc3339::option")]
    validated_at: Option<OffsetDateTime>,
    /// Whether it may be outdated because its source does not answer.
    stale: bool,
}

impl Overall {
    fn of(Sources { reader, status, .. }: &Sources, kv_status: &str) -> Self {
        let unready = !status.is_decided() || status.is_draining() || status.is_misconfigured();
        let Some(report) = reader.catalogue.report().filter(|_| !unready) else { return Self::Unhealthy };
        let database_degrades = match status.database().state {
            DatabaseState::Up { fault, .. } => fault.is_some(),
            // No check has ended yet, so no fault is known.
            DatabaseState::Unknown => false,
            DatabaseState::Down(_) | DatabaseState::NotConfigured => true,
        };
        let degraded = database_degrades || report.stale || kv_status == "unavailable";
        if degraded { Self::Degraded } else { Self::Healthy }
    }
}

impl Health {
    /// Builds the current answer.
    pub fn of(sources: &Sources) -> Self {
        let status = &sources.status;
        let (kv_status, kv_detail) = sources.kv.health();
        Self {
            status: Overall::of(sources, kv_status),
            service: "chatchonk-api",
            version: env!("CARGO_PKG_VERSION"),
            commit: crate::COMMIT,
            environment: sources.environment.clone(),
            uptime_seconds: status.uptime().as_secs(),
            timestamp: status.utc(),
            database: Database::from(status.database()),
            cache: CacheHealth::of(sources, kv_status, &kv_detail),
            catalogue: sources.reader.catalogue.report().as_ref().map(CatalogueHealth::from),
        }
    }
}

impl From<DatabaseReport> for Database {
    fn from(report: DatabaseReport) -> Self {
        let fault = report.state.fault().map(|fault| (fault.reason(), fault.remedy()));
        let (status, fault) = match report.state {
            DatabaseState::Up { .. } => ("up", fault),
            DatabaseState::Unknown | DatabaseState::Down(_) => ("down", fault),
            DatabaseState::NotConfigured => ("not_configured", Some(NOT_INSTALLED)),
        };
        let (reason, remedy) = fault.unzip();
        Self {
            status,
            kind: report.kind,
            tls: report.tls,
            latency_ms: report.latency_ms(),
            checked_at: report.checked_at,
            reason,
            remedy,
        }
    }
}

impl CacheHealth {
    fn of(sources: &Sources, kv_status: &'static str, kv_detail: &serde_json::Value) -> Self {
        let Sources { reader, status, meters, .. } = sources;
        let statistics = reader.catalogue.statistics();
        let (bodies, bytes) = reader.editions.kept();
        let listener: ListenerState = *status.listener().read();
        let families = meters.iter().map(|meter| {
            let Metered { family, statistics, .. } = meter();
            (family, FamilyHealth { hit_ratio: statistics.hit_ratio(), statistics })
        });
        Self {
            cloudflare_kv: kv_status,
            fallback_cache: "available",
            cache_hits: statistics.hits(),
            cache_misses: statistics.misses(),
            hit_ratio: statistics.hit_ratio(),
            detail: json!({
                "kv": kv_detail,
                "memory": { "entries": statistics.entries, "bytes": statistics.bytes, "hits": statistics.memory },
                "representations": { "entries": bodies, "bytes": bytes },
                "families": families.collect::<BTreeMap<_, _>>(),
                "listener": listener,
            }),
        }
    }
}

impl From<&CatalogueReport> for CatalogueHealth {
    fn from(report: &CatalogueReport) -> Self {
        let snapshot = report.read.snapshot();
        Self {
            source: report.read.source(),
            revision: report.read.revision(),
            models: snapshot.listed(),
            providers: snapshot.providers().len(),
            skipped: snapshot.skipped(),
            details_ignored: snapshot.details_ignored(),
            loaded_at: report.read.entry.loaded_at,
            validated_at: report.validated_at,
            stale: report.stale,
        }
    }
}
