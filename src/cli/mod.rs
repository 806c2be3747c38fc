//! The command line: `serve` (the default), `migrate`, `check`, `catalog seed`.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{self, App, Mark};
use crate::clock::Clock;
use crate::config::{Config, DatabaseChoice, Environment};
use crate::domain::seed::Seed;
use crate::embedded::Cluster;
use crate::store::{SeedMode, SeedReport, Store};
use crate::telemetry;

/// Threads for loads, checks and the listener; requests have threads of their own.
const RUNTIME_THREADS: usize = 2;

/// ChatChonk's API server. Settings come from the environment and `.env`; see `.env.example`.
#[derive(Debug, Parser)]
#[command(name = "chatchonk", version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CHATCHONK_COMMIT"), ")"))]
pub struct Arguments {
    /// The folder of the embedded database; wins over `DATA_DIR`.
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (the default).
    Serve,
    /// Bring the database's tables up to this release.
    Migrate,
    /// Look at everything that is configured and try it; exit code 0 when nothing of it is at fault.
    Check,
    /// Work on the catalogue.
    #[command(subcommand)]
    Catalog(CatalogCommand),
}

#[derive(Debug, Subcommand)]
enum CatalogCommand {
    /// Write the built-in catalogue into the database: what is missing, and what nobody edited.
    Seed {
        /// Reset every row of the seed, edited ones included. `enabled` and rows of your own stay.
        #[arg(long)]
        overwrite: bool,
    },
}

/// Runs the command. Faults are one line on standard error and exit code 1.
#[must_use]
pub fn run(arguments: Arguments) -> ExitCode {
    match try_run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // The last resort: where standard error is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "chatchonk: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process()?;
    let config = Config::from_environment(&environment, arguments.data_dir.as_deref())?;
    telemetry::install(&config.telemetry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match arguments.command.unwrap_or(Command::Serve) {
            Command::Serve => serve(config).await,
            Command::Migrate => migrate(&config).await,
            Command::Check => check(&config).await,
            Command::Catalog(CatalogCommand::Seed { overwrite }) => seed(&config, overwrite).await,
        }
    })
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let address = config.address;
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}; set PORT or HOST to another address"))?;
    // Before anything else is started: a signal that comes early must not be lost.
    let stop = stop_signal()?;
    let app = App::start(config, listener, Clock::system())?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = crate::COMMIT,
        "listening on http://{}",
        app.address()
    );
    app.run(stop).await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Completes at the first SIGTERM or Ctrl-C.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

async fn migrate(config: &Config) -> anyhow::Result<ExitCode> {
    with_database(config, async |store| {
        let before = store.migrations().await?;
        store.migrate().await?;
        say(&match before.pending {
            0 => format!("nothing to do: all {} migrations are applied", before.applied),
            pending => format!("{pending} migrations applied"),
        })
    })
    .await
}

async fn seed(config: &Config, overwrite: bool) -> anyhow::Result<ExitCode> {
    let seed = Seed::builtin().context("the seed compiled into this binary is damaged")?;
    let mode = if overwrite { SeedMode::Overwrite } else { SeedMode::Newer };
    with_database(config, async |store| {
        store.migrate().await?;
        match app::seed(store, &seed, mode).await? {
            SeedReport::Applied { to, .. } => {
                say(&format!("seed {to} applied: {} models", seed.models.len()))
            }
            SeedReport::UpToDate { version } => {
                say(&format!("the database already has seed {version}; `--overwrite` writes it again"))
            }
        }
    })
    .await
}

async fn check(config: &Config) -> anyhow::Result<ExitCode> {
    let store = match &config.database {
        DatabaseChoice::Url(settings) => Some(Store::new(settings.as_ref().clone())),
        DatabaseChoice::Embedded { .. } => None,
    };
    let lines = app::check(config, store.as_ref()).await;
    for line in &lines {
        say(&line.to_string())?;
    }
    let at_fault = lines.iter().any(|line| line.mark == Mark::Fault);
    Ok(if at_fault { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs `work` on the configured database and stops the embedded one afterwards, however it went.
async fn with_database(
    config: &Config,
    work: impl AsyncFnOnce(&Store) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let (store, cluster) = app::open(&config.database).await?;
    let worked = work(&store).await;
    store.close().await;
    if let Some(cluster) = cluster {
        Cluster::stop(cluster).await;
    }
    worked.map(|()| ExitCode::SUCCESS)
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}
