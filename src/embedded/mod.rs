//! A private PostgreSQL for local runs and tests.
//!
//! Without `DATABASE_URL`, the server runs the installed PostgreSQL as its child: [`Installation::find`],
//! [`Cluster::start`], [`Cluster::stop`]. Nothing listens on a network. Not for production.
//!
//! ```text
//! <data folder>/chatchonk.lock       held by our process while it uses the folder
//! <data folder>/pg15/                the cluster, one per major version
//! <data folder>/pg15.initdb-1/       an unfinished cluster
//! <data folder>/pg15.log             the server's log, emptied at each start
//! /tmp/chatchonk-<hash of the data folder>/   the socket
//! ```
//!
//! The module uses nothing else of this crate, reads no environment variables, and does not log the errors it returns.

mod error;
mod folders;
mod initdb;
mod installation;
mod orphan;
mod owner;
mod postmaster;
mod settings;

use std::io;
use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use error::files;
use folders::Folders;
use postmaster::Postmaster;
use settings::{DATABASE, PORT, USER};

pub use error::EmbeddedError;
pub use folders::was_used;
pub use installation::Installation;
pub use settings::{Options, Profile, default_data_dir};

/// A running private PostgreSQL.
///
/// Its processes form their own process group, so Ctrl-C does not end them before [`Cluster::stop`]. Dropping it asks
/// PostgreSQL to end, without waiting. If our process is killed, the next start on the data folder ends PostgreSQL
/// first.
///
/// One async runtime can start it and another stop it.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the lock must go last.
    postmaster: Postmaster,
    folders: Folders,
}

impl Cluster {
    /// Starts PostgreSQL on `data_dir`, created if missing, and waits until the database answers.
    ///
    /// Creating a cluster takes a second or two (limit 60 s), starting one less (limit 30 s). As root, PostgreSQL runs
    /// as `postgres`, else `nobody`, who must be able to enter `data_dir`.
    ///
    /// One process can use a data folder at a time. No interruption, not even a dropped future, blocks the next start.
    ///
    /// # Errors
    /// [`EmbeddedError`]; each variant says how to fix it.
    pub async fn start(
        installation: &Installation,
        data_dir: &Path,
        options: &Options,
    ) -> Result<Cluster, EmbeddedError> {
        let (path, major) = (data_dir.to_path_buf(), installation.major);
        let claimed = tokio::task::spawn_blocking(move || Folders::claim(&path, major)).await;
        // The task fails only while the runtime shuts down.
        let folders = claimed.map_err(|error| files("claim", data_dir)(io::Error::other(error)))??;
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
            USER,
            DATABASE
        );
        Ok(cluster)
    }

    /// Returns how to connect to the database, which is empty in a new cluster, as its superuser over the Unix socket. The
    /// cluster allows 40 connections unless the settings say otherwise.
    pub fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.folders.socket)
            .port(PORT)
            .username(USER)
            .database(DATABASE)
            .ssl_mode(PgSslMode::Disable)
            // Slow statements while a cluster is created are not worth logging.
            .disable_statement_logging()
    }

    /// Stops PostgreSQL, cutting open connections, and releases the data folder.
    ///
    /// Waits up to 5 s for an orderly end and 7 s for an immediate one, then kills it. Logs a warning unless the end was
    /// orderly.
    pub async fn stop(self) {
        self.postmaster.stop().await;
    }
}
