//! Errors of the embedded PostgreSQL, each with its fix in the text.

use std::io;
use std::path::{Path, PathBuf};

/// Why the embedded PostgreSQL does not run. The texts tell the operator what to do, in one line where possible.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No supported version of PostgreSQL is installed.
    #[error(
        "{}; install PostgreSQL 15 or later (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install \
         postgresql-server; macOS: brew install postgresql@17), or set DATABASE_URL",
        newest.map_or_else(
            || "no PostgreSQL found on this machine".to_owned(),
            |major| format!("the newest PostgreSQL found is version {major}"),
        )
    )]
    NotInstalled {
        /// The newest major version found, which is too old.
        newest: Option<u32>,
    },

    /// Another chatchonk process uses the data folder.
    #[error(
        "another chatchonk{} uses the data folder {}: stop it, or give this one its own folder with DATA_DIR",
        pid.map_or_else(String::new, |pid| format!(" (process {pid})")),
        folder.display()
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The other process, if the lock file names it.
        pid: Option<u32>,
    },

    /// PostgreSQL's user cannot enter or write the folder.
    #[error("the folder {} is closed to the user {user}: {remedy}", folder.display())]
    NotReachable {
        /// The outermost inaccessible folder.
        folder: PathBuf,
        /// The user's name, or number without a name.
        user: String,
        /// How to fix it.
        remedy: String,
    },

    /// The process runs as root, and no unprivileged user exists.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has neither a user postgres nor nobody: \
         start chatchonk as an ordinary user, or set DATABASE_URL"
    )]
    NoUnprivilegedUser,

    /// A folder of ours belongs to another user.
    #[error(
        "{} is not a folder of the user {user}: remove it, or choose another data folder with DATA_DIR",
        folder.display()
    )]
    NotOurs {
        /// The cluster's or socket's folder.
        folder: PathBuf,
        /// Its expected owner.
        user: String,
    },

    /// The cluster's folder holds something else, which is left alone.
    #[error(
        "{} holds files but no PostgreSQL cluster: move it away, or choose another data folder with DATA_DIR",
        folder.display()
    )]
    NotACluster {
        /// The folder.
        folder: PathBuf,
    },

    /// The PostgreSQL of a killed predecessor does not stop.
    #[error("PostgreSQL (process {pid}) was left behind in {} and does not stop: end it by hand", folder.display())]
    OrphanStays {
        /// Its process id.
        pid: u32,
        /// Its cluster's folder.
        folder: PathBuf,
    },

    /// A program of PostgreSQL could not be run.
    #[error("cannot run {} as the user {user}: {source}", program.display())]
    CannotRun {
        /// The program.
        program: PathBuf,
        /// The user to run it as.
        user: String,
        /// The system's error.
        source: io::Error,
    },

    /// `initdb` failed; its files are removed.
    #[error("initdb failed: {output}")]
    Initdb {
        /// The end of its output.
        output: String,
    },

    /// The server ended, or did not accept connections in time.
    #[error("PostgreSQL {reason}; the end of its log {}:\n{tail}", log.display())]
    DidNotStart {
        /// What happened.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// Its end.
        tail: String,
    },

    /// Another file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Files {
        /// The operation, as an infinitive.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },

    /// The server runs, but creating its database failed.
    #[error("cannot create the embedded database: {0}")]
    Database(#[source] sqlx::Error),
}

/// Builds [`EmbeddedError::Files`] for `map_err`; `action` is an infinitive.
pub(super) fn files(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_path_buf();
    move |source| EmbeddedError::Files { action, path, source }
}

/// Returns the last lines of a program's output, for an error's text.
pub(super) fn tail(output: &[u8]) -> String {
    const BYTES: usize = 2_000;
    const LINES: usize = 15;

    let from = output.len().saturating_sub(BYTES);
    let text = String::from_utf8_lossy(&output[from..]);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::{EmbeddedError, tail};

    #[test]
    fn missing_installation_names_the_fix() {
        let text = EmbeddedError::NotInstalled { newest: Some(13) }.to_string();
        assert!(text.starts_with("the newest PostgreSQL found is version 13; install"), "{text}");
        assert!(text.ends_with("or set DATABASE_URL"), "{text}");
    }

    #[test]
    fn tail_is_bounded_and_starts_at_a_line() {
        let long = (0..1_000).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n");
        let tail = tail(long.as_bytes());
        assert!(tail.starts_with("line 985\n"), "{tail}");
        assert!(tail.ends_with("line 999"), "{tail}");
    }

    #[test]
    fn tail_of_empty_output_is_empty() {
        assert_eq!(tail(b""), "");
    }
}
