//! A line of the check: what was looked at, what was found, and how to fix it.

use std::fmt;

use crate::kv_client::KvError;
use crate::store::StoreError;

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
    pub fn new(mark: Mark, subject: &'static str, finding: impl Into<String>) -> Self {
        Self { mark, subject, finding: finding.into(), remedy: None }
    }

    /// A warning with its remedy.
    pub fn warning(subject: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { mark: Mark::Warning, ..Self::fault(subject, finding, remedy) }
    }

    /// A fault with its remedy.
    pub fn fault(subject: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(Mark::Fault, subject, finding) }
    }

    pub(in crate::app) fn store_fault(subject: &'static str, error: &StoreError) -> Self {
        Self::fault(subject, error.to_string(), error.fault().remedy())
    }

    pub(in crate::app) fn kv_fault(subject: &'static str, error: &KvError) -> Self {
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
