//! The composition root: builds the server, runs it, and stops it in order.

mod announcements;
mod check;
mod database;
mod intake;
mod lifecycle;
mod purge;
mod recorder;
mod tables;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::sync::{SetOnce, oneshot};

use crate::cache::{Scopes, Tier};
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::config::{Config, DatabaseChoice};
use crate::domain::seed::Seed;
use crate::embedded::EmbeddedError;
use crate::http::{self, Dependencies, KvState};
use crate::kv_client::{KvClient, KvSettings};
use crate::kv_tier::SharedTier;
use crate::provider_health::{ProviderHealthBoard, Watch};
use crate::status::{DatabaseKind, Status};
use crate::store::DatabaseTls;

pub use check::{Line, Mark, check};
pub use database::open;
pub use purge::{delete_from_kv, raise_version};
pub use tables::seed;

use database::Supervisor;
use lifecycle::Lifecycle;
use recorder::Recorder;

/// Time limit for the last write to the shared tier.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// How long readiness is refused before the port closes, so that load balancers turn away first.
const NOTICE: Duration = Duration::from_millis(500);
/// How long lists wait for a database that `DATABASE_URL` names.
const DECIDE_REMOTE: Duration = Duration::from_secs(3);
/// How long they wait for a private cluster, which may have to be created.
const DECIDE_EMBEDDED: Duration = Duration::from_secs(15);

/// A server with its background tasks.
pub struct App {
    /// The address of its listener.
    pub address: SocketAddr,
    /// The address of the separate listener for metrics.
    pub metrics_address: Option<SocketAddr>,
    /// The health of the providers.
    pub provider_health: ProviderHealthBoard,
    server: actix_web::dev::Server,
    metrics: Option<actix_web::dev::Server>,
    status: Arc<Status>,
    shared: Option<SharedTier>,
    lifecycle: Lifecycle,
    refused: oneshot::Receiver<EmbeddedError>,
}

impl App {
    /// Starts the background tasks. The port answers once [`App::run`] is polled; lists wait until the first source of the
    /// catalogue is decided.
    ///
    /// Must be called within a multi-thread tokio runtime.
    ///
    /// # Errors
    /// When the seed is damaged, or a listener cannot be used. An unreachable database is no error.
    pub fn start(config: Config, listener: TcpListener, clock: Clock) -> anyhow::Result<Self> {
        let address = listener.local_addr().context("the listener has no address")?;
        let metrics = config.metrics.address.map(listen).transpose()?;
        let seed = Seed::builtin().context("the seed compiled into this binary is damaged")?;
        let (kind, tls, decide) = match &config.database {
            DatabaseChoice::Url(settings) => (DatabaseKind::Postgres, settings.tls, DECIDE_REMOTE),
            DatabaseChoice::Embedded { .. } => (DatabaseKind::Embedded, DatabaseTls::Local, DECIDE_EMBEDDED),
        };
        let status = Arc::new(Status::new(clock.clone(), kind).with_tls(tls));
        let scopes = Arc::new(Scopes::new(clock.clone()));
        let kv = shared_tier(&config, &clock);
        let shared = kv.tier().cloned();
        let tier = || shared.clone().map(|tier| Arc::new(tier) as Arc<dyn Tier>);
        let catalogue = Catalogue::new(
            seed.clone().into_snapshot(),
            tier(),
            Arc::clone(&status),
            Arc::clone(&scopes),
            clock.clone(),
            Handle::current(),
        );
        let lifecycle = Lifecycle::new();
        lifecycle.spawn({
            let (status, clock) = (Arc::clone(&status), clock.clone());
            async move {
                clock.sleep(decide).await;
                status.decide();
            }
        });
        lifecycle.spawn(intake::watch(clock.clone()));
        lifecycle.spawn(load_changes(catalogue.clone(), &scopes));
        if let Some(shared) = shared.clone() {
            lifecycle.spawn(async move { shared.run().await });
        }
        let provider_health = ProviderHealthBoard::default();
        let mut meters = vec![catalogue.meter()];
        if config.probes.enabled {
            let watch = Watch::new(
                config.probes.clone(),
                catalogue.clone(),
                Arc::clone(&status),
                provider_health.clone(),
                (tier(), Arc::clone(&scopes)),
                clock.clone(),
                Handle::current(),
            );
            meters.push(watch.meter());
            lifecycle.spawn(watch.run());
        }
        let recorder = Recorder {
            status: Arc::clone(&status),
            catalogue: catalogue.clone(),
            provider_health: provider_health.clone(),
            shared: shared.clone(),
            clock: clock.clone(),
        };
        lifecycle.spawn(recorder.run());
        let dependencies = Dependencies {
            catalogue: catalogue.clone(),
            status: Arc::clone(&status),
            probes: config.probes.clone(),
            provider_health: provider_health.clone(),
            kv,
            meters,
            clock: clock.clone(),
            settings: config.http.clone(),
            metrics: config.metrics.clone(),
        };
        let prepared = Arc::new(SetOnce::new());
        lifecycle.spawn(announcements::follow(
            Arc::clone(&prepared),
            scopes,
            Arc::clone(&status),
            clock.clone(),
        ));
        let (refuse, refused) = oneshot::channel();
        let supervisor = Supervisor {
            config,
            seed,
            catalogue,
            status: Arc::clone(&status),
            shared: shared.clone(),
            clock,
            prepared,
            refuse,
        };
        lifecycle.spawn_with_end(|cancel| supervisor.run(cancel));
        let (metrics_address, metrics) = metrics.unzip();
        let (server, metrics) =
            http::serve(listener, metrics, dependencies).context("cannot serve on the listener")?;
        Ok(Self {
            address,
            metrics_address,
            provider_health,
            server,
            metrics,
            status,
            shared,
            lifecycle,
            refused,
        })
    }

