//! Announcements are hints: they cost a bounded number of reads from any sender, and each state is logged once.

use std::time::Duration;

use chatchonk::clock::Clock;
use nix::sys::signal::Signal;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::changes::{MODEL, listening};
use crate::support::postgres::{TestDatabase, database, run};
use crate::support::process::{Serving, command, folder, get};
use crate::support::proxy::Proxy;
use crate::support::server::{TestServer, eventually};

/// The number of reads or loads that announcements may cause per second.
const PER_SECOND: f64 = 5.0;

/// Counts of this database's statements since [`count_statements`].
struct Counts {
    loads: i64,
    version_reads: i64,
}

async fn count_statements(pool: &PgPool) {
    run(pool, "create extension if not exists pg_stat_statements; select pg_stat_statements_reset()").await;
}

async fn counts(pool: &PgPool) -> Counts {
    let (loads, version_reads) = sqlx::query_as(
        "select coalesce(sum(calls) filter (where query like '%chatchonk.models m%'), 0)::int8,
                coalesce(sum(calls) filter (where query like '%from chatchonk.cache_version where scope = any%'), 0)::int8
         from pg_stat_statements s join pg_database d on d.oid = s.dbid
         where d.datname = current_database() and query not like '%pg_stat_statements%'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    Counts { loads, version_reads }
}

/// Returns how many events at [`PER_SECOND`] fit into the time, with some tolerance at its edges.
fn at_most(time: Duration) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a small number")]
    let count = (time.as_secs_f64() * PER_SECOND) as i64;
    count + 4
}

