//! The lines of `chatchonk check`, which `serve` also logs at start for platforms without a shell.

use std::fmt;

use crate::cache::KvSettings;
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::config::{Config, DatabaseChoice};
use crate::domain::snapshot::Snapshot;
use crate::store::{DatabaseFault, Store, StoreError};

use super::check_kv::check_kv;

/// How a point of the check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// At fault.
    Fault,
    /// Not configured, which is allowed.
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
    pub(super) fn new(mark: Mark, subject: &'static str, finding: impl Into<String>) -> Self {
        Self { mark, subject, finding: finding.into(), remedy: None }
    }

    fn fault(subject: &'static str, error: &StoreError) -> Self {
        let remedy = Some(error.fault().remedy().to_owned());
        Self { remedy, ..Self::new(Mark::Fault, subject, error.to_string()) }
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
    if let Some(store) = store {
        if database(store, &mut lines).await {
            loaded_catalogue(store, &mut lines).await;
        }
    } else if matches!(config.database, DatabaseChoice::Embedded { .. }) {
        lines.push(Line::new(Mark::Absent, "database", "not configured, embedded default"));
    }
    match &config.kv {
        KvSettings::Configured(connection) => {
            lines.extend(check_kv(connection, &config.http.environment, &Clock::system()).await);
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
    let line = |mark, finding: &str| Line::new(mark, "cloudflare kv", finding);
    match (settings, settings.remark()) {
        (_, Some((reason, remedy))) => Line { remedy: Some(remedy.to_owned()), ..line(Mark::Fault, &reason) },
        (KvSettings::Configured(_), None) => line(Mark::Good, "configured; `chatchonk check` tries it"),
        (KvSettings::NotConfigured { .. }, None) => line(Mark::Absent, "KV not configured, memory only"),
    }
}

/// Returns whether the tables are as this release needs them.
async fn database(store: &Store, lines: &mut Vec<Line>) -> bool {
    let clock = Clock::system();
    let dialled = clock.now();
    if let Err(error) = store.dial().await {
        lines.push(Line::fault("database", &error));
        return false;
    }
    let milliseconds = (clock.now() - dialled).as_secs_f64() * 1e3;
    match store.probe().await {
        Ok(probe) => {
            let finding = format!("PostgreSQL {}, connected in {milliseconds:.1} ms", probe.server_version);
            lines.push(Line::new(Mark::Good, "database", finding));
            if probe.read_only {
                let fault = DatabaseFault::ReadOnly;
                let line = Line::new(Mark::Fault, "database", fault.reason());
                lines.push(Line { remedy: Some(fault.remedy().to_owned()), ..line });
            }
        }
        Err(error) => lines.push(Line::fault("database", &error)),
    }
    match store.migrations().await {
        Ok(migrations) if migrations.pending == 0 => {
            lines.push(Line::new(Mark::Good, "migrations", format!("{} applied", migrations.applied)));
            true
        }
        Ok(migrations) => {
            let line = Line::new(Mark::Fault, "migrations", format!("{} pending", migrations.pending));
            let remedy = "run `chatchonk migrate`, or start with MIGRATE_ON_START=true".to_owned();
            lines.push(Line { remedy: Some(remedy), ..line });
            false
        }
        Err(error) => {
            lines.push(Line::fault("migrations", &error));
            false
        }
    }
}

async fn loaded_catalogue(store: &Store, lines: &mut Vec<Line>) {
    match store.load_catalogue().await {
        Ok(loaded) => {
            lines.push(Line::new(Mark::Good, "catalogue", counts(&loaded.snapshot, loaded.version)));
            for row in loaded.rejected {
                let remedy = Some("correct or delete the row; it is left out until then".to_owned());
                lines.push(Line { remedy, ..Line::new(Mark::Fault, "catalogue", row) });
            }
        }
        Err(error) => lines.push(Line::fault("catalogue", &error)),
    }
}

fn counts(snapshot: &Snapshot, revision: u64) -> String {
    let (models, providers) = (snapshot.models().len(), snapshot.providers().len());
    format!("{models} models ({} listed) of {providers} providers, revision {revision}", snapshot.listed())
}
