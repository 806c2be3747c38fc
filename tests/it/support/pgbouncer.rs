//! A real `PgBouncer` in front of a database.
//!
//! `TEST_POOLER=pgbouncer` requires it. Without that variable, a machine without it skips the tests that need it and
//! says so in one line.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::net::UnixStream;

use super::postgres::setting;
use super::process::folder;
use super::server::eventually;

/// Only part of its socket's name; the socket is in a private folder.
const PORT: u16 = 6432;

/// Ends when dropped.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    process: Child,
    folder: TempDir,
    database: PgConnectOptions,
}

impl PgBouncer {
    /// Starts it in this `pool_mode`, with Debian's other settings; `None` on a machine without it, unless it is
    /// required.
    pub(crate) async fn to(database: &PgConnectOptions, mode: &str) -> Option<Self> {
        let folder = folder();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        configure(&folder, database, mode);
        let started = ["pgbouncer", "/usr/sbin/pgbouncer"].into_iter().find_map(|program| {
            let mut command = Command::new(program);
            command.arg(folder.path().join("pgbouncer.ini")).stdout(Stdio::null()).stderr(Stdio::null());
            if geteuid().is_root() {
                // It refuses to run as root, and only the owner of the server's socket may enter its folder.
                let (uid, gid) = database.get_socket().map_or_else(unprivileged, |folder| {
                    let folder = std::fs::metadata(folder).unwrap();
                    (folder.uid(), folder.gid())
                });
                command.uid(uid).gid(gid);
            }
            command.spawn().ok()
        });
        let Some(process) = started else {
            assert!(setting("TEST_POOLER").is_none(), "TEST_POOLER is set, but PgBouncer is not installed");
            // Not with `eprintln!`, whose output the test harness hides while tests pass.
            let line = b"tests: no test runs with PgBouncer, since it is not installed\n";
            let _ = std::io::stderr().write_all(line);
            return None;
        };
        let pooler = Self { process, folder, database: database.clone() };
        let socket = pooler.folder.path().join(format!(".s.PGSQL.{PORT}"));
        eventually(async || UnixStream::connect(&socket).await.is_ok()).await;
        Some(pooler)
    }

    /// Returns the `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        let host = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://anyone@{host}:{PORT}/pooled")
    }

    /// Returns the folder of its socket.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Changes the mode for backends that it assigns from now on.
    pub(crate) fn switch(&self, mode: &str) {
        configure(&self.folder, &self.database, mode);
        kill(self.pid(), Signal::SIGHUP).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().try_into().unwrap())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn unprivileged() -> (u32, u32) {
    let user = User::from_name("nobody").unwrap().unwrap();
    (user.uid.as_raw(), user.gid.as_raw())
}

fn configure(folder: &TempDir, database: &PgConnectOptions, mode: &str) {
    let url = database.to_url_lossy();
    let host = match database.get_socket() {
        Some(socket) => socket.to_str().unwrap().to_owned(),
        None => database.get_host().to_owned(),
    };
    let password = url.password().map(|password| format!(" password={password}")).unwrap_or_default();
    let settings = format!(
        "[databases]\npooled = host={host} port={} dbname={} user={}{password}\n[pgbouncer]\nauth_type = any\n\
         listen_port = {PORT}\nunix_socket_dir = {}\npool_mode = {mode}\n",
        database.get_port(),
        database.get_database().unwrap(),
        database.get_username(),
        folder.path().display(),
    );
    let path = folder.path().join("pgbouncer.ini");
    std::fs::write(&path, settings).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}
