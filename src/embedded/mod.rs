//! A private PostgreSQL for local runs and tests.
//!
//! When no `DATABASE_URL` is given, the server runs the PostgreSQL that is installed on the machine as its child:
//! [`Installation::find`], then [`Cluster::start`], then [`Cluster::stop`]. Nothing listens on a network. Production
//! never comes here.
//!
//! ```text
//! <data folder>/chatchonk.lock       held by our process for as long as it uses the folder
//! <data folder>/pg15/                the cluster, one per major version: a newer PostgreSQL starts a new one
//! <data folder>/pg15.initdb-1/       a cluster in the making
//! <data folder>/pg15.log             the server's log, emptied at each start
//! /tmp/chatchonk-<hash of the data folder>/   the socket
//! ```
//!
//! The module stands at the bottom: it uses nothing else of this crate, reads no environment variables, and logs no
//! error that it returns.

mod error;
mod folders;
mod initdb;
mod installation;
mod orphan;
mod owner;
mod postmaster;
mod settings;

use std::{
    io,
    path::{Path, PathBuf},
};

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

pub use self::{
    error::EmbeddedError,
    installation::Installation,
    settings::{Options, Profile, default_data_dir},
};
use self::{
    folders::Folders,
    postmaster::Postmaster,
    settings::{DATABASE, PORT, USER},
};

/// A running PostgreSQL that is ours alone.
///
/// Its processes form a process group of their own, so that a Ctrl-C in the terminal does not end them before
/// [`Cluster::stop`] does. A cluster that is dropped instead, as by a panic, is asked to end, and not waited for. One
/// whose process was killed leaves its PostgreSQL behind; the next start on the same data folder ends that first.
///
/// It is tied to no async runtime: one can start it and another stop it.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the lock must be the last to go.
    postmaster: Postmaster,
    folders: Folders,
}

impl Cluster {
    /// Starts PostgreSQL on `data_dir`, which is created when missing, and waits until the database answers.
    ///
    /// A new cluster takes a second or two, an existing one a fraction of that; the limits are 60 s for making a
    /// cluster and 30 s for starting it. As root, PostgreSQL runs as the user `postgres`, else `nobody`, who has to be
    /// able to pass through `data_dir` and all folders above it.
    ///
    /// Only one process can use a data folder at a time. An interruption at any point, dropping the future included,
    /// leaves nothing that would hinder the next start.
    ///
    /// # Errors
    ///
    /// - [`EmbeddedError::InUse`]: another process of ours holds the folder, or this process does already.
    /// - [`EmbeddedError::NotReachable`]: we cannot write the folder, or PostgreSQL's user cannot enter it.
    /// - [`EmbeddedError::NoUnprivilegedUser`]: we are root, and there is no user to run PostgreSQL as.
    /// - [`EmbeddedError::NotOurs`]: the folder of the cluster or of its socket belongs to another user.
    /// - [`EmbeddedError::NotACluster`]: the cluster's folder holds something else.
    /// - [`EmbeddedError::OrphanStays`]: the server that a killed predecessor left behind does not end.
    /// - [`EmbeddedError::CannotRun`], [`EmbeddedError::Initdb`], [`EmbeddedError::DidNotStart`],
    ///   [`EmbeddedError::Database`]: PostgreSQL does not work; the error carries the end of what it wrote.
    /// - [`EmbeddedError::Files`]: the file system refused something else.
    pub async fn start(
        installation: &Installation,
        data_dir: &Path,
        options: &Options,
    ) -> Result<Cluster, EmbeddedError> {
        let folders = claim(data_dir.to_path_buf(), installation.major).await?;
        orphan::take_over(&folders).await?;
        let is_new = !folders.has_cluster()?;
        if is_new {
            initdb::run(installation, &folders, options.profile).await?;
        }
        let postmaster = Postmaster::spawn(installation, &folders, options)?;
        let mut cluster = Cluster { postmaster, folders };
        let connect = cluster.connect_options();
        cluster.postmaster.ready(&cluster.folders, &connect).await?;
        tracing::info!(
            folder = %cluster.folders.cluster.display(),
            user = cluster.folders.owner.name,
            is_new,
            "embedded PostgreSQL {} started; to look into it: psql -h {} -U {} {}",
            installation.major,
            cluster.folders.socket.display(),
            cluster.user(),
            cluster.database()
        );
        Ok(cluster)
    }

    /// The folder of the Unix socket; its path is short enough for one. Only root and PostgreSQL's user can enter.
    pub fn socket_dir(&self) -> &Path {
        &self.folders.socket
    }

    /// The port in the name of the socket's file; there is no such port on a network.
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The superuser of the cluster, who needs no password.
    pub fn user(&self) -> &'static str {
        USER
    }

    /// The database, which exists and is empty in a new cluster.
    pub fn database(&self) -> &'static str {
        DATABASE
    }

    /// How to connect to [`Self::database`]. The cluster allows 40 connections unless the settings say otherwise.
    pub fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.folders.socket)
            .port(PORT)
            .username(USER)
            .database(DATABASE)
            .ssl_mode(PgSslMode::Disable)
            // A slow statement of a cluster that is being made concerns nobody.
            .disable_statement_logging()
    }

    /// Stops PostgreSQL and lets go of the data folder.
    ///
    /// Open connections are cut. Waits up to 5 s for an orderly end and 7 s for a disorderly one before it kills; a
    /// warning is logged when it had to.
    pub async fn stop(self) {
        let Cluster { postmaster, folders } = self;
        postmaster.stop().await;
        drop(folders);
    }
}

/// Whether a server has used this data folder before. Changes nothing, unlike [`Cluster::start`].
pub fn was_used(data_dir: &Path) -> bool {
    folders::has_lock(data_dir)
}

async fn claim(data_dir: PathBuf, major: u32) -> Result<Folders, EmbeddedError> {
    let path = data_dir.clone();
    match tokio::task::spawn_blocking(move || Folders::claim(&data_dir, major)).await {
        Ok(claimed) => claimed,
        // The runtime is shutting down.
        Err(error) => Err(EmbeddedError::Files { action: "claim", path, source: io::Error::other(error) }),
    }
}
