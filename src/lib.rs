//! ChatChonk's API server: the catalogue of AI models and providers, its cache, and the selection of models.
//!
//! `docs/architecture.md` shows the rooms and the way of a request through them.

pub mod cache;
pub mod clock;
pub mod domain;
pub mod store;
