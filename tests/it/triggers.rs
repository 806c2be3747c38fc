//! Triggers: they raise the version for real changes only, without deadlocks, and the server notices when they are damaged.

use std::time::Duration;

use chatchonk::clock::Clock;
use chatchonk::domain::seed::Seed;
use chatchonk::store::{DatabaseSettings, SeedMode, Store};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tokio_util::task::AbortOnDropHandle;

use crate::changes::MODEL;
use crate::starts::run;
use crate::support::kv::fake::FakeKv;
use crate::support::kv::{start, start_and_fill};
use crate::support::postgres::{TestDatabase, database, empty_database};
use crate::support::process::{command, folder, run as run_program, text};
use crate::support::server::TestServer;

const DEFECT: &str = "the triggers of the catalogue do not see every edit";

fn store(database: &TestDatabase) -> Store {
    Store::new(DatabaseSettings::from_options(database.options(), 2))
}

async fn seeded() -> (TestDatabase, PgPool) {
    let database = database().await;
    store(&database).apply_seed(&Seed::builtin().unwrap(), SeedMode::Newer).await.unwrap();
    let pool = database.pool().await;
    (database, pool)
}

async fn version(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select version from chatchonk.cache_version").fetch_one(pool).await.unwrap()
}

async fn chatchonk(database: &TestDatabase, argument: &'static str) -> (Option<i32>, String) {
    let url = database.url();
    let ran = tokio::task::spawn_blocking(move || {
        let folder = folder();
        run_program(command(folder.path()).arg(argument).env("DATABASE_URL", url))
    });
    let output = ran.await.unwrap();
    let (said, log) = text(&output);
    (output.status.code(), format!("{said}{log}"))
}

async fn healthy(server: &TestServer) {
    server.until("/api/health", |health| health.json()["status"] == "healthy").await;
}

#[tokio::test]
async fn statements_that_change_no_row_raise_no_version() {
    let (database, pool) = seeded().await;
    let before = version(&pool).await;
    for statement in [
        "update chatchonk.models set name = 'x' where false",
        "update chatchonk.models set name = name",
        "update chatchonk.providers set env = env, extra_headers = extra_headers",
        "update chatchonk.task_types set description = description",
        "update chatchonk.model_tasks set task_id = task_id",
        "delete from chatchonk.models where id = 'none/at-all'",
        "delete from chatchonk.model_tasks where false",
        "insert into chatchonk.task_types (id, name, description) select 'x', 'x', 'x' where false",
        "insert into chatchonk.model_tasks select * from chatchonk.model_tasks on conflict do nothing",
        "insert into chatchonk.models select * from chatchonk.models on conflict (id) do nothing",
        "insert into chatchonk.models select * from chatchonk.models
         on conflict (id) do update set name = excluded.name",
        "insert into chatchonk.providers select * from chatchonk.providers
         on conflict (id) do update set name = 'x' where false",
        "merge into chatchonk.models m using chatchonk.models n on n.id = m.id
         when matched then update set name = n.name
         when not matched then insert (id) values (n.id)",
        "with renamed as (update chatchonk.models set name = name returning 1) select * from renamed",
        "prepare same as update chatchonk.models set name = name where id = $1; execute same ('openai/gpt-4o')",
    ] {
        sqlx::raw_sql(statement).execute(&pool).await.unwrap();
        assert_eq!(version(&pool).await, before, "{statement}");
    }
    let mut connection = pool.acquire().await.unwrap();
    connection.copy_in_raw("copy chatchonk.task_types from stdin").await.unwrap().finish().await.unwrap();
    assert_eq!(version(&pool).await, before, "copy of nothing");
    for mode in [SeedMode::Again, SeedMode::Overwrite] {
        store(&database).apply_seed(&Seed::builtin().unwrap(), mode).await.unwrap();
        assert_eq!(version(&pool).await, before, "{mode:?}");
    }
    let edited: i64 = sqlx::query_scalar("select count(*) from chatchonk.models where edited")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(edited, 0);
}

