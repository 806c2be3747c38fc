//! The files of this repository.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files of `src`.
pub(crate) fn sources() -> Vec<PathBuf> {
    let mut files = below(&root().join("src"));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
}

/// All files below a folder or file, sorted, without those that Git ignores.
pub(crate) fn below(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut entries: Vec<_> = path.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.retain(|entry| !is_ignored(entry));
    entries.sort();
    entries.iter().flat_map(|entry| below(entry)).collect()
}

/// Reads the simple patterns of `.gitignore`: names in the root, with `*` at the end and `!` at the start.
fn is_ignored(path: &Path) -> bool {
    let name = format!("/{}", path.strip_prefix(root()).unwrap().display());
    let mut is_ignored = name == "/.git";
    for line in include_str!("../../../.gitignore").lines() {
        let (pattern, ignores) = line.strip_prefix('!').map_or((line, true), |pattern| (pattern, false));
        let is_match = pattern.strip_suffix('*').map_or(name == pattern, |prefix| name.starts_with(prefix));
        if is_match {
            is_ignored = ignores;
        }
    }
    is_ignored
}
