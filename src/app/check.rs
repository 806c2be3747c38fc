//! The lines of `chatchonk check`, which `serve` also logs at start for platforms without a shell.

use std::fmt;

use crate::cache::{KvError, KvLimits, KvSettings};
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::config::{Config, DatabaseChoice};
use crate::domain::snapshot::Snapshot;
use crate::store::{Store, StoreError};

use super::check_database::{check_database, check_tables, migrations};
use super::check_kv::check_kv;

/// Of the budget, where no database is named.
const NOT_COUNTED: &str = "counted in the database, and nothing is written to KV without one";

/// How a point of the check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// In order as far as can be seen, but worth a look.
    Warning,
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
    /// How to fix it, for warnings and faults.
    pub remedy: Option<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Good => '✓',
            Mark::Warning => '!',
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

    /// A warning with its remedy.
    #[must_use]
    pub fn warning(subject: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { mark: Mark::Warning, ..Self::fault(subject, finding, remedy) }
    }

    /// A fault with its remedy.
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
            Mark::Warning | Mark::Fault => {
                tracing::warn!(remedy = self.remedy, "{}: {}", self.subject, self.finding);
            }
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
        let roots = store.settings().roots();
        if let Some(warning) = roots.and_then(|roots| roots.ageing(Clock::system().utc())) {
            lines.push(Line::new(Mark::Absent, "database", warning));
        }
        if check_database(store, &mut lines).await {
            let has_kv = matches!(config.kv, KvSettings::Configured(_));
            if check_tables(store, has_kv, &mut lines).await {
                migrated = Some(store);
            }
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
        check_database(store, &mut lines).await;
        lines.push(migrations(store).await.0);
    }
    if let Some(report) = catalogue.report() {
        let (source, snapshot) = (report.read.source(), report.read.snapshot());
        lines.push(counts(snapshot, report.read.revision(), &format!(", from {source}")));
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

/// A catalogue that lists no model is never in order.
pub(super) fn counts(snapshot: &Snapshot, revision: u64, source: &str) -> Line {
    let (models, providers) = (snapshot.models().len(), snapshot.providers().len());
    let listed = snapshot.listed();
    let finding =
        format!("{models} models ({listed} listed) of {providers} providers, revision {revision}{source}");
    if listed > 0 {
        return Line::new(Mark::Good, "catalogue", finding);
    }
    Line::warning(
        "catalogue",
        finding,
        "every model is retired, or hidden with its provider: see `enabled` and `status`",
    )
}
