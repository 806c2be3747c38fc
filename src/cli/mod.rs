//! The command line: one file per group of commands.

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

/// Threads for loads, checks and the listener; requests have threads of their own.
const RUNTIME_THREADS: usize = 2;
/// How long tasks may take to end that the command left behind.
const LAST_TASKS: Duration = Duration::from_millis(50);

/// ChatChonk's API server. Settings come from the environment and `.env`; see `.env.example`.
#[derive(Debug, Parser)]
#[command(name = "chatchonk", version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CHATCHONK_COMMIT"), ")"))]
struct Arguments {
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
    Check {
        /// Read a running server instead, such as `https://api.example.com`; no settings are needed.
        #[arg(long)]
        url: Option<String>,
    },
    /// Print the API's document, `OpenAPI` 3.1; no settings are needed.
    Openapi,
    /// Work on the catalogue.
    #[command(subcommand, alias = "catalog")]
    Catalogue(CatalogueCommand),
    /// Look at the cache, or empty it.
    #[command(subcommand)]
    Cache(CacheCommand),
}

#[derive(Debug, Subcommand)]
enum CatalogueCommand {
    /// Write the built-in catalogue into the database: what is missing, and what nobody edited.
    Seed {
        /// Reset every row of the seed, edited ones included. `enabled` and rows of your own stay.
        #[arg(long)]
        overwrite: bool,
    },
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// Show what a running server counts of its cache; no settings are needed.
    Stats {
        /// The server, such as `https://api.example.com`.
        #[arg(long)]
        url: String,
        /// Print the object `cache` of its health as it came.
        #[arg(long)]
        json: bool,
    },
    /// Have every server load its data anew, by raising the version in the database. Calls Cloudflare KV only with
    /// `--hard`.
    Purge {
        /// What to load anew.
        #[arg(long, default_value = SCOPE)]
        scope: String,
        /// Delete what this ENVIRONMENT has in Cloudflare KV, too.
        #[arg(long)]
        hard: bool,
    },
}

/// Runs the command that the process's arguments name. A fault is one line in the log and exit code 1; arguments that
/// cannot be understood are exit code 2.
pub fn run() -> ExitCode {
    // Until the end, so that the last lines are written however the command ends.
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
    // Dropping the runtime would wait for threads that are blocked, in a look-up of a name for example.
    runtime.shutdown_timeout(LAST_TASKS);
    ran
}
