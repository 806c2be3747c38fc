//! Creates a cluster. An interruption at any point is cleaned up by the next start.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{EmbeddedError, files, tail};
use super::folders::Folders;
use super::installation::Installation;
use super::settings::{Profile, USER};

/// It takes about a second; after a minute the disk probably hangs.
const LIMIT: Duration = Duration::from_mins(1);

/// macOS has no `C.UTF-8`.
const CHARACTERS: &str = if cfg!(target_os = "macos") { "UTF-8" } else { "C.UTF-8" };

/// Creates the cluster in a temporary folder, then moves it into place.
pub(super) async fn run(
    installation: &Installation,
    folders: &Folders,
    profile: Profile,
) -> Result<(), EmbeddedError> {
    let attempt = prepare(folders).await?;
    let made = match initdb(installation, folders, profile, &attempt).await {
        Ok(()) => tokio::fs::rename(&attempt, &folders.cluster).await.map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                EmbeddedError::NotACluster { folder: folders.cluster.clone() }
            }
            _ => files("create", &folders.cluster)(source),
        }),
        Err(error) => Err(error),
    };
    if made.is_err() {
        // The next attempt removes the rest.
        let _ = tokio::fs::remove_dir_all(&attempt).await;
    }
    made
}

/// Creates an empty folder for initdb and removes those of earlier attempts.
///
/// Its name is always new: the initdb of a killed predecessor may still run, and empties its own folder when it fails.
async fn prepare(folders: &Folders) -> Result<PathBuf, EmbeddedError> {
    let prefix = format!("{}.initdb-", folders.cluster.display());
    let leftovers = leftovers(&folders.data, &prefix);
    let number = leftovers.iter().map(|(number, _)| number + 1).max().unwrap_or(1);
    for (_, leftover) in leftovers {
        // Fails while the predecessor's initdb still writes there; then the next attempt removes it.
        let _ = tokio::fs::remove_dir_all(&leftover).await;
    }

    let attempt = PathBuf::from(format!("{prefix}{number}"));
    DirBuilder::new().mode(0o700).create(&attempt).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => folders.owner.not_reachable(folders.data.clone()),
        _ => files("create", &attempt)(source),
    })?;
    folders.owner.give(&attempt)?;
    Ok(attempt)
}

fn leftovers(data: &Path, prefix: &str) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(data).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter_map(|path| Some((path.to_str()?.strip_prefix(prefix)?.parse().ok()?, path))).collect()
}

async fn initdb(
    installation: &Installation,
    folders: &Folders,
    profile: Profile,
    attempt: &Path,
) -> Result<(), EmbeddedError> {
    let program = installation.bin.join("initdb");
    let mut command = folders.owner.command(&program, &folders.data);
    command.arg("--pgdata").arg(attempt);
    command.args(["--username", USER, "--no-instructions"]);
    command.args(["--encoding=UTF8", "--locale=C", "--lc-ctype", CHARACTERS]);
    // Only the owner and root can enter the socket's folder, the only way in.
    command.arg("--auth=trust");
    if profile == Profile::Disposable {
        command.arg("--no-sync");
    }

    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output();
    match tokio::time::timeout(LIMIT, output).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let written = if output.stderr.is_empty() { output.stdout } else { output.stderr };
            Err(EmbeddedError::Initdb { output: format!("{} ({})", tail(&written), output.status) })
        }
        Ok(Err(source)) => Err(folders.owner.cannot_run(&program, &folders.data, source)),
        Err(_) => Err(EmbeddedError::Initdb { output: format!("gave up after {} s", LIMIT.as_secs()) }),
    }
}
