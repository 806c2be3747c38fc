//! The modules of `docs/architecture.md`: imports point downwards only, without cycles, and files stay short.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::files::{root, sources};

/// From top to bottom. A module may import the modules that come after it.
const MODULES: [&str; 19] = [
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
/// Only these modules may import the configuration; all others are passed values.
const CONFIG_READERS: [&str; 3] = ["cli", "app", "config"];
const MAX_LINES: usize = 450;

/// The module path of a file, such as `["http", "edge"]`; empty for `lib.rs`.
fn module_path(file: &Path) -> Vec<String> {
    let path = file.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut path: Vec<_> = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    path.pop_if(|last| ["mod", "lib"].contains(&last.as_str()));
    path
}

/// The top-level modules that the code names after `crate::` or `chatchonk::`.
fn imported(code: &str) -> BTreeSet<String> {
    let from_root = paths(code).into_iter().filter(|path| is_root(&path.segments[0]));
    let modules = from_root.filter_map(|path| path.segments.into_iter().nth(1));
    // A name that is not in lower case is an item of the crate's root.
    modules.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).collect()
}

#[test]
fn no_module_imports_one_above_it() {
    let rank = |module: &str| MODULES.iter().position(|known| *known == module);
    let (mut faults, mut imports) = (Vec::new(), 0);
    for file in sources() {
        let Some(module) = module_path(&file).into_iter().next() else { continue };
        let from = rank(&module).unwrap_or_else(|| panic!("{module} has no place in MODULES; add it"));
        for import in imported(&without_comments(&std::fs::read_to_string(&file).unwrap())) {
            let to =
                rank(&import).unwrap_or_else(|| panic!("{}: unknown module crate::{import}", file.display()));
            imports += 1;
            if to < from || (import == "config" && !CONFIG_READERS.contains(&module.as_str())) {
                faults.push(format!("{}: {module} imports {import}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "imports that point up:\n{}", faults.join("\n"));
    assert!(imports > 50, "only {imports} imports were found; does this test still read them?");
}

/// A path in the code.
struct Named {
    segments: Vec<String>,
    /// Whether the path is in a `pub use`, which only passes a name on.
    is_exported: bool,
}

fn without_comments(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The code of a file without comments and unit tests.
fn code_of(file: &Path) -> String {
    let source = std::fs::read_to_string(file).unwrap();
    without_comments(source.split("\n#[cfg(test)]\nmod ").next().unwrap())
}

fn is_root(segment: &str) -> bool {
    ["crate", "chatchonk"].contains(&segment)
}

/// Every path that begins with the crate, `super`, `self` or a module that the file declares. Lists are expanded.
fn paths(code: &str) -> Vec<Named> {
    let declared = code.split("mod ").skip(1).filter_map(|rest| rest.split_once(';')).map(|(name, _)| name);
    let starts: Vec<_> = declared
        .filter(|name| name.chars().all(is_word))
        .chain(["crate", "chatchonk", "super", "self"])
        .collect();
    let mut found = Vec::new();
    for start in starts {
        for (at, _) in code.match_indices(&format!("{start}::")) {
            let before = &code[..at];
            // `pub(in crate::a)` restricts visibility and imports nothing.
            if before.ends_with(|c: char| is_word(c) || c == ':') || before.ends_with("in ") {
                continue;
            }
            let statement = before.rsplit([';', '}']).next().unwrap().trim();
            let is_exported = statement.ends_with("use") && statement.contains("pub");
            expand(&code[at..], &mut Vec::new(), &mut |segments| {
                found.push(Named { segments: segments.to_vec(), is_exported });
            });
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Reads `a::{b, c::d}` from the start of the text, passes each path to `each`, and returns the text after it.
fn expand<'t>(text: &'t str, above: &mut Vec<String>, each: &mut impl FnMut(&[String])) -> &'t str {
    let mut rest = text.trim_start();
    if let Some(list) = rest.strip_prefix('{') {
        rest = list;
        while !rest.trim_start().starts_with('}') && !rest.is_empty() {
            rest = expand(rest, above, each).trim_start();
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
            expand(below, above, each)
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
struct Files(BTreeMap<Vec<String>, PathBuf>);

impl Files {
    fn read() -> Self {
        let modules = sources().into_iter().filter_map(|file| {
            let path = module_path(&file);
            let is_left_out = |last: &String| ["main", "tests", "testing"].contains(&last.as_str());
            (!path.last().is_some_and(is_left_out)).then_some((path, file))
        });
        Self(modules.collect())
    }

    /// Resolves a path in `module` to a module path and a name in that module.
    fn resolve(&self, module: &[String], segments: &[String]) -> Option<(Vec<String>, Option<String>)> {
        let mut at = module.to_vec();
        let mut segments = segments.iter().peekable();
        match segments.peek()?.as_str() {
            root if is_root(root) => (at, _) = (Vec::new(), segments.next()),
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

    /// The modules that each module imports. A name that a module re-exports counts for the module that defines it.
    fn imports(&self) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
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
        let mut imports: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (module, paths) in &named {
            for path in paths.iter().filter(|path| !path.is_exported) {
                let Some((mut to, name)) = self.resolve(module, &path.segments) else { continue };
                while let Some(next) = name.as_ref().and_then(|name| exports.get(&(to.clone(), name.clone())))
                {
                    to.clone_from(next);
                }
                if to != **module {
                    imports.entry((*module).clone()).or_default().insert(to);
                }
            }
        }
        imports
    }
}

#[test]
fn no_import_cycle_between_files() {
    let imports = Files::read().imports();
    let reach = |from: &Vec<String>| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for to in imports.get(module).into_iter().flatten() {
                if seen.insert(to) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let mut cyclic = Vec::new();
    for (from, all) in &imports {
        for to in all.iter().filter(|to| reach(to).contains(from)) {
            cyclic.push(format!("{} -> {}", from.join("::"), to.join("::")));
        }
    }
    assert!(cyclic.is_empty(), "imports in cycles: {cyclic:#?}");
    let count: usize = imports.values().map(BTreeSet::len).sum();
    assert!(count > 300, "only {count} imports were found; does this test still read them?");
}

#[test]
fn paths_in_import_lists_are_found_in_full() {
    let code = "mod deep;\npub use deep::Passed;\nuse super::{a::{B, c}, D};\nuse crate::{x::{y, z}, w::v,\n u};\n\
                fn f() { crate::x::Y::new(); deep::g(); $crate::m::n!(); crate::COMMIT; chatchonk::o::p() }";
    let found: Vec<_> =
        paths(code).iter().map(|named| (named.segments.join("::"), named.is_exported)).collect();
    for (path, is_exported) in [
        ("deep::Passed", true),
        ("super::a::B", false),
        ("super::a::c", false),
        ("super::D", false),
        ("crate::x::Y::new", false),
        ("deep::g", false),
        ("chatchonk::o::p", false),
    ] {
        assert!(found.contains(&(path.to_owned(), is_exported)), "{path}: {found:?}");
    }
    assert_eq!(imported(code).into_iter().collect::<Vec<_>>(), ["m", "o", "u", "w", "x"]);
}

#[test]
fn files_stay_short() {
    let lines = |file: &PathBuf| std::fs::read_to_string(file).unwrap().lines().count();
    let too_long: Vec<_> = sources().into_iter().filter(|file| lines(file) > MAX_LINES).collect();
    assert!(too_long.is_empty(), "over {MAX_LINES} lines; split by subject: {too_long:?}");
}
