//! ChatChonk's API server: catalogue, cache and selection of AI models.

pub mod embedded;
