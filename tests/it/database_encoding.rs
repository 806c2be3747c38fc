//! Databases that are not in UTF-8: migrations refuse them, and an invalid byte costs only the value that contains it.

use chatchonk::domain::seed::Seed;
use chatchonk::store::{DatabaseFault, SeedMode};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::details::{SPOILT, WITHOUT_CHECKS, load};
use crate::support::postgres::{TestDatabase, database, empty_database_in, run};
use crate::support::process::{command, folder, run as run_to_end, text};
use crate::support::server::TestServer;

/// A database that an older release filled, which required no encoding.
async fn filled_in(encoding: &str) -> TestDatabase {
    let database = empty_database_in(encoding).await;
    let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
    sqlx::migrate!().run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let store = database.store();
    store.apply_seed(&Seed::builtin().unwrap(), SeedMode::Newer).await.unwrap();
    store.close().await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn a_latin_1_byte_in_sql_ascii_costs_only_its_value() {
    let database = filled_in("SQL_ASCII").await;
    let pool = database.pool().await;
    run(
        &pool,
        r"set client_encoding = 'SQL_ASCII';
          update chatchonk.models set family = convert_from('\x636166e9', 'SQL_ASCII') where id = 'openai/gpt-4o';
          update chatchonk.models set name = convert_from('\x4df6', 'SQL_ASCII') where id = 'openai/gpt-4o-mini';
          update chatchonk.providers set docs_url = convert_from('\x68747470733a2f2fe9', 'SQL_ASCII') where id = 'openai';
          update chatchonk.task_types set description = convert_from('\xe9', 'SQL_ASCII') where id = 'chat';
          update chatchonk.models set name = 'Café' where id = 'openai/gpt-5.5'",
    )
    .await;
    let loaded = load(&database).await;
    assert_eq!(loaded.rejected.len(), 1, "{:?}", loaded.rejected);
    assert!(loaded.rejected[0].starts_with("model openai/gpt-4o-mini: name: "), "{:?}", loaded.rejected);
    let mut named: Vec<_> = loaded.ignored.named().iter().map(|d| (d.row.as_str(), d.column)).collect();
    named.sort_unstable();
    let model = format!("model {SPOILT}");
    assert_eq!(named, [(&*model, "family"), ("provider openai", "docs_url"), ("task chat", "description")]);
    assert_eq!(loaded.snapshot.models().len(), 119);
    assert_eq!(loaded.snapshot.model(SPOILT).unwrap().family, None);
    assert_eq!(loaded.snapshot.model("openai/gpt-5.5").unwrap().name, "Café", "valid UTF-8 is text");

    let server = TestServer::on(&database).await;
    let health =
        server.until("/api/health", |health| health.json()["catalogue"]["source"] == "postgres").await;
    let catalogue = &health.json()["catalogue"];
    assert_eq!((&catalogue["skipped"], &catalogue["details_ignored"]), (&1.into(), &3.into()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_bytes_in_a_utf_8_database_cost_only_their_value() {
    let database = database().await;
    database.store().apply_seed(&Seed::builtin().unwrap(), SeedMode::Newer).await.unwrap();
    let encoding = async |number: i32| {
        let statement =
            format!("update pg_database set encoding = {number} where datname = current_database()");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&database.pool().await).await.unwrap();
    };
    // As in a damaged or badly converted database: the declared encoding is not that of the bytes.
    encoding(0).await;
    let pool = database.pool().await;
    run(&pool, WITHOUT_CHECKS).await;
    run(
        &pool,
        r"set client_encoding = 'SQL_ASCII';
          update chatchonk.models set family = convert_from('\x636166e9', 'SQL_ASCII') where id = 'openai/gpt-4o'",
    )
    .await;
    encoding(6).await;
    let loaded = load(&database).await;
    assert_eq!((loaded.snapshot.models().len(), loaded.ignored.count()), (120, 1), "{:?}", loaded.rejected);
    assert_eq!(loaded.snapshot.model(SPOILT).unwrap().family, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_a_latin_1_database_are_read_correctly() {
    let database = filled_in("LATIN1").await;
    let pool = database.pool().await;
    run(&pool, "update chatchonk.models set name = 'Café' where id = 'openai/gpt-4o'").await;
    let read =
        |loaded: &chatchonk::store::LoadedCatalogue| loaded.snapshot.model(SPOILT).unwrap().name.clone();
    assert_eq!(read(&load(&database).await), "Café");
    run(
        &pool,
        "alter table chatchonk.models drop constraint models_context_length_positive,
             alter column context_length type text;
         update chatchonk.models set context_length = 'lots' where id = 'openai/gpt-4o'",
    )
    .await;
    let loaded = load(&database).await;
    assert_eq!((&*read(&loaded), loaded.ignored.count()), ("Café", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_and_check_refuse_a_database_not_in_utf_8() {
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let empty = empty_database_in(encoding).await;
        let error = empty.store().migrate().await.unwrap_err();
        assert_eq!(error.fault(), DatabaseFault::Encoding);
        let filled = filled_in(encoding).await;
        for (database, arguments) in [
            (&empty, &["migrate"] as &[&str]),
            (&filled, &["migrate"]),
            (&filled, &["check"]),
            (&empty, &["catalogue", "seed"]),
        ] {
            let folder = folder();
            let output =
                run_to_end(command(folder.path()).args(arguments).env("DATABASE_URL", database.url()));
            let (printed, log) = text(&output);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {printed}{log}");
            let words = format!("the database is not in UTF-8, but in {encoding}");
            assert!(printed.contains(&words) || log.contains(&words), "{arguments:?}: {printed}{log}");
            assert!(
                printed.contains("ENCODING 'UTF8'") || log.contains("ENCODING 'UTF8'"),
                "{arguments:?}: {printed}{log}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_a_database_that_is_not_in_utf_8() {
    let server = TestServer::on(&empty_database_in("LATIN1").await).await;
    let health = server
        .until("/api/health", |health| health.json()["database"]["reason"] == "the database is not in UTF-8")
        .await;
    assert_eq!((health.status, &health.json()["status"]), (200, &"degraded".into()));
    assert!(health.json()["database"]["remedy"].as_str().unwrap().contains("ENCODING 'UTF8'"));
    let list = server.get("/api/models").await;
    assert_eq!((list.status, &list.json()["source"]), (200, &"builtin".into()));
    server.stop().await;
}
