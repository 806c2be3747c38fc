//! Edits by SQL show without a purge: at once while announcements arrive, soon while they do not.

use std::time::Duration;

use chatchonk::clock::Clock;
use sqlx::PgPool;

use crate::support::postgres::{TestDatabase, database, run};
use crate::support::server::{TestServer, eventually};

pub(crate) const MODEL: &str = "/api/models/openai/gpt-4o";

/// Renames the model and returns how long `server` takes to show it, counted from the commit.
async fn time_to_show(pool: &PgPool, server: &TestServer, name: &str) -> Duration {
    let clock = Clock::system();
    sqlx::query("update chatchonk.models set name = $1 where id = 'openai/gpt-4o'")
        .bind(name)
        .execute(pool)
        .await
        .unwrap();
    let committed = clock.now();
    server.until(MODEL, |answer| answer.status == 200 && answer.json()["name"] == name).await;
    clock.now() - committed
}

/// A server that has loaded the catalogue from this database and listens for announcements.
pub(crate) async fn listening(database: &TestDatabase) -> TestServer {
    let server = TestServer::on(database).await;
    server
        .until("/api/health", |health| {
            health.status == 200 && health.json()["cache"]["detail"]["listener"]["listening"] == true
        })
        .await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_callers_at_a_cold_start_cost_one_statement() {
    let database = database().await;
    let pool = database.pool().await;
    run(&pool, "create extension pg_stat_statements").await;
    // An earlier server fills the database, so the one that is counted only loads.
    TestServer::on(&database).await.stop().await;
    run(&pool, "select pg_stat_statements_reset()").await;

    let server = TestServer::on(&database).await;
    let answers = futures_of(400, || server.get("/api/models")).await;
    for answer in answers {
        assert_eq!((answer.status, &answer.json()["source"]), (200, &"postgres".into()));
    }
    server
        .until("/api/health", |health| health.json()["cache"]["detail"]["listener"]["listening"] == true)
        .await;
    let loads: i64 = sqlx::query_scalar(
        "select sum(calls)::int8 from pg_stat_statements s join pg_database d on d.oid = s.dbid
         where d.datname = current_database() and s.query like '%chatchonk.models m%'
             and s.query not like '%pg_stat_statements%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(loads, 1);
    server.stop().await;
}

/// Starts `count` requests at once and waits for all of them.
async fn futures_of<F: Future>(count: usize, begin: impl Fn() -> F) -> Vec<F::Output> {
    let mut running: Vec<_> = (0..count).map(|_| Box::pin(begin())).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_edit_shows_on_every_server_within_a_second() {
    let database = database().await;
    let (one, other) = (listening(&database).await, listening(&database).await);
    let pool = database.pool().await;
    for name in ["First", "Second", "Third"] {
        let took = time_to_show(&pool, &one, name).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
        let item = one.get(MODEL).await.json();
        let list = one.get("/api/models?provider=openai").await.json();
        assert!(list["data"].as_array().unwrap().contains(&item), "list and item agree");
        // The first server took less than a second, so the second has less than another second.
        let clock = Clock::system();
        let seen = clock.now();
        other.until(MODEL, |answer| answer.json()["name"] == name).await;
        assert!(took + (clock.now() - seen) < Duration::from_secs(1));
    }
    assert_eq!(
        one.get("/api/models").await.json()["revision"],
        other.get("/api/models").await.json()["revision"]
    );
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_inserts_and_truncate_show_like_edits() {
    let database = database().await;
    let server = listening(&database).await;
    let pool = database.pool().await;
    let total = async |path: &str| server.get(path).await.json()["total"].as_u64().unwrap();
    let (before, chatting) = (total("/api/models").await, total("/api/models?task=chat").await);
    assert!(chatting > 0);

    run(&pool, "delete from chatchonk.models where id = 'openai/gpt-4o'").await;
    server.until(MODEL, |answer| answer.status == 404).await;
    assert_eq!(total("/api/models").await, before - 1);

    run(
        &pool,
        "insert into chatchonk.models (id, provider, provider_model_id, name, kind)
         values ('openai/gpt-4o', 'openai', 'gpt-4o', 'Back', 'chat')",
    )
    .await;
    server.until(MODEL, |answer| answer.status == 200 && answer.json()["name"] == "Back").await;

    run(&pool, "truncate chatchonk.model_tasks").await;
    server.until("/api/models?task=chat", |answer| answer.json()["total"] == 0).await;

    run(&pool, "update chatchonk.providers set enabled = false where id = 'openai'").await;
    server.until("/api/models?provider=openai", |answer| answer.json()["total"] == 0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_the_listener_is_killed_shows_within_15_s() {
    let database = database().await;
    let server = listening(&database).await;
    let pool = database.pool().await;
    run(
        &pool,
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name like 'chatchonk/%'",
    )
    .await;
    let took = time_to_show(&pool, &server, "Unheard").await;
    assert!(took < Duration::from_secs(15), "{took:?}");
    server
        .until("/api/health", |health| {
            let health = health.json();
            health["status"] == "healthy" && health["cache"]["detail"]["listener"]["listening"] == true
        })
        .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_show_by_polling_where_listening_is_impossible() {
    let database = database().await;
    let server = listening(&database).await;
    let pool = database.pool().await;
    let maintenance = database.maintenance_pool().await;
    // After its checks, every connection but the listener's was last used for something other than reading versions.
    let listeners = "select count(*) filter (where query like '%cache_version where scope = any%') = 1
            and count(*) > 1
        from pg_stat_activity where datname = $1 and application_name like 'chatchonk/%'";
    let name = database.name();
    eventually(async || sqlx::query_scalar(listeners).bind(&name).fetch_one(&maintenance).await.unwrap())
        .await;
    let forbid = format!("alter database {name} allow_connections false");
    sqlx::raw_sql(sqlx::AssertSqlSafe(forbid)).execute(&maintenance).await.unwrap();
    run(
        &pool,
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()
            and application_name like 'chatchonk/%' and query like '%cache_version where scope = any%'",
    )
    .await;
    server
        .until("/api/health", |health| health.json()["cache"]["detail"]["listener"]["listening"] == false)
        .await;
    for name in ["Polled", "Polled again"] {
        let took = time_to_show(&pool, &server, name).await;
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
    let health = server.get("/api/health").await.json();
    assert_eq!((&health["status"], &health["database"]["status"]), (&"healthy".into(), &"up".into()));
    assert_eq!(health["cache"]["detail"]["listener"]["listening"], false);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unannounced_change_is_found_by_the_next_version_read() {
    let database = database().await;
    let server = listening(&database).await;
    let pool = database.pool().await;
    run(
        &pool,
        "create or replace function chatchonk.raise_cache_version() returns trigger
         language plpgsql security definer set search_path = '' as $$ begin
            update chatchonk.cache_version set version = version + 1 where scope = tg_argv[0];
            return null;
         end $$",
    )
    .await;
    let took = time_to_show(&pool, &server, "Whispered").await;
    assert!(took < Duration::from_secs(15), "{took:?}");
    server.stop().await;
}
