//! Health: what the background checks last saw. No I/O, no waiting, whatever is down.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, VARY};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::automodel::{AutoModelHealth, Standings};
use crate::cache::{ListenerState, SharedTier, Source, Statistics};
use crate::catalogue::CatalogueReport;
use crate::domain::closed::closed_enum;
use crate::status::{DatabaseKind, DatabaseReport, DatabaseState};

use super::health_draft;
use super::momentary::Momentary;
use super::reading;
use super::{KvState, State};

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
pub(super) struct Health {
    pub status: Overall,
    /// Always `chatchonk-api`.
    service: &'static str,
    /// The release that runs.
    pub version: &'static str,
    /// The commit it was built from, or `unknown`.
    pub commit: &'static str,
    /// The name of the deployment, such as `production`.
    environment: String,
    /// How long the process has run.
    uptime_seconds: u64,
    /// When this was written, at most a second ago.
    #[serde(with = "time::serde::rfc3339")]
    pub timestamp: OffsetDateTime,
    pub database: Database,
    pub cache: CacheHealth,
    #[schema(required)]
    pub catalogue: Option<CatalogueHealth>,
}

/// The database, as the last background check saw it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseHealth)]
pub(super) struct Database {
    /// `up`, `down` or `not_configured`.
    pub status: &'static str,
    kind: DatabaseKind,
    /// The round trip of that check, in milliseconds.
    #[schema(required)]
    pub latency_ms: Option<f64>,
    /// When that was.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required)]
    pub checked_at: Option<OffsetDateTime>,
    /// What is wrong, in plain words.
    #[schema(required)]
    pub reason: Option<&'static str>,
    /// The way out.
    #[schema(required)]
    remedy: Option<&'static str>,
}

/// The first five keys are a contract with those who watch this route: names and types stay.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CacheHealth {
    /// `enabled`, `not_configured` or `unavailable`; `detail.kv` says why, and the way out.
    pub cloudflare_kv: &'static str,
    /// Always `available`.
    fallback_cache: &'static str,
    /// Reads answered from memory or Cloudflare KV, since the start of the process.
    pub cache_hits: u64,
    /// All other reads.
    pub cache_misses: u64,
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

impl From<Statistics> for FamilyHealth {
    fn from(statistics: Statistics) -> Self {
        Self { hit_ratio: statistics.hit_ratio(), statistics }
    }
}

/// The catalogue that is served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CatalogueHealth {
    pub source: Source,
    /// Its version; 0 for `builtin`.
    revision: u64,
    /// How many models are listed.
    pub models: usize,
    /// How many providers there are.
    providers: usize,
    /// Rows that could not be read and are left out.
    skipped: usize,
    /// When it was loaded.
    #[serde(with = "time::serde::rfc3339")]
    loaded_at: OffsetDateTime,
    /// When it was last found to be current.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required)]
    validated_at: Option<OffsetDateTime>,
    /// Whether it may be out of date, because its source does not answer.
    pub stale: bool,
}

impl Health {
    fn of(state: &State) -> Self {
        let status = &state.status;
        let database = status.database();
        let report = state.catalogue.report();
        let unready = !status.is_decided() || status.is_draining() || status.is_misconfigured();
        let kv = KvHealth::from(&state.kv);
        let overall = if unready || report.is_none() {
            Overall::Unhealthy
        } else if database_degrades(database.state)
            || report.as_ref().is_some_and(|report| report.stale)
            || kv.status == "unavailable"
        {
            Overall::Degraded
        } else {
            Overall::Healthy
        };
        let listener = *status.listener().read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Self {
            status: overall,
            service: "chatchonk-api",
            version: env!("CARGO_PKG_VERSION"),
            commit: crate::COMMIT,
            environment: state.settings.environment.clone(),
            uptime_seconds: status.uptime().as_secs(),
            timestamp: status.utc(),
            database: Database::from(database),
            cache: CacheHealth::of(kv, state.catalogue.statistics(), state.editions.kept(), listener),
            catalogue: report.as_ref().map(CatalogueHealth::from),
        }
    }
}

