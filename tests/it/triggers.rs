//! Triggers raise the version for real changes only, and writers do not deadlock.

use chatchonk::domain::seed::Seed;
use chatchonk::store::SeedMode;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};

use crate::changes::MODEL;
use crate::support::postgres::{TestDatabase, database_before, seeded_database};
use crate::support::server::TestServer;

pub(crate) async fn seeded() -> (TestDatabase, PgPool) {
    let database = seeded_database().await;
    let pool = database.pool().await;
    (database, pool)
}

pub(crate) async fn version(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select version from chatchonk.cache_version").fetch_one(pool).await.unwrap()
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
    assert_eq!(version(&pool).await, before, "empty copy");
    for mode in [SeedMode::Again, SeedMode::Overwrite] {
        database.store().apply_seed(&Seed::builtin().unwrap(), mode).await.unwrap();
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

/// Transactions that write the tables in every order, several at once, while a server reads.
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
                        // Forwards or backwards, starting with another statement each time.
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

#[tokio::test]
async fn a_database_of_the_previous_release_gets_new_triggers() {
    const NEW: i64 = 20_261_128_000_200;
    let database = database_before(20_261_123_000_000).await;
    let store = database.store();
    database.execute("update chatchonk.models set name = 'Mine' where id = 'openai/gpt-4o'").await;
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
    database.execute("update chatchonk.models set name = 'Again' where id = 'openai/gpt-4o'").await;
    assert!(version(&pool).await > raised);
}
