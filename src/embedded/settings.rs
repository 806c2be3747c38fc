//! Location and settings of a cluster.

use std::path::{Path, PathBuf};

/// Part of the socket's file name; nothing listens on a network.
pub(super) const PORT: u16 = 5432;

/// The cluster's superuser, who needs no password.
pub(super) const USER: &str = "chatchonk";

/// The cluster's database.
pub(super) const DATABASE: &str = "chatchonk";

/// Returns the default data folder: `/var/lib/chatchonk` for root, else `chatchonk` in `$XDG_DATA_HOME` or
/// `~/.local/share`; `None` for a user without a home.
///
/// Ignores a relative `xdg_data_home`, as the [XDG specification](https://specifications.freedesktop.org/basedir-spec/latest/)
/// demands.
pub fn default_data_dir(is_root: bool, xdg_data_home: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    if is_root {
        return Some(PathBuf::from("/var/lib/chatchonk"));
    }
    let xdg_data_home = xdg_data_home.filter(|folder| folder.is_absolute()).map(Path::to_path_buf);
    let parent = xdg_data_home.or_else(|| home.map(|home| home.join(".local/share")));
    parent.map(|parent| parent.join("chatchonk"))
}

/// Durability of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// Commits survive a crash of the machine.
    #[default]
    Durable,
    /// For tests: nothing is synced to disk. Commits survive a crash of PostgreSQL, but not of the machine.
    Disposable,
}

/// Options of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Durability.
    pub profile: Profile,
    /// More PostgreSQL settings, as name and value. They override the defaults, except for the socket's location.
    pub settings: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::default_data_dir;

    #[test]
    fn default_data_folder_depends_on_the_user() {
        let (xdg, home) = (Some(Path::new("/data")), Some(Path::new("/home/someone")));
        assert_eq!(default_data_dir(true, xdg, home), Some(PathBuf::from("/var/lib/chatchonk")));
        assert_eq!(default_data_dir(false, xdg, home), Some(PathBuf::from("/data/chatchonk")));
        assert_eq!(
            default_data_dir(false, None, home),
            Some(PathBuf::from("/home/someone/.local/share/chatchonk"))
        );
    }

    #[test]
    fn relative_xdg_data_home_is_ignored() {
        assert_eq!(default_data_dir(false, Some(Path::new("data")), None), None);
    }
}
