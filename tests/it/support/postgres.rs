//! Provides PostgreSQL for the tests.
//!
//! It runs in a container where a Docker engine answers and has the image (`postgres:17-alpine`, or
//! `TEST_POSTGRES_IMAGE`), else as the embedded PostgreSQL, with one line that says so. `TEST_POSTGRES=container` or
//! `TEST_POSTGRES=embedded` requires one of them.
//!
//! All tests of a process share one server, and each has its own database. Everything is removed however the process
//! ends: see [`reaper`].

mod container;
mod embedded;
mod reaper;
mod server;

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

use chatchonk::domain::seed::Seed;
use chatchonk::store::{DatabaseSettings, SeedMode, Store};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{runtime, sync::OnceCell};

use self::server::Server;
pub(crate) use self::server::setting;

/// The runtime for starting servers and connecting to them. Each test has its own runtime, and connections that belong
/// to it would end with the first test.
static RUNTIME: LazyLock<runtime::Runtime> = LazyLock::new(|| {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
});

/// The template of every test's database.
const TEMPLATE: &str = "migrated";

/// A migrated database for one test, on the shared server.
pub(crate) async fn database() -> TestDatabase {
    let databases = shared().await;
    databases.create(Some(TEMPLATE)).await
}

/// Like [`database`], without migrations.
pub(crate) async fn empty_database() -> TestDatabase {
    let databases = shared().await;
    databases.create(None).await
}

/// Like [`empty_database`], in this encoding, such as `SQL_ASCII`.
pub(crate) async fn empty_database_in(encoding: &str) -> TestDatabase {
    let template = format!("template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'");
    shared().await.create(Some(&template)).await
}

/// A migrated database with the seed.
pub(crate) async fn seeded_database() -> TestDatabase {
    let database = database().await;
    database.seed().await;
    database
}

/// A database with the seed, as the release before this migration left it.
pub(crate) async fn database_before(migration: i64) -> TestDatabase {
    let database = empty_database().await;
    let mut migrator = sqlx::migrate!();
    migrator.migrations.to_mut().retain(|known| known.version < migration);
    let mut connection = PgConnection::connect_with(&database.options).await.unwrap();
    migrator.run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    database.seed().await;
    database
}

/// Executes statements on the pool.
pub(crate) async fn run(pool: &PgPool, statements: impl Into<String>) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.into())).execute(pool).await.unwrap();
}

/// A private server for a test that breaks it. It takes a second or more to start.
pub(crate) async fn private_server() -> PrivateServer {
    let server = Server::start_private().await;
    let databases = Databases::on(server.options()).await;
    let database = databases.create(Some(TEMPLATE)).await;
    PrivateServer { server, database }
}

/// A database. It exists as long as its server, so a failed test can be examined in a debugger.
#[derive(Debug, Clone)]
pub(crate) struct TestDatabase {
    options: PgConnectOptions,
}

impl TestDatabase {
    /// A database that may not exist.
    pub(crate) fn at(options: PgConnectOptions) -> Self {
        Self { options }
    }

    /// Returns the options for a connection as the superuser.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Returns the `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        self.options.to_url_lossy().to_string()
    }

    pub(crate) fn name(&self) -> String {
        self.options.get_database().unwrap().to_owned()
    }

    /// A new store, which has no statement prepared for columns that have changed since.
    pub(crate) fn store(&self) -> Store {
        Store::new(DatabaseSettings::from_options(self.options(), 2))
    }

    async fn seed(&self) {
        let store = self.store();
        store.apply_seed(&Seed::builtin().unwrap(), SeedMode::Newer).await.unwrap();
        store.close().await;
    }

    /// Executes statements on a connection of its own, as the superuser.
    pub(crate) async fn execute(&self, statements: impl Into<String>) {
        let mut connection = PgConnection::connect_with(&self.options).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements.into())).execute(&mut connection).await.unwrap();
    }

    /// A pool on another database of the same server, for statements that need one.
    pub(crate) async fn maintenance_pool(&self) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(1);
        pool.connect_with(self.options().database("postgres")).await.unwrap()
    }

    /// A small pool for the test's own queries.
    pub(crate) async fn pool(&self) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(4);
        pool.connect_with(self.options()).await.unwrap()
    }
}

/// A server with one migrated database for one test. Removed when dropped.
#[derive(Debug)]
pub(crate) struct PrivateServer {
    server: Server,
    database: TestDatabase,
}

impl PrivateServer {
    /// Returns the database. Its address survives a restart of the server.
    pub(crate) fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// Kills the server without an orderly stop. Connections break, and new ones are refused.
    pub(crate) async fn stop_hard(&mut self) {
        self.server.kill().await;
    }

    /// Restarts the server with its committed data, and waits until it accepts connections.
    pub(crate) async fn start(&mut self) {
        self.server.start_again().await;
    }
}

/// The databases on one server.
#[derive(Debug)]
struct Databases {
    maintenance: PgConnectOptions,
    /// A template must have no connections while it is copied, so copies are made one after another.
    one_at_a_time: tokio::sync::Mutex<()>,
    created: AtomicU32,
}

async fn shared() -> &'static Databases {
    static SHARED: OnceCell<Databases> = OnceCell::const_new();
    SHARED.get_or_init(async || Databases::on(Server::shared().await.options()).await).await
}

impl Databases {
    /// Creates the template on a new server.
    async fn on(maintenance: PgConnectOptions) -> Self {
        let databases =
            Self { maintenance, one_at_a_time: tokio::sync::Mutex::new(()), created: AtomicU32::new(0) };
        let template = databases.create_named(TEMPLATE, None).await;
        let mut connection = PgConnection::connect_with(&template.options).await.unwrap();
        sqlx::migrate!().run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        databases
    }

    async fn create(&self, template: Option<&str>) -> TestDatabase {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        self.create_named(&format!("test_{number}"), template).await
    }

    async fn create_named(&self, name: &str, template: Option<&str>) -> TestDatabase {
        let template = template.unwrap_or("template1");
        let statement = format!("CREATE DATABASE {name} TEMPLATE {template}");
        let _turn = self.one_at_a_time.lock().await;
        let mut connection = PgConnection::connect_with(&self.maintenance).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        TestDatabase { options: self.maintenance.clone().database(name) }
    }
}
