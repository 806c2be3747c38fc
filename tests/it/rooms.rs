//! The rooms of `docs/architecture.md`: arrows point downwards only, and files stay short.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From top to bottom. A room may import those that stand after it.
const ROOMS: [&str; 19] = [
    "main",
    "cli",
    "app",
    "config",
    "http",
    "provider_health",
    "catalogue",
    "status",
    "kv_tier",
    "kv_client",
    "store",
    "cache",
    "embedded",
    "telemetry",
    "outage",
    "outgoing",
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
fn imports_are_found_in_every_form() {
    let source = "use crate::store::{a, b};\nuse crate::{http::{x, y}, app::z,\n cli};\n// use crate::config::C;\n\
                  fn f() { crate::clock::now(); $crate::domain::d!(); crate::COMMIT; chatchonk::cache::c() }";
    let rooms: Vec<_> = imported(source).into_iter().collect();
    assert_eq!(rooms, ["app", "cache", "cli", "clock", "domain", "http", "store"]);
}

#[test]
fn no_module_imports_one_above_it() {
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

/// A path in the code: its segments, and whether it stands in a `pub use`, which only passes a name on.
struct Named {
    segments: Vec<String>,
    is_exported: bool,
}

/// The code of a file without comments, strings' contents aside, and without its unit tests.
fn code_of(file: &Path) -> String {
    let source = std::fs::read_to_string(file).unwrap();
    let code = source.split("\n#[cfg(test)]\nmod ").next().unwrap();
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Every path that begins with `crate`, `super`, `self` or a module that the file declares; lists are spread out.
fn paths(code: &str) -> Vec<Named> {
    let declared = code.split("mod ").skip(1).filter_map(|rest| rest.split_once(';')).map(|(name, _)| name);
    let starts: Vec<_> =
        declared.filter(|name| name.chars().all(is_word)).chain(["crate", "super", "self"]).collect();
    let mut found = Vec::new();
    for start in starts {
        for (at, _) in code.match_indices(&format!("{start}::")) {
            let before = &code[..at];
            // `pub(in crate::a)` limits a name, and imports none.
            if before.ends_with(|c: char| is_word(c) || c == ':') || before.ends_with("in ") {
                continue;
            }
            let statement = before.rsplit([';', '}']).next().unwrap().trim();
            let is_exported = statement.ends_with("use") && statement.contains("pub");
            spread(&code[at..], &mut Vec::new(), &mut |segments| {
                found.push(Named { segments: segments.to_vec(), is_exported });
            });
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Reads `a::{b, c::d}` from the start of the text, names each path, and returns the text behind it.
fn spread<'t>(text: &'t str, above: &mut Vec<String>, each: &mut impl FnMut(&[String])) -> &'t str {
    let mut rest = text.trim_start();
    if let Some(list) = rest.strip_prefix('{') {
        rest = list;
        while !rest.trim_start().starts_with('}') && !rest.is_empty() {
            rest = spread(rest, above, each).trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest);
            if !rest.trim_start().starts_with(|c: char| is_word(c) || c == '{' || c == '}') {
                break;
            }
        }
        return rest.trim_start().strip_prefix('}').unwrap_or(rest);
    }
    let name = rest.chars().take_while(|c| is_word(*c)).collect::<String>();
    rest = &rest[name.len()..];
    if name != "self" || above.is_empty() {
        above.push(name);
    }
    let depth = above.len();
    rest = match rest.strip_prefix("::") {
        Some(below) if below.trim_start().starts_with(|c: char| is_word(c) || c == '{') => {
            spread(below, above, each)
        }
        _ => {
            each(above);
            rest
        }
    };
    above.truncate(depth.saturating_sub(1));
    rest
}

/// The files of `src` by their module paths.
struct Modules(BTreeMap<Vec<String>, PathBuf>);

impl Modules {
    fn read() -> Self {
        let modules = sources(&src()).into_iter().filter_map(|file| {
            let path = file.strip_prefix(src()).unwrap().with_extension("");
            let mut path: Vec<_> = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            let last = path.last().unwrap().clone();
            if ["mod", "lib"].contains(&last.as_str()) {
                path.pop();
            }
            (!["main", "tests", "testing"].contains(&last.as_str())).then_some((path, file))
        });
        Self(modules.collect())
    }

    /// The module path and the name in it that a path in `module` leads to.
    fn resolve(&self, module: &[String], segments: &[String]) -> Option<(Vec<String>, Option<String>)> {
        let mut at = module.to_vec();
        let mut segments = segments.iter().peekable();
        match segments.peek()?.as_str() {
            "crate" => (at, _) = (Vec::new(), segments.next()),
            "self" => _ = segments.next(),
            _ => {}
        }
        while segments.next_if(|segment| *segment == "super").is_some() {
            at.pop();
        }
        while let Some(segment) = segments.peek() {
            at.push((*segment).clone());
            if !self.0.contains_key(&at) {
                at.pop();
                break;
            }
            segments.next();
        }
        Some((at, segments.next().cloned()))
    }

    /// What each module imports from which others; names that a module only passes on lead to where they are defined.
    fn arrows(&self) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
        let named: BTreeMap<_, _> =
            self.0.iter().map(|(module, file)| (module, paths(&code_of(file)))).collect();
        let mut exports = BTreeMap::new();
        for (module, paths) in &named {
            for path in paths.iter().filter(|path| path.is_exported) {
                if let Some((from, Some(name))) = self.resolve(module, &path.segments) {
                    exports.insert(((*module).clone(), name), from);
                }
            }
        }
        let mut arrows: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (module, paths) in &named {
            for path in paths.iter().filter(|path| !path.is_exported) {
                let Some((mut to, name)) = self.resolve(module, &path.segments) else { continue };
                while let Some(next) = name.as_ref().and_then(|name| exports.get(&(to.clone(), name.clone())))
                {
                    to.clone_from(next);
                }
                if to != **module {
                    arrows.entry((*module).clone()).or_default().insert(to);
                }
            }
        }
        arrows
    }
}

#[test]
fn no_import_cycle_between_files() {
    let arrows = Modules::read().arrows();
    let reach = |from: &Vec<String>| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for to in arrows.get(module).into_iter().flatten() {
                if seen.insert(to) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let mut cyclic = Vec::new();
    for (from, all) in &arrows {
        for to in all.iter().filter(|to| reach(to).contains(from)) {
            cyclic.push(format!("{} -> {}", from.join("::"), to.join("::")));
        }
    }
    assert!(cyclic.is_empty(), "arrows in cycles: {cyclic:#?}");
    let count: usize = arrows.values().map(BTreeSet::len).sum();
    assert!(count > 300, "only {count} arrows were found: does this test still read the imports?");
}

#[test]
fn paths_in_import_lists_are_found_in_full() {
    let code = "mod deep;\npub use deep::Passed;\nuse super::{a::{B, c}, D};\nfn f() { crate::x::Y::new(); deep::g() }";
    let found: Vec<_> =
        paths(code).iter().map(|named| (named.segments.join("::"), named.is_exported)).collect();
    for (path, is_exported) in [
        ("deep::Passed", true),
        ("super::a::B", false),
        ("super::a::c", false),
        ("super::D", false),
        ("crate::x::Y::new", false),
        ("deep::g", false),
    ] {
        assert!(found.contains(&(path.to_owned(), is_exported)), "{path}: {found:?}");
    }
}

#[test]
fn files_stay_short() {
    let lines = |file: &PathBuf| std::fs::read_to_string(file).unwrap().lines().count();
    let too_long: Vec<_> = sources(&src()).into_iter().filter(|file| lines(file) > MAX_LINES).collect();
    assert!(too_long.is_empty(), "over {MAX_LINES} lines; split by knowledge, not by length: {too_long:?}");
}
