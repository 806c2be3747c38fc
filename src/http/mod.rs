//! HTTP: the only place that knows actix. `State` is what handlers share.

mod api;
mod docs;
mod edge;
mod health;
mod metrics;
mod openai;
mod page;
mod reply;

use std::net::TcpListener;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_cors::Cors;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest};
use actix_web::http::header::{self, HeaderName};
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, Handler, HttpResponse, HttpServer, Resource, Responder, guard, web};
use tracing_actix_web::TracingLogger;

pub use api::automodel::AutoModelDocument;
pub use api::models::list_of_models;
pub use api::status::StatusDocument;
pub use docs::Pages;
pub use docs::openapi::document_text;
pub use edge::{Failures, RateLimit};
pub use health::HealthDocument;
pub use metrics::{
    InvalidMetricsToken, Metrics, MetricsSettings, MetricsToken, Requests, Route, Underway, Worker,
};
pub use page::StatusPage;
pub use reply::{ApiError, Code, Editions};

use crate::automodel::{ProbeSettings, ProviderHealthBoard};
use crate::cache::{KvError, KvSettings, Meter, SharedTier};
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::status::Status;

use api::{automodel, models, providers, status, tasks};
use edge::{Limited, connections, layers as middleware};

/// How long requests under way may take once the server stops. The rest of the 10 s is for the database and the log.
const DRAIN_SECONDS: u64 = 3;

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Threads that serve requests.
    pub workers: usize,
    /// Origins whose pages may read answers.
    pub allowed_origins: Vec<String>,
    /// Requests per minute and client; `None`: no limit.
    pub rate_limit: Option<NonZeroU32>,
    /// Whether Render's proxy stands in front, and names the client in a header that nobody else can set.
    pub behind_render: bool,
    /// The name of the deployment, such as `production`.
    pub environment: String,
}

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
    #[must_use]
    pub fn tier(&self) -> Option<&SharedTier> {
        if let Self::Tier(tier) = self { Some(tier) } else { None }
    }
}

/// What handlers share.
pub struct State {
    /// The catalogue.
    pub catalogue: Catalogue,
    /// What the background checks saw.
    pub status: Arc<Status>,
    /// Which provider keys are set, and whether providers are probed.
    pub probes: ProbeSettings,
    /// What the probes say of the providers; empty, hence all unknown, as long as nothing probes them.
    pub provider_health: ProviderHealthBoard,
    /// Cloudflare KV.
    pub kv: KvState,
    /// The counters of the caches in use.
    pub meters: Vec<Meter>,
    /// The bodies that are ready to be sent; begins empty.
    pub editions: Editions,
    /// `/api/health`, written at most once a second while nothing vital changes; begins empty.
    pub health: HealthDocument,
    /// The same for `/api/automodel/health`.
    pub automodel_health: AutoModelDocument,
    /// The same for `/api/status`.
    pub status_document: StatusDocument,
    /// The status page; begins empty.
    pub page: StatusPage,
    /// The API's document and its pages; begins empty.
    pub pages: Pages,
    /// How often a client may ask; `None`: as often as it likes.
    pub rate_limit: Option<RateLimit>,
    /// Which failed requests get a line in the log.
    pub failures: Failures,
    /// What is counted for Prometheus; `None`: nothing.
    pub metrics: Option<Metrics>,
    /// For limits of time.
    pub clock: Clock,
    /// Settings of the HTTP side.
    pub settings: HttpSettings,
}

/// Serves on a listener that is already bound, and metrics on another. Each server runs when its future is awaited and
/// stops on its handle's `stop`, never on a signal of its own.
///
/// # Errors
/// When a listener cannot be used.
pub fn serve(
    listener: TcpListener,
    metrics: Option<TcpListener>,
    state: State,
) -> std::io::Result<(Server, Option<Server>)> {
    connections::prepare(&listener)?;
    let state = web::Data::new(state);
    let metrics = metrics.map(|listener| metrics::serve(listener, state.clone())).transpose()?;
    let workers = state.settings.workers;
    let server = HttpServer::new(move || app(state.clone()))
        .workers(workers)
        .keep_alive(connections::KEEP_ALIVE)
        // For the head of the first request: whoever sends it byte by byte is cut off.
        .client_request_timeout(Duration::from_secs(5))
        // Sockets live in the system's time, whatever the clock of the rest says.
        .on_connect(connections::watch(Clock::system()))
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals()
        .listen(listener)?;
    Ok((server.run(), metrics))
}

fn app(
    state: web::Data<State>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let cors = cors(&state.settings.allowed_origins);
    let worker = state.metrics.as_ref().map(Metrics::worker);
    let clock = &state.clock.clone();
    App::new()
        .app_data(worker)
        .configure(|app| metrics::configure(&state, app))
        .app_data(state)
        // In the order in which they are looked for: what is asked for most comes first.
        .service(get("/api/models", models::list, clock))
        .service(get("/api/models/{id:.+}", models::item, clock))
        .service(get("/api/health", health::health, clock))
        .service(get("/api/health/live", health::live, clock))
        .service(get("/api/health/ready", health::ready, clock))
        .service(get("/api/automodel/health", automodel::health, clock))
        .service(get("/api/modelswapper/health", automodel::modelswapper, clock))
        .service(get("/api/status", status::status, clock))
        .service(get("/api/providers", providers::list, clock))
        .service(get("/api/providers/{id}", providers::item, clock))
        .service(get("/api/providers/{id}/models", providers::models, clock))
        .service(get("/api/tasks", tasks::list, clock))
        .service(get("/v1/models", openai::list, clock))
        .service(get("/v1/models/{id:.+}", openai::item, clock))
        .service(get("/api/openapi.json", docs::document, clock))
        .service(get("/api/docs", docs::reference, clock))
        .service(get("/api/docs/errors", docs::errors, clock))
        .service(get("/api/docs/style.css", docs::style, clock))
        .service(get("/", page::page, clock))
        .service(get("/page/{file}", page::file, clock))
        .default_service(web::to(nothing_here))
        .wrap(from_fn(middleware::bounded))
        .wrap(cors)
        .wrap(Condition::new(middleware::is_traced(), TracingLogger::<middleware::RootSpan>::new()))
        .wrap(from_fn(middleware::outermost))
}

/// A resource that answers GET and HEAD within a limit of time, and 405 with `Allow` to everything else.
fn get<F, Args>(path: &'static str, handler: F, clock: &Clock) -> Resource
where
    F: Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let handler = Limited { handler, clock: clock.clone() };
    web::resource(path)
        .app_data(metrics::Route(path))
        .route(web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler))
        .default_service(web::to(|| async { Err::<HttpResponse, _>(ApiError::method("GET, HEAD")) }))
}

async fn nothing_here() -> Result<HttpResponse, ApiError> {
    Err(no_such_route())
}

fn no_such_route() -> ApiError {
    let routes = "see /api/docs, /api/models, /api/providers, /api/tasks, /v1/models and /api/health";
    ApiError::new(Code::RouteNotFound, routes)
}

/// Exact origins only; answers to others carry no permission, which is what makes a browser refuse them.
fn cors(origins: &[String]) -> Cors {
    let exposed = ["etag", "cache-status", "x-request-id", "retry-after", "ratelimit", "ratelimit-policy"];
    let exposed = exposed.map(HeaderName::from_static);
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "OPTIONS"])
        .allowed_headers([
            header::ACCEPT,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            middleware::REQUEST_ID,
        ])
        .expose_headers(exposed)
        .max_age(3_600)
        // The answers say it themselves, without the copy that this would make of each.
        .disable_vary_header();
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
