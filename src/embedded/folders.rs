//! The folders of a cluster, and their lock.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;

use xxhash_rust::xxh3::xxh3_64;

use super::error::{EmbeddedError, files};
use super::owner::Owner;

/// Short, because a Unix socket's path is limited to 107 bytes (103 on macOS).
const SOCKET_PARENT: &str = "/tmp";

const LOCK: &str = "chatchonk.lock";

/// The folders of a cluster, locked for this process.
#[derive(Debug)]
pub(super) struct Folders {
    pub(super) owner: Owner,
    /// Data folder: absolute, symbolic links resolved.
    pub(super) data: PathBuf,
    /// Below `data`, the owner's; absent until initdb succeeds.
    pub(super) cluster: PathBuf,
    /// Private to the owner.
    pub(super) socket: PathBuf,
    /// The server's log, below `data`.
    pub(super) log: PathBuf,
    /// Released however the process ends. PostgreSQL does not inherit it, because Rust opens files close-on-exec.
    _lock: File,
}

impl Folders {
    /// Creates missing folders and takes the lock. Blocks on the file system.
    pub(super) fn claim(data_dir: &Path, major: u32) -> Result<Self, EmbeddedError> {
        let owner = Owner::find()?;
        let data = data_folder(data_dir, &owner)?;
        let lock = lock(&data, &owner)?;
        let socket = socket_folder(&data, &owner)?;
        let cluster = data.join(format!("pg{major}"));
        let log = data.join(format!("pg{major}.log"));
        Ok(Self { owner, data, cluster, socket, log, _lock: lock })
    }

    /// Whether a cluster exists.
    pub(super) fn has_cluster(&self) -> Result<bool, EmbeddedError> {
        match fs::metadata(&self.cluster) {
            Ok(folder) if folder.uid() != self.owner.uid => {
                Err(EmbeddedError::NotOurs { folder: self.cluster.clone(), user: self.owner.name.clone() })
            }
            Ok(_) => Ok(self.cluster.join("PG_VERSION").is_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(files("look at", &self.cluster)(error)),
        }
    }

    /// Opens the log and empties it.
    pub(super) fn new_log(&self) -> Result<File, EmbeddedError> {
        let open = OpenOptions::new().create(true).append(true).open(&self.log);
        open.and_then(|log| log.set_len(0).map(|()| log)).map_err(files("open", &self.log))
    }
}

impl Drop for Folders {
    /// Removes the socket folder unless a server uses it: only an empty folder can be removed. The lock is still held.
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.socket);
    }
}

/// Whether a server has used this data folder before.
pub fn was_used(data_dir: &Path) -> bool {
    data_dir.join(LOCK).exists()
}

fn data_folder(data_dir: &Path, owner: &Owner) -> Result<PathBuf, EmbeddedError> {
    let denied = |action| {
        move |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => owner.not_reachable(data_dir.to_path_buf()),
            _ => files(action, data_dir)(error),
        }
    };
    let missing: Vec<&Path> = data_dir.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(data_dir).map_err(denied("create"))?;
    if owner.is_other {
        // Whatever our umask, the owner must be able to enter the new folders.
        for folder in missing.into_iter().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(files("open", folder))?;
        }
    }
    data_dir.canonicalize().map_err(denied("enter"))
}

fn lock(data: &Path, owner: &Owner) -> Result<File, EmbeddedError> {
    let path = data.join(LOCK);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => owner.not_reachable(data.to_path_buf()),
        _ => files("open", &path)(error),
    })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let pid = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            return Err(EmbeddedError::InUse { folder: data.to_path_buf(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(files("lock", &path)(error)),
    }
    // Only for the other process's message; the lock holds without it.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", process::id()));
    Ok(file)
}

/// Creates the socket folder. Any user can write to its parent, so an existing folder must be ours.
fn socket_folder(data: &Path, owner: &Owner) -> Result<PathBuf, EmbeddedError> {
    let folder = socket_path(data);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => owner.give(&folder)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(&folder).map_err(files("look at", &folder))?;
            // A start was interrupted before `give`.
            let is_half_made = owner.is_other && found.uid() == 0;
            if !found.is_dir() || !(found.uid() == owner.uid || is_half_made) {
                return Err(EmbeddedError::NotOurs { folder, user: owner.name.clone() });
            }
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
                .map_err(files("close", &folder))?;
            owner.give(&folder)?;
        }
        Err(error) => return Err(files("create", &folder)(error)),
    }
    Ok(folder)
}

fn socket_path(data: &Path) -> PathBuf {
    let hash = xxh3_64(data.as_os_str().as_encoded_bytes());
    Path::new(SOCKET_PARENT).join(format!("chatchonk-{hash:016x}"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::{EmbeddedError, Owner, socket_folder, socket_path};

    #[test]
    fn socket_path_is_short_and_unique_per_data_folder() {
        let long = socket_path(Path::new(&format!("/{}", "folder/".repeat(100))));
        assert!(long.join(".s.PGSQL.5432").as_os_str().len() < 104, "{}", long.display());
        assert_ne!(long, socket_path(Path::new("/srv/chatchonk")));
    }

    #[test]
    fn link_in_place_of_the_socket_folder_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let place = socket_path(data.path());
        symlink(data.path(), &place).unwrap();
        let refused = socket_folder(data.path(), &Owner::find().unwrap());
        fs::remove_file(&place).unwrap();
        assert!(
            matches!(&refused, Err(EmbeddedError::NotOurs { folder, .. }) if *folder == place),
            "{refused:?}"
        );
    }
}