/// A role that may only log in.
async fn stranger(database: &TestDatabase) -> (String, PgPool) {
    let role = format!("stranger_{}", database.name());
    let create = format!("create role {role} login password 'stranger'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&database.pool().await).await.unwrap();
    let options = database.options().username(&role).password("stranger");
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    (role, pool)
}

fn serve(database: &TestDatabase, folder: &std::path::Path) -> Serving {
    Serving::start(command(folder).env("DATABASE_URL", database.url()))
}

async fn until_listening(address: &str, listening: bool) {
    eventually(async || {
        let (_, health) = get(address, "/api/health").await;
        health["cache"]["detail"]["listener"]["listening"] == listening
    })
    .await;
}

fn end(server: Serving) -> Vec<String> {
    server.signal(Signal::SIGTERM);
    server.end().1
}

fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_announcements_cost_bounded_reads_and_no_load() {
    let (database, folder, clock) = (database().await, folder(), Clock::system());
    let mut server = serve(&database, folder.path());
    let address = server.address();
    until_listening(&address, true).await;
    let pool = database.pool().await;
    let (role, stranger) = stranger(&database).await;
    count_statements(&pool).await;
    let begun = clock.now();
    for payload in ["catalogue 9223372036854775807", "catalogue 1", "catalogue", "user:7 5", "", "\u{1f600}"]
    {
        for _ in 0..4 {
            sqlx::query("select pg_notify('chatchonk_cache', $1)")
                .bind(payload)
                .execute(&stranger)
                .await
                .unwrap();
        }
    }
    // A storm that lasts longer than a second.
    while clock.now() - begun < Duration::from_secs(3) {
        sqlx::query("select pg_notify('chatchonk_cache', 'catalogue ' || n) from generate_series(1, 2000) n")
            .execute(&stranger)
            .await
            .unwrap();
    }
    // A read follows the last announcement of a storm, so an edit among them shows.
    run(&pool, "update chatchonk.models set name = 'Real' where id = 'openai/gpt-4o'").await;
    eventually(async || get(&address, MODEL).await.1["name"] == "Real").await;
    let (counts, took) = (counts(&pool).await, clock.now() - begun);
    // One load for the edit, and one per check in which the supervisor compares the edit's traces in PostgreSQL's
    // counters.
    let looks = i64::try_from(took.as_secs() / 5).unwrap() + 1;
    assert!((1..=1 + looks).contains(&counts.loads), "{} loads", counts.loads);
    assert!((5..=at_most(took)).contains(&counts.version_reads), "{} in {took:?}", counts.version_reads);
    stranger.close().await;
    run(&pool, format!("drop role {role}")).await;
    let lines = end(server);
    assert_eq!(count(&lines, "WARN"), 0, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_edits_cost_at_most_five_loads_per_second() {
    let (database, clock) = (database().await, Clock::system());
    let server = listening(&database).await;
    let pool = database.pool().await;
    count_statements(&pool).await;
    let begun = clock.now();
    let edits = async {
        for number in 0..388 {
            sqlx::query("update chatchonk.models set name = $1 where id = 'openai/gpt-4o'")
                .bind(format!("Edit {number}"))
                .execute(&pool)
                .await
                .unwrap();
        }
    };
    // Clients that read every edit must not cost more.
    let reads = async {
        loop {
            assert_eq!(server.get(MODEL).await.status, 200);
        }
    };
    tokio::select! {
        () = edits => {}
        () = reads => {}
    }
    server.until(MODEL, |model| model.json()["name"] == "Edit 387").await;
    let (counts, took) = (counts(&pool).await, clock.now() - begun);
    assert!((1..=at_most(took)).contains(&counts.loads), "{} loads in {took:?}", counts.loads);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_shows_as_soon_as_it_is_loaded() {
    let (database, clock) = (database().await, Clock::system());
    let server: TestServer = listening(&database).await;
    let pool = database.pool().await;
    // The best of several, since other load only makes it longer. Each edit comes later than the pause after a read.
    let pause = Duration::from_millis(200);
    let mut best = Duration::MAX;
    for number in 0..12 {
        let name = format!("Edit {number}");
        let edit =
            sqlx::query("update chatchonk.models set name = $1 where id = 'openai/gpt-4o'").bind(&name);
        edit.execute(&pool).await.unwrap();
        let committed = clock.now();
        while server.get(MODEL).await.json()["name"] != name.as_str() {}
        best = best.min(clock.now() - committed);
        while clock.now() - committed < best + 2 * pause {
            assert_eq!(server.get(MODEL).await.status, 200);
        }
    }
    assert!(best < pause, "no edit waits for a pause: {best:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flapping_listener_is_logged_once() {
    let (database, folder) = (database().await, folder());
    let mut server = serve(&database, folder.path());
    let address = server.address();
    until_listening(&address, true).await;
    let pool = database.pool().await;
    for _ in 0..4 {
        // Ends every listener that the server opens.
        eventually(async || {
            let killed = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                where datname = current_database() and application_name like 'chatchonk/%'
                    and query ilike any (array['listen%', '%cache_version where scope = any%'])";
            sqlx::query_scalar::<_, i64>(killed).fetch_one(&pool).await.unwrap() > 0
        })
        .await;
        until_listening(&address, false).await;
        until_listening(&address, true).await;
    }
    server.line_with("hears the database's announcements again");
    let lines = end(server);
    assert_eq!(count(&lines, "cannot hear the database's announcements"), 1, "{lines:#?}");
    assert_eq!(count(&lines, "hears the database's announcements again"), 1, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_rows_are_logged_when_they_change() {
    let (database, folder) = (database().await, folder());
    let mut server = serve(&database, folder.path());
    let address = server.address();
    until_listening(&address, true).await;
    let pool = database.pool().await;
    run(
        &pool,
        "alter table chatchonk.models drop constraint models_kind_known;
         update chatchonk.models set kind = 'unheard-of' where id in ('openai/gpt-4o-mini', 'openai/gpt-5.5')",
    )
    .await;
    server.line_with("left out rows that cannot be understood");
    // The row moves to the end of the table, so the reader now meets it after the other one.
    run(&pool, "update chatchonk.models set name = 'Moved' where id = 'openai/gpt-4o-mini'").await;
    for name in ["First", "Second", "Third"] {
        let edit = format!("update chatchonk.models set name = '{name}' where id = 'openai/gpt-4o'");
        run(&pool, edit).await;
        eventually(async || get(&address, MODEL).await.1["name"] == name).await;
    }
    run(&pool, "update chatchonk.models set kind = 'chat' where kind = 'unheard-of'").await;
    server.line_with("every row can be understood again");
    let lines = end(server);
    assert_eq!(count(&lines, "left out rows"), 1, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_broken_and_fixed_in_turn_log_few_lines() {
    let (database, folder) = (database().await, folder());
    let mut server = serve(&database, folder.path());
    let address = server.address();
    until_listening(&address, true).await;
    let pool = database.pool().await;
    run(&pool, "alter table chatchonk.models drop constraint models_kind_known").await;
    for turn in 0..8 {
        let kind = ["unheard-of", "chat"][turn % 2];
        let edit = format!(
            "update chatchonk.models set kind = '{kind}' where id = 'openai/gpt-4o-mini';
             update chatchonk.models set name = 'Turn {turn}' where id = 'openai/gpt-4o'"
        );
        run(&pool, edit).await;
        eventually(async || get(&address, MODEL).await.1["name"] == format!("Turn {turn}")).await;
    }
    let lines = end(server);
    assert!(count(&lines, "left out rows") <= 2, "{lines:#?}");
    assert_eq!(count(&lines, "every row can be understood again"), 1, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flapping_database_logs_few_lines() {
    let (database, folder) = (database().await, folder());
    let proxy = Proxy::to(&database.options()).await;
    let mut server = Serving::start(command(folder.path()).env("DATABASE_URL", proxy.url()));
    let address = server.address();
    let until = async |status: &str| {
        eventually(async || get(&address, "/api/health").await.1["database"]["status"] == status).await;
    };
    until_listening(&address, true).await;
    for _ in 0..4 {
        proxy.cut();
        until("down").await;
        proxy.restore();
        until("up").await;
    }
    let lines = end(server);
    // The first outage and its recovery, and the second outage, which lasts until a recovery is stable.
    for line in ["\"message\":\"the database cannot be reached", "\"message\":\"cannot load", "loads again"] {
        assert!(count(&lines, line) <= 2, "{line}: {lines:#?}");
    }
    assert_eq!(count(&lines, "the database answers again"), 1, "{lines:#?}");
}
