//! Typo-tolerant search in ids and names.
//!
//! Texts are split into lower-case words at all other characters than letters and digits. A model is indexed under the
//! words of its id and name, under two or three neighbours joined (`gpt4o`), and under a word's letters and digits
//! apart (`qwen`, `3`). It matches if every query word matches one of these, or if the whole query, joined, occurs in
//! its id or name from the start of a word.
//!
//! [`Relevance`] depends on query and model only, so cursors stay valid when the catalogue changes.

mod matcher;
mod phrase;
mod words;

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::model::Model;
use matcher::{Matcher, Token};
use phrase::{Entries, Found};

/// Longest search text in characters.
pub const MAX_SEARCH_CHARS: usize = 200;

/// A search text: 1 to [`MAX_SEARCH_CHARS`] characters without surrounding white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchText {
    text: String,
    words: Vec<String>,
}

/// An empty or too long search text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a search text has 1 to {MAX_SEARCH_CHARS} characters")]
pub struct InvalidSearchText;

impl SearchText {
    /// Returns the trimmed text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the words, in order and lower case: all that a search depends on. Empty without letter or digit; then
    /// nothing matches.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

impl std::str::FromStr for SearchText {
    type Err = InvalidSearchText;
    fn from_str(text: &str) -> Result<Self, InvalidSearchText> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > MAX_SEARCH_CHARS {
            return Err(InvalidSearchText);
        }
        Ok(Self { text: text.to_owned(), words: words::words(text) })
    }
}

/// Distance of a model from a search; the least comes first.
///
/// Compared in this order: how the whole query occurs in id or name (as all of it, as whole words, from a word's start,
/// not at all); the sum of the words' grades (exact, prefix, substring, one typo, two typos); how many query neighbours
/// are not neighbours; the difference in words; the words of the id. The id breaks ties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Relevance(u32);

impl Relevance {
    /// 2, 9, 7, 7 and 7 bits, enough for the maximum of 100 words; more counts as the maximum.
    fn new(phrase: Found, grades: usize, apart: usize, difference: usize, length: usize) -> Self {
        let capped = |count: usize, most: u32| u32::try_from(count).unwrap_or(most).min(most);
        Self(
            (phrase as u32) << 30
                | capped(grades, 0x1ff) << 21
                | capped(apart, 0x7f) << 14
                | capped(difference, 0x7f) << 7
                | capped(length, 0x7f),
        )
    }
}

/// The words of all models.
#[derive(Debug)]
pub struct SearchIndex {
    /// Each word once, in order, with the positions of its models.
    vocabulary: Vec<(Token, Vec<u32>)>,
    entries: Entries,
}

impl SearchIndex {
    /// Indexes the models by their position in the slice.
    pub fn build(models: &[Model]) -> Self {
        let mut entries = Entries::default();
        let mut places: HashMap<String, Vec<u32>> = HashMap::new();
        for (place, model) in (0_u32..).zip(models) {
            entries.push(model.id.as_str(), &model.name);
            for word in words::indexed(model.id.as_str(), &model.name) {
                places.entry(word).or_default().push(place);
            }
        }
        let mut vocabulary: Vec<_> =
            places.into_iter().map(|(word, places)| (Token::new(word), places)).collect();
        vocabulary.sort_unstable_by(|(a, _), (b, _)| a.text.cmp(&b.text));
        Self { vocabulary, entries }
    }

    /// Returns the relevance of each model, by position; `None` without a match.
    pub fn rank(&self, text: &SearchText) -> Vec<Option<Relevance>> {
        let words = text.words();
        if words.is_empty() {
            return vec![None; self.entries.len()];
        }
        let grades = self.grades(words);
        let together = self.neighbours(words);
        let phrase = words.concat();
        let candidates = self.begin_alike(&phrase);
        let worst = words.len() * usize::from(matcher::WORST);
        let pairs = words.len() - 1;
        self.entries
            .iter()
            .zip(grades)
            .zip(together)
            .zip(candidates)
            .map(|(((entry, grades), together), candidate)| {
                let found = if candidate { self.entries.find(entry, &phrase) } else { Found::Nowhere };
                if grades.is_none() && found == Found::Nowhere {
                    return None;
                }
                Some(Relevance::new(
                    found,
                    grades.map_or(worst, usize::from),
                    pairs.saturating_sub(usize::from(together)),
                    entry.difference(words.len()),
                    entry.length(),
                ))
            })
            .collect()
    }

    /// Returns which models can contain the phrase: one of their words is a prefix of it, or it is a prefix of one.
    fn begin_alike(&self, phrase: &str) -> Vec<bool> {
        let mut candidates = vec![false; self.entries.len()];
        let mut mark = |places: &[u32]| for_each(&mut candidates, places, |candidate| *candidate = true);
        let start = self.vocabulary.partition_point(|(token, _)| *token.text < *phrase);
        let longer = self.vocabulary.iter().skip(start);
        longer.take_while(|(token, _)| token.text.starts_with(phrase)).for_each(|(_, places)| mark(places));
        for (end, _) in phrase.char_indices().skip(1) {
            mark(self.places(&phrase[..end]));
        }
        candidates
    }

    /// Returns the sum of the words' grades for each model; `None` if a word does not match.
    fn grades(&self, words: &[String]) -> Vec<Option<u16>> {
        // Long words exclude the most models.
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.sort_unstable_by_key(|word| (Reverse(word.len()), *word));
        let mut sums = vec![Some(0_u16); self.entries.len()];
        let mut best: Vec<u8> = Vec::new();
        for same in words.chunk_by(PartialEq::eq) {
            let Some(word) = same.first() else { continue };
            let times = u16::try_from(same.len()).unwrap_or(u16::MAX);
            best.clear();
            best.resize(self.entries.len(), u8::MAX);
            let matcher = Matcher::new(word);
            for (token, places) in &self.vocabulary {
                if let Some(grade) = matcher.grade(token) {
                    for_each(&mut best, places, |best| *best = grade.min(*best));
                }
            }
            let mut any = false;
            for (sum, &best) in sums.iter_mut().zip(&best) {
                *sum = sum
                    .filter(|_| best != u8::MAX)
                    .map(|sum| sum.saturating_add(times.saturating_mul(u16::from(best))));
                any |= sum.is_some();
            }
            if !any {
                break;
            }
        }
        sums
    }

    /// Returns the number of pairs of neighbouring words that are also neighbours in each model.
    fn neighbours(&self, words: &[String]) -> Vec<u8> {
        let mut together = vec![0_u8; self.entries.len()];
        for pair in words.windows(2) {
            let places = self.places(&pair.concat());
            for_each(&mut together, places, |count| *count = count.saturating_add(1));
        }
        together
    }

    /// Returns the positions of the models that are indexed under a word.
    fn places(&self, word: &str) -> &[u32] {
        let found = self.vocabulary.binary_search_by(|(token, _)| (*token.text).cmp(word));
        found.ok().and_then(|at| self.vocabulary.get(at)).map_or(&[], |(_, places)| places)
    }
}

fn for_each<T>(values: &mut [T], places: &[u32], change: impl Fn(&mut T)) {
    for &place in places {
        if let Some(value) = values.get_mut(place as usize) {
            change(value);
        }
    }
}

#[cfg(test)]
mod tests;
