//! Resources whose bodies an edition keeps.

use std::sync::Arc;

use crate::http::reply::coding::Coding;

/// Approximate overhead of an entry, in bytes.
pub const ENTRY_BYTES: usize = 256;

/// A whole list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    Models,
    Providers,
    Tasks,
    OpenAiModels,
}

/// A resource. Models and providers by their position in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    List(List),
    Model(usize),
    OpenAiModel(usize),
    Provider(usize),
    /// A list by its canonical query, with the provider in the path, which changes the hints.
    Models {
        query: Arc<str>,
        of_provider: bool,
    },
}

pub type Key = (Resource, Coding);

impl Resource {
    /// Returns its bytes beyond its own size.
    pub fn key_bytes(&self) -> usize {
        if let Self::Models { query, .. } = self { query.len() } else { 0 }
    }

    pub fn is_item(&self) -> bool {
        matches!(self, Self::Model(_) | Self::OpenAiModel(_) | Self::Provider(_))
    }
}
