//! The one envelope of all lists.

use serde::Serialize;

use crate::cache::Source;
use crate::catalogue::CatalogueRead;

/// What every list looks like.
#[derive(Serialize)]
pub(super) struct Envelope<T, F = (), H = ()> {
    object: &'static str,
    data: T,
    /// The matches of the query, whatever the page.
    total: usize,
    revision: u64,
    source: Source,
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facets: Option<F>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hints: Option<H>,
}

impl<T: Serialize> Envelope<T> {
    /// A whole list.
    pub fn whole(read: &CatalogueRead, total: usize, data: T) -> Self {
        Self::page(read, total, data, None)
    }
}

impl<T: Serialize, F: Serialize, H: Serialize> Envelope<T, F, H> {
    /// One page of a list.
    pub fn page(read: &CatalogueRead, total: usize, data: T, next_cursor: Option<String>) -> Self {
        Self {
            object: "list",
            data,
            total,
            revision: read.revision(),
            source: read.source(),
            next_cursor,
            facets: None,
            hints: None,
        }
    }

    /// With counts over all matches.
    pub fn with_facets(self, facets: Option<F>) -> Self {
        Self { facets, ..self }
    }

    /// With what to drop from a query without matches.
    pub fn with_hints(self, hints: Option<H>) -> Self {
        Self { hints, ..self }
    }
}
