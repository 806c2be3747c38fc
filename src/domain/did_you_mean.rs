//! Suggests names in error messages.

use rapidfuzz::distance::osa::{Args, BatchComparator};

use super::id::MAX_ID_BYTES;

/// Returns the known name nearest to `given`, or `None` if none is near.
///
/// Ignores case. Near means one typo (a letter wrong, missing or added, or two swapped) per three letters, three at
/// most. A name with `/` is also compared without its first part and by its last part, so `gpt-5.5` finds
/// `openai/gpt-5.5`. Fewer typos win, then the more complete name, the shorter one, the alphabet.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Bounds the work for any input.
    if given.is_empty() || given.len() > 2 * MAX_ID_BYTES {
        return None;
    }
    let given: Vec<char> = given.chars().map(|c| c.to_ascii_lowercase()).collect();
    let typos = (given.len() / 3).min(3);
    let comparator = BatchComparator::new(given.iter().copied());
    let distance = |name: &str| {
        // A character has at least one byte.
        if name.len() + typos < given.len() {
            return None;
        }
        let letters = name.chars().map(|c| c.to_ascii_lowercase());
        comparator.distance_with_args(letters, &Args::default().score_cutoff(typos))
    };
    let nearest_form = |name: &'a str| {
        let without_provider = name.split_once('/').map(|(_, rest)| rest);
        let last = name.rsplit_once('/').map(|(_, rest)| rest);
        [Some(name), without_provider, last]
            .into_iter()
            .zip(0_u8..)
            .filter_map(|(form, cut)| Some((distance(form?)?, cut)))
            .min()
    };
    known
        .into_iter()
        .filter_map(|name| Some((nearest_form(name)?, name.len(), name)))
        .min()
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODELS: [&str; 5] = [
        "openrouter/openai/gpt-5.5",
        "openai/gpt-5.5",
        "openai/gpt-5.4",
        "mistral/mistral-large-4",
        "huggingface/zai-org/GLM-5.2",
    ];

    #[test]
    fn typos_case_and_a_missing_provider_are_tolerated() {
        for (given, meant) in [
            ("gpt-5.5", "openai/gpt-5.5"),
            ("GPT-5.5", "openai/gpt-5.5"),
            ("opnai/gpt-5.5", "openai/gpt-5.5"),
            ("openai/gpt-5.5", "openai/gpt-5.5"),
            ("mistral-lrage-4", "mistral/mistral-large-4"),
            ("glm-5.2", "huggingface/zai-org/GLM-5.2"),
        ] {
            assert_eq!(did_you_mean(given, MODELS), Some(meant), "{given}");
        }
    }

    #[test]
    fn distant_names_give_no_guess() {
        for given in ["", "x", "zz", "something else", &"x".repeat(9000), "\u{0}é漢"] {
            assert_eq!(did_you_mean(given, MODELS), None, "{given}");
        }
        assert_eq!(did_you_mean("i", ["id", "ids"]), None);
        assert_eq!(did_you_mean("ID", ["id", "ids"]), Some("id"));
    }

    #[test]
    fn the_order_of_known_names_does_not_matter() {
        let there = did_you_mean("chet", ["chat", "chez", "cheb"]);
        let back = did_you_mean("chet", ["cheb", "chez", "chat"]);
        assert_eq!((there, back), (Some("chat"), Some("chat")));
    }
}
