//! Splits queries and models into words.

use std::collections::BTreeSet;

/// Most neighbouring words that may be joined: `gpt 5 mini` as `gpt5mini`.
const TOGETHER: usize = 3;

/// Returns the runs of letters and digits, in lower case.
pub(super) fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns every word under which a model is found.
pub(super) fn indexed(id: &str, name: &str) -> BTreeSet<String> {
    let mut indexed = BTreeSet::new();
    // Joins words within a part of an id only: users do not join a provider and a model.
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

/// Returns a word's runs of digits and of other characters: `qwen`, `3` for `qwen3`.
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
    fn words_are_split_at_punctuation_and_lower_case() {
        assert_eq!(words("GPT-4o (Mini)"), ["gpt", "4o", "mini"]);
        assert_eq!(words("Qwen3.6 – 27B"), ["qwen3", "6", "27b"]);
        assert!(words(" -/- ").is_empty());
    }

    #[test]
    fn models_are_indexed_by_words_parts_and_neighbours() {
        let indexed = indexed("openai/gpt-4o-mini", "GPT-4o mini");
        for word in ["openai", "gpt", "4o", "4", "o", "gpt4o", "4omini", "gpt4omini"] {
            assert!(indexed.contains(word), "{word}");
        }
        assert!(!indexed.contains("openaigpt"));
    }
}
