//! The life cycle of a private PostgreSQL. Needs PostgreSQL on the machine.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use chatchonk::embedded::{Cluster, EmbeddedError, Installation, Options, Profile};
use nix::unistd::Uid;
use sqlx::{Connection, PgConnection};

use crate::support::process::folder;

/// The environment variable that gives a child process the data folder of the cluster to run until it is killed.
const HOLD: &str = "CHATCHONK_TEST_HOLD_CLUSTER";

fn installation() -> Installation {
    #[expect(clippy::disallowed_methods, reason = "the tests have no config.rs to ask")]
    let path: Option<OsString> = std::env::var_os("PATH");
    Installation::find(path.as_deref()).expect("these tests need PostgreSQL")
}

async fn start(data_dir: &Path) -> Result<Cluster, EmbeddedError> {
    let options = Options { profile: Profile::Disposable, settings: Vec::new() };
    Cluster::start(&installation(), data_dir, &options).await
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect_with(&cluster.connect_options()).await.expect("a connection")
}

async fn query(cluster: &Cluster, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(&mut connect(cluster).await).await.expect("an answer")
}

fn cluster_folder(data_dir: &Path) -> PathBuf {
    data_dir.join(format!("pg{}", installation().major))
}

fn socket_dir(cluster: &Cluster) -> PathBuf {
    cluster.connect_options().get_socket().unwrap().clone()
}

fn postmaster_pid(data_dir: &Path) -> Option<u32> {
    fs::read_to_string(cluster_folder(data_dir).join("postmaster.pid")).ok()?.lines().next()?.parse().ok()
}

#[tokio::test]
async fn a_new_cluster_starts_and_answers() {
    let folder = folder();
    let cluster = start(&folder.path().join("made/on/the/way")).await.unwrap();
    let options = cluster.connect_options();
    assert_eq!(query(&cluster, "SELECT current_database()::text").await, options.get_database().unwrap());
    assert_eq!(query(&cluster, "SELECT current_user::text").await, options.get_username());
    assert_eq!(query(&cluster, "SHOW server_encoding").await, "UTF8");
    assert_eq!(query(&cluster, "SHOW listen_addresses").await, "");
    assert_eq!(query(&cluster, "SHOW fsync").await, "off");
    cluster.stop().await;
}

#[tokio::test]
async fn a_durable_cluster_syncs_to_disk_and_takes_settings() {
    let folder = folder();
    let settings = vec![
        ("max_connections".to_owned(), "7".to_owned()),
        ("shared_preload_libraries".to_owned(), "pg_stat_statements".to_owned()),
    ];
    let options = Options { profile: Profile::Durable, settings };
    let cluster = Cluster::start(&installation(), folder.path(), &options).await.unwrap();
    assert_eq!(query(&cluster, "SHOW fsync").await, "on");
    assert_eq!(query(&cluster, "SHOW max_connections").await, "7");
    assert_eq!(query(&cluster, "SHOW shared_preload_libraries").await, "pg_stat_statements");
    cluster.stop().await;
}

