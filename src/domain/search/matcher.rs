//! Compares a word of a query with a word of the vocabulary.

use rapidfuzz::distance::osa::{Args, BatchComparator};

/// Grade of a match with two typos; 0 is exact.
pub(super) const WORST: u8 = 4;
/// Shortest word, in characters, that may have one typo.
const ONE_TYPO: usize = 4;
/// Shortest word that may have two.
const TWO_TYPOS: usize = 8;
/// Longest word that may have typos: it fits one machine word.
const MAX_TYPO_CHARS: usize = 64;

/// A word of the vocabulary. Its length and characters exclude most comparisons.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) text: Box<str>,
    chars: usize,
    letters: u64,
}

impl Token {
    pub(super) fn new(text: String) -> Self {
        Self { chars: text.chars().count(), letters: letters(&text), text: text.into() }
    }
}

/// Returns the set of characters, in 64 classes. A typo changes at most two.
fn letters(text: &str) -> u64 {
    text.chars().fold(0, |letters, c| letters | 1 << (u32::from(c) % 64))
}

/// A word of the query, prepared for many comparisons.
pub(super) struct Matcher<'q> {
    word: &'q str,
    chars: usize,
    letters: u64,
    typos: usize,
    comparator: BatchComparator<char>,
}

impl<'q> Matcher<'q> {
    pub(super) fn new(word: &'q str) -> Self {
        let chars = word.chars().count();
        Self {
            word,
            chars,
            letters: letters(word),
            typos: match chars {
                TWO_TYPOS..=MAX_TYPO_CHARS => 2,
                ONE_TYPO..TWO_TYPOS => 1,
                _ => 0,
            },
            comparator: BatchComparator::new(word.chars()),
        }
    }

    /// Returns 0 for exact, 1 prefix, 2 substring (from two characters on), 3 one typo, 4 two typos.
    ///
    /// A typo is a letter wrong, missing or added, or two swapped. Never a digit: `gpt4` and `gpt5` are different
    /// models.
    pub(super) fn grade(&self, token: &Token) -> Option<u8> {
        if self.letters & !token.letters == 0 {
            if let Some(rest) = token.text.strip_prefix(self.word) {
                return Some(u8::from(!rest.is_empty()));
            }
            if self.chars > 1 && token.text.contains(self.word) {
                return Some(2);
            }
        }
        let typos = u32::try_from(self.typos).ok()?;
        if typos == 0
            || self.chars.abs_diff(token.chars) > self.typos
            || (self.letters ^ token.letters).count_ones() > 2 * typos
            || !digits(self.word).eq(digits(&token.text))
        {
            return None;
        }
        let allowed = Args::default().score_cutoff(self.typos);
        match self.comparator.distance_with_args(token.text.chars(), &allowed)? {
            0 | 1 => Some(3),
            _ => Some(WORST),
        }
    }
}

fn digits(word: &str) -> impl Iterator<Item = char> {
    word.chars().filter(|c| c.is_numeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grade(word: &str, token: &str) -> Option<u8> {
        Matcher::new(word).grade(&Token::new(token.to_owned()))
    }

    #[test]
    fn grades_go_from_exact_to_two_typos() {
        assert_eq!(grade("sonnet", "sonnet"), Some(0));
        assert_eq!(grade("son", "sonnet"), Some(1));
        assert_eq!(grade("net", "sonnet"), Some(2));
        assert_eq!(grade("sonet", "sonnet"), Some(3));
        assert_eq!(grade("sonent", "sonnet"), Some(3));
        assert_eq!(grade("embeding", "embedding"), Some(3));
        assert_eq!(grade("embdeing", "embedding"), Some(4));
    }

    #[test]
    fn short_words_and_digits_have_no_typos() {
        assert_eq!(grade("gtp", "gpt"), None);
        assert_eq!(grade("sont", "sonnet"), None);
        assert_eq!(grade("gpt4o", "gpt5o"), None);
        assert_eq!(grade("gtp4o", "gpt4o"), Some(3));
        assert_eq!(grade("n", "sonnet"), None);
    }

    proptest! {
        #[test]
        fn early_exclusion_loses_no_match(word in "[a-dé]{1,10}", token in "[a-dé]{1,10}") {
            let chars = word.chars().count();
            let typos = if chars >= 8 { 2 } else { usize::from(chars >= 4) };
            let distance = rapidfuzz::distance::osa::distance(word.chars(), token.chars());
            let expected = (chars > 1 && token.contains(&word)) || token.starts_with(&word) || distance <= typos;
            prop_assert_eq!(grade(&word, &token).is_some(), expected);
        }
    }
}
