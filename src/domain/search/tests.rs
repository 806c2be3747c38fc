use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::domain::snapshot::Snapshot;
use crate::domain::testing::SEED;

/// The seed.
static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| SEED.clone().into_snapshot());

fn found(text: &str) -> Vec<&'static str> {
    let ranks = SNAPSHOT.search().rank(&text.parse().unwrap());
    let mut found: Vec<_> = ranks
        .into_iter()
        .zip(SNAPSHOT.models())
        .filter_map(|(rank, model)| Some((rank?, model.id.as_str())))
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn every_spelling_ranks_its_model_first() {
    for (text, id) in [
        ("gpt4o", "openai/gpt-4o"),
        ("gpt-4o", "openai/gpt-4o"),
        ("gpt 4o", "openai/gpt-4o"),
        ("GPT 4O", "openai/gpt-4o"),
        ("gpt 4 o", "openai/gpt-4o"),
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("gpt4omini", "openai/gpt-4o-mini"),
        ("4o mini", "openai/gpt-4o-mini"),
        ("mini gpt4o", "openai/gpt-4o-mini"),
        ("gpt-5", "openai/gpt-5"),
        ("gpt 5.5", "openai/gpt-5.5"),
        ("claude opus 5.5", "anthropic/claude-opus-5-5"),
        ("opus 5", "anthropic/claude-opus-5"),
        ("claudesonnet55", "anthropic/claude-sonnet-5-5"),
        ("deep seek v4 pro", "deepseek/deepseek-v4-pro"),
        ("qwen 3.6 27b", "qwen/qwen3.6-27b"),
        ("kimi", "huggingface/moonshotai/Kimi-K2.6"),
        ("o3", "openai/o3"),
        ("llama3 groq", "groq/llama-3.1-8b-instant"),
    ] {
        assert_eq!(found(text).first(), Some(&id), "{text}");
    }
}

#[test]
fn typos_find_the_intended_model() {
    for (text, id) in [
        ("claude sonet", "anthropic/claude-sonnet-5"),
        ("claude sonet 5.5", "anthropic/claude-sonnet-5-5"),
        ("mistrl larg", "mistral/mistral-large-2512"),
        ("gemni 3.5 flash", "google/gemini-3.5-flash"),
        ("antropic", "anthropic/claude-opus-5"),
        ("gtp5", "openai/gpt-5"),
        ("gemini embeding 2", "google/gemini-embedding-2"),
    ] {
        let found = found(text);
        assert_eq!(found.first(), Some(&id), "{text}: {found:?}");
    }
}

#[test]
fn every_word_must_match() {
    assert!(found("claude zebra").is_empty());
    assert!(found("漢字").is_empty());
    assert!(found("---").is_empty());
    let sonnets = found("claude sonet");
    assert!(!sonnets.is_empty() && sonnets.iter().all(|id| id.contains("sonnet")));
}

#[test]
fn a_trimmed_search_text_has_1_to_200_characters() {
    for bad in ["", "  \t", &"x".repeat(201)] {
        assert_eq!(bad.parse::<SearchText>(), Err(InvalidSearchText));
    }
    let longest = format!(" {} ", "é".repeat(200));
    assert_eq!(longest.parse::<SearchText>().unwrap().as_str(), longest.trim());
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{1,200}") {
            if let Ok(text) = text.parse() {
            prop_assert_eq!(SNAPSHOT.search().rank(&text).len(), SNAPSHOT.models().len());
        }
    }

    #[test]
    fn any_name_finds_its_own_model(name in "\\PC{0,60}") {
        let mut model = SEED.models[0].clone();
        model.name.clone_from(&name);
        let index = SearchIndex::build(&[model]);
        if let Ok(text) = name.parse::<SearchText>() {
            prop_assert_eq!(index.rank(&text)[0].is_some(), !text.words().is_empty());
        }
    }
}
