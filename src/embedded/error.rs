//! What can go wrong with the embedded PostgreSQL, each with its remedy in the text.

use std::{io, path::PathBuf};

/// Why there is no embedded PostgreSQL.
///
/// The text of each variant is meant for the person who started the server: one line where possible, with what to do
/// about it. Nothing in this module logs an error that it returns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No PostgreSQL of a supported version is installed on this machine.
    #[error(
        "{}; install PostgreSQL 15 or later (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install \
         postgresql-server; macOS: brew install postgresql@17), or set DATABASE_URL",
        newest.map_or_else(
            || "no PostgreSQL found on this machine".to_owned(),
            |major| format!("the newest PostgreSQL found is version {major}"),
        )
    )]
    NotInstalled {
        /// The newest major version found, when there is one and it is too old.
        newest: Option<u32>,
    },

    /// Another process of ours holds the data folder.
    #[error(
        "another chatchonk{} uses the data folder {}: stop it, or give this one a folder of its own with DATA_DIR",
        pid.map_or_else(String::new, |pid| format!(" (process {pid})")),
        folder.display()
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The other process, as far as the lock file tells.
        pid: Option<u32>,
    },

    /// The user PostgreSQL runs as cannot enter or write the folder.
    #[error("the folder {} is closed to the user {user}: {remedy}", folder.display())]
    NotReachable {
        /// The outermost folder that is closed.
        folder: PathBuf,
        /// The user's name, or its number when it has no name.
        user: String,
        /// What to do about it.
        remedy: String,
    },

    /// The process is root's, and there is no other user that PostgreSQL could run as.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has neither a user postgres nor nobody: \
         start chatchonk as an ordinary user, or set DATABASE_URL"
    )]
    NoUnprivilegedUser,

    /// A folder that must be ours belongs to somebody else.
    #[error(
        "{} is not a folder of the user {user}: remove it, or choose another data folder with DATA_DIR",
        folder.display()
    )]
    NotOurs {
        /// The folder, of the cluster or of its socket.
        folder: PathBuf,
        /// The user it would have to belong to.
        user: String,
    },

    /// There is something in the cluster's folder that is not a cluster. It is left alone.
    #[error(
        "{} holds files but no PostgreSQL cluster: move it away, or choose another data folder with DATA_DIR",
        folder.display()
    )]
    NotACluster {
        /// The folder.
        folder: PathBuf,
    },

    /// The PostgreSQL of a predecessor that was killed does not stop.
    #[error("PostgreSQL (process {pid}) was left behind in {} and does not stop: end it by hand", folder.display())]
    OrphanStays {
        /// The process.
        pid: u32,
        /// The folder of its cluster.
        folder: PathBuf,
    },

    /// A program of PostgreSQL could not be run at all.
    #[error("cannot run {} as the user {user}: {source}", program.display())]
    CannotRun {
        /// The program.
        program: PathBuf,
        /// The user it was to run as.
        user: String,
        /// What the system said.
        source: io::Error,
    },

    /// `initdb` failed; no trace of the attempt is left.
    #[error("initdb failed: {output}")]
    Initdb {
        /// The end of what it wrote.
        output: String,
    },

    /// The server ended, or did not accept connections in time.
    #[error("PostgreSQL {reason}; the end of its log {}:\n{tail}", log.display())]
    DidNotStart {
        /// What was observed.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// Its end.
        tail: String,
    },

    /// The file system refused something else.
    #[error("cannot {action} {}: {source}", path.display())]
    Files {
        /// What was tried, an infinitive.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The server runs, but its database could not be made.
    #[error("cannot create the embedded database: {0}")]
    Database(#[source] sqlx::Error),
}

/// The last lines of a program's output, bounded, for an error's text.
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
    fn a_missing_installation_names_the_remedy() {
        let text = EmbeddedError::NotInstalled { newest: Some(13) }.to_string();
        assert!(text.starts_with("the newest PostgreSQL found is version 13; install"), "{text}");
        assert!(text.ends_with("or set DATABASE_URL"), "{text}");
    }

    #[test]
    fn the_tail_is_bounded_and_starts_at_a_line() {
        let long = (0..1_000).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n");
        let tail = tail(long.as_bytes());
        assert!(tail.starts_with("line 985\n"), "{tail}");
        assert!(tail.ends_with("line 999"), "{tail}");
    }

    #[test]
    fn the_tail_of_nothing_is_empty() {
        assert_eq!(tail(b""), "");
    }
}
