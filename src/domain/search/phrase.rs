//! The whole query, written together, in a model's id or name.

use super::words::words;

/// Where the query stands; the better the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// It is the whole name, or the id from one of its parts to its end.
    All = 0,
    /// It begins and ends with a word.
    Words = 1,
    /// It begins with a word.
    Start = 2,
    /// Not in one piece.
    Nowhere = 3,
}

/// Words written together, and where each begins.
#[derive(Debug)]
struct Joined {
    text: Box<str>,
    starts: Box<[Start]>,
}

#[derive(Debug)]
struct Start {
    at: usize,
    /// Whether a part of an id, or a name, begins here.
    part: bool,
}

impl Joined {
    fn new<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut text = String::new();
        let mut starts = Vec::new();
        for part in parts {
            for (nth, word) in words(part).iter().enumerate() {
                starts.push(Start { at: text.len(), part: nth == 0 });
                text.push_str(word);
            }
        }
        Self { text: text.into(), starts: starts.into() }
    }

    fn find(&self, phrase: &str) -> Found {
        let mut found = Found::Nowhere;
        for (nth, start) in self.starts.iter().enumerate() {
            let tail = self.text.get(start.at..).unwrap_or_default();
            let Some(after) = tail.strip_prefix(phrase) else {
                continue;
            };
            let end = self.text.len() - after.len();
            let ends_word = after.is_empty() || self.starts.iter().skip(nth).any(|next| next.at == end);
            found = found.min(match (after.is_empty() && start.part, ends_word) {
                (true, _) => Found::All,
                (false, true) => Found::Words,
                (false, false) => Found::Start,
            });
        }
        found
    }

    /// How many words the last part has.
    fn last_part(&self) -> usize {
        self.starts.iter().rposition(|start| start.part).map_or(0, |at| self.starts.len() - at)
    }
}

/// What one model is called.
#[derive(Debug)]
pub(super) struct Entry {
    id: Joined,
    name: Joined,
}

impl Entry {
    pub(super) fn new(id: &str, name: &str) -> Self {
        Self { id: Joined::new(id.split('/')), name: Joined::new(std::iter::once(name)) }
    }

    /// The best place of the phrase, which is not empty.
    pub(super) fn find(&self, phrase: &str) -> Found {
        self.id.find(phrase).min(self.name.find(phrase))
    }

    /// How many words the name, the id, or the last part of the id has more or fewer than that: the least of the three.
    pub(super) fn difference(&self, words: usize) -> usize {
        let [name, id] = [self.name.starts.len(), self.id.starts.len()];
        let nearest = |count: usize| count.abs_diff(words);
        nearest(name).min(nearest(id)).min(nearest(self.id.last_part()))
    }

    /// How many words the id has.
    pub(super) fn length(&self) -> usize {
        self.id.starts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_found_as_all_as_words_or_at_a_start() {
        let entry = Entry::new("openrouter/anthropic/claude-opus-5", "Claude Opus 5");
        for (phrase, found) in [
            ("claudeopus5", Found::All),
            ("anthropicclaudeopus5", Found::All),
            ("opus5", Found::Words),
            ("claudeopus", Found::Words),
            ("claudeop", Found::Start),
            ("laude", Found::Nowhere),
            ("claudeopus55", Found::Nowhere),
        ] {
            assert_eq!(entry.find(phrase), found, "{phrase}");
        }
        assert_eq!((entry.length(), entry.difference(3)), (5, 0));
        assert_eq!((entry.difference(4), entry.difference(1)), (1, 2));
    }
}
