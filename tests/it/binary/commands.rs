//! Commands on the local configuration: `check`, `migrate`, `catalogue seed`, `--version` and `--help`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use chatchonk::clock::Clock;
use chatchonk::domain::seed::Seed;
use chatchonk::store::{DatabaseSettings, KvSpending, SeedMode, Store, Verification};
use sqlx::PgPool;

use crate::support::kv::fake::{ACCOUNT, Access, Call, FakeKv, NAMESPACE, Quirks, TITLE, Token};
use crate::support::postgres::{database, empty_database};
use crate::support::process::{command, folder, postgres, run, text};

#[test]
fn check_without_a_database_starts_nothing_and_succeeds() {
    let folder = folder();
    let output = run(command(folder.path()).arg("check"));
    let (printed, log) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}{log}");
    assert!(printed.contains("– database: not configured, embedded default"), "{printed}");
    assert!(printed.contains("KV not configured"), "{printed}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it creates nothing");
}

#[test]
fn check_names_an_unreachable_database_and_no_secret() {
    let folder = folder();
    // Port 1 refuses connections.
    let url = "postgres://someone:hunter2@127.0.0.1:1/somewhere";
    let output = run(command(folder.path()).arg("check").env("DATABASE_URL", url));
    let (printed, log) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}{log}");
    assert!(printed.contains("✗ database: the database cannot be reached"), "{printed}");
    assert!(printed.contains("→ check host and port of DATABASE_URL"), "{printed}");
    assert!(!printed.contains("hunter2") && !log.contains("hunter2"), "{printed}{log}");
}

#[test]
fn a_malformed_database_url_is_not_repeated() {
    let folder = folder();
    for command_name in ["check", "serve", "migrate"] {
        let output = run(command(folder.path()).arg(command_name).env("DATABASE_URL", "hunter2@somewhere"));
        let (printed, log) = text(&output);
        assert_eq!((output.status.code(), printed.as_str()), (Some(1), ""), "{log}");
        assert!(log.starts_with("chatchonk: DATABASE_URL: expected postgres://"), "{log}");
        assert!(!log.contains("hunter2") && log.trim_end().lines().count() == 1, "{log}");
    }
}

#[tokio::test]
async fn migrate_and_seed_satisfy_check() {
    let database = empty_database().await;
    let folder = folder();
    let on_database = |arguments: &[&str]| {
        let output = run(command(folder.path()).args(arguments).env("DATABASE_URL", database.url()));
        (output.status.code(), text(&output).0)
    };
    let (code, printed) = on_database(&["check"]);
    assert_eq!(code, Some(1));
    assert!(printed.contains("✗ migrations: ") && printed.contains("→ run `chatchonk migrate`"), "{printed}");

    let (code, printed) = on_database(&["migrate"]);
    assert!(code == Some(0) && printed.contains("applied"), "{printed}");
    let (code, printed) = on_database(&["migrate"]);
    assert!(code == Some(0) && printed.contains("nothing to do"), "{printed}");

    let (code, printed) = on_database(&["catalogue", "seed"]);
    assert!(code == Some(0) && printed.contains("120 models"), "{printed}");
    let (code, printed) = on_database(&["catalog", "seed"]);
    assert!(code == Some(0) && printed.contains("already") && printed.contains("--overwrite"), "{printed}");

    let (code, printed) = on_database(&["check"]);
    assert!(code == Some(0) && printed.contains("✓ catalogue: 120 models"), "{printed}");
}

