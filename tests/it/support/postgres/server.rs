//! Which kind of server the tests use, and the two kinds as one.

use std::io::Write as _;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;

use super::{RUNTIME, container::Container, embedded::Embedded};

/// Settings of every server: room for the pools of many tests at once, and the statistics by which a test counts the
/// statements that reached the server. Nothing needs to outlive the machine, but what was committed must outlive a
/// server that is killed, hence no asynchronous commits.
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
    /// The one that all tests of this process share. It is started when it is first asked for.
    pub(super) async fn shared() -> &'static Server {
        static SHARED: OnceCell<Result<Server, String>> = OnceCell::const_new();
        let start = || async { RUNTIME.spawn(start()).await.unwrap() };
        let started = SHARED.get_or_init(start).await;
        started.as_ref().unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// Another one, of the same kind as the shared one, so that what may not be had is only tried once.
    pub(super) async fn start_private() -> Server {
        let kind = match Self::shared().await {
            Server::Container(_) => Kind::Container,
            Server::Embedded(_) => Kind::Embedded,
        };
        let start = RUNTIME.spawn(start_kind(kind));
        let started = start.await.unwrap();
        started.unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// How to connect to a database that is for creating others.
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
                // Not with `eprintln!`, which the test harness keeps to itself while the tests pass.
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

/// A variable for the tests; an empty one is an absent one.
#[expect(clippy::disallowed_methods, reason = "the tests' own environment, not the server's settings")]
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
