//! How text is cut into words, the same way for what is searched and what is found.

use std::collections::BTreeSet;

/// How many neighbouring words may be written together: `gpt 5 mini` as `gpt5mini`.
const TOGETHER: usize = 3;

/// The runs of letters and digits, in order and in lower case.
pub(super) fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Every word under which a model of that id and name is found.
pub(super) fn indexed(id: &str, name: &str) -> BTreeSet<String> {
    let mut indexed = BTreeSet::new();
    // Nobody writes a provider and a model together, so words are joined within the parts of an id only.
    for part in id.split('/').chain([name]) {
        let words = words(part);
        for (at, word) in words.iter().enumerate() {
            indexed.extend(letters_and_digits(word).map(str::to_owned));
            for count in 1..=TOGETHER {
                if let Some(neighbours) = words.get(at..at + count) {
                    indexed.insert(neighbours.concat());
                }
            }
        }
    }
    indexed
}

/// A word's stretches of digits and of everything else: `qwen`, `3` for `qwen3`.
fn letters_and_digits(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let digits = rest.chars().next()?.is_numeric();
        let end = rest.find(|c: char| c.is_numeric() != digits).unwrap_or(rest.len());
        let (stretch, after) = rest.split_at(end);
        rest = after;
        Some(stretch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_punctuation_and_written_small() {
        assert_eq!(words("GPT-4o (Mini)"), ["gpt", "4o", "mini"]);
        assert_eq!(words("Qwen3.6 – 27B"), ["qwen3", "6", "27b"]);
        assert!(words(" -/- ").is_empty());
    }

    #[test]
    fn a_model_is_found_under_its_words_their_parts_and_their_neighbours() {
        let indexed = indexed("openai/gpt-4o-mini", "GPT-4o mini");
        for word in ["openai", "gpt", "4o", "4", "o", "gpt4o", "4omini", "gpt4omini"] {
            assert!(indexed.contains(word), "{word}");
        }
        assert!(!indexed.contains("openaigpt"));
    }
}
