//! HTTP: the only place that knows actix. `routes.rs` lists every route; `server.rs` puts the parts together.

mod api;
mod docs;
mod edge;
mod health;
mod metrics;
mod openai;
mod page;
mod reply;
mod routes;
mod server;

pub use api::models::list_of_models;
pub use health::KvState;
pub use metrics::{InvalidMetricsToken, MetricsSettings, MetricsToken, Requests, Underway, Worker};
pub use reply::{ApiError, Code, Editions, Route};
pub use routes::document_text;
pub use server::{Dependencies, HttpSettings, serve};
