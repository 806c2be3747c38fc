//! What an edition keeps bodies of.

use std::sync::Arc;

use crate::http::reply::coding::Coding;

/// What an entry costs beside its key and body, in bytes, roughly.
pub const ENTRY_BYTES: usize = 256;

/// A list that shows all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    Models,
    Providers,
    Tasks,
    OpenAiModels,
}

/// What is shown. Models and providers by their place in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    List(List),
    Model(usize),
    OpenAiModel(usize),
    Provider(usize),
    /// A list by its canonical query; of the provider in the path if there is one, which changes the hints.
    Models {
        query: Arc<str>,
        of_provider: bool,
    },
}

pub type Key = (Resource, Coding);

impl Resource {
    /// What it takes beside its own size.
    pub fn key_bytes(&self) -> usize {
        if let Self::Models { query, .. } = self { query.len() } else { 0 }
    }

    pub fn is_item(&self) -> bool {
        matches!(self, Self::Model(_) | Self::OpenAiModel(_) | Self::Provider(_))
    }
}
