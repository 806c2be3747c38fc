//! Files that people read contain none of the words that make our sentences hard to understand.

use crate::support::files::{below, root};

/// Endings of files that are not prose of ours. SQL is among them because applied migrations are checksummed.
const UNCHECKED: [&str; 7] = [".json", ".lock", ".pem", ".png", ".sql", ".svg", "LICENSE"];

/// Whole words and phrases, in any case.
const WORDS: [&str; 12] = [
    "nobody",
    "somebody",
    "whoever",
    "anew",
    "mend",
    "mends",
    "mended",
    "so many",
    "told apart",
    "is to be",
    "he",
    "his",
];

/// A phrase that a file may contain, and the reason.
type Exception = (&'static str, &'static str, &'static str);

const EXCEPTIONS: [Exception; 4] = [
    ("src/embedded/error.rs", "nor nobody", "a Unix user has this name"),
    ("src/embedded/mod.rs", "`nobody`", "a Unix user has this name"),
    ("src/embedded/owner.rs", "nobody", "a Unix user has this name"),
    ("tests/it/support/pgbouncer.rs", "from_name(\"nobody\")", "a Unix user has this name"),
];

fn exceptions(file: &str) -> impl Iterator<Item = &'static str> {
    EXCEPTIONS.iter().filter(move |exception| exception.0 == file).map(|exception| exception.1)
}

/// The words of the list that the line contains.
fn found(line: &str) -> Vec<&'static str> {
    let line = line.to_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let contains = |word: &&str| {
        line.match_indices(*word)
            .any(|(at, _)| !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word))
    };
    WORDS.into_iter().filter(contains).collect()
}

#[test]
fn files_contain_no_word_of_the_list() {
    let (mut faults, mut unused) = (Vec::new(), EXCEPTIONS.to_vec());
    for path in below(root()) {
        let file = path.strip_prefix(root()).unwrap().to_str().unwrap();
        if file == file!() || UNCHECKED.iter().any(|ending| file.ends_with(ending)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        unused.retain(|(excepted, phrase, _)| *excepted != file || !text.contains(phrase));
        for (number, line) in text.lines().enumerate() {
            let words =
                found(&exceptions(file).fold(line.to_owned(), |line, phrase| line.replace(phrase, "")));
            if !words.is_empty() {
                faults.push(format!("{file}:{}: {}", number + 1, words.join(", ")));
            }
        }
    }
    assert!(faults.is_empty(), "say it plainly:\n{}", faults.join("\n"));
    assert!(unused.is_empty(), "exceptions that no longer occur: {unused:#?}");
}

#[test]
fn words_are_found_whole_and_in_any_case() {
    assert_eq!(found("Nobody else (he is) anew."), ["nobody", "anew", "he"]);
    assert_eq!(found("the_so_many mending this \u{e9}he"), [""; 0]);
}
