//! Starts under bad conditions: what is served at once, and how the server recovers.

use std::time::Duration;

use chatchonk::clock::Clock;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::support::postgres::{TestDatabase, database, empty_database, private_server};
use crate::support::proxy::Proxy;
use crate::support::server::{TestServer, eventually};

async fn facts(server: &TestServer) -> (u16, Value) {
    let health = server.get("/api/health").await;
    assert_eq!(health.header("cache-control"), "no-store");
    let body = health.json();
    let facts = json!([
        body["status"],
        body["database"]["status"],
        body["database"]["reason"],
        body["catalogue"]["source"]
    ]);
    (health.status, facts)
}

async fn source(server: &TestServer) -> (u16, String, u64) {
    let list = server.get("/api/models").await;
    let body = list.json();
    (list.status, body["source"].as_str().unwrap().to_owned(), body["revision"].as_u64().unwrap())
}

async fn decided(server: &TestServer) {
    server.until("/api/health/ready", |ready| ready.status == 200).await;
}

async fn takes_over(server: &TestServer) {
    let health = server.until_healthy().await;
    assert_eq!((health.status, &health.json()["catalogue"]["source"]), (200, &"postgres".into()));
    let (status, source, revision) = source(server).await;
    assert_eq!((status, source.as_str()), (200, "postgres"));
    assert!(revision > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_builtin_catalogue_is_served_until_the_database_returns() {
    let mut postgres = private_server().await;
    // As an empty database: tables and seed must be created when it returns.
    postgres.database().execute("drop schema chatchonk cascade").await;
    postgres.stop_hard().await;
    let clock = Clock::system();
    let begun = clock.now();
    let server = TestServer::on(postgres.database()).await;
    assert_eq!(source(&server).await, (200, "builtin".to_owned(), 0));
    assert!(clock.now() - begun < Duration::from_secs(2), "a refused connection decides at once");
    let reason = "the database cannot be reached";
    assert_eq!(facts(&server).await, (200, json!(["degraded", "down", reason, "builtin"])));

    postgres.start().await;
    let returned = clock.now();
    takes_over(&server).await;
    assert!(clock.now() - returned < Duration::from_secs(30));
    let models = server.get("/api/models?status=active,preview,deprecated,retired").await;
    assert_eq!(models.json()["total"], 120, "seeded");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_delays_the_first_list_by_at_most_3_s() {
    let proxy = Proxy::to(&database().await.options()).await;
    proxy.hang();
    let clock = Clock::system();
    let begun = clock.now();
    let server = TestServer::with(&[("DATABASE_URL", &proxy.url())]).await;
    let (ready, live) = (server.get("/api/health/ready").await, server.get("/api/health/live").await);
    assert_eq!((ready.status, live.status), (503, 200));
    assert_eq!(facts(&server).await.0, 503);
    assert_eq!(source(&server).await, (200, "builtin".to_owned(), 0));
    assert!(clock.now() - begun < Duration::from_millis(3_900), "{:?}", clock.now() - begun);
    assert_eq!(server.get("/api/health/ready").await.status, 200);
    proxy.restore();
    takes_over(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_database_fails_the_deploy_while_lists_are_builtin() {
    let existing = database().await;
    let missing = format!("{}_missing", existing.name());
    let url = TestDatabase::at(existing.options().database(&missing)).url();
    let server = TestServer::with(&[("DATABASE_URL", &url)]).await;
    decided(&server).await;
    let reason = "the server has no database of that name";
    assert_eq!(facts(&server).await, (503, json!(["unhealthy", "down", reason, "builtin"])));
    assert_eq!(source(&server).await, (200, "builtin".to_owned(), 0));

    existing.execute(format!("create database {missing}")).await;
    takes_over(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_fails_the_deploy_while_lists_are_builtin() {
    let database = database().await;
    let with_wrong_password = TestDatabase::at(database.options().password("not this one"));
    if PgConnection::connect_with(&with_wrong_password.options()).await.is_ok() {
        // The embedded PostgreSQL trusts every user on its socket. Unit tests cover the classes of faults.
        return;
    }
    let server = TestServer::on(&with_wrong_password).await;
    decided(&server).await;
    let reason = "the database refuses the user or the password";
    assert_eq!(facts(&server).await, (503, json!(["unhealthy", "down", reason, "builtin"])));
    assert_eq!(source(&server).await, (200, "builtin".to_owned(), 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_served_from_and_reported() {
    let database = database().await;
    TestServer::on(&database).await.until("/api/health", |health| health.status == 200).await;
    database
        .execute(format!("alter database {} set default_transaction_read_only = on", database.name()))
        .await;
    let server = TestServer::on(&database).await;
    decided(&server).await;
    let facts = facts(&server).await;
    assert_eq!(facts, (200, json!(["degraded", "up", "the database is read-only", "postgres"])));
    let (status, source, revision) = source(&server).await;
    assert_eq!((status, source.as_str()), (200, "postgres"));
    assert!(revision > 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_that_is_read_only_says_so() {
    let database = empty_database().await;
    database
        .execute(format!("alter database {} set default_transaction_read_only = on", database.name()))
        .await;
    let server = TestServer::on(&database).await;
    decided(&server).await;
    assert_eq!(
        facts(&server).await,
        (200, json!(["degraded", "down", "the database is read-only", "builtin"]))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_without_migrations_is_named_as_such() {
    let database = empty_database().await;
    let server = TestServer::with(&[("DATABASE_URL", &database.url()), ("MIGRATE_ON_START", "false")]).await;
    decided(&server).await;
    let reason = "the tables are missing or of another release";
    assert_eq!(facts(&server).await, (200, json!(["degraded", "down", reason, "builtin"])));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_migration_lock_is_retried_while_lists_go_on() {
    let database = empty_database().await;
    let mut holder = PgConnection::connect_with(&database.options()).await.unwrap();
    sqlx::query("select pg_advisory_lock($1)")
        .bind(migration_lock(&database.name()))
        .execute(&mut holder)
        .await
        .unwrap();
    let server = TestServer::on(&database).await;
    assert_eq!(source(&server).await, (200, "builtin".to_owned(), 0));
    let reason = json!("another session holds a lock that a migration needs");
    server.until("/api/health", |health| health.json()["database"]["reason"] == reason).await;
    let tables = "select count(*) from pg_tables where schemaname = 'chatchonk' and tablename = 'models'";
    let made = async |holder: &mut PgConnection| {
        sqlx::query_scalar::<_, i64>(tables).fetch_one(holder).await.unwrap() == 1
    };
    assert!(!made(&mut holder).await);

    sqlx::raw_sql("select pg_advisory_unlock_all()").execute(&mut holder).await.unwrap();
    eventually(async || made(&mut holder).await).await;
    takes_over(&server).await;
    server.stop().await;
}

/// The key of sqlx's migration lock: the CRC-32 of the database's name times a constant.
fn migration_lock(database: &str) -> i64 {
    let crc = database.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    });
    0x3d32_ad9e * i64::from(!crc)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_seed_row_does_not_block_the_catalogue() {
    let database = database().await;
    TestServer::on(&database).await.until("/api/health", |health| health.status == 200).await;
    let mut holder = PgConnection::connect_with(&database.options()).await.unwrap();
    sqlx::raw_sql("begin; select version from chatchonk.seed_state for update")
        .execute(&mut holder)
        .await
        .unwrap();
    let server = TestServer::on(&database).await;
    server.until("/api/models", |list| list.json()["source"] == "postgres").await;
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    takes_over(&server).await;
    server.stop().await;
}
