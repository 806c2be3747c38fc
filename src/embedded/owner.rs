//! The user that PostgreSQL runs as: ourselves, or an unprivileged one when we are root.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid, User};

use super::EmbeddedError;

/// In this order: `postgres` comes with the packages, `nobody` with nearly every system.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The user that PostgreSQL and its files belong to.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) uid: u32,
    gid: u32,
    /// Whether we are root and have to become this user.
    pub(super) is_other: bool,
}

impl Owner {
    /// May ask a directory service for the names, so it can block.
    pub(super) fn find() -> Result<Self, EmbeddedError> {
        let uid = Uid::effective();
        if !uid.is_root() {
            let name = User::from_uid(uid)
                .ok()
                .flatten()
                .map_or_else(|| uid.to_string(), |user| user.name);
            return Ok(Self {
                name,
                uid: uid.as_raw(),
                gid: Gid::effective().as_raw(),
                is_other: false,
            });
        }
        UNPRIVILEGED
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .filter(|user| !user.uid.is_root())
            .map(|user| Self {
                name: user.name,
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                is_other: true,
            })
            .ok_or(EmbeddedError::NoUnprivilegedUser)
    }

    /// Makes `folder` this user's. Only for folders that we made ourselves.
    pub(super) fn give(&self, folder: &Path) -> Result<(), EmbeddedError> {
        if !self.is_other {
            return Ok(());
        }
        chown(folder, Some(self.uid), Some(self.gid)).map_err(|source| EmbeddedError::Files {
            action: "change the owner of",
            path: folder.to_path_buf(),
            source,
        })
    }

    /// A command that will run as this user in `folder`.
    ///
    /// Its environment is empty, because it may hold our secrets, or `PG…` variables that change what PostgreSQL
    /// does. It is in a process group of its own: a Ctrl-C in the terminal goes to the whole foreground group, and
    /// must not reach PostgreSQL before we have let go of it.
    pub(super) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            // Messages in English; and on macOS a server without a locale refuses to start.
            .env("LC_ALL", "C")
            // Otherwise initdb compares its time with that of every time zone there is.
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .process_group(0);
        if self.is_other {
            // The standard library also drops the supplementary groups when it changes the user.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// What it means that `program` could not be run in `folder`.
    pub(super) fn cannot_run(
        &self,
        program: &Path,
        folder: &Path,
        source: io::Error,
    ) -> EmbeddedError {
        if source.kind() == io::ErrorKind::PermissionDenied
            && let Some(closed) = self.first_closed(folder)
        {
            return self.not_reachable(closed);
        }
        EmbeddedError::CannotRun {
            program: program.to_path_buf(),
            user: self.name.clone(),
            source,
        }
    }

    /// That this user, or we ourselves, cannot enter or write `folder`.
    pub(super) fn not_reachable(&self, folder: PathBuf) -> EmbeddedError {
        let remedy = if self.is_other {
            format!(
                "let it in (chmod o+x {}), or choose another data folder with DATA_DIR",
                folder.display()
            )
        } else {
            "choose a data folder of your own with DATA_DIR".to_owned()
        };
        EmbeddedError::NotReachable {
            folder,
            user: self.name.clone(),
            remedy,
        }
    }

    /// The outermost folder on the way to `folder` whose mode keeps this user out. Modes do not tell everything
    /// (access control lists), so this explains a refusal and never decides one.
    fn first_closed(&self, folder: &Path) -> Option<PathBuf> {
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.reverse();
        way.into_iter()
            .find(|folder| fs::metadata(folder).is_ok_and(|folder| !self.may_enter(&folder)))
            .map(Path::to_path_buf)
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
    fn the_outermost_closed_folder_is_blamed() {
        let parent = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let closed = parent.path().join("closed");
        let inner = closed.join("inner");
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();

        let stranger = Owner {
            name: "stranger".to_owned(),
            uid: 4_000_000,
            gid: 4_000_000,
            is_other: true,
        };
        assert_eq!(stranger.first_closed(&inner), Some(closed));
        assert_eq!(stranger.first_closed(parent.path()), None);
    }
}
