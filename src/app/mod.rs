//! The composition root: builds everything from a [`Config`] and a [`Clock`], serves, and stops in order.

mod announcements;
mod check;
mod database;
mod intake;
mod purge;
mod recorder;
mod tables;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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

pub use check::{Line, Mark, check};
pub use database::open;
pub use purge::{delete_from_kv, raise_version};
pub use tables::seed;

use database::Supervisor;
use recorder::Recorder;

/// How long the background tasks may take to end.
const TASKS_LIMIT: Duration = Duration::from_secs(2);
/// How long the last write to the shared tier may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// How long readiness is refused before the port closes: clients with a kept connection, and whoever distributes the
/// requests, can see it and turn away while everything is still answered.
const NOTICE: Duration = Duration::from_millis(500);
/// How long lists wait for a database that `DATABASE_URL` names.
const DECIDE_REMOTE: Duration = Duration::from_secs(3);
/// How long they wait for a private cluster, which may have to be made first.
const DECIDE_EMBEDDED: Duration = Duration::from_secs(15);

/// A server that runs until it is told to stop.
pub struct App {
    address: SocketAddr,
    server: actix_web::dev::Server,
    metrics: Option<(SocketAddr, actix_web::dev::Server)>,
    status: Arc<Status>,
    provider_health: ProviderHealthBoard,
    shared: Option<SharedTier>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    refused: oneshot::Receiver<EmbeddedError>,
}

impl App {
    /// Builds the server on a bound listener and starts its background tasks. The port answers as soon as
    /// [`App::run`] is polled; lists wait until the first source of the catalogue is decided.
    ///
    /// Must be called within a multi-thread tokio runtime.
    ///
    /// # Errors
    /// When the seed is damaged, or the listener or that of metrics cannot be used. A database that is away is no error.
    pub fn start(config: Config, listener: TcpListener, clock: Clock) -> anyhow::Result<Self> {
        let address = listener.local_addr().context("the listener has no address")?;
        let metrics = config.metrics.address.map(listen).transpose()?;
        let seed = Seed::builtin().context("the seed compiled into this binary is damaged")?;
        let (kind, decide) = match &config.database {
            DatabaseChoice::Url(_) => (DatabaseKind::Postgres, DECIDE_REMOTE),
            DatabaseChoice::Embedded { .. } => (DatabaseKind::Embedded, DECIDE_EMBEDDED),
        };
        let status = Arc::new(Status::new(clock.clone(), kind).with_tls(config.database.tls()));
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
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();

        tasks.spawn(cancel.clone().run_until_cancelled_owned({
            let (status, clock) = (Arc::clone(&status), clock.clone());
            async move {
                clock.sleep(decide).await;
                status.decide();
            }
        }));
        tasks.spawn(cancel.clone().run_until_cancelled_owned(intake::watch(clock.clone())));
        tasks.spawn(cancel.clone().run_until_cancelled_owned(load_changes(catalogue.clone(), &scopes)));
        if let Some(shared) = shared.clone() {
            tasks.spawn(cancel.clone().run_until_cancelled_owned(async move { shared.run().await }));
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
            tasks.spawn(cancel.clone().run_until_cancelled_owned(watch.run()));
        }
        let recorder = Recorder {
            status: Arc::clone(&status),
            catalogue: catalogue.clone(),
            provider_health: provider_health.clone(),
            shared: shared.clone(),
            clock: clock.clone(),
        };
        tasks.spawn(cancel.clone().run_until_cancelled_owned(recorder.run()));
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
        let (refuse, refused) = oneshot::channel();
        let supervisor = Supervisor {
            config,
            seed,
            catalogue,
            status: Arc::clone(&status),
            scopes,
            shared: shared.clone(),
            clock,
            cancel: cancel.clone(),
            refuse,
        };
        tasks.spawn(supervisor.run());
        tasks.close();
        let (metrics_address, metrics) = metrics.unzip();
        let (server, metrics) =
            http::serve(listener, metrics, dependencies).context("cannot serve on the listener")?;
        let metrics = metrics_address.zip(metrics);
        Ok(Self { address, server, metrics, status, provider_health, shared, cancel, tasks, refused })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics have a listener of their own, if they have one.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(address, _)| *address)
    }

    /// Where whoever watches the providers says how they are.
    pub fn provider_health(&self) -> &ProviderHealthBoard {
        &self.provider_health
    }

    /// Serves until `stop` completes, then stops in order: readiness first, half a second later the port, then requests
    /// under way, and at last the background tasks with the database. Takes at most 10 s from then on.
    ///
    /// # Errors
    /// When the server itself breaks, or another one uses the folder of the private database.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let handle = self.server.handle();
        let mut server = tokio::spawn(self.server);
        let metrics = self.metrics.map(|(_, metrics)| {
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
            // What is new in memory is worth a moment; what does not get through is written by another instance.
            let _ = tokio::time::timeout(FLUSH_LIMIT, shared.flush()).await;
        }
        if let Some(metrics) = metrics {
            // Last of the ports: how the stop went can be read until here.
            metrics.stop(false).await;
        }
        self.cancel.cancel();
        if tokio::time::timeout(TASKS_LIMIT, self.tasks.wait()).await.is_err() {
            tracing::warn!("background tasks did not end in time");
        }
        ended.context("the server broke off")?.context("the server failed")?;
        refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
    }
}

/// A listener for metrics, and where it is.
fn listen(address: SocketAddr) -> anyhow::Result<(SocketAddr, TcpListener)> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}; set METRICS_PORT to another port"))?;
    Ok((listener.local_addr().context("the listener of metrics has no address")?, listener))
}

/// Loads the catalogue whenever the database shows a new version, so that the next request finds it in memory. Loads
/// that fail are repeated, with pauses, until one succeeds.
fn load_changes(catalogue: Catalogue, scopes: &Scopes) -> impl Future<Output = ()> + use<> {
    let mut changes = scopes.changes();
    async move {
        while changes.changed().await.is_ok() {
            // A request may have loaded it already. The cache counts and logs a failure, and what is held serves on.
            let is_stale = || catalogue.report().is_none_or(|held| held.stale);
            while is_stale() && catalogue.refresh_when_due().await.is_err() {}
        }
    }
}

/// The shared tier, where its variables are set. Nothing in KV may keep the server from starting.
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
