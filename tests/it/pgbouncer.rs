//! A database behind a real `PgBouncer`: session mode works, and other modes are reported.

use serde_json::json;
use sqlx::Connection as _;

use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::database;
use crate::support::process::{command, folder, run, text};
use crate::support::server::TestServer;

const NAMED: &str = "the pooler is in transaction mode: use session mode";

async fn check(url: &str) -> String {
    let folder = folder();
    let mut command = command(folder.path());
    command.arg("check").env("DATABASE_URL", url);
    let output = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
    text(&output).0
}

#[tokio::test(flavor = "multi_thread")]
async fn pgbouncer_in_session_mode_works_with_its_default_settings() {
    let database = database().await;
    let Some(pooler) = PgBouncer::to(&database.options(), "session").await else { return };
    let server = TestServer::with(&[("DATABASE_URL", &pooler.url())]).await;
    let health = server.until_healthy().await;
    assert_eq!(health.json()["catalogue"]["source"], "postgres");
    let listening = |health: &serde_json::Value| health["cache"]["detail"]["listener"]["listening"] == true;
    server.until("/api/health", |health| listening(&health.json())).await;
    let pool = database.pool().await;
    let edit = "update chatchonk.models set name = 'Edited behind a pooler' where id = (
                    select min(id) from chatchonk.models where status = 'active') returning id";
    let id: String = sqlx::query_scalar(edit).fetch_one(&pool).await.unwrap();
    let name = json!("Edited behind a pooler");
    server.until(&format!("/api/models/{id}"), |model| model.json()["name"] == name).await;
    server.stop().await;
    assert!(check(&pooler.url()).await.contains("✓ database: PostgreSQL "));
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_and_statement_pooling_is_named_at_the_start() {
    let database = database().await;
    for mode in ["transaction", "statement"] {
        let Some(pooler) = PgBouncer::to(&database.options(), mode).await else { return };
        let server = TestServer::with(&[("DATABASE_URL", &pooler.url())]).await;
        server.until("/api/health/ready", |ready| ready.status == 200).await;
        let health = server.get("/api/health").await;
        assert_eq!((health.status, &health.json()["database"]["reason"]), (503, &json!(NAMED)), "{mode}");
        let list = server.get("/api/models?limit=1").await;
        assert_eq!((list.status, &list.json()["source"]), (200, &json!("builtin")), "{mode}");
        assert!(check(&pooler.url()).await.contains(&format!("✗ database: {NAMED}\n    → ")), "{mode}");
        // The next client of that backend finds the settings of the database's owner.
        let mut client = sqlx::postgres::PgConnectOptions::default().extra_float_digits(None);
        client = client.username("anyone").database("pooled").port(6432).socket(pooler.folder());
        let mut client = sqlx::PgConnection::connect_with(&client).await.unwrap();
        let row = sqlx::raw_sql("select current_setting('statement_timeout')").fetch_one(&mut client).await;
        assert_eq!(sqlx::Row::get::<String, _>(&row.unwrap(), 0), "0", "{mode}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_to_transaction_pooling_is_reported() {
    let database = database().await;
    let Some(pooler) = PgBouncer::to(&database.options(), "session").await else { return };
    let server = TestServer::with(&[("DATABASE_URL", &pooler.url())]).await;
    let listens = |health: &serde_json::Value| health["cache"]["detail"]["listener"]["listening"] == true;
    server.until("/api/health", |health| listens(&health.json())).await;
    pooler.switch("transaction");
    let admin = database.maintenance_pool().await;
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1";
    sqlx::query(end).bind(database.name()).execute(&admin).await.unwrap();
    let named = json!(NAMED);
    let is_named = |health: &serde_json::Value| health["database"]["reason"] == named && !listens(health);
    server.until("/api/health", |health| is_named(&health.json())).await;
    // The catalogue in memory is served meanwhile.
    let list = server.get("/api/models?limit=1").await;
    assert_eq!((list.status, &list.json()["source"]), (200, &json!("postgres")));
    server.stop().await;
}
