//! The lines of `chatchonk check`, which `serve` also logs at start for platforms without a shell.

use std::fmt;

use crate::cache::{KvError, KvLimits, KvSettings};
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::config::{Config, DatabaseChoice};
use crate::domain::snapshot::Snapshot;
use crate::store::{DatabaseFault, Store, StoreError};

use super::check_kv::check_kv;

/// Of the budget, where no database is named.
const NOT_COUNTED: &str = "counted in the database, and nothing is written to KV without one";

/// How a point of the check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// At fault.
    Fault,
    /// Not there, or not known, which is allowed.
    Absent,
}

/// One point of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How it stands.
    pub mark: Mark,
    /// What it is, such as `database`.
    pub subject: &'static str,
    /// What was found.
    pub finding: String,
    /// The way out, for faults.
    pub remedy: Option<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Good => '✓',
            Mark::Fault => '✗',
            Mark::Absent => '–',
        };
        write!(f, "{mark} {}: {}", self.subject, self.finding)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "\n    → {remedy}"))
    }
}

impl Line {
    /// A line without a remedy.
    #[must_use]
    pub fn new(mark: Mark, subject: &'static str, finding: impl Into<String>) -> Self {
        Self { mark, subject, finding: finding.into(), remedy: None }
    }

    /// A fault with the way out.
    #[must_use]
    pub fn fault(subject: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(Mark::Fault, subject, finding) }
    }

    pub(super) fn store_fault(subject: &'static str, error: &StoreError) -> Self {
        Self::fault(subject, error.to_string(), error.fault().remedy())
    }

    pub(super) fn kv_fault(subject: &'static str, error: &KvError) -> Self {
        Self::fault(subject, error.to_string(), error.remedy())
    }

    /// Writes the line into the log: faults as warnings.
    pub fn log(&self) {
        match self.mark {
            Mark::Fault => tracing::warn!(remedy = self.remedy, "{}: {}", self.subject, self.finding),
            Mark::Good | Mark::Absent => tracing::info!("{}: {}", self.subject, self.finding),
        }
    }
}

/// Looks at everything that is configured. `store` is the database, where there is one. Changes nothing but for one key
/// of its own in KV, which it deletes again.
pub async fn check(config: &Config, store: Option<&Store>) -> Vec<Line> {
    let mut lines = vec![settings(config)];
    let mut migrated = None;
    if let Some(store) = store {
        if database(store, &mut lines).await {
            loaded_catalogue(store, &mut lines).await;
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
                // What is wrong with the database is said already.
                (None, Some(_)) => {}
                (None, None) => lines.push(Line::new(Mark::Absent, "budget", NOT_COUNTED)),
            }
        }
        KvSettings::NotConfigured { .. } => lines.push(kv(&config.kv)),
    }
    lines
}

/// The same for the log of a start: of what the start has found out already, without loading anything again, and
/// without a write to KV, as a process that starts over and over would spend the day's quota.
pub(super) async fn check_start(config: &Config, store: Option<&Store>, catalogue: &Catalogue) -> Vec<Line> {
    let mut lines = vec![settings(config)];
    if let Some(store) = store {
        database(store, &mut lines).await;
    }
    if let Some(report) = catalogue.report() {
        let (source, snapshot) = (report.read.source(), report.read.snapshot());
        let finding = format!("{}, from {source}", counts(snapshot, report.read.revision()));
        lines.push(Line::new(Mark::Good, "catalogue", finding));
    }
    lines.push(kv(&config.kv));
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

fn kv(settings: &KvSettings) -> Line {
    let line = |mark, finding| Line::new(mark, "cloudflare kv", finding);
    match (settings, settings.remark()) {
        (_, Some((reason, remedy))) => Line::fault("cloudflare kv", reason, remedy),
        (KvSettings::Configured(_), None) => line(Mark::Good, "configured; `chatchonk check` tries it"),
        (KvSettings::NotConfigured { .. }, None) => line(Mark::Absent, "KV not configured, memory only"),
    }
}

/// Returns whether the tables are as this release needs them.
async fn database(store: &Store, lines: &mut Vec<Line>) -> bool {
    let clock = Clock::system();
    let dialled = clock.now();
    if let Err(error) = store.dial_patiently().await {
        lines.push(Line::store_fault("database", &error));
        return false;
    }
    let milliseconds = (clock.now() - dialled).as_secs_f64() * 1e3;
    match store.probe().await {
        Ok(probe) => {
            let finding = format!("PostgreSQL {}, connected in {milliseconds:.1} ms", probe.server_version);
            lines.push(Line::new(Mark::Good, "database", finding));
            if probe.read_only {
                let fault = DatabaseFault::ReadOnly;
                lines.push(Line::fault("database", fault.reason(), fault.remedy()));
            }
        }
        Err(error) => lines.push(Line::store_fault("database", &error)),
    }
    match store.migrations().await {
        Ok(migrations) if migrations.pending == 0 => {
            lines.push(Line::new(Mark::Good, "migrations", format!("{} applied", migrations.applied)));
            true
        }
        Ok(migrations) => {
            let remedy = "run `chatchonk migrate`, or start with MIGRATE_ON_START=true";
            lines.push(Line::fault("migrations", format!("{} pending", migrations.pending), remedy));
            false
        }
        Err(error) => {
            lines.push(Line::store_fault("migrations", &error));
            false
        }
    }
}

async fn loaded_catalogue(store: &Store, lines: &mut Vec<Line>) {
    match store.load_catalogue().await {
        Ok(loaded) => {
            lines.push(Line::new(Mark::Good, "catalogue", counts(&loaded.snapshot, loaded.version)));
            for row in loaded.rejected {
                let remedy = "correct or delete the row; it is left out until then";
                lines.push(Line::fault("catalogue", row, remedy));
            }
        }
        Err(error) => lines.push(Line::store_fault("catalogue", &error)),
    }
}

/// What is used of the day, and of what: all servers on this database count together.
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

fn counts(snapshot: &Snapshot, revision: u64) -> String {
    let (models, providers) = (snapshot.models().len(), snapshot.providers().len());
    format!("{models} models ({} listed) of {providers} providers, revision {revision}", snapshot.listed())
}
