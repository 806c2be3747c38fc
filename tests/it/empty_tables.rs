//! Databases whose catalogue is empty: hidden rows, dropped or truncated tables, missing migrations.

use serde_json::{Value, json};

use crate::support::postgres::{TestDatabase, empty_database, seeded_database};
use crate::support::process::{self, Serving, command, folder, run_on};
use crate::support::server::TestServer;

const HIDDEN: &str = "row-level security hides rows from the database role";
const EMPTY: &str = "the catalogue's tables are empty";
const TABLES: [&str; 5] = ["providers", "models", "task_types", "model_tasks", "cache_version"];

/// Waits for a reason, and returns the state in health and lists with it.
async fn facts(server: &TestServer, reason: &str) -> Value {
    let wanted = if reason.is_empty() { Value::Null } else { json!(reason) };
    let health = server.until("/api/health", |health| health.json()["database"]["reason"] == wanted).await;
    let (status, health) = (health.status, health.json());
    assert_eq!(health["database"]["remedy"].is_string(), !reason.is_empty());
    let list = server.get("/api/models").await.json();
    json!([status, health["status"], health["database"]["status"], list["source"], list["total"]])
}

async fn healthy(server: &TestServer) {
    server.until_healthy().await;
    let list = server.get("/api/models").await.json();
    assert_eq!((&list["source"], &list["total"]), (&json!("postgres"), &json!(118)));
}

/// A role that may read every table, as a careful operator grants it.
pub(crate) async fn reader_of(database: &TestDatabase) -> TestDatabase {
    let role = format!("reader_of_{}", database.name());
    let grants = format!(
        "create role {role} login password 'only for tests';
         grant usage on schema chatchonk to {role};
         grant select on all tables in schema chatchonk to {role}"
    );
    database.execute(grants).await;
    TestDatabase::at(database.options().username(&role).password("only for tests"))
}

