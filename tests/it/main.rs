//! The integration tests: one binary, real parts.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy spares test functions only, not their helpers"
)]

mod altered_columns;
mod announcements;
mod bad_input;
mod binary;
mod cache;
mod catalogue;
mod changes;
mod checks;
mod conditional;
mod connections;
mod cors;
mod cost;
mod counts;
mod database_encoding;
mod database_tls;
mod details;
mod edge;
mod edge_connections;
mod embedded;
mod empty_tables;
mod encodings;
mod env_example;
mod facets;
mod filters;
mod golden;
mod health_routes;
mod hidden;
mod items;
mod kv_budget;
mod kv_client;
mod kv_cold_start;
mod kv_faults;
mod kv_instances;
mod kv_ledger;
mod kv_outage;
mod kv_recovery;
mod kv_tier;
mod large_catalogue;
mod metrics;
mod models;
mod modules;
mod openai_shape;
mod openapi;
mod outages;
mod paging;
mod pgbouncer;
mod pooler;
mod provider_health;
mod provider_trust;
mod quarantine;
mod raw_requests;
mod representations;
mod routes;
mod runbook;
mod seed;
mod settings;
mod simulator;
mod sorting;
mod stale_plans;
mod starts;
mod status_history;
mod status_page;
mod stopping;
mod support;
mod tables;
mod trigger_damage;
mod triggers;
mod words;
