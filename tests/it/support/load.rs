//! Steady requests while a test changes the server's surroundings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chatchonk::clock::Clock;
use serde_json::Value;
use tokio::task::JoinSet;

use super::server::{TestServer, client};

/// The paths that each caller requests in turn, unless a test has its own.
const PATHS: &[&str] = &[
    "/api/models",
    "/api/health",
    "/api/providers",
    "/api/models?capability=tools&sort=-price&facets=true",
    "/v1/models",
];
const CALLERS: usize = 4;
/// The pause between two requests of a caller.
const PAUSE: Duration = Duration::from_millis(10);

/// Some callers that send one request after another until they are stopped.
#[derive(Debug)]
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    callers: JoinSet<Vec<Answered>>,
}

/// The result of one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) path: &'static str,
    pub(crate) status: u16,
    /// Of a list: its total number of items, and their source.
    pub(crate) list: Option<(u64, String)>,
    /// The time until the last byte.
    pub(crate) took: Duration,
}

impl Load {
    /// Starts callers, each with a kept connection.
    pub(crate) fn on(server: &TestServer) -> Self {
        Self::of(PATHS, server.address(), PAUSE)
    }

    /// Starts them with other paths, at another pace.
    pub(crate) fn of(paths: &'static [&'static str], address: SocketAddr, pause: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let paths = paths.iter().cycle().skip(caller);
            callers.spawn(request(address, paths, pause, Arc::clone(&over)));
        }
        Self { over, callers }
    }

    /// Stops the callers after their current request and returns all results.
    pub(crate) async fn finish(self) -> Vec<Answered> {
        self.over.store(true, Ordering::Relaxed);
        self.callers.join_all().await.into_iter().flatten().collect()
    }

    /// Like [`Load::finish`], and asserts that every answer was a 200 and every list a whole one from `source`.
    pub(crate) async fn finish_without_a_fault(self, source: &str) {
        let answers = self.finish().await;
        assert!(answers.len() > 200, "too few requests: {}", answers.len());
        for answer in &answers {
            assert_eq!(answer.status, 200, "{answer:?}");
            if let Some((total, from)) = &answer.list {
                assert!(*total > 5 && from == source, "{answer:?}");
            }
        }
    }
}

async fn request(
    address: SocketAddr,
    paths: impl Iterator<Item = &'static &'static str>,
    pause: Duration,
    over: Arc<AtomicBool>,
) -> Vec<Answered> {
    let client = client();
    let clock = Clock::system();
    let mut answers = Vec::new();
    for path in paths {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let begun = clock.now();
        let response = client.get(format!("http://{address}{path}")).send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        let took = clock.now() - begun;
        let body: Value = serde_json::from_slice(&body).unwrap();
        let list = body["source"].as_str().map(|from| {
            let total =
                body["total"].as_u64().unwrap_or_else(|| body["data"].as_array().unwrap().len() as u64);
            (total, from.to_owned())
        });
        answers.push(Answered { path, status, list, took });
        // Paces the load, so it leaves the machine to the servers.
        tokio::time::sleep(pause).await;
    }
    answers
}
