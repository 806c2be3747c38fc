//! The user that PostgreSQL runs as: the current one, or for root an unprivileged one.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use nix::unistd::{Gid, Uid, User};

use super::error::{EmbeddedError, files};

/// In order of preference: `postgres` comes with the packages, `nobody` with nearly every system.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The owner of PostgreSQL's process and files.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) uid: u32,
    gid: u32,
    /// Whether we are root and must switch to this user.
    pub(super) is_other: bool,
}

impl Owner {
    /// Finds the user. May block on a directory service.
    pub(super) fn find() -> Result<Self, EmbeddedError> {
        let uid = Uid::effective();
        if !uid.is_root() {
            let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
            return Ok(Self { name, uid: uid.as_raw(), gid: Gid::effective().as_raw(), is_other: false });
        }
        let user = UNPRIVILEGED.into_iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = user.filter(|user| !user.uid.is_root()).ok_or(EmbeddedError::NoUnprivilegedUser)?;
        Ok(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), is_other: true })
    }

    /// Makes this user own `folder`. Only for folders that we created.
    pub(super) fn give(&self, folder: &Path) -> Result<(), EmbeddedError> {
        if !self.is_other {
            return Ok(());
        }
        chown(folder, Some(self.uid), Some(self.gid)).map_err(files("change the owner of", folder))
    }

    /// Builds a command that runs as this user in `folder`.
    ///
    /// Its environment is empty, because ours may hold secrets, or `PG…` variables that PostgreSQL reads. It gets its own
    /// process group, so that a Ctrl-C in the terminal does not reach it.
    pub(super) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            // For English messages, and because a server on macOS needs a locale.
            .env("LC_ALL", "C")
            // Otherwise initdb compares all time zones.
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .process_group(0);
        if self.is_other {
            // The standard library also drops the supplementary groups.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Returns the error for a `program` that could not be run in `folder`.
    pub(super) fn cannot_run(&self, program: &Path, folder: &Path, source: io::Error) -> EmbeddedError {
        if source.kind() == io::ErrorKind::PermissionDenied
            && let Some(closed) = self.first_closed(folder)
        {
            return self.not_reachable(closed);
        }
        EmbeddedError::CannotRun { program: program.to_path_buf(), user: self.name.clone(), source }
    }

    /// Returns the error for a `folder` that PostgreSQL's user cannot enter or write.
    pub(super) fn not_reachable(&self, folder: PathBuf) -> EmbeddedError {
        let remedy = if self.is_other {
            format!("let it in (chmod o+x {}), or choose another data folder with DATA_DIR", folder.display())
        } else {
            "choose your own data folder with DATA_DIR".to_owned()
        };
        EmbeddedError::NotReachable { folder, user: self.name.clone(), remedy }
    }

    /// Returns the outermost folder above `folder` whose mode excludes this user. Only explains a refusal, because modes do
    /// not show access control lists.
    fn first_closed(&self, folder: &Path) -> Option<PathBuf> {
        let is_closed = |folder: &&Path| fs::metadata(folder).is_ok_and(|folder| !self.may_enter(&folder));
        folder.ancestors().filter(is_closed).last().map(Path::to_path_buf)
    }

    fn may_enter(&self, folder: &fs::Metadata) -> bool {
        let bit = if folder.uid() == self.uid {
            0o100
        } else if folder.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        folder.mode() & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::Owner;

    #[test]
    fn outermost_closed_folder_is_named() {
        let parent =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        let closed = parent.path().join("closed");
        let inner = closed.join("inner");
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();

        let stranger = Owner { name: "stranger".to_owned(), uid: 4_000_000, gid: 4_000_000, is_other: true };
        assert_eq!(stranger.first_closed(&inner), Some(closed));
        assert_eq!(stranger.first_closed(parent.path()), None);
    }
}
