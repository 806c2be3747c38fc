//! Selects the kind of server for the tests, and treats both kinds as one.

use std::io::Write as _;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;

use super::{RUNTIME, container::Container, embedded::Embedded};

/// Settings of every server: connections for the pools of many tests, and statistics that count statements. Data need
/// not survive a crash of the machine, but commits must survive a killed server, so they are synchronous.
pub(super) const SETTINGS: [(&str, &str); 5] = [
    ("max_connections", "300"),
    ("shared_preload_libraries", "pg_stat_statements"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "on"),
];

#[derive(Debug)]
pub(super) enum Server {
    Container(Box<Container>),
    Embedded(Box<Embedded>),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Container,
    Embedded,
}

impl Server {
    /// Returns the server that all tests of this process share, and starts it on first use.
    pub(super) async fn shared() -> &'static Server {
        static SHARED: OnceCell<Result<Server, String>> = OnceCell::const_new();
        let start = || async { RUNTIME.spawn(start()).await.unwrap() };
        let started = SHARED.get_or_init(start).await;
        started.as_ref().unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// Starts another one of the same kind as the shared one, so an unavailable kind is tried only once.
    pub(super) async fn start_private() -> Server {
        let kind = match Self::shared().await {
            Server::Container(_) => Kind::Container,
            Server::Embedded(_) => Kind::Embedded,
        };
        let start = RUNTIME.spawn(start_kind(kind));
        let started = start.await.unwrap();
        started.unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// Returns the options for the maintenance database.
    pub(super) fn options(&self) -> PgConnectOptions {
        match self {
            Server::Container(container) => container.options(),
            Server::Embedded(embedded) => embedded.options(),
        }
    }

    pub(super) async fn kill(&mut self) {
        match self {
            Server::Container(container) => container.kill().await,
            Server::Embedded(embedded) => embedded.kill().await,
        }
    }

    pub(super) async fn start_again(&mut self) {
        match self {
            Server::Container(container) => container.start_again().await,
            Server::Embedded(embedded) => embedded.start_again().await,
        }
    }
}

async fn start() -> Result<Server, String> {
    match setting("TEST_POSTGRES").as_deref() {
        Some("container") => start_kind(Kind::Container)
            .await
            .map_err(|reason| format!("TEST_POSTGRES=container, but {reason}")),
        Some("embedded") => {
            start_kind(Kind::Embedded).await.map_err(|reason| format!("TEST_POSTGRES=embedded, but {reason}"))
        }
        Some(other) => Err(format!("TEST_POSTGRES is \"{other}\", not \"container\" or \"embedded\"")),
        None => match start_kind(Kind::Container).await {
            Ok(server) => Ok(server),
            Err(reason) => {
                // Not with `eprintln!`, whose output the test harness hides while tests pass.
                let line = format!("tests: PostgreSQL is the embedded one, since {reason}\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
                start_kind(Kind::Embedded)
                    .await
                    .map_err(|embedded| format!("no PostgreSQL: {reason}; and {embedded}"))
            }
        },
    }
}

async fn start_kind(kind: Kind) -> Result<Server, String> {
    match kind {
        Kind::Container => Container::start().await.map(Box::new).map(Server::Container),
        Kind::Embedded => Embedded::start().await.map(Box::new).map(Server::Embedded),
    }
}

/// Returns a variable of the tests. An empty one counts as absent.
#[expect(clippy::disallowed_methods, reason = "the tests' own environment, not the server's settings")]
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
