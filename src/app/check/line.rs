//! A line of the check: subject, finding and remedy.

use std::fmt;

use crate::kv_client::KvError;
use crate::store::StoreError;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// In order.
    Good,
    /// Possibly in order, but worth a look.
    Warning,
    /// Wrong.
    Fault,
    /// Absent or unknown, which is allowed.
    Absent,
}

/// One line of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The result.
    pub mark: Mark,
    /// What was checked, such as `database`.
    pub subject: &'static str,
    /// What was found.
    pub finding: String,
    /// How to fix a warning or a fault.
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
    /// Builds a line without a remedy.
    pub fn new(mark: Mark, subject: &'static str, finding: impl Into<String>) -> Self {
        Self { mark, subject, finding: finding.into(), remedy: None }
    }

    /// Builds a warning.
    pub fn warning(subject: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { mark: Mark::Warning, ..Self::fault(subject, finding, remedy) }
    }

    /// Builds a fault.
    pub fn fault(subject: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(Mark::Fault, subject, finding) }
    }

    pub(in crate::app) fn store_fault(subject: &'static str, error: &StoreError) -> Self {
        Self::fault(subject, error.to_string(), error.fault().remedy())
    }

    pub(in crate::app) fn kv_fault(subject: &'static str, error: &KvError) -> Self {
        Self::fault(subject, error.to_string(), error.remedy())
    }

    /// Logs the line, a fault as a warning.
    pub fn log(&self) {
        match self.mark {
            Mark::Warning | Mark::Fault => {
                tracing::warn!(remedy = self.remedy, "{}: {}", self.subject, self.finding);
            }
            Mark::Good | Mark::Absent => tracing::info!("{}: {}", self.subject, self.finding),
        }
    }
}
