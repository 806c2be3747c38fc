//! Shared support for the tests.

pub(crate) mod browser;
pub(crate) mod clock;
pub(crate) mod collector;
pub(crate) mod files;
pub(crate) mod kv;
pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod pgbouncer;
pub(crate) mod pooler;
pub(crate) mod postgres;
pub(crate) mod problem;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod recount;
pub(crate) mod scrape;
pub(crate) mod server;
pub(crate) mod upstream;