fn database_degrades(state: DatabaseState) -> bool {
    match state {
        DatabaseState::Up { read_only, .. } => read_only,
        // Before the first look nothing is known to be wrong; the start itself is told by `decided`.
        DatabaseState::Unknown => false,
        DatabaseState::Down(_) | DatabaseState::NotConfigured => true,
    }
}

impl From<DatabaseReport> for Database {
    fn from(report: DatabaseReport) -> Self {
        use crate::store::DatabaseFault;
        let (status, latency, fault) = match report.state {
            DatabaseState::Up { latency, read_only } => {
                ("up", Some(latency), read_only.then_some(DatabaseFault::ReadOnly))
            }
            DatabaseState::Unknown => ("down", None, None),
            DatabaseState::Down(fault) => ("down", None, Some(fault)),
            DatabaseState::NotConfigured => ("not_configured", None, None),
        };
        let none_installed = report.state == DatabaseState::NotConfigured;
        Self {
            status,
            kind: report.kind,
            latency_ms: latency.map(|latency| (latency.as_secs_f64() * 1e5).round() / 1e2),
            checked_at: report.checked_at,
            reason: fault
                .map(DatabaseFault::reason)
                .or(none_installed.then_some("no PostgreSQL is installed here")),
            remedy: fault.map(DatabaseFault::remedy).or(none_installed
                .then_some("set DATABASE_URL, or install PostgreSQL 15 or newer and start again")),
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
    fn of(
        kv: KvHealth,
        statistics: Statistics,
        (bodies, bytes): (u64, u64),
        listener: ListenerState,
    ) -> Self {
        let KvHealth { status, detail } = kv;
        Self {
            cloudflare_kv: status,
            fallback_cache: "available",
            cache_hits: statistics.hits(),
            cache_misses: statistics.misses(),
            hit_ratio: statistics.hit_ratio(),
            detail: json!({
                "kv": detail,
                "memory": { "entries": statistics.entries, "bytes": statistics.bytes, "hits": statistics.memory },
                "representations": { "entries": bodies, "bytes": bytes },
                "families": { crate::cache::CATALOGUE.name: FamilyHealth::from(statistics) },
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
            loaded_at: report.loaded_at,
            validated_at: report.validated_at,
            stale: report.stale,
        }
    }
}

/// What shows in health at once when it changes; the rest may be a second old.
#[derive(Debug, PartialEq)]
pub struct Vital {
    decided: bool,
    draining: bool,
    misconfigured: bool,
    database: DatabaseReport,
    listener: ListenerState,
    statistics: Statistics,
    /// Calls to KV, and keys that wait for one.
    kv: Option<(u64, usize)>,
    /// Source, revision and whether it is stale.
    catalogue: Option<(Source, u64, bool)>,
}

impl Vital {
    fn of(state: &State) -> Self {
        let status = &state.status;
        Self {
            decided: status.is_decided(),
            draining: status.is_draining(),
            misconfigured: status.is_misconfigured(),
            database: status.database(),
            listener: *status.listener().read().unwrap_or_else(std::sync::PoisonError::into_inner),
            statistics: state.catalogue.statistics(),
            kv: state.kv.tier().map(SharedTier::activity),
            catalogue: state
                .catalogue
                .report()
                .map(|report| (report.read.source(), report.read.revision(), report.stale)),
        }
    }
}

/// The document of `/api/health`.
pub type HealthDocument = Momentary<Vital, HealthBodies>;
/// The document of `/api/automodel/health`, which rests on the catalogue's source and revision and on the providers.
pub type AutoModelDocument = Momentary<(Source, u64, Arc<Standings>), Bytes>;

/// Health as it is sent, in both shapes.
#[derive(Debug)]
pub struct HealthBodies {
    status: StatusCode,
    own: Bytes,
    draft: Bytes,
}

impl From<Health> for HealthBodies {
    fn from(health: Health) -> Self {
        Self {
            status: match health.status {
                Overall::Healthy | Overall::Degraded => StatusCode::OK,
                Overall::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
            },
            own: reading::json(&health).into(),
            draft: reading::json(&health_draft::HealthDraft::from(&health)).into(),
        }
    }
}

/// The state of one part of the process.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes, and is never made")]
pub(super) struct Probe {
    /// `live`, `ready`, `starting` or `draining`.
    status: String,
}

/// Show the server's health.
///
/// For the platform and for people. No I/O, whatever is down. With `Accept: application/health+json` in the shape of
/// the IETF draft. Parameters are ignored.
#[utoipa::path(get, path = "/api/health", operation_id = "get_health", tag = "Health",
    responses(
        (status = 200, description = "It serves: `healthy` or `degraded`.",
            content((Health = "application/json"), (Value = "application/health+json"))),
        (status = 503, description = "It must not get traffic: `unhealthy`.",
            content((Health = "application/json"), (Value = "application/health+json")))))]
pub(super) async fn health(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let write = || HealthBodies::from(Health::of(&state));
    let health = state.health.get(Vital::of(&state), state.status.uptime(), write);
    let HealthBodies { status, own, draft } = &health.document;
    let accepts_draft = request
        .headers()
        .get_all(ACCEPT)
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(health_draft::CONTENT_TYPE)));
    let (kind, body) =
        if accepts_draft { (health_draft::CONTENT_TYPE, draft) } else { ("application/json", own) };
    let mut response = HttpResponse::build(*status);
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header((VARY, "Accept, Origin"));
    response.content_type(kind).body(body.clone())
}

