//! `serve`: runs the server until a signal stops it.

use std::net::TcpListener;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::telemetry::{self, Log};

use super::process;

pub(super) async fn serve(config: Config, log: &Log) -> anyhow::Result<ExitCode> {
    let traces = telemetry::install(log, &config.telemetry, config.traces.as_ref(), Clock::system())?;
    let ran = run(config).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    ran
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    process::raise_descriptor_limit();
    let address = config.address;
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}; set PORT or HOST to another address"))?;
    // Listens before anything starts, so that no early signal is lost.
    let stop = stop_signal()?;
    let app = App::start(config, listener, Clock::system())?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = crate::COMMIT,
        "listening on http://{}",
        app.address
    );
    if let Some(address) = app.metrics_address {
        tracing::info!("metrics on http://{address}/metrics");
    }
    app.run(stop).await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Completes at the first SIGTERM, Ctrl-C or SIGHUP. A SIGHUP that was ignored at the start stays ignored.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let hang_up = process::may_hang_up().then(|| signal(SignalKind::hangup()));
    let mut hang_up = hang_up.transpose().context("cannot listen for SIGHUP")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            Some(()) = async { hang_up.as_mut()?.recv().await } => {}
        }
        tracing::info!("stopping");
    })
}
