//! Fills a database with the models of a models.dev `api.json`, to test the server with thousands of them.
//!
//! ```text
//! DATABASE_URL=postgres://… cargo run --release --example fill_from_models_dev -- api.json
//! ```
//!
//! Use a scratch database: rows with the same id are replaced. The file is that of <https://models.dev/api.json>.
//! Prices are copied digit by digit; models that the catalogue cannot represent are left out and counted. A server that
//! starts on the database adds its own seed.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use chatchonk::clock::Clock;
use chatchonk::config::{Config, DatabaseChoice, Environment};
use chatchonk::store::{SeedMode, Store};
use clap::Parser;

mod source;

#[derive(Parser)]
struct Arguments {
    /// The `api.json`.
    file: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = Config::from_environment(&Environment::of_process()?, None)?;
    let DatabaseChoice::Url(settings) = config.database else { bail!("DATABASE_URL is not set") };
    let text = std::fs::read_to_string(&arguments.file).context("cannot read the file")?;
    let (seed, left_out) = source::seed(&text, Clock::system().utc()).context("not an api.json")?;

    let store = Store::new(*settings);
    store.migrate().await?;
    store.apply_seed(&seed, SeedMode::Overwrite).await?;
    store.close().await;
    writeln!(
        std::io::stdout(),
        "{} providers and {} models written; left out: {} providers and {} models",
        seed.providers.len(),
        seed.models.len(),
        left_out.providers,
        left_out.models
    )?;
    Ok(())
}
