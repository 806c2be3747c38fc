//! Starts, awaits and stops the server process.

use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time;

use super::error::{EmbeddedError, files, tail};
use super::folders::Folders;
use super::installation::Installation;
use super::settings::{DATABASE, Options, PORT, Profile};

/// Generous, because a killed server first replays its log.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Pause between checks of the server.
const INTERVAL: Duration = Duration::from_millis(10);

/// Signals that end a server, and how long to wait after each: "fast" ends sessions and writes everything out; "immediate"
/// only ends the processes, and kills them after 5 s.
/// <https://www.postgresql.org/docs/15/server-shutdown.html>
pub(super) const SHUTDOWN: [(Signal, Duration); 2] =
    [(Signal::SIGINT, Duration::from_secs(5)), (Signal::SIGQUIT, Duration::from_secs(7))];

/// Default settings, which the caller's override.
const SETTINGS: [(&str, &str); 6] = [
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "40"),
    ("shared_buffers", "32MB"),
    ("logging_collector", "off"),
    ("log_checkpoints", "off"),
];

const DISPOSABLE: [(&str, &str); 3] =
    [("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")];

/// A server that is our child. Dropping it asks it to end without waiting.
///
/// Uses the standard library's `Child`, because tokio's works only on the runtime that started it.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
    profile: Profile,
}

impl Postmaster {
    pub(super) fn spawn(
        installation: &Installation,
        folders: &Folders,
        options: &Options,
    ) -> Result<Self, EmbeddedError> {
        let log = folders.new_log()?;
        let log_for_errors = log.try_clone().map_err(files("open", &folders.log))?;
        let program = installation.bin.join("postgres");
        let mut command = folders.owner.command(&program, &folders.cluster);
        command.stdout(Stdio::from(log)).stderr(Stdio::from(log_for_errors));
        command.arg("-D").arg(&folders.cluster);

        let port = PORT.to_string();
        let socket = folders.socket.to_string_lossy();
        let place = [("unix_socket_directories", socket.as_ref()), ("port", port.as_str())];
        let speed = (options.profile == Profile::Disposable).then_some(DISPOSABLE).into_iter().flatten();
        let added = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in SETTINGS.into_iter().chain(speed).chain(added).chain(place) {
            command.arg("-c").arg(format!("{name}={value}"));
        }

        let spawned = command.spawn();
        let child = spawned.map_err(|source| folders.owner.cannot_run(&program, &folders.cluster, source))?;
        Ok(Self { child, profile: options.profile })
    }

    /// Waits until the server answers, and creates the database if missing.
    pub(super) async fn ready(
        &mut self,
        folders: &Folders,
        connect: &PgConnectOptions,
    ) -> Result<(), EmbeddedError> {
        let answer = time::timeout(START_LIMIT, self.first_answer(connect)).await;
        let reason = match answer {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => return create_database(connect).await.map_err(EmbeddedError::Database),
            Ok(Err(reason)) => reason,
            Err(_) => format!("did not accept connections within {} s", START_LIMIT.as_secs()),
        };
        let log = tokio::fs::read(&folders.log).await.unwrap_or_default();
        Err(EmbeddedError::DidNotStart { reason, log: folders.log.clone(), tail: tail(&log) })
    }

    /// Waits for the first answer. Returns whether the database exists, or how the server ended.
    async fn first_answer(&mut self, connect: &PgConnectOptions) -> Result<bool, String> {
        loop {
            match PgConnection::connect_with(connect).await {
                Ok(connection) => {
                    // Whether it closes cleanly does not matter.
                    let _ = connection.close().await;
                    return Ok(true);
                }
                Err(error) if is_missing_database(&error) => return Ok(false),
                // The server is still starting.
                Err(_) => {}
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended while starting ({status})"));
            }
            time::sleep(INTERVAL).await;
        }
    }

    /// Stops the server and waits for it.
    pub(super) async fn stop(mut self) {
        for (signal, patience) in SHUTDOWN {
            self.signal(signal);
            if time::timeout(patience, self.ended()).await.is_ok() {
                if signal != Signal::SIGINT {
                    tracing::warn!("embedded PostgreSQL did not stop in time and was ended; it will recover");
                }
                return;
            }
        }
        tracing::warn!("embedded PostgreSQL does not stop and was killed; it will recover");
        // Fails only if it has just ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    async fn ended(&mut self) {
        while matches!(self.child.try_wait(), Ok(None)) {
            time::sleep(INTERVAL).await;
        }
    }

    /// Does nothing if the server has ended. Its process id cannot be reused before `try_wait` has collected the exit status.
    fn signal(&mut self, signal: Signal) {
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            // The child may just have ended.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.signal(match self.profile {
            Profile::Durable => Signal::SIGINT,
            // Nothing is worth writing out, and the folder may be about to vanish.
            Profile::Disposable => Signal::SIGQUIT,
        });
    }
}

fn is_missing_database(error: &sqlx::Error) -> bool {
    // https://www.postgresql.org/docs/15/errcodes-appendix.html
    const INVALID_CATALOG_NAME: &str = "3D000";
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some(INVALID_CATALOG_NAME))
}

async fn create_database(connect: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(&connect.clone().database("postgres")).await?;
    // A parameter cannot name a database.
    let statement = format!("CREATE DATABASE {DATABASE}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}
