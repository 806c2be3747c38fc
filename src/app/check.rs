//! The lines of `chatchonk check`. `serve` logs some of them at its start, for platforms without a shell.

mod database;
mod kv;
mod line;

pub use line::{Line, Mark};

use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::config::{Config, DatabaseChoice};
use crate::kv_client::KvSettings;
use crate::kv_tier::KvLimits;
use crate::store::Store;

use database::{check_database, check_tables, counts, migrations};
use kv::check_kv;

/// The finding on the budget without a database.
const NOT_COUNTED: &str = "counted in the database, and nothing is written to KV without one";

/// Checks everything that is configured. `store` is the database of `DATABASE_URL`. Changes nothing, except that it writes
/// and deletes its own key in KV.
pub async fn check(config: &Config, store: Option<&Store>) -> Vec<Line> {
    let mut lines = vec![settings(config)];
    let mut migrated = None;
    if let Some(store) = store {
        let roots = store.settings().roots();
        if let Some(warning) = roots.and_then(|roots| roots.ageing(Clock::system().utc())) {
            lines.push(Line::new(Mark::Absent, "database", warning));
        }
        let has_kv = matches!(config.kv, KvSettings::Configured(_));
        if check_database(store, &mut lines).await && check_tables(store, has_kv, &mut lines).await {
            migrated = Some(store);
        }
    } else if matches!(config.database, DatabaseChoice::Embedded { .. }) {
        lines.push(Line::new(Mark::Absent, "database", "not configured, embedded default"));
    }
    match &config.kv {
        KvSettings::Configured(connection) => {
            lines.extend(check_kv(connection, &config.http.environment, &Clock::system()).await);
            match (migrated, store) {
                (Some(store), _) => lines.push(budget(store, config.kv_limits).await),
                // Earlier lines name the fault of the database.
                (None, Some(_)) => {}
                (None, None) => lines.push(Line::new(Mark::Absent, "budget", NOT_COUNTED)),
            }
        }
        KvSettings::NotConfigured { .. } => lines.push(kv_settings(&config.kv)),
    }
    lines
}

/// Returns the lines that a start logs. It loads nothing and writes nothing to KV: a process that restarts all the time
/// would spend the daily quota.
pub(super) async fn check_start(config: &Config, store: Option<&Store>, catalogue: &Catalogue) -> Vec<Line> {
    let mut lines = vec![settings(config)];
    if let Some(store) = store
        && check_database(store, &mut lines).await
    {
        lines.push(migrations(store).await.0);
    }
    if let Some(report) = catalogue.report() {
        let (source, snapshot) = (report.read.source(), report.read.snapshot());
        lines.push(counts(snapshot, report.read.revision(), &format!(", from {source}")));
    }
    lines.push(kv_settings(&config.kv));
    lines
}

fn settings(config: &Config) -> Line {
    let http = &config.http;
    let origins = match http.allowed_origins.len() {
        0 => "no origin may read answers (ALLOWED_ORIGINS)".to_owned(),
        _ => format!("origins {}", http.allowed_origins.join(", ")),
    };
    let finding = format!("{} on {}, {} workers, {origins}", http.environment, config.address, http.workers);
    Line::new(Mark::Good, "settings", finding)
}

fn kv_settings(settings: &KvSettings) -> Line {
    let line = |mark, finding| Line::new(mark, "cloudflare kv", finding);
    match (settings, settings.remark()) {
        (_, Some((reason, remedy))) => Line::fault("cloudflare kv", reason, remedy),
        (KvSettings::Configured(_), None) => line(Mark::Good, "configured; `chatchonk check` tests it"),
        (KvSettings::NotConfigured { .. }, None) => line(Mark::Absent, "KV not configured, memory only"),
    }
}

/// Returns the line on the daily budget, which all servers on this database share.
async fn budget(store: &Store, limits: KvLimits) -> Line {
    match store.kv_used().await {
        Ok(used) => {
            let [writes, deletes] = [limits.writes, limits.deletes].map(KvLimits::usable);
            let finding = format!(
                "today {} of {writes} writes and {} of {deletes} deletes used (90 % of the limits); it resets at 00:00 UTC",
                used.writes, used.deletes
            );
            Line::new(Mark::Good, "budget", finding)
        }
        Err(error) => Line::store_fault("budget", &error),
    }
}
