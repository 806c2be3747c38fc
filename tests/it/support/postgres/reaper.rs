//! Removes the servers of the tests when the test process ends, in any way.
//!
//! The servers are statics, which Rust never drops, and a killed process drops nothing at all. So before the first
//! server starts, the test binary runs itself a second time as a reaper. Its standard input is a pipe that only the
//! test process holds. When that process ends, the system closes the pipe, and the reaper removes everything labelled
//! with the name of the run.

use std::{
    collections::HashMap,
    io::Read as _,
    os::unix::{fs::DirBuilderExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use tokio::sync::OnceCell;

use super::{embedded, server};

/// The label of every container; its value is the name of the run.
pub(super) const LABEL: &str = "org.chatchonk.test";

/// Makes a process the reaper of the named run.
const VARIABLE: &str = "TEST_REAPER_OF";

/// Returns the name of this run, once the reaper is ready.
pub(super) async fn run() -> &'static str {
    &started().await.name
}

/// The folder for the clusters of this run, which PostgreSQL's user can enter.
pub(super) async fn folder() -> PathBuf {
    let folder = folder_of(run().await);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o755).create(&folder).unwrap();
    folder
}

/// Short, since the paths of Unix sockets must be short.
fn folder_of(run: &str) -> PathBuf {
    Path::new("/tmp").join(format!("chatchonk-test-{run}"))
}

struct Reaper {
    name: String,
    /// Holds the pipe, which stays empty.
    _process: Child,
}

async fn started() -> &'static Reaper {
    static STARTED: OnceCell<Reaper> = OnceCell::const_new();
    STARTED.get_or_init(async || Reaper::start()).await
}

impl Reaper {
    fn start() -> Self {
        let name = uuid::Uuid::now_v7().simple().to_string();
        let test = format!("{}::reap", module_path!());
        // The harness names tests without the crate.
        let (_crate, test) = test.split_once("::").unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact"])
            .env(VARIABLE, &name)
            .stdin(Stdio::piped())
            // A reader of the tests' output must not wait for the reaper's end.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in the terminal must reach only the tests.
            .process_group(0)
            .spawn()
            .unwrap();
        Self { name, _process: process }
    }
}

/// Not a test itself: the reaper, which the test process starts. Without its variable it ends at once.
#[tokio::test]
async fn reap() {
    let Some(run) = server::setting(VARIABLE) else {
        return;
    };
    // Ends with the test process.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    embedded::remove_all(&folder_of(&run)).await;
    remove_containers(&run).await;
}

async fn remove_containers(run: &str) {
    // Without an engine there is no container.
    let Ok(docker) = testcontainers::core::client::docker_client_instance().await else {
        return;
    };
    let of_run = HashMap::from([("label".to_owned(), vec![format!("{LABEL}={run}")])]);
    let list = ListContainersOptionsBuilder::new().all(true).filters(&of_run);
    let remove = RemoveContainerOptionsBuilder::new().force(true).v(true);
    // The engine refuses to remove a container that it is already removing, so retry until it is gone.
    for _ in 0..100 {
        match docker.list_containers(Some(list.clone().build())).await {
            Ok(left) if !left.is_empty() => {
                for id in left.into_iter().filter_map(|container| container.id) {
                    let _ = docker.remove_container(&id, Some(remove.clone().build())).await;
                }
            }
            _ => return,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
