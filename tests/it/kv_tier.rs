//! Cloudflare KV as the shared tier: it helps where it can and never harms.

use chatchonk::clock::Clock;

use crate::changes::MODEL;
use crate::support::kv::fake::{Call, FakeKv};
use crate::support::kv::{KEY, is_enabled, kv_of, start, start_and_fill, start_with};
use crate::support::postgres::{database, run};
use crate::support::proxy::Proxy;
use crate::support::server::{Answer, TestServer, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_loads_and_the_next_reads_kv() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let first = start_and_fill(&database, &kv).await;
    let list = first.get("/api/models").await.json();
    assert_eq!(list["source"], "postgres");

    let second = start(&database.url(), &kv).await;
    let from_kv = second.get("/api/models").await.json();
    assert_eq!(from_kv["source"], "kv");
    assert_eq!((&from_kv["revision"], &from_kv["data"]), (&list["revision"], &list["data"]));
    let health = second.until("/api/health", is_enabled).await.json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["cache"]["detail"]["families"]["catalogue"]["loads"], 0);
    kv.assert_conforming();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_database_serves_the_catalogue_of_kv() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let first = start_and_fill(&database, &kv).await;
    let revision = first.get("/api/models").await.json()["revision"].clone();
    let proxy = Proxy::to(&database.options()).await;
    proxy.cut();

    let second = start(&proxy.url(), &kv).await;
    let list = second.get("/api/models").await;
    assert_eq!(list.json()["source"], "kv");
    assert_eq!(list.json()["revision"], revision);
    let health = second.get("/api/health").await;
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("degraded")));
    assert_eq!(health.json()["catalogue"]["stale"], true);
    for _ in 0..300 {
        assert_eq!(second.get("/api/models?limit=1").await.status, 200);
    }
    assert!(kv.calls(Call::Get) <= 12, "{} reads", kv.calls(Call::Get));

    proxy.restore();
    let healthy = |health: &Answer| health.json()["status"] == "healthy";
    second.until("/api/health", healthy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_catalogue_in_kv_yields_to_postgres() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let first = start_and_fill(&database, &kv).await;
    let old = kv.value(KEY).unwrap();
    let pool = database.pool().await;
    sqlx::query("update chatchonk.models set name = 'Edited' where id = 'openai/gpt-5.5'")
        .execute(&pool)
        .await
        .unwrap();
    first.until("/api/models/openai/gpt-5.5", |model| model.json()["name"] == "Edited").await;
    kv.plant(KEY, &old);

    let second = start(&database.url(), &kv).await;
    assert_eq!(second.get("/api/models/openai/gpt-5.5").await.json()["name"], "Edited");
    assert_eq!(second.get("/api/models").await.json()["source"], "postgres");
}