    /// Serves until `stop` completes, then stops within 10 s: first readiness, half a second later the port, then requests
    /// under way, and last the background tasks and the database.
    ///
    /// # Errors
    /// When the server fails, or another server uses the folder of the private database.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let handle = self.server.handle();
        let mut server = tokio::spawn(self.server);
        let metrics = self.metrics.map(|metrics| {
            let handle = metrics.handle();
            tokio::spawn(metrics);
            handle
        });
        let (ended, refusal) = tokio::select! {
            ended = &mut server => (Some(ended), None),
            () = stop => (None, None),
            Ok(refusal) = self.refused => (None, Some(refusal)),
        };
        self.status.drain();
        let ended = match ended {
            Some(ended) => ended,
            None => {
                if refusal.is_none() {
                    tokio::time::sleep(NOTICE).await;
                }
                handle.stop(refusal.is_none()).await;
                server.await
            }
        };
        if let Some(shared) = &self.shared {
            // Another instance writes what this flush cannot.
            let _ = tokio::time::timeout(FLUSH_LIMIT, shared.flush()).await;
        }
        if let Some(metrics) = metrics {
            // Metrics show the progress of the stop until here.
            metrics.stop(false).await;
        }
        self.lifecycle.stop().await;
        ended.context("the server broke off")?.context("the server failed")?;
        refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
    }
}

fn listen(address: SocketAddr) -> anyhow::Result<(SocketAddr, TcpListener)> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}; set METRICS_PORT to another port"))?;
    Ok((listener.local_addr().context("the listener of metrics has no address")?, listener))
}

/// Loads every new version of the catalogue, before a request needs it. Repeats a failed load, with pauses.
fn load_changes(catalogue: Catalogue, scopes: &Scopes) -> impl Future<Output = ()> + use<> {
    let mut changes = scopes.changes();
    async move {
        while changes.changed().await.is_ok() {
            // A request may have loaded it already. The cache logs failures.
            let is_stale = || catalogue.report().is_none_or(|held| held.stale);
            while is_stale() && catalogue.refresh_when_due().await.is_err() {}
        }
    }
}

/// Builds the shared tier. A fault of KV must not keep the server from starting.
fn shared_tier(config: &Config, clock: &Clock) -> KvState {
    let connection = match &config.kv {
        KvSettings::Configured(connection) => connection,
        settings @ KvSettings::NotConfigured { .. } => return KvState::NotConfigured(settings.clone()),
    };
    match KvClient::new(connection, clock.clone()) {
        Ok(client) => {
            let environment = config.http.environment.clone();
            KvState::Tier(SharedTier::new(client, environment, config.kv_limits, clock.clone()))
        }
        Err(error) => {
            tracing::warn!(remedy = error.remedy(), "Cloudflare KV unavailable: {error}; memory carries on");
            KvState::Broken(error)
        }
    }
}
