//! The rooms of `docs/architecture.md`: arrows point downwards only, and files stay short.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From top to bottom. A room may import those that stand after it.
const ROOMS: [&str; 16] = [
    "main",
    "cli",
    "app",
    "config",
    "http",
    "provider_health",
    "catalogue",
    "status",
    "cache",
    "store",
    "embedded",
    "telemetry",
    "outage",
    "domain",
    "clock",
    "histogram",
];
/// What only the command line and the composition root may know: everybody else is handed values.
const FOR_THE_TOP_ONLY: &str = "config";
const MAX_LINES: usize = 450;

pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

pub(crate) fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn room_of(file: &Path) -> String {
    let path = file.strip_prefix(src()).unwrap();
    Path::new(path.iter().next().unwrap()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The rooms that a file names after `crate::` or `chatchonk::`, one by one or in braces. Comments are no imports.
fn imported(source: &str) -> BTreeSet<String> {
    let code: Vec<_> = source.lines().map(|line| line.split("//").next().unwrap()).collect();
    let code = code.join("\n").replace("$crate", "crate");
    let mut rooms = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::").chain(code.match_indices("chatchonk::")) {
        let rest = code[at + prefix.len()..].trim_start();
        let listed = match rest.strip_prefix('{') {
            Some(list) => first_names(list),
            None => vec![first_name(rest)],
        };
        // What is not in lower case is an item of the crate's root.
        rooms.extend(listed.into_iter().filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())));
    }
    rooms
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// The first names in `a::{b, c}, d::e}`: those that no other brace encloses.
fn first_names(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0_usize, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                names.push(first_name(list[start..at].trim_start()));
                start = at + 1;
            }
            '}' if depth == 0 => {
                names.push(first_name(list[start..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

#[test]
fn imports_are_found_however_they_are_written() {
    let source = "use crate::store::{a, b};\nuse crate::{http::{x, y}, app::z,\n cli};\n// use crate::config::C;\n\
                  fn f() { crate::clock::now(); $crate::domain::d!(); crate::COMMIT; chatchonk::cache::c() }";
    let rooms: Vec<_> = imported(source).into_iter().collect();
    assert_eq!(rooms, ["app", "cache", "cli", "clock", "domain", "http", "store"]);
}

#[test]
fn no_room_imports_one_that_stands_above_it() {
    let rank = |room: &str| ROOMS.iter().position(|known| *known == room);
    let (mut faults, mut arrows) = (Vec::new(), 0);
    for file in sources(&src()) {
        let room = room_of(&file);
        if room == "lib" {
            continue;
        }
        let from = rank(&room).unwrap_or_else(|| panic!("{room} has no place among the rooms: give it one"));
        for import in imported(&std::fs::read_to_string(&file).unwrap()) {
            let to = rank(&import).unwrap_or_else(|| panic!("{}: what is crate::{import}?", file.display()));
            arrows += 1;
            if to < from || (import == FOR_THE_TOP_ONLY && !["cli", "app", "config"].contains(&room.as_str()))
            {
                faults.push(format!("{}: {room} imports {import}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "arrows that point up:\n{}", faults.join("\n"));
    assert!(arrows > 50, "only {arrows} imports were found: does this test still read them?");
}

#[test]
fn files_stay_short() {
    let lines = |file: &PathBuf| std::fs::read_to_string(file).unwrap().lines().count();
    let too_long: Vec<_> = sources(&src()).into_iter().filter(|file| lines(file) > MAX_LINES).collect();
    assert!(too_long.is_empty(), "over {MAX_LINES} lines; split by knowledge, not by length: {too_long:?}");
}