#[tokio::test]
async fn every_kind_of_change_raises_the_version() {
    let (_, pool) = seeded().await;
    let mut before = version(&pool).await;
    for statement in [
        "insert into chatchonk.providers (id, name, base_url) values ('own', 'Own', 'https://own.example')",
        "insert into chatchonk.models (id, provider, provider_model_id, name, kind)
         values ('own/a', 'own', 'a', 'A', 'chat'), ('own/b', 'own', 'b', 'B', 'chat')",
        "insert into chatchonk.models (id, provider, provider_model_id, name, kind)
         values ('own/a', 'own', 'a', 'A II', 'chat') on conflict (id) do update set name = excluded.name",
        "update chatchonk.models set name = case id when 'own/a' then 'B' else 'A II' end where provider = 'own'",
        "update chatchonk.models set price_tiers = '[{\"above_prompt_tokens\": 5, \"input\": \"1\"}]' where id = 'own/a'",
        "update chatchonk.models set price_tiers = '[{\"above_prompt_tokens\": 5.0, \"input\": \"1\"}]' where id = 'own/a'",
        "update chatchonk.models set enabled = not enabled where id = 'own/b'",
        "insert into chatchonk.model_tasks values ('own/a', 'chat')",
        "update chatchonk.model_tasks set model_id = 'own/b' where model_id = 'own/a'",
        "update chatchonk.models set id = 'own/c' where id = 'own/b'",
        "merge into chatchonk.models m using (values ('own/c')) as n (id) on n.id = m.id
         when matched then update set name = 'Merged'",
        "merge into chatchonk.task_types t using (values ('x')) as n (id) on n.id = t.id
         when not matched then insert (id, name, description) values ('x', 'X', '')",
        "update chatchonk.task_types set id = 'y' where id = 'x'",
        "delete from chatchonk.task_types where id = 'y'",
        "delete from chatchonk.models where id = 'own/c'",
        "truncate chatchonk.model_tasks",
        "truncate chatchonk.model_tasks",
        "delete from chatchonk.models",
        "truncate chatchonk.providers, chatchonk.models, chatchonk.model_tasks",
        "truncate chatchonk.task_types cascade",
    ] {
        sqlx::raw_sql(statement).execute(&pool).await.unwrap();
        let after = version(&pool).await;
        assert!(after > before, "{statement}");
        before = after;
    }
    let mut connection = pool.acquire().await.unwrap();
    let mut copy =
        connection.copy_in_raw("copy chatchonk.task_types (id, name, description) from stdin").await.unwrap();
    copy.send(&b"copied\tCopied\tBy COPY\n"[..]).await.unwrap();
    copy.finish().await.unwrap();
    assert!(version(&pool).await > before, "copy");
}

#[tokio::test]
async fn the_next_writer_restores_a_missing_version_row() {
    let (_, pool) = seeded().await;
    let before = version(&pool).await;
    sqlx::raw_sql("delete from chatchonk.cache_version; update chatchonk.models set name = 'x' where false")
        .execute(&pool)
        .await
        .unwrap();
    assert!(version(&pool).await > before);
}

