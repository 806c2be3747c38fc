//! The client of Cloudflare KV, over real HTTP.

mod answers;
mod broken;
mod emulator;
mod operations;
mod secrecy;
mod settings;
