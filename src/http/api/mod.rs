//! The routes below `/api` that show the catalogue and what the server knows of itself: one file per resource.

pub mod automodel;
mod list;
pub mod models;
mod params;
pub mod providers;
pub mod status;
pub mod tasks;
