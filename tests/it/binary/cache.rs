//! `cache stats`, and `cache purge`, which invalidates what all servers share.

use std::time::Duration;

use chatchonk::clock::Clock;
use chatchonk::store::{DatabaseSettings, KvClaim, KvSpending, Store, Verification};
use serde_json::{Value, json};

use super::check_url::other_release;
use crate::changes::listening;
use crate::support::kv::fake::{Call, FakeKv, Fault};
use crate::support::postgres::{TestDatabase, database, empty_database};
use crate::support::process::{Serving, command, folder, run, run_elsewhere, text};
use crate::support::server::{Answer, TestServer, eventually};

/// The catalogue's key, as an operator would look for it.
const KEY: &str = "chatchonk:development:catalogue.2:all";
/// Keys of this environment, then of others.
const KNOWN: [&str; 2] = ["chatchonk:development:catalogue.0:all", "chatchonk:development:other.1:x"];
const FOREIGN: [&str; 2] =
    ["chatchonk:development-2:catalogue.2:all", "chatchonk:production:catalogue.1:all"];

/// Records the number of known keys of this environment when a version is raised.
const WATCH: &str = "create table watched (known bigint);
    create function watch() returns trigger language plpgsql as $$ begin
        insert into watched select count(*) from chatchonk.kv_keys where key like 'chatchonk:development:%';
        return new;
    end $$;
    create trigger watch before update on chatchonk.cache_version for each row execute function watch();";

/// Runs `cache …` with these variables; returns its exit code and both outputs.
fn cache(arguments: &[&str], variables: &[(&'static str, String)]) -> (Option<i32>, String, String) {
    let folder = folder();
    let output = run(command(folder.path())
        .arg("cache")
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (*name, value))));
    let (printed, log) = text(&output);
    (output.status.code(), printed, log)
}

fn on(database: &TestDatabase) -> Vec<(&'static str, String)> {
    vec![("DATABASE_URL", database.url())]
}

fn with_kv(database: &TestDatabase, kv: &FakeKv) -> Vec<(&'static str, String)> {
    [on(database), kv.variables().to_vec()].concat()
}

fn store(database: &TestDatabase) -> Store {
    Store::new(DatabaseSettings::from_url(&database.url(), Verification::ByDefault, 2).unwrap())
}

/// Claims these keys as a server does, and writes them.
async fn fill(store: &Store, kv: &FakeKv, keys: &[&str]) {
    let claims: Vec<_> = keys
        .iter()
        .map(|key| KvClaim {
            key: (*key).to_owned(),
            version: 1,
            digest: [0; 32],
            missing: None,
            rewrite_after: Duration::from_hours(1),
        })
        .collect();
    store.claim_kv_writes(&claims, 900).await.unwrap().unwrap();
    for key in keys {
        kv.plant(key, b"{}");
    }
}

async fn known(store: &Store) -> Vec<String> {
    store.kv_keys("").await.unwrap().into_iter().map(|known| known.key).collect()
}