/// Transactions that write the tables in every order, several of them at once, while a server reads.
#[tokio::test(flavor = "multi_thread")]
async fn writers_in_any_order_of_tables_do_not_deadlock() {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 12;
    let (database, pool) = seeded().await;
    let server = TestServer::seeded(&database).await;
    let before = version(&pool).await;
    let statements = [
        "update chatchonk.providers set docs_url = 'https://x.example/' || clock_timestamp()::text where id = 'openai'",
        "update chatchonk.models set name = clock_timestamp()::text where id in ('openai/gpt-4o', 'openai/gpt-6-sol')",
        "update chatchonk.task_types set description = clock_timestamp()::text where id = 'chat'",
        "delete from chatchonk.model_tasks where model_id = 'openai/gpt-6-sol'",
        "insert into chatchonk.model_tasks values ('openai/gpt-6-sol', 'chat') on conflict do nothing",
        "update chatchonk.models set name = name where provider = 'openai'",
    ];
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let options = database.options();
            tokio::spawn(async move {
                let mut connection = PgConnection::connect_with(&options).await.unwrap();
                for round in 0..ROUNDS {
                    let mut transaction = connection.begin().await.unwrap();
                    for step in 0..statements.len() {
                        // Forwards or backwards, from another statement each time.
                        let at = match (writer + round) % 2 {
                            0 => (writer + round + step) % statements.len(),
                            _ => (statements.len() * 4 + writer - step) % statements.len(),
                        };
                        transaction.execute(statements[at]).await.unwrap();
                    }
                    transaction.commit().await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(version(&pool).await - before >= i64::try_from(WRITERS * ROUNDS).unwrap());
    let last: String = sqlx::query_scalar("select name from chatchonk.models where id = 'openai/gpt-4o'")
        .fetch_one(&pool)
        .await
        .unwrap();
    server.until(MODEL, |model| model.json()["name"] == last).await;
    server.stop().await;
}

/// Damage, with a defect that it causes.
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

/// A clock that goes twenty times as fast, for servers whose looks are 5 s apart.
pub(crate) fn hurried() -> (Clock, AbortOnDropHandle<()>) {
    let (clock, hand) = Clock::manual(Clock::system().utc());
    let hurry = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            hand.advance(Duration::from_millis(200));
        }
    });
    (clock, AbortOnDropHandle::new(hurry))
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_found_while_triggers_are_damaged() {
    let (database, _) = seeded().await;
    let (clock, _hurry) = hurried();
    let server = TestServer::at(&[("DATABASE_URL", &database.url())], clock).await;
    healthy(&server).await;
    let store = store(&database);
    for (place, (damage, defect)) in DAMAGE.into_iter().enumerate() {
        run(&database, damage.to_owned()).await;
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
        run(&database, format!("update chatchonk.models set name = '{name}' where id = 'openai/gpt-4o'"))
            .await;
        let shown = server.until(MODEL, |model| model.json()["name"] == name).await;
        assert_ne!(shown.header("etag"), revision, "{damage}");

        assert!(store.trigger_defects().await.unwrap().contains(&defect.to_owned()), "{damage}");
        assert!(store.migrate().await.unwrap().contains(&defect.to_owned()), "{damage}");
        healthy(&server).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_damaged_triggers_and_migrate_repairs_them() {
    let (database, _) = seeded().await;
    let (damage, defect) = DAMAGE[0];
    run(&database, damage.to_owned()).await;
    let (code, said) = chatchonk(&database, "check").await;
    assert!(code == Some(1) && said.contains("✗ triggers: ") && said.contains(defect), "{said}");
    let (code, said) = chatchonk(&database, "migrate").await;
    assert!(code == Some(0) && said.contains(&format!("repaired: {defect}")), "{said}");
    let (code, said) = chatchonk(&database, "check").await;
    assert!(code == Some(0) && said.contains("✓ triggers: "), "{said}");
}

#[tokio::test]
async fn quoted_identifiers_do_not_count_as_damage() {
    let (database, _) = seeded().await;
    run(&database, format!("alter database {} set quote_all_identifiers = on", database.name())).await;
    assert_eq!(store(&database).trigger_defects().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_trigger_repair_is_an_error() {
    let (database, _) = seeded().await;
    let defect = "raise_cache_version_on_update on models is missing";
    run(
        &database,
        "create function public.drop_again() returns event_trigger language plpgsql
         as $$ begin drop trigger if exists raise_cache_version_on_update on chatchonk.models; end $$;
         create event trigger drop_again on ddl_command_end when tag in ('CREATE TRIGGER')
         execute function public.drop_again();
         drop trigger raise_cache_version_on_update on chatchonk.models"
            .to_owned(),
    )
    .await;
    let (code, said) = chatchonk(&database, "migrate").await;
    assert!(code == Some(1) && said.contains(defect) && !said.contains("repaired"), "{said}");
    let server = TestServer::seeded(&database).await;
    server.until("/api/health", |health| health.json()["database"]["reason"] == DEFECT).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_lost_before_a_repair_is_found_after_a_warm_start() {
    let (database, _) = seeded().await;
    let kv = FakeKv::start(Clock::system()).unwrap();
    start_and_fill(&database, &kv).await.stop().await;
    let lost = "alter table chatchonk.models disable trigger user;
        update chatchonk.models set name = 'Lost' where id = 'openai/gpt-4o'";
    run(&database, lost.to_owned()).await;
    let server = start(&database.url(), &kv).await;
    server.until(MODEL, |model| model.json()["name"] == "Lost").await;
    assert_eq!(store(&database).trigger_defects().await.unwrap(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_bypasses_triggers_raises_the_version() {
    let (database, pool) = seeded().await;
    let (one, other) = (TestServer::on(&database).await, TestServer::on(&database).await);
    healthy(&one).await;
    healthy(&other).await;
    let revision = one.get("/api/models").await.json()["revision"].as_i64().unwrap();
    let past = "set session_replication_role = replica;
        update chatchonk.models set name = 'Replicated' where id = 'openai/gpt-4o'";
    run(&database, past.to_owned()).await;
    for server in [&one, &other] {
        server.until(MODEL, |model| model.json()["name"] == "Replicated").await;
        healthy(server).await;
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
    run(&database, format!("alter database {} set default_transaction_read_only = on", database.name()))
        .await;
    let server = TestServer::seeded(&database).await;
    let before = version(&pool).await;
    let past = "set transaction read write; set session_replication_role = replica;
        update chatchonk.models set name = 'Past all' where id = 'openai/gpt-4o'";
    run(&database, past.to_owned()).await;
    server.until(MODEL, |model| model.json()["name"] == "Past all").await;
    assert_eq!(version(&pool).await, before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_repairs_damaged_triggers() {
    let (database, _) = seeded().await;
    run(&database, "alter table chatchonk.models disable trigger user".to_owned()).await;
    assert!(!store(&database).trigger_defects().await.unwrap().is_empty());
    let server = TestServer::on(&database).await;
    healthy(&server).await;
    assert_eq!(store(&database).trigger_defects().await.unwrap(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_a_newer_release_are_left_alone() {
    let (database, pool) = seeded().await;
    run(
        &database,
        "insert into chatchonk._sqlx_migrations (version, description, success, checksum, execution_time)
         values (29990101000000, 'a newer release', true, '', 0);
         create or replace function chatchonk.stamp_row() returns trigger language plpgsql
         as $$ begin return new; end $$"
            .to_owned(),
    )
    .await;
    let server = TestServer::on(&database).await;
    healthy(&server).await;
    assert_eq!(chatchonk(&database, "migrate").await.0, Some(0));
    let body: String = sqlx::query_scalar("select prosrc from pg_proc where proname = 'stamp_row'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(body, " begin return new; end ");
    let (code, said) = chatchonk(&database, "check").await;
    assert!(code == Some(0) && said.contains("– triggers: not compared"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn a_database_of_the_previous_release_gets_new_triggers() {
    const NEW: i64 = 20_261_128_000_200;
    let database = empty_database().await;
    let mut previous = sqlx::migrate!();
    previous.migrations.to_mut().retain(|migration| migration.version < 20_261_123_000_000);
    let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
    previous.run(&mut connection).await.unwrap();
    let store = store(&database);
    store.apply_seed(&Seed::builtin().unwrap(), SeedMode::Newer).await.unwrap();
    run(&database, "update chatchonk.models set name = 'Mine' where id = 'openai/gpt-4o'".to_owned()).await;
    let before = store.load_catalogue().await.unwrap();
    assert_eq!(store.migrations().await.unwrap().applied, 3);

    assert_eq!(store.migrate().await.unwrap(), Vec::<String>::new());
    assert!(sqlx::migrate!().iter().any(|migration| migration.version == NEW));
    let after = store.load_catalogue().await.unwrap();
    assert_eq!(after.snapshot.models(), before.snapshot.models());
    assert_eq!(store.trigger_defects().await.unwrap(), Vec::<String>::new());
    let pool = database.pool().await;
    let old: i64 = sqlx::query_scalar("select count(*) from pg_trigger where tgname = 'raise_cache_version'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(old, 0);
    let raised = version(&pool).await;
    run(&database, "update chatchonk.models set name = 'Again' where id = 'openai/gpt-4o'".to_owned()).await;
    assert!(version(&pool).await > raised);
}
