//! The lines of `chatchonk check`, which `serve` also logs at start for platforms without a shell.

use std::fmt;

use crate::cache::KvSettings;
use crate::clock::Clock;
use crate::config::{Config, DatabaseChoice};
use crate::store::{Store, StoreError};

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
    fn new(mark: Mark, subject: &'static str, finding: impl Into<String>) -> Self {
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

/// Looks at everything that is configured, changing nothing. `store` is the database, where there is one.
pub async fn check(config: &Config, store: Option<&Store>) -> Vec<Line> {
    let http = &config.http;
    let origins = match http.allowed_origins.len() {
        0 => "no origin may read answers (ALLOWED_ORIGINS)".to_owned(),
        _ => format!("origins {}", http.allowed_origins.join(", ")),
    };
    let settings = format!("{} on {}, {} workers, {origins}", http.environment, config.address, http.workers);
    let mut lines = vec![Line::new(Mark::Good, "settings", settings)];
    match (&config.database, store) {
        (_, Some(store)) => database(store, &mut lines).await,
        (DatabaseChoice::Embedded { .. }, None) => {
            lines.push(Line::new(Mark::Absent, "database", "not configured, embedded default"));
        }
        (DatabaseChoice::Url(_), None) => {}
    }
    let (finding, remedy) = match config.kv.remark() {
        None => ("KV not configured, memory only".to_owned(), None),
        Some((reason, remedy)) => (reason, Some(remedy.to_owned())),
    };
    let incomplete = matches!(config.kv, KvSettings::NotConfigured { .. }) && remedy.is_some();
    let mark = if incomplete { Mark::Fault } else { Mark::Absent };
    lines.push(Line { remedy, ..Line::new(mark, "cloudflare kv", finding) });
    lines
}

async fn database(store: &Store, lines: &mut Vec<Line>) {
    let clock = Clock::system();
    let dialled = clock.now();
    if let Err(error) = store.dial().await {
        lines.push(Line::fault("database", &error));
        return;
    }
    let connected = clock.now();
    match store.probe().await {
        Ok(probe) => {
            let milliseconds = (connected - dialled).as_secs_f64() * 1e3;
            let finding = format!("PostgreSQL {}, connected in {milliseconds:.1} ms", probe.server_version);
            lines.push(Line::new(Mark::Good, "database", finding));
            if probe.read_only {
                let error = crate::store::DatabaseFault::ReadOnly;
                let line = Line::new(Mark::Fault, "database", error.reason());
                lines.push(Line { remedy: Some(error.remedy().to_owned()), ..line });
            }
        }
        Err(error) => lines.push(Line::fault("database", &error)),
    }
    match store.migrations().await {
        Ok(migrations) if migrations.pending == 0 => {
            lines.push(Line::new(Mark::Good, "migrations", format!("{} applied", migrations.applied)));
        }
        Ok(migrations) => {
            let line = Line::new(Mark::Fault, "migrations", format!("{} pending", migrations.pending));
            let remedy = "run `chatchonk migrate`, or start with MIGRATE_ON_START=true".to_owned();
            lines.push(Line { remedy: Some(remedy), ..line });
            return;
        }
        Err(error) => {
            lines.push(Line::fault("migrations", &error));
            return;
        }
    }
    match store.load_catalogue().await {
        Ok(loaded) => {
            let snapshot = &loaded.snapshot;
            let finding = format!(
                "{} models ({} listed) of {} providers, revision {}",
                snapshot.models().len(),
                snapshot.listed(),
                snapshot.providers().len(),
                loaded.version
            );
            lines.push(Line::new(Mark::Good, "catalogue", finding));
            for row in loaded.rejected {
                let remedy = Some("correct or delete the row; it is left out until then".to_owned());
                lines.push(Line { remedy, ..Line::new(Mark::Fault, "catalogue", row) });
            }
        }
        Err(error) => lines.push(Line::fault("catalogue", &error)),
    }
}