/// Say whether the process runs.
#[utoipa::path(get, path = "/api/health/live", operation_id = "get_health_live", tag = "Health",
    responses((status = 200, description = "It runs.", body = Probe)))]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({ "status": "live" }))
}

/// Say whether the server is ready.
///
/// It is once the first source of the catalogue is decided, and until the process is about to stop.
#[utoipa::path(get, path = "/api/health/ready", operation_id = "get_health_ready", tag = "Health",
    responses((status = 200, description = "It is ready.", body = Probe),
        (status = 503, description = "It is starting, or about to stop.", body = Probe)))]
pub(super) async fn ready(state: web::Data<State>) -> HttpResponse {
    let (status, word) = if state.status.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if state.status.is_decided() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    };
    HttpResponse::build(status).insert_header((CACHE_CONTROL, "no-store")).json(json!({ "status": word }))
}

/// Show the health of all providers, under the name of `ModelSwapper`.
///
/// The same as `/api/automodel/health`.
#[utoipa::path(get, path = "/api/modelswapper/health", operation_id = "get_modelswapper_health", tag = "Health",
    responses((status = 200, description = "The providers.", body = AutoModelHealth),
        (status = 503, description = "There is no catalogue yet.", body = Probe)))]
pub(super) async fn modelswapper(state: web::Data<State>) -> HttpResponse {
    automodel(state).await
}

/// Show the health of all providers.
///
/// What background probes last saw. Nothing is asked of a provider for this answer.
#[utoipa::path(get, path = "/api/automodel/health", operation_id = "get_automodel_health", tag = "Health",
    responses((status = 200, description = "The providers.", body = AutoModelHealth),
        (status = 503, description = "There is no catalogue yet.", body = Probe)))]
pub(super) async fn automodel(state: web::Data<State>) -> HttpResponse {
    let Some(report) = state.catalogue.report() else {
        return HttpResponse::ServiceUnavailable()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(json!({ "status": "unhealthy" }));
    };
    let providers = state.provider_health.standings();
    let of = (report.read.source(), report.read.revision(), Arc::clone(&providers));
    let health = state.automodel_health.get(of, state.status.uptime(), || {
        let snapshot = report.read.snapshot();
        Bytes::from(reading::json(&AutoModelHealth::of(
            snapshot,
            &providers,
            &state.probes,
            state.status.utc(),
        )))
    });
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("application/json")
        .body(health.document.clone())
}
