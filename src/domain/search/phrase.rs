//! The whole query, joined, in a model's id or name.

use std::ops::Range;

use super::words::words;

/// Where the query occurs; the best is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// All of the name, or of the id from one of its parts on.
    All = 0,
    /// From the start of a word to the end of one.
    Words = 1,
    /// From the start of a word.
    Start = 2,
    /// Not as a whole.
    Nowhere = 3,
}

#[derive(Debug)]
struct Start {
    /// Offset in the joined words, in bytes.
    at: u32,
    /// Whether it starts a name or a part of an id.
    part: bool,
}

/// The names and ids of all models. One allocation, because a search reads all of them in order.
#[derive(Debug, Default)]
pub(super) struct Entries {
    text: String,
    starts: Vec<Start>,
    models: Vec<Entry>,
}

/// A model's texts.
#[derive(Debug)]
pub(super) struct Entry {
    id: Joined,
    name: Joined,
    /// Number of words in the id's last part.
    last_part: usize,
}

/// Joined words: their range in `text`, and their starts in `starts`.
#[derive(Debug)]
struct Joined {
    text: Range<usize>,
    starts: Range<usize>,
}

impl Entries {
    /// Adds the next model.
    pub(super) fn push(&mut self, id: &str, name: &str) {
        let id = self.join(id.split('/'));
        let name = self.join(std::iter::once(name));
        let of_id = self.starts.get(id.starts.clone()).unwrap_or_default();
        let last_part = of_id.iter().rposition(|start| start.part).map_or(0, |at| of_id.len() - at);
        self.models.push(Entry { id, name, last_part });
    }

    fn join<'a>(&mut self, parts: impl Iterator<Item = &'a str>) -> Joined {
        let (text, starts) = (self.text.len(), self.starts.len());
        for part in parts {
            for (nth, word) in words(part).iter().enumerate() {
                // Ids and names are far shorter than 4 GiB.
                let at = u32::try_from(self.text.len() - text).unwrap_or(u32::MAX);
                self.starts.push(Start { at, part: nth == 0 });
                self.text.push_str(word);
            }
        }
        Joined { text: text..self.text.len(), starts: starts..self.starts.len() }
    }

    /// Returns the number of models.
    pub(super) fn len(&self) -> usize {
        self.models.len()
    }

    /// Iterates over the models in order.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.models.iter()
    }

    /// Returns the best occurrence of a non-empty phrase in a model's texts.
    pub(super) fn find(&self, entry: &Entry, phrase: &str) -> Found {
        self.find_in(&entry.id, phrase).min(self.find_in(&entry.name, phrase))
    }

    fn find_in(&self, joined: &Joined, phrase: &str) -> Found {
        let text = self.text.get(joined.text.clone()).unwrap_or_default();
        let starts = self.starts.get(joined.starts.clone()).unwrap_or_default();
        let mut found = Found::Nowhere;
        for (nth, start) in starts.iter().enumerate() {
            let tail = text.get(start.at as usize..).unwrap_or_default();
            let Some(after) = tail.strip_prefix(phrase) else {
                continue;
            };
            let end = text.len() - after.len();
            let ends_word = after.is_empty() || starts.iter().skip(nth).any(|next| next.at as usize == end);
            found = found.min(match (after.is_empty() && start.part, ends_word) {
                (true, _) => Found::All,
                (false, true) => Found::Words,
                (false, false) => Found::Start,
            });
        }
        found
    }
}

impl Entry {
    /// Returns the least difference in words between that number and the name, the id, or the id's last part.
    pub(super) fn difference(&self, words: usize) -> usize {
        let name = self.name.starts.len().abs_diff(words);
        name.min(self.length().abs_diff(words)).min(self.last_part.abs_diff(words))
    }

    /// Returns the number of words in the id.
    pub(super) fn length(&self) -> usize {
        self.id.starts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_occurs_as_all_as_words_or_at_a_start() {
        let mut entries = Entries::default();
        entries.push("openai/gpt-5", "GPT-5");
        entries.push("openrouter/anthropic/claude-opus-5", "Claude Opus 5");
        entries.push("laude/claude-opus-55", "Claude Opus 55");
        assert_eq!(entries.len(), 3);
        let entry = entries.iter().nth(1).unwrap();
        for (phrase, found) in [
            ("claudeopus5", Found::All),
            ("anthropicclaudeopus5", Found::All),
            ("opus5", Found::Words),
            ("claudeopus", Found::Words),
            ("claudeop", Found::Start),
            ("laude", Found::Nowhere),
            ("claudeopus55", Found::Nowhere),
        ] {
            assert_eq!(entries.find(entry, phrase), found, "{phrase}");
        }
        assert_eq!((entry.length(), entry.difference(3)), (5, 0));
        assert_eq!((entry.difference(4), entry.difference(1)), (1, 2));
    }
}