#[tokio::test]
async fn data_survives_stop_and_start() {
    let folder = folder();
    let first = start(folder.path()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE note (text text); INSERT INTO note VALUES ('kept')")
        .execute(&mut connect(&first).await)
        .await
        .unwrap();
    let socket = socket_dir(&first);
    first.stop().await;
    assert_eq!(postmaster_pid(folder.path()), None, "an orderly stop");
    assert!(!socket.exists(), "stopping leaves no socket folder");

    let second = start(folder.path()).await.unwrap();
    assert_eq!(socket_dir(&second), socket, "the same folder has the same socket");
    assert_eq!(query(&second, "SELECT text FROM note").await, "kept");
    second.stop().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_open_connections() {
    let folder = folder();
    let cluster = start(folder.path()).await.unwrap();
    let mut open = connect(&cluster).await;
    cluster.stop().await;
    assert_eq!(postmaster_pid(folder.path()), None, "an orderly stop");
    assert!(sqlx::raw_sql("SELECT 1").execute(&mut open).await.is_err());
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let folder = folder();
    let cluster = start(folder.path()).await.unwrap();
    let refused = start(folder.path()).await.expect_err("the folder is taken").to_string();
    let path = folder.path().canonicalize().unwrap();
    for part in
        [&path.display().to_string(), "DATA_DIR", "stop it", &format!("process {}", std::process::id())]
    {
        assert!(refused.contains(part), "{part} is missing: {refused}");
    }
    assert_eq!(query(&cluster, "SELECT 'unharmed'").await, "unharmed");
    cluster.stop().await;
}

#[tokio::test]
async fn a_dropped_cluster_does_not_hinder_the_next_start() {
    let folder = folder();
    drop(start(folder.path()).await.unwrap());
    start(folder.path()).await.unwrap().stop().await;
}

/// Not a test itself: [`an_orphan_of_a_killed_server_is_taken_over`] runs and kills this process.
#[tokio::test]
async fn hold_a_cluster_until_killed() {
    #[expect(clippy::disallowed_methods, reason = "the parent process passes the folder this way")]
    let Some(data_dir) = std::env::var_os(HOLD) else {
        return;
    };
    let cluster = start(Path::new(&data_dir)).await.unwrap();
    let create = "CREATE TABLE note (text text); INSERT INTO note VALUES ('inherited')";
    sqlx::raw_sql(create).execute(&mut connect(&cluster).await).await.unwrap();
    println!("\nholding");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn an_orphan_of_a_killed_server_is_taken_over() {
    let folder = folder();
    let mut predecessor = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::hold_a_cluster_until_killed", "--nocapture"])
        .env(HOLD, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(predecessor.stdout.take().unwrap()).lines();
    let is_holding = lines.map_while(Result::ok).any(|line| line == "holding");
    predecessor.kill().unwrap();
    predecessor.wait().unwrap();
    assert!(is_holding, "the predecessor did not start");
    let orphan = postmaster_pid(folder.path()).expect("its PostgreSQL outlives it");

    let heir = start(folder.path()).await.unwrap();
    assert_ne!(postmaster_pid(folder.path()), Some(orphan));
    assert_eq!(query(&heir, "SELECT text FROM note").await, "inherited");
    heir.stop().await;
}

#[tokio::test]
async fn a_process_with_a_reused_postmaster_id_is_left_alone() {
    let folder = folder();
    start(folder.path()).await.unwrap().stop().await;
    let mut bystander = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let cluster = cluster_folder(folder.path());
    let stale = format!("{}\n{}\n1\n5432\n/tmp\n\n", bystander.id(), cluster.display());
    fs::write(cluster.join("postmaster.pid"), stale).unwrap();

    // Whether PostgreSQL trusts the file depends on the owner of the process.
    if let Ok(cluster) = start(folder.path()).await {
        cluster.stop().await;
    }
    assert!(bystander.try_wait().unwrap().is_none(), "the other process was killed");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn an_interrupted_initdb_is_repeated() {
    let folder = folder();
    let leftover = PathBuf::from(format!("{}.initdb-1", cluster_folder(folder.path()).display()));
    fs::create_dir_all(leftover.join("base/1")).unwrap();
    fs::write(leftover.join("PG_VERSION"), "15\n").unwrap();

    let cluster = start(folder.path()).await.unwrap();
    assert_eq!(query(&cluster, "SELECT 'healed'").await, "healed");
    assert!(!leftover.exists());
    cluster.stop().await;
}

#[tokio::test]
async fn an_abandoned_start_does_not_hinder_the_next() {
    let folder = folder();
    let data_dir = folder.path().to_path_buf();
    let given_up = tokio::spawn(async move { start(&data_dir).await });
    let attempt = PathBuf::from(format!("{}.initdb-1", cluster_folder(folder.path()).display()));
    while !attempt.join("PG_VERSION").exists() {
        tokio::task::yield_now().await;
    }
    given_up.abort();
    assert!(given_up.await.is_err(), "abandoned during initdb");

    start(folder.path()).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_folder_with_other_content_is_left_alone() {
    let folder = folder();
    let place = cluster_folder(folder.path());
    start(folder.path()).await.unwrap().stop().await;
    fs::remove_file(place.join("PG_VERSION")).unwrap();

    let refused = start(folder.path()).await;
    assert!(matches!(&refused, Err(EmbeddedError::NotACluster { .. })), "{refused:?}");
    assert!(place.join("global/pg_control").exists());
}

#[tokio::test]
async fn a_server_that_exits_at_once_is_reported_with_its_log() {
    let folder = folder();
    let settings = vec![("max_connections".to_owned(), "many".to_owned())];
    let options = Options { profile: Profile::Disposable, settings };
    let refused = Cluster::start(&installation(), folder.path(), &options).await.expect_err("not a number");
    assert!(matches!(&refused, EmbeddedError::DidNotStart { .. }), "{refused:?}");
    assert!(refused.to_string().contains("invalid value for parameter \"max_connections\""), "{refused}");
}

#[tokio::test]
async fn an_unreachable_folder_is_refused_with_the_remedy() {
    let folder = folder();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let mode = if Uid::effective().is_root() { 0o700 } else { 0o500 };
    fs::set_permissions(&closed, Permissions::from_mode(mode)).unwrap();
    let closed = closed.canonicalize().unwrap();

    for data_dir in [closed.clone(), closed.join("inner")] {
        let refused = start(&data_dir).await.expect_err("the folder is closed to everyone");
        assert!(matches!(&refused, EmbeddedError::NotReachable { .. }), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains(&closed.display().to_string()) && text.contains("DATA_DIR"), "{text}");
        assert!(!text.contains('\n'), "one line: {text}");
    }
}

#[tokio::test]
async fn a_long_data_folder_works() {
    let folder = folder();
    let long = folder.path().join("a folder with a long name/".repeat(10));
    let cluster = start(&long).await.unwrap();
    let socket = socket_dir(&cluster);
    assert!(socket.as_os_str().len() < 80, "{}", socket.display());
    assert_eq!(query(&cluster, "SELECT 'far away'").await, "far away");
    cluster.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_is_unprivileged_in_its_own_process_group() {
    let folder = folder();
    let cluster = start(folder.path()).await.unwrap();
    let pid = postmaster_pid(folder.path()).expect("it runs");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of /proc");
        line.split_whitespace().map(|number| number.parse().expect("a number")).collect()
    };
    assert!(field("Uid:").iter().all(|uid| *uid != 0), "{status}");
    assert!(field("Gid:").iter().all(|gid| *gid != 0), "{status}");
    if Uid::effective().is_root() {
        assert!(field("Groups:").is_empty(), "{status}");
    }
    assert_eq!(field("NSpgid:").last(), Some(&pid), "Ctrl-C must not reach it");
    let holds_our_lock = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten().any(|descriptor| {
        fs::read_link(descriptor.path()).is_ok_and(|target| target.ends_with("chatchonk.lock"))
    });
    assert!(!holds_our_lock);
    cluster.stop().await;
}
