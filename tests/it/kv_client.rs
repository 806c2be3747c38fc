//! Cloudflare's client, over real HTTP.

mod answers;
mod broken;
mod emulator;
mod operations;
mod secrecy;
mod settings;
