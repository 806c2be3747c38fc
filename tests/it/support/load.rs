//! Requests that go on while something is done to the server's surroundings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use super::server::TestServer;

/// Asked in turn by every caller.
const PATHS: [&str; 5] = [
    "/api/models",
    "/api/health",
    "/api/providers",
    "/api/models?capability=tools&sort=-price&facets=true",
    "/v1/models",
];
const CALLERS: usize = 4;

/// A few callers that ask one request after another until they are told to stop.
#[derive(Debug)]
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    callers: JoinSet<Vec<Answered>>,
}

/// What one request of a load came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) path: &'static str,
    pub(crate) status: u16,
    /// Of a list: how many items it says there are, and where they are from.
    pub(crate) list: Option<(u64, String)>,
}

impl Load {
    /// Callers with a kept connection each.
    pub(crate) fn on(server: &TestServer) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(ask(server.address(), caller, Arc::clone(&over)));
        }
        Self { over, callers }
    }

    /// Every answer since the start; the requests under way are finished first.
    pub(crate) async fn finish(self) -> Vec<Answered> {
        self.over.store(true, Ordering::Relaxed);
        self.callers.join_all().await.into_iter().flatten().collect()
    }

    /// Like [`Load::finish`], and every single request was answered with 200, and every list from `source` in full.
    pub(crate) async fn finish_without_a_fault(self, source: &str) {
        let answers = self.finish().await;
        assert!(answers.len() > 200, "too few requests to tell: {}", answers.len());
        for answer in &answers {
            assert_eq!(answer.status, 200, "{answer:?}");
            if let Some((total, from)) = &answer.list {
                assert!(*total > 5 && from == source, "{answer:?}");
            }
        }
    }
}

async fn ask(address: SocketAddr, caller: usize, over: Arc<AtomicBool>) -> Vec<Answered> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let mut answers = Vec::new();
    for path in PATHS.into_iter().cycle().skip(caller) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let response = client.get(format!("http://{address}{path}")).send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        let list = body["source"].as_str().map(|from| {
            let total =
                body["total"].as_u64().unwrap_or_else(|| body["data"].as_array().unwrap().len() as u64);
            (total, from.to_owned())
        });
        answers.push(Answered { path, status, list });
        // The rate of the load, so that it leaves the machine to the servers.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    answers
}
