//! The public server, and the one for metrics.

use std::net::TcpListener;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, HttpServer, web};
use tracing_actix_web::TracingLogger;

use crate::cache::Meter;
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::provider_health::{ProbeSettings, ProviderHealthBoard};
use crate::status::Status;

use super::edge::{Edge, Failures, RateLimit, connections, cors, layers};
use super::health::KvState;
use super::metrics::{Metrics, MetricsSettings};
use super::reply::{Editions, Reader};
use super::{api, docs, health, metrics, page, routes};

/// Time for requests in progress when the server stops. The rest of the 10 s is for database and log.
const DRAIN_SECONDS: u64 = 3;

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Threads for requests.
    pub workers: usize,
    /// Origins whose pages may read answers.
    pub allowed_origins: Vec<String>,
    /// Requests per minute and client; `None`: unlimited.
    pub rate_limit: Option<NonZeroU32>,
    /// Whether requests come through Render's proxy, which names the client in a header that clients cannot set.
    pub behind_render: bool,
    /// Name of the deployment, such as `production`.
    pub environment: String,
}

/// What the servers depend on.
pub struct Dependencies {
    /// The catalogue.
    pub catalogue: Catalogue,
    /// Results of the background checks.
    pub status: Arc<Status>,
    /// Provider keys, and whether providers are probed.
    pub probes: ProbeSettings,
    /// Results of the probes; without probes all providers are unknown.
    pub provider_health: ProviderHealthBoard,
    /// Cloudflare KV.
    pub kv: KvState,
    /// Counters of the caches.
    pub meters: Vec<Meter>,
    /// For time limits.
    pub clock: Clock,
    /// Settings of the HTTP side.
    pub settings: HttpSettings,
    /// Settings of metrics.
    pub metrics: MetricsSettings,
}

/// Serves on a bound listener, and metrics on another. Each server runs when its future is awaited. It stops through
/// its handle, not on a signal.
///
/// # Errors
/// When a listener cannot be used.
pub fn serve(
    listener: TcpListener,
    metrics_listener: Option<TcpListener>,
    dependencies: Dependencies,
) -> std::io::Result<(Server, Option<Server>)> {
    let Dependencies { catalogue, status, probes, provider_health, kv, meters, clock, settings, metrics } =
        dependencies;
    let HttpSettings { workers, allowed_origins, rate_limit, behind_render, environment } = settings;
    let editions = Editions::default();
    let reader = web::Data::new(Reader { catalogue, provider_health, probes, editions });
    let edge = web::Data::new(Edge {
        reader: reader.clone(),
        rate_limit: rate_limit.map(|per_minute| RateLimit::new(per_minute, behind_render, clock.clone())),
        is_exempt: routes::is_exempt,
        failures: Failures::new(clock.clone()),
        clock: clock.clone(),
        behind_render,
    });
    let sources =
        health::Sources { reader: reader.clone(), status: Arc::clone(&status), kv, meters, environment };
    let sources = web::Data::new(sources);
    let metrics = Metrics::new(metrics, sources.clone(), clock.clone()).map(web::Data::new);
    connections::prepare(&listener)?;
    let metrics_server = metrics_listener
        .zip(metrics.clone())
        .map(|(listener, metrics)| serve_metrics(listener, metrics, edge.clone()))
        .transpose()?;
    let has_token = metrics.as_ref().is_some_and(|metrics| metrics.is_public());
    let (metrics, page) = (metrics::configure(metrics), page::configure());
    let docs = docs::configure(routes::document);
    let health = health::configure(sources);
    let api = api::configure(reader, status);
    let app = Arc::new(move |app: &mut web::ServiceConfig| {
        for configure in [&api as &dyn Fn(&mut web::ServiceConfig), &docs, &health, &metrics, &page] {
            configure(app);
        }
        app.app_data(edge.clone());
        routes::configure(app, has_token, &clock);
    });
    let server = HttpServer::new(move || {
        App::new()
            .configure(|config| app(config))
            .wrap(from_fn(layers::bounded))
            .wrap(cors(&allowed_origins))
            .wrap(Condition::new(layers::is_traced(), TracingLogger::<layers::RootSpan>::new()))
            .wrap(from_fn(layers::outermost))
    })
    .workers(workers)
    .keep_alive(connections::KEEP_ALIVE)
    // For the first request's head, against clients that send it byte by byte.
    .client_request_timeout(Duration::from_secs(5))
    // Sockets follow the system's time, whatever the clock.
    .on_connect(connections::watch(Clock::system()))
    .shutdown_timeout(DRAIN_SECONDS)
    .disable_signals()
    .listen(listener)?;
    Ok((server.run(), metrics_server))
}

fn serve_metrics(
    listener: TcpListener,
    metrics: web::Data<Metrics>,
    edge: web::Data<Edge>,
) -> std::io::Result<Server> {
    connections::prepare(&listener)?;
    let app = move || {
        let app = App::new().app_data(metrics.clone()).app_data(edge.clone());
        app.route("/metrics", web::get().to(metrics::for_bearers)).wrap(from_fn(layers::outermost))
    };
    let server = HttpServer::new(app).workers(1).shutdown_timeout(0).disable_signals().listen(listener)?;
    Ok(server.run())
}