async fn version(store: &Store) -> u64 {
    store.versions(&["catalogue".to_owned()]).await.unwrap()["catalogue"]
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_show_the_counters_of_health_and_add_up() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let server = TestServer::with_kv(&database.url(), &kv).await;
    let is_filled = |answer: &Answer| {
        let detail = &answer.json()["cache"]["detail"];
        let kv = &detail["kv"];
        let is_counted = kv["writes"] == 1 && kv["budget"]["writes"]["used"] == 1;
        is_counted && detail["listener"]["listening"] == true
    };
    server.until("/api/health", is_filled).await;
    for _ in 0..7 {
        assert_eq!(server.get("/api/models?limit=1").await.status, 200);
    }
    server.current_health().await;
    let url = format!("http://{}/", server.address());
    let output = run_elsewhere(&["cache", "stats", "--url", &url]).await;
    let (table, log) = text(&output);
    assert_eq!((output.status.code(), log.as_str()), (Some(0), ""), "{table}");
    let section = |title: &str| {
        let lines = table.lines().skip_while(|line| *line != title).skip(1);
        let rows: Vec<_> = lines.take_while(|line| line.starts_with("  ")).collect();
        assert!(!rows.is_empty(), "{title} is not in {table}");
        rows.into_iter()
            .map(|row| row.trim().rsplit_once("  ").unwrap())
            .map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
            .collect::<std::collections::HashMap<_, _>>()
    };
    let (totals, family) = (section("cache"), section("family catalogue"));
    let number = |text: &String| text.parse::<u64>().unwrap();
    let outcomes = ["memory", "kv", "stale", "origin", "error"].map(|outcome| number(&family[outcome]));
    assert_eq!(number(&family["reads"]), 7);
    assert_eq!(outcomes.iter().sum::<u64>(), 7);
    assert_eq!(number(&totals["hits"]) + number(&totals["misses"]), 7);
    assert!(totals["ratio"].ends_with('%'));
    assert_eq!((&family["entries"], &totals["memory entries"]), (&"1".to_owned(), &"1".to_owned()));
    let tier = section("cloudflare kv");
    assert_eq!((tier["status"].as_str(), tier["state"].as_str()), ("enabled", "closed"));
    assert!(number(&tier["calls"]) >= 2 && tier["latency ms p95"].parse::<f64>().is_ok(), "{table}");
    assert_eq!((tier["writes"].as_str(), tier["queued"].as_str()), ("1", "0"));
    assert!(tier["budget writes"].starts_with("1 of 900, resets at 20"), "{table}");
    assert_eq!(section("listener")["listening"], "yes");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_as_json_repeat_the_cache_section_of_health() {
    let server = TestServer::seeded(&database().await).await;
    let url = format!("http://{}", server.address());
    let output = run_elsewhere(&["cache", "stats", "--json", "--url", &url]).await;
    let printed = text(&output).0;
    assert!(printed.starts_with(r#"{"cloudflare_kv":"not_configured","fallback_cache":"#), "{printed}");
    let cache: Value = serde_json::from_str(&printed).unwrap();
    let health = server.get("/api/health").await.json();
    let names = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    for part in ["", "/detail", "/detail/kv", "/detail/families/catalogue"] {
        let [shown, expected] = [&cache, &health["cache"]].map(|cache| names(cache.pointer(part).unwrap()));
        assert_eq!(shown, expected);
    }
    server.stop().await;
}

/// Runs `cache stats` against a server with this health.
async fn stats_of(health: &Value) -> (Option<i32>, String, String) {
    let url = format!("http://{}", other_release(health).await);
    let output = run_elsewhere(&["cache", "stats", "--url", &url]).await;
    let (table, log) = text(&output);
    (output.status.code(), table, log)
}

#[tokio::test]
async fn stats_of_older_and_newer_releases_are_readable() {
    let kind = |used: u64| json!({ "used": used, "limit": 900, "resets_at": "2026-11-23T00:00:00Z" });
    let newer = json!({ "service": "chatchonk-api", "cache": {
        "cloudflare_kv": "unavailable", "cache_hits": 1, "unheard_of": [{}],
        "detail": {
            "kv": {
                "state": "open", "reason": "it is down", "remedy": "wait", "latency_ms": { "p50": null, "p95": 12.5 },
                "unheard_of": 3, "skipped": { "breaker": 4, "budget": 5 }, "budget": { "writes": kind(12), "deletes": { "used": null, "limit": 90 } },
            },
            "families": { "catalogue": { "reads": 9, "memory": 9 }, "responses": { "reads": 2 } },
        },
    } });
    let (code, table, log) = stats_of(&newer).await;
    assert_eq!((code, log.as_str()), (Some(0), ""));
    let expected = "\
cache
  hits             1
family catalogue
  reads            9
  memory           9
family responses
  reads            2
cloudflare kv
  status           unavailable
  state            open
  reason           it is down
  remedy           wait
  skipped breaker  4
  skipped budget   5
  budget writes    12 of 900, resets at 2026-11-23T00:00:00Z
  budget deletes   unknown of 90
  latency ms p95   12.5
  unheard of       3
";
    assert_eq!(table, expected);
    let older = json!({ "service": "chatchonk-api", "cache": { "detail": { "kv": { "skipped": 7 } } } });
    assert_eq!(stats_of(&older).await.1, "cloudflare kv\n  skipped  7\n");
    let none = json!({ "service": "chatchonk-api" });
    let (code, table, log) = stats_of(&none).await;
    assert_eq!((code, table.as_str()), (Some(1), ""));
    assert_eq!(log, "chatchonk: the server does not report its cache; it runs another release\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_shows_within_a_second_and_calls_no_kv() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let server = listening(&database).await;
    let before = server.get("/api/models?limit=1").await.json()["revision"].as_u64().unwrap();
    let (code, printed, log) = cache(&["purge"], &with_kv(&database, &kv));
    let clock = Clock::system();
    let purged = clock.now();
    assert_eq!(code, Some(0), "{printed}{log}");
    let version = version(&store(&database)).await;
    assert!(version > before);
    assert!(
        printed.starts_with(&format!("✓ purge: catalogue has the new version {version}: every server")),
        "{printed}"
    );
    server.until("/api/models?limit=1", |answer| answer.json()["revision"] == version).await;
    assert!(clock.now() - purged < Duration::from_secs(1), "{:?}", clock.now() - purged);
    assert_eq!(kv.requests(), []);
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_scope_is_refused_first() {
    let database = database().await;
    let before = version(&store(&database)).await;
    for scope in ["models", "", "catalogue ", "user:1", "catalogue; drop"] {
        let (code, printed, log) = cache(&["purge", "--scope", scope], &on(&database));
        assert_eq!((code, printed.as_str()), (Some(1), ""), "{log}");
        assert_eq!(log, "chatchonk: --scope: expected `catalogue`, the only scope there is\n");
    }
    assert_eq!(version(&store(&database)).await, before);
    let (code, printed, _) = cache(&["purge", "--scope", "catalogue"], &on(&database));
    assert_eq!(code, Some(0), "{printed}");
    assert!(version(&store(&database)).await > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_purge_empties_kv_and_the_server_refills_it() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let store = store(&database);
    let server = TestServer::with_kv(&database.url(), &kv).await;
    eventually(async || kv.value(KEY).is_some()).await;
    fill(&store, &kv, &KNOWN).await;
    fill(&store, &kv, &FOREIGN).await;
    let pool = database.pool().await;
    sqlx::raw_sql(WATCH).execute(&pool).await.unwrap();

    let (code, printed, log) = cache(&["purge", "--hard"], &with_kv(&database, &kv));
    assert_eq!(code, Some(0), "{printed}{log}");
    assert!(printed.contains("✓ cloudflare kv: 3 keys of development deleted"), "{printed}");
    assert!(printed.contains("✓ purge: catalogue has the new version "), "{printed}");
    for key in KNOWN {
        assert_eq!(kv.value(key), None, "{key}");
    }
    let known_at_raise: Vec<i64> =
        sqlx::query_scalar("select known from watched").fetch_all(&pool).await.unwrap();
    assert_eq!(known_at_raise, [0], "the version is raised once, after the deletion");
    for key in FOREIGN {
        assert!(kv.value(key).is_some(), "{key} is of another deployment");
        assert!(known(&store).await.contains(&key.to_owned()));
    }
    assert!(!known(&store).await.iter().any(|key| KNOWN.contains(&key.as_str())));
    assert_eq!((store.kv_used().await.unwrap().deletes, kv.used_today().deletes), (3, 3));
    assert_eq!(kv.calls(Call::DeleteMany), 1);
    let deleted = kv.requests().into_iter().find(|request| request.call == Call::DeleteMany).unwrap();
    assert!(String::from_utf8(deleted.body).unwrap().contains(KEY));
    // A running server leaves a key that it wrote alone for a minute; a new server does not.
    let next = TestServer::with_kv(&database.url(), &kv).await;
    eventually(async || kv.value(KEY).is_some()).await;
    let envelope: Value = serde_json::from_slice(&kv.value(KEY).unwrap()).unwrap();
    assert_eq!(envelope["version"], version(&store).await, "the server wrote a new value");
    kv.assert_conforming();
    next.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn undeleted_keys_stay_known_and_the_version_rises() {
    let database = database().await;
    let store = store(&database);
    let throttled = || Fault::throttled(None);
    // A refusal by Cloudflare costs no budget; a broken call may have been executed.
    for (fault, spent) in [(Fault::forbidden(), 0), (throttled(), 0), (Fault::Reset, 3)] {
        let kv = FakeKv::start(Clock::system()).unwrap();
        fill(&store, &kv, &KNOWN).await;
        kv.fail_always(Some(Call::DeleteMany), fault);
        let before = version(&store).await;
        let (code, printed, _) = cache(&["purge", "--hard"], &with_kv(&database, &kv));
        assert_eq!(code, Some(1), "{printed}");
        assert!(printed.contains("✗ cloudflare kv: 3 of 3 keys not deleted: "), "{printed}");
        assert!(printed.contains("\n    → ") && !printed.contains("✓ cloudflare kv"), "{printed}");
        assert!(printed.contains("✓ purge: catalogue has the new version"), "{printed}");
        assert!(version(&store).await > before);
        assert_eq!(known(&store).await, KNOWN);
        assert_eq!(store.kv_used().await.unwrap().deletes, spent);
    }
}

#[tokio::test]
async fn a_hard_purge_stays_within_the_daily_delete_budget() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let store = store(&database);
    fill(&store, &kv, &KNOWN).await;
    assert!(store.spend_kv(KvSpending::Delete, 7, 9).await.unwrap());
    let mut variables = with_kv(&database, &kv);
    variables.push(("CLOUDFLARE_KV_DAILY_DELETES", "10".to_owned()));

    // 9 of 10 deletes may be used, and 3 keys wait.
    let (code, printed, _) = cache(&["purge", "--hard"], &variables);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("✓ cloudflare kv: 2 keys of development deleted"), "{printed}");
    let fault = "✗ cloudflare kv: 1 of 3 keys not deleted: today's budget of 9 deletes is used up\n    → run it again after";
    assert!(printed.contains(fault), "{printed}");
    assert_eq!(known(&store).await, KNOWN[1..]);
    assert_eq!((store.kv_used().await.unwrap().deletes, kv.used_today().deletes), (9, 2));

    let (code, printed, _) = cache(&["purge", "--hard"], &variables);
    assert_eq!(code, Some(1));
    assert!(
        printed.contains("✗ cloudflare kv: 2 of 2 keys not deleted") && !printed.contains("deleted; KV"),
        "{printed}"
    );
    assert_eq!(kv.calls(Call::DeleteMany), 1);
}

#[tokio::test]
async fn a_hard_purge_without_kv_names_the_missing_variables() {
    let database = database().await;
    let before = version(&store(&database)).await;
    let (code, printed, log) = cache(&["purge", "--hard"], &on(&database));
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    let all = "chatchonk: KV not configured: CLOUDFLARE_API_TOKEN, CLOUDFLARE_ACCOUNT_ID, \
               CLOUDFLARE_KV_NAMESPACE_ID missing; set all three variables, or leave out --hard\n";
    assert_eq!(log, all);
    let mut variables = on(&database);
    variables.push(("CLOUDFLARE_API_TOKEN", "hunter2".to_owned()));
    let (code, _, log) = cache(&["purge", "--hard"], &variables);
    assert_eq!(code, Some(1));
    let two = "chatchonk: KV not configured: CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_KV_NAMESPACE_ID missing; ";
    assert!(log.starts_with(two), "{log}");
    assert_eq!(version(&store(&database)).await, before);
}

#[tokio::test]
async fn a_purge_without_its_database_names_the_fix() {
    let (code, printed, log) = cache(&["purge"], &[]);
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    assert!(
        log.starts_with("chatchonk: DATABASE_URL is missing, and there is no embedded database in "),
        "{log}"
    );

    let nowhere = [("DATABASE_URL", "postgres://someone:hunter2@127.0.0.1:1/somewhere".to_owned())];
    let (code, printed, log) = cache(&["purge"], &nowhere);
    assert_eq!(code, Some(1));
    assert!(printed.starts_with("✗ purge: ") && printed.contains("\n    → "), "{printed}");
    assert!(!printed.contains("hunter2") && !log.contains("hunter2"), "{printed}{log}");

    let kv = FakeKv::start(Clock::system()).unwrap();
    let empty = empty_database().await;
    let (code, printed, _) = cache(&["purge", "--hard"], &with_kv(&empty, &kv));
    assert_eq!(code, Some(1));
    for subject in ["cloudflare kv", "purge"] {
        let fault = format!("✗ {subject}: the tables are missing or of another release");
        assert!(printed.contains(&fault), "{fault} is not in {printed}");
    }
    assert!(printed.contains("→ run `chatchonk migrate`"), "{printed}");
    assert_eq!(kv.requests(), []);
}

#[tokio::test]
async fn an_embedded_database_without_a_server_is_purged() {
    let folder = folder();
    let purge = || {
        let output = run(command(folder.path()).args(["cache", "purge"]));
        (output.status.code(), text(&output))
    };
    let mut server = Serving::start(&mut command(folder.path()));
    server.line_with("embedded PostgreSQL");
    let (code, (printed, log)) = purge();
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    let refusal = log.lines().last().unwrap();
    for part in [
        "chatchonk: a running chatchonk (process ",
        "embedded database",
        ": stop it, run this command again, and restart it",
    ] {
        assert!(refusal.contains(part), "{part} is not in {refusal}");
    }
    server.line_with("migrations: ");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.end();
    let (code, (printed, log)) = purge();
    assert_eq!(code, Some(0), "{printed}{log}");
    assert!(printed.contains("✓ purge: catalogue has the new version"), "{printed}");
}
