//! Tables that differ from those of the migrations: hidden, missing, altered, locked, or edited under another name.

use chatchonk::store::DatabaseFault;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::changes::MODEL;
use crate::empty_tables::reader_of;
use crate::support::clock::accelerated;
use crate::support::postgres::{database_before, seeded_database};
use crate::support::process::run_on;
use crate::support::server::TestServer;

const MIGRATION: i64 = 20_261_128_000_100;

async fn until(server: &TestServer, reason: &str) -> Value {
    server.until("/api/health", |health| health.json()["database"]["reason"] == reason).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_migrations_are_hidden_rows_and_never_applied_again() {
    let database = seeded_database().await;
    let reader = reader_of(&database).await;
    let role = format!("reader_of_{}", database.name());
    database
        .execute(format!(
            "alter table chatchonk._sqlx_migrations enable row level security;
             grant create on database {} to {role}; grant all on schema chatchonk to {role};
             grant all on all tables in schema chatchonk to {role}",
            database.name()
        ))
        .await;
    assert_eq!(reader.store().migrate().await.unwrap_err().fault(), DatabaseFault::HiddenRows);
    let server = TestServer::on(&reader).await;
    let health = until(&server, "row-level security hides rows from the database role").await;
    assert_eq!(json!([health["status"], health["database"]["status"]]), json!(["degraded", "up"]));
    assert_eq!(server.get("/api/models").await.json()["source"], "postgres");
    let (code, printed) = run_on(&reader, &["check"]).await;
    assert!(code == Some(1) && printed.contains("✗ migrations: row-level security"), "{printed}");
    assert!(printed.contains("✗ row-level security: hides every row of _sqlx_migrations"), "{printed}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_tables_hidden_by_row_level_security() {
    let database = seeded_database().await;
    let reader = reader_of(&database).await;
    database.execute("alter table chatchonk.quarantined_values enable row level security").await;
    let (code, printed) = run_on(&reader, &["check"]).await;
    let line = "✗ row-level security: hides every row of quarantined_values";
    assert!(code == Some(1) && printed.contains(line), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn child_tables_are_reported_and_their_edits_found() {
    let database = seeded_database().await;
    database
        .execute(
            "create table public.own_models (like chatchonk.models including all);
         alter table public.own_models inherit chatchonk.models;
         insert into public.own_models select * from only chatchonk.models where id = 'openai/gpt-4o';
         delete from only chatchonk.models where id = 'openai/gpt-4o'",
        )
        .await;
    let (clock, _driver) = accelerated();
    let server = TestServer::at(&[("DATABASE_URL", &database.url())], clock).await;
    until(&server, "the triggers of the catalogue do not see every edit").await;
    let (code, printed) = run_on(&database, &["check"]).await;
    let line = "✗ triggers: models has partitions or child tables (own_models)";
    assert!(code == Some(1) && printed.contains(line), "{printed}");
    assert_eq!(database.store().migrate().await.unwrap(), Vec::<String>::new());
    server.until(MODEL, |model| model.status == 200).await;
    database.execute("update public.own_models set name = 'Of a child'").await;
    server.until(MODEL, |model| model.json()["name"] == "Of a child").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_in_place_of_tables_are_reported() {
    let database = seeded_database().await;
    database
        .execute(
            "alter table chatchonk.models rename to own_models;
         create view chatchonk.models as select * from chatchonk.own_models",
        )
        .await;
    let server = TestServer::seeded(&database).await;
    until(&server, "the triggers of the catalogue do not see every edit").await;
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(code == Some(1) && printed.contains("✗ triggers: models is a view"), "{printed}");
    assert!(printed.contains("✗ privileges: ") && printed.contains("not a table: models"), "{printed}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_of_privileges_names_missing_tables() {
    let database = seeded_database().await;
    database.execute("drop table chatchonk.kv_budget").await;
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(code == Some(1) && printed.contains("✗ privileges: "), "{printed}");
    assert!(printed.contains("not a table: kv_budget") && !printed.contains("✓ privileges"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_waits_for_locks_while_the_catalogue_is_served() {
    let database = database_before(MIGRATION).await;
    let mut holder = PgConnection::connect_with(&database.options()).await.unwrap();
    sqlx::raw_sql("begin; select from chatchonk.models").execute(&mut holder).await.unwrap();
    assert_eq!(database.store().migrate().await.unwrap_err().fault(), DatabaseFault::Locked);
    let server = TestServer::seeded(&database).await;
    let health = until(&server, "another session holds a lock that a migration needs").await;
    assert_eq!(json!([health["status"], health["database"]["status"]]), json!(["degraded", "up"]));
    // An edit still shows while the migration waits.
    let edit = "update chatchonk.models set name = 'Edited' where id = 'openai/gpt-4o'";
    database.execute(edit).await;
    server.until(MODEL, |model| model.json()["name"] == "Edited").await;
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    assert!(database.store().migrate().await.unwrap().is_empty());
    server.until_healthy().await;
    server.stop().await;
}

#[tokio::test]
async fn a_deadlock_counts_as_a_lock_and_is_retried() {
    let database = database_before(MIGRATION).await;
    let mut other = PgConnection::connect_with(&database.options()).await.unwrap();
    // The migration locks providers, task_types and models in this order.
    sqlx::raw_sql("set deadlock_timeout = '1h'; begin; lock table chatchonk.models")
        .execute(&mut other)
        .await
        .unwrap();
    let store = database.store();
    let migrates = tokio::spawn(async move { store.migrate().await });
    let waits = "select count(*) from pg_locks where not granted";
    let pool = database.pool().await;
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&pool).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let crossed = tokio::spawn(async move {
        let _ = sqlx::raw_sql("lock table chatchonk.providers; rollback").execute(&mut other).await;
    });
    assert_eq!(migrates.await.unwrap().unwrap_err().fault(), DatabaseFault::Locked);
    crossed.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_refused_for_a_column_type_names_the_column() {
    for (column, to) in [("release_date", "date using null"), ("price_tiers", "text")] {
        let database = database_before(MIGRATION).await;
        database
            .execute(format!(
                "alter table chatchonk.models drop constraint if exists models_release_date_format,
                 drop constraint if exists models_price_tiers_shape;
                 alter table chatchonk.models alter column {column} drop default;
                 alter table chatchonk.models alter column {column} type {to}"
            ))
            .await;
        let (code, printed) = run_on(&database, &["migrate"]).await;
        assert!(
            code == Some(1) && printed.contains(&format!("select 'models', id, '{column}'")),
            "{printed}"
        );
        let server = TestServer::seeded(&database).await;
        let health = until(&server, "a migration failed").await;
        assert_eq!(health["database"]["status"], "up", "{column}");
        server.stop().await;
    }
}
