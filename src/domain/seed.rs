//! The seed: the catalogue in the binary. It fills a new database, and is the last fallback when loads fail.

use serde::{Deserialize, Serialize};

use super::date::PartialDate;
use super::id::TaskId;
use super::model::{Capability, Kind, Modality, Model};
use super::provider::Provider;
use super::snapshot::{LeftOut, Snapshot};
use super::task::TaskType;

/// The facts of a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seed {
    /// Rises with every change of the file. A start with a newer seed updates the database.
    pub version: i32,
    /// Day of the facts.
    pub as_of: PartialDate,
    /// All providers.
    pub providers: Vec<Provider>,
    /// All task types.
    pub tasks: Vec<TaskType>,
    /// All models. The file has no `tasks`; [`tasks_of`] fills them.
    pub models: Vec<Model>,
}

impl Seed {
    /// Reads the seed.
    ///
    /// # Errors
    /// When it is invalid, which a test excludes: the binary is damaged.
    pub fn builtin() -> Result<Self, serde_json::Error> {
        let mut seed: Self = serde_json::from_str(include_str!("../../seed/catalogue.json"))?;
        for model in &mut seed.models {
            model.tasks = tasks_of(model);
        }
        Ok(seed)
    }

    /// Returns the seed as a catalogue: `source: "builtin"`, revision 0.
    pub fn into_snapshot(self) -> Snapshot {
        Snapshot::build(self.providers, self.tasks, self.models, LeftOut::default()).0
    }
}

/// Returns the task types of a seed model by this rule:
///
/// - an embedding model serves `embedding`, a rerank model `rerank`;
/// - a chat model for text serves `chat`, `text_generation`, `summarization`, `topic_extraction`, `classification` and
///   `translation`;
/// - with reasoning also `planning`, and with 100,000 tokens of context `sensemaking`, which reads whole conversations;
/// - with pictures, sound, video or PDF as input also `media_analysis`.
///
/// Rows edited by hand keep their tasks.
pub fn tasks_of(model: &Model) -> Vec<TaskId> {
    let takes = |wanted: &[Modality]| model.input_modalities.iter().any(|m| wanted.contains(m));
    let gives_text = model.output_modalities.contains(&Modality::Text);
    let mut tasks: Vec<&str> = Vec::new();
    match model.kind {
        Kind::Embedding => tasks.push("embedding"),
        Kind::Rerank => tasks.push("rerank"),
        Kind::Chat if gives_text && takes(&[Modality::Text]) => {
            tasks.extend([
                "chat",
                "classification",
                "summarization",
                "text_generation",
                "topic_extraction",
                "translation",
            ]);
            if model.capabilities.contains(&Capability::Reasoning) {
                tasks.push("planning");
                if model.context_length.is_some_and(|tokens| tokens >= 100_000) {
                    tasks.push("sensemaking");
                }
            }
        }
        _ => {}
    }
    if gives_text && takes(&[Modality::Image, Modality::Audio, Modality::Video, Modality::Pdf]) {
        tasks.push("media_analysis");
    }
    tasks.sort_unstable();
    tasks.into_iter().filter_map(|id| id.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_whole_and_every_row_of_it_can_be_shown() {
        let seed = Seed::builtin().unwrap();
        assert_eq!((seed.providers.len(), seed.models.len(), seed.tasks.len()), (12, 120, 11));
        let known: Vec<_> = seed.tasks.iter().map(|t| t.id.clone()).collect();
        for model in &seed.models {
            assert!(model.tasks.iter().all(|task| known.contains(task)), "{}", model.id);
            assert!(!model.tasks.is_empty(), "{}", model.id);
        }
        let (snapshot, rejected) =
            Snapshot::build(seed.providers, seed.tasks, seed.models, LeftOut::default());
        assert_eq!((rejected, snapshot.skipped(), snapshot.models().len()), (vec![], 0, 120));
    }

    #[test]
    fn unknown_prices_are_null_and_query_prices_exclude_token_prices() {
        let snapshot = Seed::builtin().unwrap().into_snapshot();
        let rerank = snapshot.model("cohere/rerank-v3.5").unwrap();
        let pricing = rerank.pricing.as_ref().unwrap();
        assert_eq!(pricing.per_query.unwrap().to_string(), "0.002");
        assert!(!pricing.has_token_price());
        for unconfirmed in ["meta/llama-3.3-70b-instruct", "meta/llama-4-maverick-17b-128e-instruct-fp8"] {
            let model = snapshot.model(unconfirmed).unwrap();
            assert_eq!((&model.pricing, model.is_free), (&None, None), "{unconfirmed}");
        }
    }
}
