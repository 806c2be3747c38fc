//! What the tests stand on.

pub(crate) mod kv;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod server;
