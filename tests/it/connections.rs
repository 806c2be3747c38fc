//! The number of connections that the server needs, and its behaviour when none is free.

use chatchonk::clock::Clock;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::kv::fake::FakeKv;
use crate::support::postgres::{TestDatabase, database};
use crate::support::server::{TestServer, eventually};

/// The settings of Render's instances: a pool of two, and one connection that listens.
const POOL: &str = "2";
const OF_AN_INSTANCE: usize = 3;

/// Limits the number of connections of a role, as a session pooler does.
async fn limited(database: &TestDatabase, connections: usize) -> TestDatabase {
    let name = database.name();
    let statement = format!(
        "create role {name} login password 'secret' connection limit {connections};
         grant create on database {name} to {name};
         grant usage, create on schema chatchonk to {name};
         grant all on all tables in schema chatchonk to {name};"
    );
    database.execute(statement).await;
    TestDatabase::at(database.options().username(&name).password("secret"))
}

async fn instance(database: &TestDatabase) -> TestServer {
    TestServer::with(&[("DATABASE_URL", &database.url()), ("DATABASE_MAX_CONNECTIONS", POOL)]).await
}

fn is_whole(health: &Value) -> bool {
    health["status"] == "healthy" && health["cache"]["detail"]["listener"]["listening"] == true
}

async fn whole(server: &TestServer) {
    server.until("/api/health", |health| is_whole(&health.json())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_releases_fit_into_twice_the_connections_of_one() {
    let database = database().await;
    let limited = limited(&database, 2 * OF_AN_INSTANCE).await;
    let old = instance(&limited).await;
    whole(&old).await;
    let new = instance(&limited).await;
    whole(&new).await;
    // Both use all their connections.
    for _ in 0..20 {
        for server in [&old, &new] {
            assert!(is_whole(&server.get("/api/health").await.json()));
        }
    }
    let edit = "update chatchonk.models set name = 'Both see it' where id = 'openai/gpt-4o'";
    database.execute(edit).await;
    for server in [&old, &new] {
        server.until("/api/models/openai/gpt-4o", |model| model.json()["name"] == "Both see it").await;
    }
    old.stop().await;
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_a_free_connection_and_says_so() {
    let database = limited(&database().await, OF_AN_INSTANCE).await;
    let mut held = Vec::new();
    for _ in 0..OF_AN_INSTANCE {
        held.push(PgConnection::connect_with(&database.options()).await.unwrap());
    }
    let server = instance(&database).await;
    server.until("/api/health/ready", |ready| ready.status == 200).await;
    let health = server.get("/api/health").await;
    let reason = &health.json()["database"]["reason"];
    assert_eq!((health.status, reason), (200, &json!("no database connection is free")));
    drop(held);
    whole(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_to_kv_while_the_database_is_read_only() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let switch = async |to: &str| {
        // Only new sessions see the setting; Supabase ends the existing ones too.
        let name = database.name();
        let others =
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()";
        let statement = format!(
            "set transaction read write; alter database {name} set default_transaction_read_only = {to};
             {others} and pid <> pg_backend_pid()"
        );
        database.execute(statement).await;
    };
    TestServer::on(&database).await.until("/api/health", |health| health.status == 200).await;
    switch("on").await;
    let reason = json!("the database is read-only");
    let server = TestServer::with_kv(&database.url(), &kv).await;
    let health = server.until("/api/health", |health| health.json()["database"]["reason"] == reason).await;
    let facts = [&health.json()["status"], &health.json()["database"]["status"]].map(Value::to_owned);
    assert_eq!((health.status, facts), (200, [json!("degraded"), json!("up")]));
    let list = server.get("/api/models?limit=1").await;
    assert_eq!((list.status, &list.json()["source"]), (200, &json!("postgres")));
    // The stop would write what waits.
    server.stop().await;
    assert_eq!(kv.used_today().writes, 0);

    let server = TestServer::with_kv(&database.url(), &kv).await;
    server.until("/api/health", |health| health.json()["database"]["reason"] == reason).await;
    switch("off").await;
    server.until_healthy().await;
    eventually(async || kv.used_today().writes > 0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_listener_is_not_a_database() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let server =
        TestServer::with(&[("DATABASE_URL", &format!("postgres://u:p@{address}/x?sslmode=require"))]).await;
    let reason = json!("the database cannot be reached");
    server.until("/api/health", |health| health.json()["database"]["reason"] == reason).await;
    server.stop().await;
}