#[tokio::test]
async fn a_seed_keeps_edits_and_overwrite_resets_all_but_enabled() {
    let database = empty_database().await;
    let folder = folder();
    let seed = |arguments: &[&str]| {
        let seed = ["catalogue", "seed"].iter().chain(arguments);
        let output = run(command(folder.path()).args(seed).env("DATABASE_URL", database.url()));
        assert_eq!(output.status.code(), Some(0), "{:?}", text(&output));
    };
    seed(&[]);
    let pool = PgPool::connect_with(database.options()).await.unwrap();
    sqlx::raw_sql(
        "update chatchonk.models set name = 'Edited', enabled = false where id = 'openai/gpt-4o';
         update chatchonk.seed_state set version = 0",
    )
    .execute(&pool)
    .await
    .unwrap();
    let row = async || -> (String, bool) {
        let row = "select name, enabled from chatchonk.models where id = 'openai/gpt-4o'";
        sqlx::query_as(row).fetch_one(&pool).await.unwrap()
    };
    seed(&[]);
    assert_eq!(row().await, ("Edited".to_owned(), false));
    seed(&["--overwrite"]);
    let (name, enabled) = row().await;
    assert_ne!(name, "Edited");
    assert!(!enabled, "only the operator hides and shows a row");
}

#[test]
fn commands_without_a_database_url_run_the_embedded_one() {
    let folder = folder();
    let output = run(command(folder.path()).args(["catalogue", "seed"]));
    let (printed, log) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(printed.contains("120 models"), "{printed}");
    assert_eq!(postgres(folder.path()), None);
}

#[test]
fn data_dir_argument_wins_over_the_variable() {
    let (folder, other) = (folder(), folder());
    let output = run(command(folder.path()).arg("--data-dir").arg(other.path()).arg("migrate"));
    assert_eq!(output.status.code(), Some(0), "{:?}", text(&output));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(std::fs::read_dir(other.path()).unwrap().count() > 0);
}

#[test]
fn version_names_the_commit_and_help_shows_the_usage() {
    let folder = folder();
    let output = run(command(folder.path()).arg("--version"));
    let (version, _) = text(&output);
    assert_eq!(version.trim(), format!("chatchonk {} ({})", env!("CARGO_PKG_VERSION"), chatchonk::COMMIT));
    let (help, _) = text(&run(command(folder.path()).arg("--help")));
    for word in ["serve", "migrate", "check", "catalogue", "cache", "--data-dir"] {
        assert!(help.contains(word), "{word} is missing: {help}");
    }
    assert!(!help.contains("catalog "), "an alias is not listed: {help}");
    let unknown = run(command(folder.path()).arg("sevre"));
    assert_ne!(unknown.status.code(), Some(0));
    assert!(text(&unknown).1.contains("serve"), "a hint");
}

/// Runs `check` in a folder whose `.env` has only this KV's variables, with further variables on top.
fn check_kv(kv: &FakeKv, others: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = folder();
    let lines: Vec<_> = kv.variables().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    std::fs::write(folder.path().join(".env"), lines.concat()).unwrap();
    let output = run(command(folder.path()).arg("check").envs(others.iter().copied()));
    (output.status.code(), text(&output).0)
}

