//! Finding the PostgreSQL that is installed on this machine.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::EmbeddedError;

/// The oldest major version that our SQL runs on.
const OLDEST: u32 = 15;

/// Where packages put the programs, as (parent, prefix of the child, path below it).
const USUAL_FOLDERS: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                   // RHEL, Fedora from postgresql.org
    ("/opt/homebrew/opt", "postgresql@", "bin"), // Homebrew on Apple silicon
    ("/usr/local/opt", "postgresql@", "bin"),    // Homebrew on Intel
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// A PostgreSQL server that is installed on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The folder with `initdb` and `postgres`, symbolic links resolved.
    pub bin: PathBuf,
    /// The major version, 15 or more.
    pub major: u32,
}

impl Installation {
    /// The newest installation among the folders of `path` (the variable `PATH`) and those where packages of Debian,
    /// RHEL, Homebrew and Postgres.app put it. Of equal versions the first on `path` wins.
    ///
    /// Runs `postgres --version` once per candidate, so it blocks for some milliseconds. Relative folders on `path`
    /// are passed over: what the current folder holds must not be run, least of all by root.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::NotInstalled`] when there is none, or none of version 15 or later.
    pub fn find(path: Option<&OsStr>) -> Result<Installation, EmbeddedError> {
        let on_path = path
            .into_iter()
            .flat_map(std::env::split_paths)
            .filter(|folder| folder.is_absolute());
        let usual = USUAL_FOLDERS
            .iter()
            .flat_map(|(parent, prefix, below)| children(parent, prefix, below));
        newest(on_path.chain(usual))
    }
}

/// The newest installation among `folders`; the first of equals.
fn newest(folders: impl Iterator<Item = PathBuf>) -> Result<Installation, EmbeddedError> {
    let mut seen = HashSet::new();
    let mut newest: Option<Installation> = None;
    for bin in folders.filter_map(|folder| programs_in(&folder)) {
        if !seen.insert(bin.clone()) {
            continue;
        }
        if let Some(major) = major_of(&bin.join("postgres"))
            && newest.as_ref().is_none_or(|best| major > best.major)
        {
            newest = Some(Installation { bin, major });
        }
    }
    match newest {
        Some(installation) if installation.major >= OLDEST => Ok(installation),
        too_old => Err(EmbeddedError::NotInstalled {
            newest: too_old.map(|installation| installation.major),
        }),
    }
}

fn children(parent: &str, prefix: &str, below: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(prefix))
        })
        .map(|entry| entry.path().join(below))
        .collect()
}

/// The folder that really holds the programs when `folder` has them. A folder of links, as `/usr/local/bin` often is,
/// counts as the one it points to, so that one installation is not asked twice.
fn programs_in(folder: &Path) -> Option<PathBuf> {
    let postgres = folder.join("postgres").canonicalize().ok()?;
    let bin = postgres.parent()?;
    [bin, folder]
        .into_iter()
        .find(|bin| bin.join("initdb").is_file())
        .map(Path::to_path_buf)
}

fn major_of(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// The major version in, say, `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `18beta1` or `19devel`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = number
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        path::{Path, PathBuf},
    };

    use super::{EmbeddedError, Installation, newest, parse_major};

    /// A folder with programs that claim to be PostgreSQL `version`.
    fn pretend(parent: &Path, version: &str) -> PathBuf {
        let bin = parent.join(version);
        fs::create_dir(&bin).unwrap();
        for program in ["postgres", "initdb"] {
            let file = bin.join(program);
            fs::write(
                &file,
                format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n"),
            )
            .unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        bin.canonicalize().unwrap()
    }

    #[test]
    fn reads_the_major_version_of_releases_and_previews() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) 17"), Some(17));
        assert_eq!(parse_major("postgres (Greenplum) 6"), None);
        assert_eq!(parse_major(""), None);
    }

    #[test]
    fn the_highest_major_version_wins_as_a_number() {
        let parent = tempfile::tempdir().unwrap();
        let folders = ["9.6", "17.2", "16.4"].map(|version| pretend(parent.path(), version));
        let bin = folders[1].clone();
        assert_eq!(
            newest(folders.into_iter()).unwrap(),
            Installation { bin, major: 17 }
        );
    }

    #[test]
    fn a_folder_of_links_counts_as_its_target() {
        let parent = tempfile::tempdir().unwrap();
        let bin = pretend(parent.path(), "16.4");
        let links = parent.path().join("links");
        fs::create_dir(&links).unwrap();
        symlink(bin.join("postgres"), links.join("postgres")).unwrap();
        assert_eq!(newest([links].into_iter()).unwrap().bin, bin);
    }

    #[test]
    fn a_version_that_is_too_old_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let found = newest([pretend(parent.path(), "14.9")].into_iter());
        assert!(
            matches!(found, Err(EmbeddedError::NotInstalled { newest: Some(14) })),
            "{found:?}"
        );
    }

    #[test]
    fn folders_without_the_programs_are_passed_over() {
        let parent = tempfile::tempdir().unwrap();
        let folders = [parent.path().to_path_buf(), parent.path().join("absent")];
        assert!(matches!(
            newest(folders.into_iter()),
            Err(EmbeddedError::NotInstalled { newest: None })
        ));
    }
}
