//! Damaged triggers: the server reports them, finds edits that bypass them, and repairs them.

use chatchonk::clock::Clock;
use serde_json::json;

use crate::changes::MODEL;
use crate::support::clock::accelerated;
use crate::support::kv::fake::FakeKv;
use crate::support::kv::{start, start_and_fill};
use crate::support::postgres::seeded_database;
use crate::support::process::run_on;
use crate::support::server::TestServer;
use crate::triggers::{seeded, version};

const DEFECT: &str = "the triggers of the catalogue do not see every edit";

/// Statements that damage triggers, each with a defect that it causes.
const DAMAGE: [(&str, &str); 8] = [
    (
        "alter table chatchonk.models disable trigger raise_cache_version_on_update",
        "raise_cache_version_on_update on models is disabled",
    ),
    (
        "alter table chatchonk.models enable replica trigger raise_cache_version_on_update",
        "raise_cache_version_on_update on models is disabled",
    ),
    ("alter table chatchonk.models disable trigger user", "lock_cache_version on models is disabled"),
    (
        "drop trigger raise_cache_version_on_update on chatchonk.models",
        "raise_cache_version_on_update on models is missing",
    ),
    (
        "create or replace trigger raise_cache_version_on_update after update of enabled on chatchonk.models
         for each statement when (false) execute function chatchonk.raise_cache_version('catalogue')",
        "raise_cache_version_on_update on models is altered",
    ),
    (
        "create function public.raise_cache_version() returns trigger language plpgsql
         as $$ begin return null; end $$;
         create or replace trigger raise_cache_version_on_update after update on chatchonk.models
         referencing old table as old_rows new table as new_rows
         for each statement execute function public.raise_cache_version('catalogue')",
        "raise_cache_version_on_update on models calls an altered function",
    ),
    (
        "create or replace function chatchonk.raise_cache_version() returns trigger language plpgsql
         security definer set search_path = '' as $$ begin return null; end $$",
        "raise_cache_version_on_update on models calls an altered function",
    ),
    (
        "drop function chatchonk.raise_cache_version cascade",
        "raise_cache_version_on_update on models is missing",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_found_while_triggers_are_damaged() {
    let database = seeded_database().await;
    let (clock, _driver) = accelerated();
    let server = TestServer::at(&[("DATABASE_URL", &database.url())], clock).await;
    server.until_healthy().await;
    let store = database.store();
    for (place, (damage, defect)) in DAMAGE.into_iter().enumerate() {
        database.execute(damage).await;
        let health =
            server.until("/api/health", |health| health.json()["database"]["reason"] == DEFECT).await;
        let (status, health) = (health.status, health.json());
        assert_eq!(
            json!([status, health["status"], health["database"]["status"]]),
            json!([200, "degraded", "up"]),
            "{damage}"
        );
        assert!(health["database"]["remedy"].as_str().unwrap().contains("chatchonk migrate"));

        let revision = server.get(MODEL).await.header("etag").to_owned();
        let name = format!("Lost {place}");
        database
            .execute(format!("update chatchonk.models set name = '{name}' where id = 'openai/gpt-4o'"))
            .await;
        let shown = server.until(MODEL, |model| model.json()["name"] == name).await;
        assert_ne!(shown.header("etag"), revision, "{damage}");

        assert!(store.trigger_defects().await.unwrap().contains(&defect.to_owned()), "{damage}");
        assert!(store.migrate().await.unwrap().contains(&defect.to_owned()), "{damage}");
        server.until_healthy().await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_damaged_triggers_and_migrate_repairs_them() {
    let database = seeded_database().await;
    let (damage, defect) = DAMAGE[0];
    database.execute(damage).await;
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(code == Some(1) && printed.contains("✗ triggers: ") && printed.contains(defect), "{printed}");
    let (code, printed) = run_on(&database, &["migrate"]).await;
    assert!(code == Some(0) && printed.contains(&format!("repaired: {defect}")), "{printed}");
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(code == Some(0) && printed.contains("✓ triggers: "), "{printed}");
}

#[tokio::test]
async fn quoted_identifiers_do_not_count_as_damage() {
    let database = seeded_database().await;
    database.execute(format!("alter database {} set quote_all_identifiers = on", database.name())).await;
    assert_eq!(database.store().trigger_defects().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_trigger_repair_is_an_error() {
    let database = seeded_database().await;
    let defect = "raise_cache_version_on_update on models is missing";
    database
        .execute(
            "create function public.drop_again() returns event_trigger language plpgsql
         as $$ begin drop trigger if exists raise_cache_version_on_update on chatchonk.models; end $$;
         create event trigger drop_again on ddl_command_end when tag in ('CREATE TRIGGER')
         execute function public.drop_again();
         drop trigger raise_cache_version_on_update on chatchonk.models",
        )
        .await;
    let (code, printed) = run_on(&database, &["migrate"]).await;
    assert!(code == Some(1) && printed.contains(defect) && !printed.contains("repaired"), "{printed}");
    let server = TestServer::seeded(&database).await;
    server.until("/api/health", |health| health.json()["database"]["reason"] == DEFECT).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_lost_before_a_repair_is_found_after_a_warm_start() {
    let database = seeded_database().await;
    let kv = FakeKv::start(Clock::system()).unwrap();
    start_and_fill(&database, &kv).await.stop().await;
    let lost = "alter table chatchonk.models disable trigger user;
        update chatchonk.models set name = 'Lost' where id = 'openai/gpt-4o'";
    database.execute(lost).await;
    let server = start(&database.url(), &kv).await;
    server.until(MODEL, |model| model.json()["name"] == "Lost").await;
    assert_eq!(database.store().trigger_defects().await.unwrap(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_bypasses_triggers_raises_the_version() {
    let (database, pool) = seeded().await;
    let (one, other) = (TestServer::on(&database).await, TestServer::on(&database).await);
    one.until_healthy().await;
    other.until_healthy().await;
    let revision = one.get("/api/models").await.json()["revision"].as_i64().unwrap();
    let past = "set session_replication_role = replica;
        update chatchonk.models set name = 'Replicated' where id = 'openai/gpt-4o'";
    database.execute(past).await;
    for server in [&one, &other] {
        server.until(MODEL, |model| model.json()["name"] == "Replicated").await;
        server.until_healthy().await;
    }
    let raised = version(&pool).await;
    assert!(raised > revision);
    for server in [one, other] {
        server.until("/api/models", |list| list.json()["revision"] == raised).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_edit_is_served_where_the_version_cannot_be_written() {
    let (database, pool) = seeded().await;
    database
        .execute(format!("alter database {} set default_transaction_read_only = on", database.name()))
        .await;
    let server = TestServer::seeded(&database).await;
    let before = version(&pool).await;
    let past = "set transaction read write; set session_replication_role = replica;
        update chatchonk.models set name = 'Past all' where id = 'openai/gpt-4o'";
    database.execute(past).await;
    server.until(MODEL, |model| model.json()["name"] == "Past all").await;
    assert_eq!(version(&pool).await, before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_repairs_damaged_triggers() {
    let database = seeded_database().await;
    database.execute("alter table chatchonk.models disable trigger user").await;
    assert!(!database.store().trigger_defects().await.unwrap().is_empty());
    let server = TestServer::on(&database).await;
    server.until_healthy().await;
    assert_eq!(database.store().trigger_defects().await.unwrap(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_a_newer_release_are_left_alone() {
    let (database, pool) = seeded().await;
    database
        .execute(
            "insert into chatchonk._sqlx_migrations (version, description, success, checksum, execution_time)
         values (29990101000000, 'a newer release', true, '', 0);
         create or replace function chatchonk.stamp_row() returns trigger language plpgsql
         as $$ begin return new; end $$",
        )
        .await;
    let server = TestServer::on(&database).await;
    server.until_healthy().await;
    assert_eq!(run_on(&database, &["migrate"]).await.0, Some(0));
    let body: String = sqlx::query_scalar("select prosrc from pg_proc where proname = 'stamp_row'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(body, " begin return new; end ");
    let (code, printed) = run_on(&database, &["check"]).await;
    assert!(code == Some(0) && printed.contains("– triggers: not compared"), "{printed}");
    server.stop().await;
}
