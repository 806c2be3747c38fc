//! Runs `chatchonk` as a process.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::postgres::TestDatabase;
use super::server::client;

/// Longer than any step may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A folder that PostgreSQL's user can enter when the tests run as root.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

/// The program in a folder without `.env`, with only `PATH` in its environment.
pub(crate) fn command(data_dir: &Path) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the tests have no config.rs to ask")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatchonk"));
    command.env_clear().env("PATH", path).env("DATA_DIR", data_dir).env("PORT", "0").current_dir(data_dir);
    command.env("PROBE_PROVIDERS", "false");
    command
}

/// The same program, started by a shell that first runs `setup`.
pub(crate) fn from_shell(setup: &str, own: &Command) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("{setup}; exec \"$0\" \"$@\"")).arg(own.get_program()).args(own.get_args());
    command.env_clear().current_dir(own.get_current_dir().unwrap());
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// Runs a command on the database; its exit code and both outputs.
pub(crate) async fn run_on(
    database: &TestDatabase,
    arguments: &'static [&'static str],
) -> (Option<i32>, String) {
    let url = database.url();
    let ran = tokio::task::spawn_blocking(move || {
        let folder = folder();
        run(command(folder.path()).args(arguments).env("DATABASE_URL", url))
    });
    let output = ran.await.unwrap();
    let (printed, log) = text(&output);
    (output.status.code(), format!("{printed}{log}"))
}

/// Runs it with these arguments and settings with which no server could start.
pub(crate) async fn run_elsewhere(arguments: &[&str]) -> Output {
    let folder = folder();
    let mut command = command(folder.path());
    command.args(arguments).env("DATABASE_URL", "nowhere").env("HTTP_PROXY", "http://127.0.0.1:1");
    // The server that it queries may be a task of this test.
    tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap()
}

/// Returns standard output and standard error of a finished run.
pub(crate) fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// `serve` in its own process group. Killed when dropped, which leaves its PostgreSQL behind.
pub(crate) struct Serving {
    child: Child,
    lines: Receiver<String>,
    read: Vec<String>,
}

impl Serving {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The test may have ended.
                let _ = send.send(line);
            }
        });
        Self { child, lines, read: Vec::new() }
    }

    /// Returns the address from the line that reports it.
    pub(crate) fn address(&mut self) -> String {
        let line = self.line_with("listening on http://");
        let (_, address) = line.split_once("http://").unwrap();
        address.split(|c: char| c == '"' || c.is_whitespace()).next().unwrap().to_owned()
    }

    /// Returns the next line with this text.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line =
                line.unwrap_or_else(|error| panic!("no line with {text:?} ({error}): {:#?}", self.read));
            self.read.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.id(), signal).unwrap();
    }

    /// Signals the group, as Ctrl-C in a terminal does.
    pub(crate) fn signal_group(&self, signal: Signal) {
        killpg(self.id(), signal).unwrap();
    }

    pub(crate) fn id(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Waits for its end; returns its exit status and every line it wrote.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>) {
        let mut read = std::mem::take(&mut self.read);
        // The lines end with the process.
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => read.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(error) => panic!("it does not end ({error}): {read:#?}"),
            }
        }
        (self.child.wait().unwrap(), read)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended already, unless the test failed or wants it killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the process id of this folder's PostgreSQL, while it runs.
pub(crate) fn postgres(data_dir: &Path) -> Option<Pid> {
    std::fs::read_dir(data_dir).unwrap().flatten().find_map(|entry| {
        let file = std::fs::read_to_string(entry.path().join("postmaster.pid")).ok()?;
        let id = Pid::from_raw(file.lines().next()?.parse().ok()?);
        kill(id, None).is_ok().then_some(id)
    })
}

/// Returns a JSON answer and its status.
pub(crate) async fn get(address: &str, path: &str) -> (u16, Value) {
    let response = client().get(format!("http://{address}{path}")).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}
