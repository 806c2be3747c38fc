//! Cloudflare KV on this machine, without an account: `cargo run --example kv_emulator [PORT]`.
//!
//! It prints the variables that connect a server, and keeps values until it ends.

use std::io::Write;
use std::net::TcpListener;

use anyhow::Context;
use chatchonk::clock::Clock;

#[expect(dead_code, reason = "the tests use the rest")]
mod fake;

use fake::FakeKv;

const PORT: u16 = 8787;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse().context("expected a port number")?,
        None => PORT,
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).context("the port cannot be used")?;
    let kv = FakeKv::on(listener, Clock::system()).context("the emulator does not start")?;
    let mut output = std::io::stdout();
    for (name, value) in kv.variables() {
        writeln!(output, "{name}={value}")?;
    }
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}
