//! The program's log never blocks, and it loses no line while it is read.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use chatchonk::clock::Clock;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::process::{command, folder, run, text};
use crate::support::scrape::Scrape;
use crate::support::server::{client, eventually};

const TOKEN: &str = "0123456789abcdef";
/// A database that refuses every connection.
const NO_DATABASE: &str = "postgres://none@127.0.0.1:1/none";

/// A pipe of 4 KiB: its reading end and its writing end.
fn pipe() -> (File, File) {
    let (read, write) = nix::unistd::pipe().unwrap();
    fcntl(&write, FcntlArg::F_SETPIPE_SZ(4_096)).unwrap();
    (read.into(), write.into())
}

/// A pipe without room for a single byte.
fn full_pipe() -> (File, File) {
    let (read, write) = pipe();
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(&write, &[b'\n'; 64]).is_ok() {}
    fcntl(&write, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (read, write)
}

/// `serve` with every log line enabled and metrics on the public port.
fn talkative(command: &mut Command) -> &mut Command {
    let command = command.env("RUST_LOG", "trace").env("METRICS_TOKEN", TOKEN);
    command.env("DATABASE_URL", NO_DATABASE).stdin(Stdio::null())
}

/// A server whose log is not being read. Killed when dropped.
struct Unread(Child);

impl Unread {
    /// Returns its address as the system reports it, since its log cannot be read.
    async fn address(&self) -> String {
        let mut address = None;
        eventually(async || {
            address = self.listening();
            address.is_some()
        })
        .await;
        address.unwrap()
    }

    fn listening(&self) -> Option<String> {
        let id = self.0.id();
        let links = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().flatten();
        let links: Vec<_> = links.filter_map(|link| std::fs::read_link(link.path()).ok()).collect();
        let table = std::fs::read_to_string(format!("/proc/{id}/net/tcp")).unwrap();
        table.lines().skip(1).find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let socket = format!("socket:[{}]", fields[9]);
            let is_ours = fields[3] == "0A" && links.iter().any(|link| link.as_os_str() == socket.as_str());
            let (_, port) = fields[1].split_once(':')?;
            is_ours.then(|| format!("127.0.0.1:{}", u16::from_str_radix(port, 16).unwrap()))
        })
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end, for at most 10 s.
    async fn ends(&mut self) -> ExitStatus {
        let clock = Clock::system();
        let stopped = clock.now();
        let mut status = None;
        eventually(async || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert!(clock.now() - stopped < Duration::from_secs(10), "it took {:?}", clock.now() - stopped);
        status.unwrap()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the number of dropped lines, from its metrics.
async fn dropped(address: &str) -> f64 {
    let url = format!("http://{address}/metrics");
    let answer = client().get(url).bearer_auth(TOKEN).send().await.unwrap().text().await.unwrap();
    Scrape::parse(&answer).value("chatchonk_log_lines_dropped_total", &[])
}

/// Waits until lines were dropped.
async fn until_dropped(address: &str) {
    eventually(async || {
        for _ in 0..50 {
            assert_eq!(status(address, "/api/models?sort=name").await, 200);
        }
        dropped(address).await > 0.0
    })
    .await;
}

async fn status(address: &str, path: &str) -> u16 {
    client().get(format!("http://{address}{path}")).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn full_pipes_block_neither_routes_nor_sigterm() {
    let folder = folder();
    let ((_out, stdout), (_err, stderr)) = (full_pipe(), full_pipe());
    let mut command = command(folder.path());
    talkative(&mut command).stdout(stdout).stderr(stderr);
    let mut server = Unread(command.spawn().unwrap());
    drop(command);
    let address = server.address().await;
    until_dropped(&address).await;
    for path in [
        "/",
        "/api/models",
        "/api/providers",
        "/api/tasks",
        "/v1/models",
        "/api/status",
        "/api/automodel/health",
        "/api/health/live",
        "/api/health/ready",
        "/api/openapi.json",
        "/api/docs",
    ] {
        assert_eq!(status(&address, path).await, 200, "{path}");
    }
    assert_eq!(status(&address, "/api/health").await, 200);
    assert_eq!(status(&address, "/nowhere").await, 404);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ends().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_lines_are_reported_once_when_lines_flow_again() {
    let folder = folder();
    let (read, stderr) = pipe();
    let mut command = command(folder.path());
    talkative(&mut command).stdout(Stdio::null()).stderr(stderr);
    let mut server = Unread(command.spawn().unwrap());
    // The command holds a writing end, so the lines would not end with the process.
    drop(command);
    let address = server.address().await;
    until_dropped(&address).await;

    let lines = BufReader::new(read).lines();
    let (send, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok).filter(|line| line.contains("log lines were dropped")) {
            send.send(line).unwrap();
        }
    });
    let report: Value = serde_json::from_str(&reports.recv().await.unwrap()).unwrap();
    assert_eq!(report["level"], "WARN");
    let lost = report["lost"].as_f64().unwrap();
    assert_eq!(lost.total_cmp(&dropped(&address).await), std::cmp::Ordering::Equal, "{report}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ends().await.code(), Some(0));
    reader.join().unwrap();
    assert!(reports.recv().await.is_none(), "it is reported twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_refused_by_a_full_disk_count_as_dropped() {
    let folder = folder();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = command(folder.path());
    let command = talkative(&mut command).stdout(Stdio::null()).stderr(full);
    let mut server = Unread(command.spawn().unwrap());
    let address = server.address().await;
    eventually(async || dropped(&address).await > 100.0).await;
    assert_eq!(status(&address, "/api/models").await, 200);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ends().await.code(), Some(0));
}

#[test]
fn short_commands_lose_no_final_message() {
    let folder = folder();
    for (arguments, variable, ends_with) in [
        (&["serve"][..], ("PORT", "none"), "chatchonk: PORT: "),
        (&["check"], ("DATABASE_URL", "nowhere"), "chatchonk: DATABASE_URL: "),
        (&["serve"], ("HOST", "203.0.113.1"), "chatchonk: cannot listen on 203.0.113.1"),
        (&["cache", "stats", "--url", "nowhere"], ("PORT", "0"), "chatchonk: --url: "),
        (&["nothing"], ("PORT", "0"), "For more information, try '--help'."),
    ] {
        for _ in 0..10 {
            let output = run(command(folder.path()).args(arguments).env(variable.0, variable.1));
            let (_, log) = text(&output);
            assert!(log.lines().last().unwrap_or_default().starts_with(ends_with), "{arguments:?}: {log}");
            assert_ne!(output.status.code(), Some(0));
        }
    }
}

#[test]
fn a_full_pipe_does_not_block_the_end_of_a_command() {
    let folder = folder();
    let ((_out, stdout), (mut err, stderr)) = (full_pipe(), full_pipe());
    for arguments in [&["nothing"][..], &["serve"], &["check"]] {
        let (stdout, stderr) = (stdout.try_clone().unwrap(), stderr.try_clone().unwrap());
        let mut command = command(folder.path());
        let status = command.args(arguments).env("PORT", "none").stdout(stdout).stderr(stderr).status();
        assert_ne!(status.unwrap().code(), Some(0));
    }
    drop(stderr);
    let mut rest = Vec::new();
    err.read_to_end(&mut rest).unwrap();
    assert!(rest.iter().all(|byte| *byte == b'\n'), "no line fits into the pipe");
}
