//! The document of `/api/health`.

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

/// How this instance uses Cloudflare KV.
pub enum KvState {
    /// Not at all; the settings say what is missing.
    NotConfigured(KvSettings),
    /// As the shared tier.
    Tier(SharedTier),
    /// It is configured, but no client could be made.
    Broken(KvError),
}

impl KvState {
    /// The shared tier, if there is one.
    pub fn tier(&self) -> Option<&SharedTier> {
        if let Self::Tier(tier) = self { Some(tier) } else { None }
    }
}

/// What the document shows.
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
        /// All is well.
        Healthy = "healthy",
        /// Serves, but something is wrong.
        Degraded = "degraded",
        /// Must not get traffic.
        Unhealthy = "unhealthy",
    }
);

/// The health of this server.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    pub status: Overall,
    /// Always `chatchonk-api`.
    service: &'static str,
    /// The release that runs.
    version: &'static str,
    /// The commit it was built from, or `unknown`.
    commit: &'static str,
    /// The name of the deployment, such as `production`.
    environment: String,
    /// How long the process has run.
    uptime_seconds: u64,
    /// When this was written, at most a second ago.
    #[serde(with = "time::serde::rfc3339")]
    timestamp: OffsetDateTime,
    database: Database,
    cache: CacheHealth,
    #[schema(required)]
    catalogue: Option<CatalogueHealth>,
}

/// The database, as the last background check saw it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseHealth)]
pub struct Database {
    /// `up`, `down` or `not_configured`.
    status: &'static str,
    kind: DatabaseKind,
    /// `verified`: the server's certificate and host name are checked. `unverified`: `DATABASE_TLS` says not to. `local`:
    /// the connection does not leave the machine.
    #[schema(required)]
    tls: Option<DatabaseTls>,
    /// The round trip of that check, in milliseconds.
    #[schema(required)]
    latency_ms: Option<f64>,
    /// When that was.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required)]
    checked_at: Option<OffsetDateTime>,
    /// What is wrong, in plain words.
    #[schema(required)]
    reason: Option<&'static str>,
    /// The way out.
    #[schema(required)]
    remedy: Option<&'static str>,
}

/// The first five keys are a contract with those who watch this route: names and types stay.
#[derive(Debug, Serialize, ToSchema)]
pub struct CacheHealth {
    /// `enabled`, `not_configured` or `unavailable`; `detail.kv` says why, and the way out.
    cloudflare_kv: &'static str,
    /// Always `available`.
    fallback_cache: &'static str,
    /// Reads answered from memory or Cloudflare KV, since the start of the process.
    cache_hits: u64,
    /// All other reads.
    cache_misses: u64,
    /// Hits of all reads, such as `96.5%`.
    hit_ratio: String,
    /// Counters for people who look for a cause. May gain and lose members between releases.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

/// The reads of one family.
#[derive(Debug, Serialize)]
struct FamilyHealth {
    hit_ratio: String,
    #[serde(flatten)]
    statistics: Statistics,
}

/// The catalogue that is served.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogueHealth {
    source: CatalogueSource,
    /// Its version; 0 for `builtin`.
    revision: u64,
    /// How many models are listed.
    models: usize,
    /// How many providers there are.
    providers: usize,
    /// Rows that could not be read and are left out.
    skipped: usize,
    /// Optional details that could not be read: they show as `null`, or are missing from their list.
    details_ignored: usize,
    /// When it was loaded.
    #[serde(with = "time::serde::rfc3339")]
    loaded_at: OffsetDateTime,
    /// When it was last found to be current.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required)]
    validated_at: Option<OffsetDateTime>,
    /// Whether it may be out of date, because its source does not answer.
    stale: bool,
}

impl Overall {
    /// The state now.
    fn of(Sources { reader, status, .. }: &Sources, kv: &KvHealth) -> Self {
        let unready = !status.is_decided() || status.is_draining() || status.is_misconfigured();
        let Some(report) = reader.catalogue.report().filter(|_| !unready) else { return Self::Unhealthy };
        let database_degrades = match status.database().state {
            DatabaseState::Up { fault, .. } => fault.is_some(),
            // No check has ended yet, so no fault is known.
            DatabaseState::Unknown => false,
            DatabaseState::Down(_) | DatabaseState::NotConfigured => true,
        };
        let degraded = database_degrades || report.stale || kv.status == "unavailable";
        if degraded { Self::Degraded } else { Self::Healthy }
    }
}

impl Health {
    /// What is known now.
    pub fn of(sources: &Sources) -> Self {
        let status = &sources.status;
        let kv = KvHealth::from(&sources.kv);
        Self {
            status: Overall::of(sources, &kv),
            service: "chatchonk-api",
            version: env!("CARGO_PKG_VERSION"),
            commit: crate::COMMIT,
            environment: sources.environment.clone(),
            uptime_seconds: status.uptime().as_secs(),
            timestamp: status.utc(),
            database: Database::from(status.database()),
            cache: CacheHealth::of(&kv, sources),
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

/// Cloudflare KV as health tells of it.
struct KvHealth {
    status: &'static str,
    detail: serde_json::Value,
}

impl From<&KvState> for KvHealth {
    fn from(state: &KvState) -> Self {
        match state {
            KvState::Tier(tier) => {
                let report = tier.report();
                let status = if report.available { "enabled" } else { "unavailable" };
                Self { status, detail: json!(report) }
            }
            KvState::Broken(error) => Self {
                status: "unavailable",
                detail: json!({ "state": "open", "reason": error.reason(), "remedy": error.remedy() }),
            },
            KvState::NotConfigured(settings) => {
                let (reason, remedy) = settings.remark().unzip();
                Self {
                    status: "not_configured",
                    detail: json!({ "state": "not_configured", "reason": reason, "remedy": remedy }),
                }
            }
        }
    }
}

impl CacheHealth {
    fn of(kv: &KvHealth, Sources { reader, status, meters, .. }: &Sources) -> Self {
        let statistics = reader.catalogue.statistics();
        let (bodies, bytes) = reader.editions.kept();
        let listener: ListenerState = *status.listener().read();
        let families = meters.iter().map(|meter| {
            let Metered { family, statistics, .. } = meter();
            (family, FamilyHealth { hit_ratio: statistics.hit_ratio(), statistics })
        });
        Self {
            cloudflare_kv: kv.status,
            fallback_cache: "available",
            cache_hits: statistics.hits(),
            cache_misses: statistics.misses(),
            hit_ratio: statistics.hit_ratio(),
            detail: json!({
                "kv": kv.detail,
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
