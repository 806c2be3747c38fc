//! Where a cluster lives and how it runs.

use std::path::{Path, PathBuf};

/// Only names the socket's file, as nothing listens on a network.
pub(super) const PORT: u16 = 5432;

/// The superuser of the cluster.
pub(super) const USER: &str = "chatchonk";

/// The database of the cluster.
pub(super) const DATABASE: &str = "chatchonk";

/// The data folder when none is set: `/var/lib/chatchonk` for root, else `chatchonk` below `$XDG_DATA_HOME` or
/// `~/.local/share`.
///
/// `None` for an ordinary user without a home: then only `DATA_DIR` can name a folder. A relative `xdg_data_home` is
/// ignored, as the [XDG specification](https://specifications.freedesktop.org/basedir-spec/latest/) demands.
pub fn default_data_dir(is_root: bool, xdg_data_home: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    if is_root {
        return Some(PathBuf::from("/var/lib/chatchonk"));
    }
    let xdg_data_home = xdg_data_home.filter(|folder| folder.is_absolute()).map(Path::to_path_buf);
    xdg_data_home
        .or_else(|| home.map(|home| home.join(".local/share")))
        .map(|parent| parent.join("chatchonk"))
}

/// How much a cluster's data is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// What was committed survives a crash of the machine.
    #[default]
    Durable,
    /// For tests: nothing is forced to disk. A crash of PostgreSQL loses nothing, one of the machine may lose all.
    Disposable,
}

/// How to run a cluster.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How much the data is worth.
    pub profile: Profile,
    /// More settings of PostgreSQL, as name and value; they win over ours, except for the place of the socket.
    pub settings: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::default_data_dir;

    #[test]
    fn the_default_data_folder_follows_the_user() {
        let (xdg, home) = (Some(Path::new("/data")), Some(Path::new("/home/someone")));
        assert_eq!(default_data_dir(true, xdg, home), Some(PathBuf::from("/var/lib/chatchonk")));
        assert_eq!(default_data_dir(false, xdg, home), Some(PathBuf::from("/data/chatchonk")));
        assert_eq!(
            default_data_dir(false, None, home),
            Some(PathBuf::from("/home/someone/.local/share/chatchonk"))
        );
    }

    #[test]
    fn a_relative_xdg_data_home_is_ignored() {
        assert_eq!(default_data_dir(false, Some(Path::new("data")), None), None);
    }
}
