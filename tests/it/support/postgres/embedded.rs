//! PostgreSQL from this machine's own programs, started with the crate's `embedded`.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chatchonk::embedded::{Cluster, EmbeddedError, Installation, Options, Profile};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::postgres::PgConnectOptions;
use tokio::{net::UnixStream, time};

use super::{RUNTIME, reaper, server};

#[derive(Debug)]
pub(super) struct Embedded {
    folder: PathBuf,
    options: PgConnectOptions,
    socket: PathBuf,
    /// `None` between a kill and the next start.
    cluster: Option<Cluster>,
}

impl Embedded {
    pub(super) async fn start() -> Result<Self, String> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = reaper::folder().await.join(number.to_string());
        let cluster = start_in(&folder).await;
        let cluster = cluster.map_err(|error| format!("the embedded one fails: {error}"))?;
        let options = cluster.connect_options().database("postgres");
        let socket_dir = options.get_socket().ok_or("the embedded one has no socket")?;
        Ok(Self {
            folder,
            socket: socket_dir.join(format!(".s.PGSQL.{}", options.get_port())),
            options,
            cluster: Some(cluster),
        })
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    pub(super) async fn kill(&mut self) {
        // The process that listens on its socket is the server; a process id from a file would be less certain.
        let listener = UnixStream::connect(&self.socket).await.unwrap();
        let id = listener.peer_cred().unwrap().pid().unwrap();
        kill(Pid::from_raw(id), Signal::SIGKILL).unwrap();
        // Reaps the process, which would otherwise seem alive, also to the next server on its folder.
        if let Some(cluster) = self.cluster.take() {
            cluster.stop().await;
        }
    }

    pub(super) async fn start_again(&mut self) {
        let folder = self.folder.clone();
        let start = async move {
            // The killed server's sessions end by themselves, and only then may another server take over their memory.
            for _ in 0..100 {
                match start_in(&folder).await {
                    Err(EmbeddedError::DidNotStart { .. }) => {}
                    started => return started,
                }
                time::sleep(Duration::from_millis(100)).await;
            }
            start_in(&folder).await
        };
        self.cluster = Some(RUNTIME.spawn(start).await.unwrap().unwrap());
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // If the process ends first, the reaper removes it.
        if let Some(cluster) = self.cluster.take() {
            RUNTIME.spawn(cluster.stop());
        }
    }
}

async fn start_in(folder: &Path) -> Result<Cluster, EmbeddedError> {
    let installation = Installation::find(server::setting("PATH").as_deref().map(AsRef::as_ref))?;
    let settings = server::SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let options = Options { profile: Profile::Disposable, settings: settings.into() };
    Cluster::start(&installation, folder, &options).await
}

/// Stops the servers whose clusters are below this folder and removes it. Their test process is gone.
pub(super) async fn remove_all(folder: &Path) {
    let clusters = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        clusters => clusters.unwrap(),
    };
    for cluster in clusters {
        // A start takes over the abandoned server, so it can then be stopped.
        if let Ok(cluster) = start_in(&cluster.unwrap().path()).await {
            cluster.stop().await;
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}
