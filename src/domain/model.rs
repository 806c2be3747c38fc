//! Models: what they are, what they can do, what they cost.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::closed::closed_enum;
use super::date::PartialDate;
use super::id::{ModelId, ProviderId, TaskId};
use super::price::Pricing;

closed_enum!(
    /// The kind of work a model does.
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
    /// Where a model stands in its life.
    ModelStatus {
        /// Generally available.
        Active = "active",
        /// Available, but may change or go; what sources call "beta" too.
        Preview = "preview",
        /// Still served, but on its way out.
        Deprecated = "deprecated",
        /// No longer served.
        Retired = "retired",
    }
);

closed_enum!(
    /// What goes into a model or comes out of it.
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
/// This serde form is the stored one: the seed file and shared caches use it. What the API shows is built from it in
/// `http`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// `provider/name`.
    pub id: ModelId,
    /// The provider that serves it.
    pub provider: ProviderId,
    /// The name to send to the provider's API.
    pub provider_model_id: String,
    /// For people.
    pub name: String,
    /// The series it belongs to.
    pub family: Option<String>,
    /// The kind of work it does.
    pub kind: Kind,
    /// Where it stands in its life.
    pub status: ModelStatus,
    /// `false` hides it.
    #[serde(default = "super::provider::enabled")]
    pub enabled: bool,
    /// When it became available.
    pub release_date: Option<PartialDate>,
    /// The end of its training data.
    pub knowledge_cutoff: Option<PartialDate>,
    /// When it stops, or stopped, being served.
    pub deprecation_date: Option<PartialDate>,
    /// The model that replaces it.
    pub successor: Option<ModelId>,
    /// The most tokens of prompt and answer together.
    pub context_length: Option<u32>,
    /// The most tokens of a prompt.
    pub max_input_tokens: Option<u32>,
    /// The most tokens of an answer.
    pub max_output_tokens: Option<u32>,
    /// Length of its vectors, in numbers.
    pub embedding_dimensions: Option<u32>,
    /// What it takes.
    pub input_modalities: Vec<Modality>,
    /// What it gives.
    pub output_modalities: Vec<Modality>,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// The task types it can serve.
    pub tasks: Vec<TaskId>,
    /// Whether its weights can be downloaded.
    pub open_weights: Option<bool>,
    /// What it costs.
    pub pricing: Option<Pricing>,
    /// Whether it costs nothing; `null` when no source confirms it.
    pub is_free: Option<bool>,
    /// Who said what it costs.
    pub price_source: Option<String>,
    /// The day of that statement.
    pub as_of: Option<PartialDate>,
    /// When the row came to be.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When the row last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Why a model that parses still cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// The id names another provider than the column.
    #[error("its id does not begin with its provider")]
    ForeignId,
    /// The provider is not in the catalogue.
    #[error("its provider is unknown")]
    UnknownProvider,
}

impl Model {
    /// Checks what the types alone cannot say.
    ///
    /// # Errors
    /// [`Inconsistent::ForeignId`].
    pub fn check(&self) -> Result<(), Inconsistent> {
        if self.id.provider() == self.provider.as_str() { Ok(()) } else { Err(Inconsistent::ForeignId) }
    }
}
