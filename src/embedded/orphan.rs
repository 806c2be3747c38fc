//! Stops the PostgreSQL that a killed predecessor left behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::time;

use super::error::EmbeddedError;
use super::folders::Folders;
use super::postmaster::SHUTDOWN;
use super::settings::PORT;

/// A server running in our folders that is not our child.
struct Orphan {
    pid: i32,
    cluster: PathBuf,
}

/// Stops a server of any version that runs in these folders. Call it with the lock held, which proves that no other
/// process owns the server.
pub(super) async fn take_over(folders: &Folders) -> Result<(), EmbeddedError> {
    let Some(orphan) = Orphan::find(folders).await else {
        return Ok(());
    };
    tracing::info!(pid = orphan.pid, folder = %orphan.cluster.display(), "taking over an orphaned embedded PostgreSQL");
    for (signal, patience) in SHUTDOWN {
        if orphan.ends_after(signal, patience).await {
            return Ok(());
        }
    }
    Err(EmbeddedError::OrphanStays { pid: orphan.pid.unsigned_abs(), folder: orphan.cluster })
}

impl Orphan {
    /// Finds the process that listens on our socket. A process id from the lock file counts only if that process also listens,
    /// because ids are reused.
    async fn find(folders: &Folders) -> Option<Self> {
        let socket = folders.socket.join(format!(".s.PGSQL.{PORT}"));
        let listener = UnixStream::connect(&socket).await.ok()?.peer_cred().ok()?.pid()?;
        // Line 1 is the process id, line 2 the cluster's folder.
        let file =
            tokio::fs::read_to_string(folders.socket.join(format!(".s.PGSQL.{PORT}.lock"))).await.ok()?;
        let mut lines = file.lines();
        let pid: i32 = lines.next()?.trim().parse().ok()?;
        let cluster = Path::new(lines.next()?);
        let is_ours = pid > 1 && pid == listener && cluster.parent() == Some(folders.data.as_path());
        is_ours.then(|| Self { pid, cluster: cluster.to_path_buf() })
    }

    async fn ends_after(&self, signal: Signal, patience: Duration) -> bool {
        // A failure means that it has ended, or shows below.
        let _ = kill(Pid::from_raw(self.pid), signal);
        let gone = async {
            while !self.is_gone() {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        time::timeout(patience, gone).await.is_ok()
    }

    /// Whether the server has ended: it removes this file last. Its process may still exist until its exit status is
    /// collected.
    fn is_gone(&self) -> bool {
        !self.cluster.join("postmaster.pid").exists()
            || kill(Pid::from_raw(self.pid), None) == Err(Errno::ESRCH)
    }
}
