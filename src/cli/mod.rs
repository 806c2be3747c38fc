//! The command line.

mod cache;
mod check;
mod database;
mod output;
mod process;
mod running;
mod serve;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::catalogue::SCOPE;
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::http;
use crate::telemetry::{self, Log};

use output::say;

/// Threads for background tasks; requests have their own.
const RUNTIME_THREADS: usize = 2;
/// Time limit for tasks that the command left behind.
const LAST_TASKS: Duration = Duration::from_millis(50);

/// ChatChonk's API server. Settings come from the environment and `.env`; see `.env.example`.
#[derive(Debug, Parser)]
#[command(name = "chatchonk", version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CHATCHONK_COMMIT"), ")"))]
struct Arguments {
    /// The folder of the embedded database; overrides `DATA_DIR`.
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (the default).
    Serve,
    /// Migrate the database to this release.
    Migrate,
    /// Check everything that is configured; exit code 0 without a fault.
    Check {
        /// Check a running server instead, such as `https://api.example.com`; needs no settings.
        #[arg(long)]
        url: Option<String>,
    },
    /// Print the `OpenAPI` 3.1 document; needs no settings.
    Openapi,
    /// Change the catalogue.
    #[command(subcommand, alias = "catalog")]
    Catalogue(CatalogueCommand),
    /// Show or purge the cache.
    #[command(subcommand)]
    Cache(CacheCommand),
}

#[derive(Debug, Subcommand)]
enum CatalogueCommand {
    /// Write the built-in catalogue into the database, but keep edited rows.
    Seed {
        /// Reset edited rows of the seed as well. `enabled` and your own rows stay.
        #[arg(long)]
        overwrite: bool,
    },
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// Show the cache counters of a running server; needs no settings.
    Stats {
        /// The server, such as `https://api.example.com`.
        #[arg(long)]
        url: String,
        /// Print the object `cache` of its health as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make every server reload its data, by raising the version in the database.
    Purge {
        /// The data to reload.
        #[arg(long, default_value = SCOPE)]
        scope: String,
        /// Also delete the keys of this ENVIRONMENT from Cloudflare KV.
        #[arg(long)]
        hard: bool,
    },
}

/// Runs the command of the process's arguments. A failure is one line in the log and exit code 1; invalid arguments are exit
/// code 2.
pub fn run() -> ExitCode {
    let log = Log::open();
    log.report_panics();
    match Arguments::try_parse() {
        Ok(arguments) => try_run(arguments, &log).unwrap_or_else(|error| {
            log.say(&format!("chatchonk: {error:#}"));
            ExitCode::FAILURE
        }),
        Err(error) if error.use_stderr() => {
            log.say(&error.to_string());
            ExitCode::from(2)
        }
        // `--help` or `--version`.
        Err(text) => say(text.to_string().trim_end()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
    }
}

fn try_run(arguments: Arguments, log: &Log) -> anyhow::Result<ExitCode> {
    let settings = || -> anyhow::Result<Config> {
        Ok(Config::from_environment(&Environment::of_process()?, arguments.data_dir.as_deref())?)
    };
    let configured = || -> anyhow::Result<Config> {
        let config = settings()?;
        telemetry::install(log, &config.telemetry, None, Clock::system())?;
        Ok(config)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ran = runtime.block_on(async {
        match arguments.command.unwrap_or(Command::Serve) {
            Command::Serve => serve::serve(settings()?, log).await,
            Command::Migrate => database::migrate(&configured()?).await,
            Command::Check { url: None } => check::check(&configured()?).await,
            Command::Check { url: Some(url) } => check::check_running(&url).await,
            Command::Openapi => {
                let document = http::document_text().context("cannot write the document")?;
                say(document.trim_end()).map(|()| ExitCode::SUCCESS)
            }
            Command::Catalogue(CatalogueCommand::Seed { overwrite }) => {
                database::seed(&configured()?, overwrite).await
            }
            Command::Cache(CacheCommand::Stats { url, json }) => cache::stats(&url, json).await,
            Command::Cache(CacheCommand::Purge { scope, hard }) => {
                cache::purge(&configured()?, &scope, hard).await
            }
        }
    });
    // Dropping the runtime would wait for blocked threads, such as one that looks up a name.
    runtime.shutdown_timeout(LAST_TASKS);
    ran
}