/// Rewrites the value in KV with another name for a model.
fn forged(kv: &FakeKv) -> String {
    let whole = String::from_utf8(kv.value(KEY).unwrap()).unwrap();
    let forged = whole.replace("\"name\":\"GPT-4o\"", "\"name\":\"Forged\"");
    assert_ne!(whole, forged);
    forged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_forged_at_the_current_version_is_never_served() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let first = start_and_fill(&database, &kv).await;
    kv.plant(KEY, forged(&kv).as_bytes());

    let second = start(&database.url(), &kv).await;
    for _ in 0..20 {
        assert_ne!(second.get(MODEL).await.json()["name"], "Forged");
    }
    assert_eq!(second.get("/api/models").await.json()["source"], "postgres");
    let healed = || kv.value(KEY).is_some_and(|value| !String::from_utf8_lossy(&value).contains("Forged"));
    eventually(async || healed()).await;

    let third = start(&database.url(), &kv).await;
    assert_eq!(third.get("/api/models").await.json()["source"], "kv", "the new value has a valid digest");
    assert_eq!(third.get(MODEL).await.json()["name"], first.get(MODEL).await.json()["name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_the_database_never_had_is_forged() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    start_and_fill(&database, &kv).await.stop().await;
    let pool = database.pool().await;
    let version: i64 =
        sqlx::query_scalar("select version from chatchonk.cache_version where scope = 'catalogue'")
            .fetch_one(&pool)
            .await
            .unwrap();
    let forged = forged(&kv);
    // The version is readable and the catalogue is not, so the value in KV would be the last resort.
    run(&pool, "alter table chatchonk.models rename to hidden").await;
    for planted in [version.unsigned_abs() + 1, i64::MAX.unsigned_abs(), u64::MAX] {
        let claimed = forged.replace(&format!("\"version\":{version}"), &format!("\"version\":{planted}"));
        assert_ne!(claimed, forged);
        kv.plant(KEY, claimed.as_bytes());
        let server = start(&database.url(), &kv).await;
        assert_ne!(server.get(MODEL).await.json()["name"], "Forged", "{planted}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_value_serves_stale_until_the_databases_first_answer() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    start_and_fill(&database, &kv).await.stop().await;
    kv.plant(KEY, forged(&kv).as_bytes());
    let proxy = Proxy::to(&database.options()).await;
    proxy.cut();

    let server = start(&proxy.url(), &kv).await;
    let list = server.get("/api/models").await;
    assert_eq!((list.status, &list.json()["source"]), (200, &"kv".into()));
    assert_eq!(server.get("/api/health").await.json()["catalogue"]["stale"], true);
    proxy.restore();
    let health = server.until("/api/health", |health| health.json()["catalogue"]["stale"] == false).await;
    assert_eq!(health.json()["catalogue"]["source"], "postgres");
    assert_ne!(server.get(MODEL).await.json()["name"], "Forged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_value_is_replaced_without_requests() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    start_and_fill(&database, &kv).await.stop().await;
    let pool = database.pool().await;
    run(&pool, "update chatchonk.models set name = 'Edited' where id = 'openai/gpt-4o'").await;
    // The version is readable, and the models are not.
    run(&pool, "alter table chatchonk.model_tasks rename to model_tasks_before").await;
    run(
        &pool,
        "create view chatchonk.model_tasks as
            select model_id, (1 / (length(task_id) - length(task_id)))::text as task_id
            from chatchonk.model_tasks_before",
    )
    .await;

    let server = start_with(&database.url(), &kv, &[("MIGRATE_ON_START", "false")]).await;
    server.until("/api/health", |health| health.json()["catalogue"]["source"] == "kv").await;
    server.until("/api/health", |health| health.json()["database"]["reason"].is_string()).await;
    run(&pool, "drop view chatchonk.model_tasks").await;
    run(&pool, "alter table chatchonk.model_tasks_before rename to model_tasks").await;
    let health = server.until("/api/health", |health| health.json()["catalogue"]["stale"] == false).await;
    assert_eq!(health.json()["catalogue"]["source"], "postgres");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_without_a_digest_in_the_ledger_is_a_miss() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    start_and_fill(&database, &kv).await.stop().await;
    let pool = database.pool().await;
    run(&pool, "update chatchonk.kv_keys set digest = null, claimed_at = claimed_at - interval '1 minute'")
        .await;
    let server = start(&database.url(), &kv).await;
    assert_eq!(server.get("/api/models").await.json()["source"], "postgres");
    // It writes the value again, with its digest.
    let digest = "select count(digest) from chatchonk.kv_keys";
    eventually(async || sqlx::query_scalar::<_, i64>(digest).fetch_one(&pool).await.unwrap() == 1).await;
    let next = start(&database.url(), &kv).await;
    assert_eq!(next.get("/api/models").await.json()["source"], "kv");
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_but_the_catalogue_under_its_key_is_a_miss() {
    let database = database().await;
    for planted in
        ["", "null", "<html>", "{\"format\":1,\"schema\":1}", "{\"format\":2,\"schema\":1,\"value\":{}}"]
    {
        let kv = FakeKv::start(Clock::system()).unwrap();
        kv.plant(KEY, planted.as_bytes());
        let server = start(&database.url(), &kv).await;
        let list = server.get("/api/models").await;
        assert_eq!((list.status, list.json()["source"].as_str()), (200, Some("postgres")), "{planted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_kv_settings_name_the_missing_variables() {
    let database = database().await;
    let server = TestServer::with(&[("DATABASE_URL", &database.url()), ("CLOUDFLARE_API_TOKEN", "t")]).await;
    let health = server.get("/api/health").await;
    assert_eq!(health.json()["cache"]["cloudflare_kv"], "not_configured");
    let reason = kv_of(&health)["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_KV_NAMESPACE_ID are missing"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_catalogue_in_kv_beats_the_builtin_one() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let first = start_and_fill(&database, &kv).await;
    let revision = first.get("/api/models").await.json()["revision"].clone();
    first.stop().await;
    let pool = database.pool().await;
    for broken in [
        "update chatchonk.cache_version set version = version + 1",
        "alter table chatchonk.models rename column name to label",
    ] {
        sqlx::query(broken).execute(&pool).await.unwrap();
    }

    let second = start(&database.url(), &kv).await;
    let list = second.get("/api/models").await.json();
    assert_eq!((&list["source"], &list["revision"]), (&"kv".into(), &revision));
    let health = second.get("/api/health").await;
    assert_eq!((health.status, health.json()["catalogue"]["stale"].as_bool()), (200, Some(true)));
}
