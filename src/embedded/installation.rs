//! Finds the installed PostgreSQL.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::EmbeddedError;

/// The oldest major version that our SQL supports.
const OLDEST: u32 = 15;

/// Where packages install the programs: parent, prefix of the child, path below it.
const USUAL_FOLDERS: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                   // RHEL, Fedora from postgresql.org
    ("/opt/homebrew/opt", "postgresql@", "bin"), // Homebrew on Apple silicon
    ("/usr/local/opt", "postgresql@", "bin"),    // Homebrew on Intel
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// An installed PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The folder with `initdb` and `postgres`, symbolic links resolved.
    pub bin: PathBuf,
    /// The major version, 15 or more.
    pub major: u32,
}

impl Installation {
    /// Finds the newest installation in `path` (the variable `PATH`) and the usual package folders. The first of equal
    /// versions on `path` wins.
    ///
    /// Blocks for milliseconds while it runs `postgres --version` per candidate. Ignores relative folders, so that
    /// nothing from the current folder is run.
    ///
    /// # Errors
    /// [`EmbeddedError::NotInstalled`] when version 15 or later is missing.
    pub fn find(path: Option<&OsStr>) -> Result<Installation, EmbeddedError> {
        let on_path = path.into_iter().flat_map(std::env::split_paths).filter(|folder| folder.is_absolute());
        let usual = USUAL_FOLDERS.iter().flat_map(|(parent, prefix, below)| children(parent, prefix, below));
        newest(on_path.chain(usual))
    }
}

/// Returns the newest installation in `folders`; the first of equals.
fn newest(folders: impl Iterator<Item = PathBuf>) -> Result<Installation, EmbeddedError> {
    let mut seen = HashSet::new();
    let bins = folders.filter_map(|folder| programs_in(&folder)).filter(|bin| seen.insert(bin.clone()));
    let found = bins.filter_map(|bin| Some(Installation { major: major_of(&bin.join("postgres"))?, bin }));
    match found.reduce(|best, next| if next.major > best.major { next } else { best }) {
        Some(installation) if installation.major >= OLDEST => Ok(installation),
        too_old => {
            Err(EmbeddedError::NotInstalled { newest: too_old.map(|installation| installation.major) })
        }
    }
}

fn children(parent: &str, prefix: &'static str, below: &'static str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let matches = move |name: OsString| name.to_str().is_some_and(|name| name.starts_with(prefix));
    entries.filter(move |entry| matches(entry.file_name())).map(move |entry| entry.path().join(below))
}

/// Returns the folder that holds the programs. Resolves links, as in `/usr/local/bin`, so that no installation runs
/// twice.
fn programs_in(folder: &Path) -> Option<PathBuf> {
    let postgres = folder.join("postgres").canonicalize().ok()?;
    let bin = postgres.parent()?;
    [bin, folder].into_iter().find(|bin| bin.join("initdb").is_file()).map(Path::to_path_buf)
}

fn major_of(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").env_clear().stdin(Stdio::null()).output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// Parses `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `18beta1` or `19devel`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = number.find(|character: char| !character.is_ascii_digit()).unwrap_or(number.len());
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
            fs::write(&file, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        bin.canonicalize().unwrap()
    }

    #[test]
    fn major_version_is_read_from_releases_and_previews() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) 17"), Some(17));
        assert_eq!(parse_major("postgres (Greenplum) 6"), None);
        assert_eq!(parse_major(""), None);
    }

    #[test]
    fn major_versions_are_compared_as_numbers() {
        let parent = tempfile::tempdir().unwrap();
        let folders = ["9.6", "17.2", "16.4"].map(|version| pretend(parent.path(), version));
        let bin = folders[1].clone();
        assert_eq!(newest(folders.into_iter()).unwrap(), Installation { bin, major: 17 });
    }

    #[test]
    fn folder_of_links_counts_as_its_target() {
        let parent = tempfile::tempdir().unwrap();
        let bin = pretend(parent.path(), "16.4");
        let links = parent.path().join("links");
        fs::create_dir(&links).unwrap();
        symlink(bin.join("postgres"), links.join("postgres")).unwrap();
        assert_eq!(newest([links].into_iter()).unwrap().bin, bin);
    }

    #[test]
    fn version_that_is_too_old_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let found = newest([pretend(parent.path(), "14.9")].into_iter());
        assert!(matches!(found, Err(EmbeddedError::NotInstalled { newest: Some(14) })), "{found:?}");
    }

    #[test]
    fn folders_without_the_programs_are_ignored() {
        let parent = tempfile::tempdir().unwrap();
        let folders = [parent.path().to_path_buf(), parent.path().join("absent")];
        assert!(matches!(newest(folders.into_iter()), Err(EmbeddedError::NotInstalled { newest: None })));
    }
}