#[test]
fn check_tests_kv_with_only_its_three_variables() {
    let kv = FakeKv::start(Clock::system()).unwrap();
    let (code, printed) = check_kv(&kv, &[]);
    assert_eq!(code, Some(0), "{printed}");
    for line in [
        "– database: not configured, embedded default",
        "✓ cloudflare kv: the API token is active",
        "✓ cloudflare kv: namespace `chatchonk`",
        "written in",
        "deleted in",
        "– budget: counted in the database, and nothing is written to KV without one",
    ] {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
    assert_eq!((kv.calls(Call::Put), kv.calls(Call::Get), kv.calls(Call::Delete)), (1, 1, 1));

    let (code, printed) =
        check_kv(&kv, &[("CLOUDFLARE_KV_NAMESPACE_ID", "ffffffffffffffffffffffffffffffff")]);
    assert_eq!(code, Some(1));
    let (right, title) = (NAMESPACE, TITLE);
    assert!(
        printed.contains("✗ cloudflare kv: Namespace not found")
            && printed.contains("→ check CLOUDFLARE_KV_NAMESPACE_ID")
    );
    assert!(printed.contains(&format!("{right} ({title})")), "{printed}");
    kv.assert_conforming();
}

#[test]
fn check_names_every_other_kv_fault_with_its_remedy() {
    let kv = FakeKv::start(Clock::system()).unwrap();
    let fails = |others: &[(&str, &str)], fault: &str, remedy: &str| {
        let (code, printed) = check_kv(&kv, others);
        assert_eq!(code, Some(1), "{printed}");
        let fault = format!("✗ cloudflare kv: {fault}");
        assert!(
            printed.contains(&fault) && printed.contains(&format!("\n    → {remedy}")),
            "{fault} is not in {printed}"
        );
    };
    let no_account = kv.base_url().replace(ACCOUNT, "my-account");
    fails(&[("CLOUDFLARE_KV_BASE_URL", &no_account)], "Account not found", "check CLOUDFLARE_ACCOUNT_ID");
    fails(&[("CLOUDFLARE_API_TOKEN", "wrong")], "401 Unauthorized", "give the token");
    fails(
        &[("CLOUDFLARE_KV_BASE_URL", "http://127.0.0.1:1")],
        "Workers KV cannot be reached",
        "nothing to do",
    );
    kv.quirks(|quirks| quirks.token = Token::Expired);
    fails(&[], "the API token has expired", "create a new token");
    kv.quirks(|quirks| (quirks.token, quirks.access) = (Token::OfUser, Access::Read));
    fails(&[], "403 Forbidden", "give the token");
    kv.quirks(|quirks| (quirks.access, quirks.daily.writes) = (Access::Write, 0));
    fails(&[], "the daily limit of Workers KV is used up", "nothing to do: it opens again at 00:00 UTC");
    kv.quirks(|quirks| quirks.daily = Quirks::default().daily);

    let folder = folder();
    std::fs::write(folder.path().join(".env"), "CLOUDFLARE_ACCOUNT_ID=0123abcd\n").unwrap();
    let output = run(command(folder.path()).arg("check"));
    let printed = text(&output).0;
    assert_eq!(output.status.code(), Some(1));
    let missing =
        "CLOUDFLARE_API_TOKEN, CLOUDFLARE_KV_NAMESPACE_ID are missing\n    → set all three variables";
    assert!(printed.contains(&format!("✗ cloudflare kv: KV not configured: {missing}")), "{printed}");
}

#[tokio::test]
async fn check_shows_the_daily_budget_that_a_database_counts() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let store = Store::new(DatabaseSettings::from_url(&database.url(), Verification::ByDefault, 1).unwrap());
    store.apply_seed(&Seed::builtin().unwrap(), SeedMode::Newer).await.unwrap();
    assert!(store.spend_kv(KvSpending::Write, 12, 900).await.unwrap());
    assert!(store.spend_kv(KvSpending::Delete, 3, 900).await.unwrap());
    let url = database.url();
    let variables = [("DATABASE_URL", url.as_str()), ("CLOUDFLARE_KV_DAILY_DELETES", "50")];
    let (code, printed) = check_kv(&kv, &variables);
    assert_eq!(code, Some(0), "{printed}");
    let line = "✓ budget: today 12 of 900 writes and 3 of 45 deletes used (90 % of the limits); it resets at 00:00 UTC";
    assert!(printed.contains(line), "{printed}");

    // The missing tables are reported once.
    let empty = empty_database().await.url();
    let (code, printed) = check_kv(&kv, &[("DATABASE_URL", &empty)]);
    assert!(code == Some(1) && printed.contains("✗ migrations") && !printed.contains("budget"), "{printed}");
}

#[test]
fn a_setting_that_is_not_utf_8_is_refused() {
    let folder = folder();
    for variable in ["DATABASE_URL", "METRICS_TOKEN", "PROVIDER_BASE_URLS"] {
        let output = run(command(folder.path()).arg("check").env(variable, OsStr::from_bytes(b"a\xff")));
        let (_, log) = text(&output);
        assert_eq!(log.trim_end(), format!("chatchonk: {variable}: expected text in UTF-8"));
        assert_eq!(output.status.code(), Some(1));
    }
}
