//! Models.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::closed::closed_enum;
use super::date::PartialDate;
use super::id::{ModelId, ProviderId, TaskId};
use super::price::Pricing;

closed_enum!(
    /// Kind of work.
    Kind {
        /// Answers in conversation.
        Chat = "chat",
        /// Turns text into vectors.
        Embedding = "embedding",
        /// Orders documents by relevance.
        Rerank = "rerank",
        /// Makes images.
        Image = "image",
        /// Makes or transcribes sound.
        Audio = "audio",
        /// Judges content.
        Moderation = "moderation",
        /// Anything else.
        Other = "other",
    }
);

closed_enum!(
    /// Stage in a model's life.
    ModelStatus {
        /// Generally available.
        Active = "active",
        /// Available, but may change or go; some sources call it "beta".
        Preview = "preview",
        /// Still served, but about to end.
        Deprecated = "deprecated",
        /// No longer served.
        Retired = "retired",
    }
);

closed_enum!(
    /// Input or output of a model.
    Modality {
        /// Plain text.
        Text = "text",
        /// Pictures.
        Image = "image",
        /// Sound.
        Audio = "audio",
        /// Moving pictures.
        Video = "video",
        /// PDF documents.
        Pdf = "pdf",
        /// Vectors.
        Embedding = "embedding",
        /// Relevance scores.
        Rerank = "rerank",
    }
);

closed_enum!(
    /// What a model can do beyond answering text.
    Capability {
        /// Calls functions.
        Tools = "tools",
        /// Sees images.
        Vision = "vision",
        /// Thinks before it answers.
        Reasoning = "reasoning",
        /// Keeps to a JSON schema.
        StructuredOutput = "structured_output",
        /// Reads repeated prompts from a cache.
        PromptCaching = "prompt_caching",
    }
);

/// One model of one provider. `None` is unknown, never zero or false.
///
/// This serde form is stored, in the seed file and in shared caches. `http` builds the API's form from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// `provider/name`.
    pub id: ModelId,
    /// The provider that serves it.
    pub provider: ProviderId,
    /// Its name in the provider's API.
    pub provider_model_id: String,
    /// For people.
    pub name: String,
    /// Its series.
    pub family: Option<String>,
    /// Its kind of work.
    pub kind: Kind,
    /// Its stage.
    pub status: ModelStatus,
    /// `false` hides it.
    #[serde(default = "super::provider::enabled")]
    pub enabled: bool,
    /// When it became available.
    pub release_date: Option<PartialDate>,
    /// The end of its training data.
    pub knowledge_cutoff: Option<PartialDate>,
    /// When it is no longer served.
    pub deprecation_date: Option<PartialDate>,
    /// Its replacement.
    pub successor: Option<ModelId>,
    /// Most tokens of prompt and answer together.
    pub context_length: Option<u32>,
    /// Most tokens of a prompt.
    pub max_input_tokens: Option<u32>,
    /// Most tokens of an answer.
    pub max_output_tokens: Option<u32>,
    /// Numbers per vector.
    pub embedding_dimensions: Option<u32>,
    /// What it accepts.
    pub input_modalities: Vec<Modality>,
    /// What it returns.
    pub output_modalities: Vec<Modality>,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// Task types that it serves.
    pub tasks: Vec<TaskId>,
    /// Whether its weights can be downloaded.
    pub open_weights: Option<bool>,
    /// What it costs.
    pub pricing: Option<Pricing>,
    /// Whether it costs nothing; `null` if no source confirms it.
    pub is_free: Option<bool>,
    /// Source of its prices.
    pub price_source: Option<String>,
    /// Day of the source.
    pub as_of: Option<PartialDate>,
    /// When the row was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When the row last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Why a model is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// The id names another provider than the column.
    #[error("its id does not begin with its provider")]
    ForeignId,
    /// The provider is not in the catalogue.
    #[error("its provider is unknown")]
    UnknownProvider,
}
