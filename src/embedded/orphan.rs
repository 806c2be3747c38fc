//! The PostgreSQL that a killed predecessor of ours left behind.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{net::UnixStream, time};

use super::error::EmbeddedError;
use super::folders::Folders;
use super::postmaster::SHUTDOWN;
use super::settings::PORT;

/// A running server in our folders that is not our child.
struct Orphan {
    pid: i32,
    cluster: PathBuf,
}

/// Stops the server that already runs in these folders, of whatever version, so that we can start one that is our
/// child. To be called with the lock held, which proves that nobody else looks after it.
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
    /// Asks the system who listens on our socket. A process id from a file alone proves nothing, as ids are used
    /// again; the one from a file of the socket's folder that also listens there is PostgreSQL, and ours.
    async fn find(folders: &Folders) -> Option<Self> {
        let socket = folders.socket.join(format!(".s.PGSQL.{PORT}"));
        let listener = UnixStream::connect(&socket).await.ok()?.peer_cred().ok()?.pid()?;
        // Its first line is the process id, the second the folder of the cluster.
        let file =
            tokio::fs::read_to_string(folders.socket.join(format!(".s.PGSQL.{PORT}.lock"))).await.ok()?;
        let mut lines = file.lines();
        let pid: i32 = lines.next()?.trim().parse().ok()?;
        let cluster = Path::new(lines.next()?);
        let is_ours = pid > 1 && pid == listener && cluster.parent() == Some(folders.data.as_path());
        is_ours.then(|| Self { pid, cluster: cluster.to_path_buf() })
    }

    async fn ends_after(&self, signal: Signal, patience: Duration) -> bool {
        // A refusal means that it is gone already, or shows below as an orphan that stays.
        let _ = kill(Pid::from_raw(self.pid), signal);
        let gone = async {
            while !self.is_gone() {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        time::timeout(patience, gone).await.is_ok()
    }

    /// Removing this file is the last thing the server does. That the process has vanished is not enough to wait
    /// for: while nobody has collected its exit status, it seems to live.
    fn is_gone(&self) -> bool {
        !self.cluster.join("postmaster.pid").exists()
            || kill(Pid::from_raw(self.pid), None) == Err(Errno::ESRCH)
    }
}