async fn row_level_security(database: &TestDatabase, tables: &[&str], switch: &str) {
    for table in tables {
        database.execute(format!("alter table chatchonk.{table} {switch} row level security")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_hidden_by_row_level_security_fail_a_start() {
    for tables in [&TABLES[..], &["models"], &["model_tasks"], &["cache_version"]] {
        let database = seeded_database().await;
        let reader = reader_of(&database).await;
        row_level_security(&database, tables, "enable").await;
        let server = TestServer::on(&reader).await;
        assert_eq!(
            facts(&server, HIDDEN).await,
            json!([200, "degraded", "down", "builtin", 118]),
            "{tables:?}"
        );
        let (code, printed) = run_on(&reader, &["check"]).await;
        let hides =
            printed.lines().find(|line| line.starts_with("✗ row-level security: hides every row of "));
        assert!(hides.is_some_and(|line| tables.iter().all(|table| line.contains(table))), "{printed}");
        assert!(code == Some(1) && !printed.contains("✓ catalogue"), "{printed}");

        row_level_security(&database, tables, "disable").await;
        healthy(&server).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_hidden_at_runtime_keep_the_catalogue() {
    let database = seeded_database().await;
    let reader = reader_of(&database).await;
    let server = TestServer::on(&reader).await;
    healthy(&server).await;
    row_level_security(&database, &TABLES, "enable").await;
    assert_eq!(facts(&server, HIDDEN).await, json!([200, "degraded", "down", "postgres", 118]));
    // An edit causes a load, which must not empty the catalogue either.
    database.execute("update chatchonk.models set name = 'Seen' where id = 'openai/gpt-4o'").await;
    assert_eq!(facts(&server, HIDDEN).await, json!([200, "degraded", "down", "postgres", 118]));
    row_level_security(&database, &TABLES, "disable").await;
    server.until("/api/models/openai/gpt-4o", |model| model.json()["name"] == "Seen").await;
    healthy(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_policy_shows_are_served_with_a_warning() {
    let database = seeded_database().await;
    let reader = reader_of(&database).await;
    row_level_security(&database, &TABLES, "enable").await;
    for table in TABLES {
        database.execute(format!("create policy read on chatchonk.{table} for select using (true)")).await;
    }
    let folder = folder();
    let mut server = Serving::start(command(folder.path()).env("DATABASE_URL", reader.url()));
    let address = server.address();
    server.line_with("row-level security applies to the database role; rows may be missing");
    let (_, list) = process::get(&address, "/api/models").await;
    assert_eq!((&list["source"], &list["total"]), (&json!("postgres"), &json!(118)));
    let (_, health) = process::get(&address, "/api/health").await;
    assert_eq!((&health["status"], &health["database"]["reason"]), (&json!("healthy"), &Value::Null));
    let (code, printed) = run_on(&reader, &["check"]).await;
    assert!(
        code == Some(0) && printed.contains("! row-level security: applies to role reader_of_"),
        "{printed}"
    );
    assert!(printed.contains("✓ catalogue: 120 models"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_recreated_at_runtime_is_seeded() {
    let database = seeded_database().await;
    let server = TestServer::on(&database).await;
    healthy(&server).await;
    database.execute("drop schema chatchonk cascade").await;
    let missing = "the tables are missing or of another release";
    assert_eq!(facts(&server, missing).await, json!([200, "degraded", "down", "postgres", 118]));
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(code == Some(1) && printed.contains("✗ migrations: "), "{printed}");
    assert_eq!(run_on(&database, &["migrate"]).await.0, Some(0));
    healthy(&server).await;
    let rows: i64 = sqlx::query_scalar("select count(*) from chatchonk.models")
        .fetch_one(&database.pool().await)
        .await
        .unwrap();
    assert_eq!(rows, 120);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_tables_keep_the_catalogue_until_they_are_seeded() {
    for table in ["models", "providers"] {
        let database = seeded_database().await;
        let server = TestServer::on(&database).await;
        healthy(&server).await;
        database.execute(format!("truncate chatchonk.{table} cascade")).await;
        assert_eq!(facts(&server, EMPTY).await, json!([200, "degraded", "down", "postgres", 118]));
        let (code, printed) = run_on(&database, &["check"]).await;
        assert!(code == Some(1) && printed.contains(&format!("✗ catalogue: {EMPTY}")), "{printed}");
        assert!(printed.contains("→ run `chatchonk catalogue seed`"), "{printed}");

        let another = TestServer::on(&database).await;
        assert_eq!(facts(&another, EMPTY).await, json!([200, "degraded", "down", "builtin", 118]));

        let (code, printed) = run_on(&database, &["catalogue", "seed"]).await;
        assert!(code == Some(0) && printed.contains("120 models"), "{printed}");
        healthy(&server).await;
        healthy(&another).await;
        server.stop().await;
        another.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_version_row_is_a_failed_load() {
    let reason = "the row with the catalogue's version is missing";
    let database = seeded_database().await;
    let server = TestServer::on(&database).await;
    healthy(&server).await;
    let revision = server.get("/api/models").await.json()["revision"].clone();
    database.execute("delete from chatchonk.cache_version").await;
    assert_eq!(facts(&server, reason).await, json!([200, "degraded", "down", "postgres", 118]));
    assert_eq!(server.get("/api/models").await.json()["revision"], revision);
    let another = TestServer::on(&database).await;
    assert_eq!(facts(&another, reason).await, json!([200, "degraded", "down", "builtin", 118]));
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(code == Some(1) && printed.contains(&format!("✗ catalogue: {reason}")), "{printed}");

    assert_eq!(run_on(&database, &["cache", "purge"]).await.0, Some(0));
    healthy(&server).await;
    healthy(&another).await;
    server.stop().await;
    another.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_zero_or_below_is_a_failed_load() {
    let reason = "the row with the catalogue's version is missing";
    for version in [0, -7] {
        let database = seeded_database().await;
        let server = TestServer::on(&database).await;
        healthy(&server).await;
        let write = format!(
            "alter table chatchonk.cache_version drop constraint cache_version_version_positive;
             update chatchonk.cache_version set version = {version}"
        );
        database.execute(write).await;
        assert_eq!(facts(&server, reason).await, json!([200, "degraded", "down", "postgres", 118]));
        let (code, printed) = run_on(&database, &["check"]).await;
        assert!(code == Some(1) && printed.contains(&format!("✗ catalogue: {reason}")), "{printed}");
        assert_eq!(run_on(&database, &["cache", "purge"]).await.0, Some(0));
        healthy(&server).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_a_readable_row_are_a_failed_load() {
    let reason = "no provider or no model can be understood";
    for (spoil, named, restore) in [
        (
            "alter table chatchonk.models drop constraint models_kind_known;
             update chatchonk.models set kind = 'x' || kind",
            "such as model anthropic/claude-",
            "update chatchonk.models set kind = substr(kind, 2)",
        ),
        (
            "alter table chatchonk.models drop constraint models_provider_fkey;
             alter table chatchonk.providers drop constraint providers_id_format;
             update chatchonk.providers set id = id || ' x'",
            "such as provider anthropic x: id: ",
            "update chatchonk.providers set id = left(id, -2)",
        ),
    ] {
        let database = seeded_database().await;
        let server = TestServer::on(&database).await;
        healthy(&server).await;
        database.execute(spoil).await;
        assert_eq!(facts(&server, reason).await, json!([200, "degraded", "down", "postgres", 118]));
        let another = TestServer::on(&database).await;
        assert_eq!(facts(&another, reason).await, json!([200, "degraded", "down", "builtin", 118]));
        let (code, printed) = run_on(&database, &["check"]).await;
        assert!(code == Some(1) && printed.contains(&format!("✗ catalogue: {reason}, {named}")), "{printed}");
        database.execute(restore).await;
        healthy(&server).await;
        healthy(&another).await;
        server.stop().await;
        another.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_after_a_good_check_degrades_health() {
    let database = seeded_database().await;
    let server = TestServer::on(&database).await;
    healthy(&server).await;
    // The check reads no missing column, and the version is raised, so the load fails.
    database
        .execute(
            "alter table chatchonk.models rename id to identity;
         update chatchonk.cache_version set version = version + 1",
        )
        .await;
    let reason = "no provider or no model can be understood";
    assert_eq!(facts(&server, reason).await, json!([200, "degraded", "down", "postgres", 118]));
    database.execute("alter table chatchonk.models rename identity to id").await;
    healthy(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_migration_on_a_fresh_database_is_reported() {
    let database = empty_database().await;
    // The first migrations succeed and leave empty tables.
    database.execute("create schema chatchonk; create table chatchonk.kv_keys ()").await;
    let server = TestServer::on(&database).await;
    let reason = "a migration failed";
    assert_eq!(facts(&server, reason).await, json!([200, "degraded", "down", "builtin", 118]));
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(code == Some(1) && printed.contains("✗ migrations: "), "{printed}");
    database.execute("drop table chatchonk.kv_keys").await;
    healthy(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_migrations_degrade_a_server_without_migrations() {
    let database = seeded_database().await;
    database
        .execute(
            "create table public.applied as select * from chatchonk._sqlx_migrations;
         delete from chatchonk._sqlx_migrations
         where version = (select max(version) from chatchonk._sqlx_migrations)",
        )
        .await;
    let variables = [("DATABASE_URL", &*database.url()), ("MIGRATE_ON_START", "false")];
    let server = TestServer::with(&variables).await;
    let facts_then = facts(&server, "migrations are pending").await;
    assert_eq!(facts_then, json!([200, "degraded", "up", "postgres", 118]));
    database
        .execute("insert into chatchonk._sqlx_migrations select * from public.applied on conflict do nothing")
        .await;
    healthy(&server).await;
    database.execute("update chatchonk._sqlx_migrations set success = false").await;
    assert_eq!(facts(&server, "a migration failed").await, json!([200, "degraded", "up", "postgres", 118]));
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(code == Some(1) && printed.contains("✗ migrations: a migration failed"), "{printed}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_catalogue_is_served_with_one_line() {
    let database = seeded_database().await;
    let folder = folder();
    let mut server = Serving::start(command(folder.path()).env("DATABASE_URL", database.url()));
    let address = server.address();
    let (_, list) = process::get(&address, "/api/models").await;
    assert_eq!((&list["source"], &list["total"]), (&json!("postgres"), &json!(118)));
    let forty = "delete from chatchonk.models where id not in (
        select id from chatchonk.models where status <> 'retired' order by id limit 40)";
    database.execute(forty).await;
    server.line_with("models: 118 → 40");
    let (_, list) = process::get(&address, "/api/models").await;
    assert_eq!(list["total"], 40);
    // Hidden models count as a drop too, even when none is left.
    database.execute("update chatchonk.models set enabled = false").await;
    server.line_with("models: 40 → 0");
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(code == Some(0) && printed.contains("! catalogue: 40 models (0 listed)"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_rights_and_the_owner_of_the_tables() {
    let database = seeded_database().await;
    let reader = reader_of(&database).await;
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(
        code == Some(0) && printed.contains("✓ privileges: ") && printed.contains("✓ owner: "),
        "{printed}"
    );
    let (code, printed) = run_on(&reader, &["check"]).await;
    assert!(
        code == Some(0) && printed.contains("– privileges: ") && printed.contains("– owner: "),
        "{printed}"
    );
    assert!(printed.contains("may not write kv_budget, kv_keys"), "{printed}");

    let revoke = format!("revoke select on chatchonk.quarantined_values from reader_of_{}", database.name());
    database.execute(revoke).await;
    let (_, printed) = run_on(&reader, &["check"]).await;
    assert!(printed.contains("– quarantine: unknown: ") && !printed.contains("✗ quarantine"), "{printed}");

    database.execute(format!("revoke select on chatchonk.models from reader_of_{}", database.name())).await;
    let (code, printed) = run_on(&reader, &["check"]).await;
    assert!(code == Some(1) && printed.contains("may not read models, quarantined_values\n"), "{printed}");
    assert!(printed.contains("→ as the owner: grant usage on schema chatchonk"), "{printed}");
    let server = TestServer::on(&reader).await;
    assert_eq!(
        facts(&server, "the database role lacks a right").await,
        json!([200, "degraded", "down", "builtin", 118])
    );
    server.stop().await;
}
