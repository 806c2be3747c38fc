//! The server under test: the real one, in this process, on a port that the system chooses.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use chatchonk::app::App;
use chatchonk::clock::Clock;
use chatchonk::config::{Config, Environment};
use chatchonk::domain::provider::ProviderStatus;
use chatchonk::provider_health::{ProviderHealthBoard, Standing};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::kv::fake::FakeKv;
use super::postgres::TestDatabase;

/// The time that a test waits for a state.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running server. Stops when it is dropped.
#[derive(Debug)]
pub(crate) struct TestServer {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    client: reqwest::Client,
    provider_health: ProviderHealthBoard,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Parses an answer as sent over the wire. Its body is everything after the headers, whatever they say.
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        Self { status, headers: lines.map(header).collect(), body: body.as_bytes().to_vec() }
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)))
    }

    /// Returns a header, or an empty string.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the ids of a list, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.json()["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl TestServer {
    /// Starts a server on this database, with the settings of development.
    pub(crate) async fn on(database: &TestDatabase) -> Self {
        Self::with(&[("DATABASE_URL", &database.url())]).await
    }

    /// Starts one, and waits until it serves the catalogue from the database.
    pub(crate) async fn seeded(database: &TestDatabase) -> Self {
        let server = Self::on(database).await;
        server.until("/api/models?limit=1", |answer| answer.json()["source"] == "postgres").await;
        server
    }

    /// Starts a server on the database with this URL, and this KV.
    pub(crate) async fn with_kv(url: &str, kv: &FakeKv) -> Self {
        let own = kv.variables();
        let mut variables: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.push(("DATABASE_URL", url));
        Self::with(&variables).await
    }

    /// Starts a server with these variables only. It never reads the environment of the tests or a `.env`.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        Self::at(variables, Clock::system()).await
    }

    /// Starts one on this clock. Sockets, and the limits of calls over them, use real time.
    #[expect(clippy::unused_async, reason = "the server needs the runtime of the caller")]
    pub(crate) async fn at(variables: &[(&str, &str)], clock: Clock) -> Self {
        let own = [("WORKERS", "2"), ("PROBE_PROVIDERS", "false")];
        let environment: Environment = own.iter().chain(variables).copied().collect();
        let config = Config::from_environment(&environment, None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let app = App::start(config, listener, clock).unwrap();
        let (address, provider_health) = (app.address, app.provider_health.clone());
        let metrics_address = app.metrics_address;
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            app.run(async {
                let _ = stopped.await;
            })
            .await
            .unwrap();
        });
        Self { address, metrics_address, client: client(), provider_health, stop: Some(stop), running }
    }

    /// Returns its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of its metrics, with `METRICS_PORT`.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.metrics_address.unwrap()
    }

    /// Sets the status of providers, as probes would. All others become unknown.
    pub(crate) fn set_providers(&self, statuses: &[(&str, ProviderStatus)]) {
        let statuses = statuses.iter().map(|(id, status)| (id.parse().unwrap(), Standing::from(*status)));
        self.provider_health.replace(statuses.collect());
    }

    /// Sends a GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[]).await
    }

    /// Sends any request.
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    /// Sends these bytes on a separate connection and returns the answer until the server closes it.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address()).await.unwrap();
            // The server may cut off a request that it does not read to its end; only its answer counts.
            let _ = stream.write_all(bytes).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap()
    }

    /// Sends a request whose path stays unchanged; a client would normalise it.
    pub(crate) async fn send_raw(&self, method: &str, target: impl AsRef<[u8]>, headers: &str) -> Answer {
        let mut request = format!("{method} ").into_bytes();
        request.extend_from_slice(target.as_ref());
        let rest = format!(" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        request.extend_from_slice(rest.as_bytes());
        Answer::parse(&self.raw(&request).await)
    }

    /// Repeats the request until the answer is as wanted, and returns it. It waits for the state itself, so no test
    /// depends on the time that takes.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let polling = async {
            loop {
                let answer = self.get(path).await;
                if wanted(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if let Ok(answer) = tokio::time::timeout(PATIENCE, polling).await {
            return answer;
        }
        let body = self.get(path).await.body;
        panic!("{path} did not become as wanted: {}", String::from_utf8_lossy(&body));
    }

    /// Waits until health is `healthy`.
    pub(crate) async fn until_healthy(&self) -> Answer {
        self.until("/api/health", |health| health.json()["status"] == "healthy").await
    }

    /// Returns the current health. The server may answer with a document that is up to a second old.
    pub(crate) async fn current_health(&self) -> Value {
        let now = Clock::system().utc();
        let is_current = |answer: &Answer| {
            let written = answer.json()["timestamp"].as_str().unwrap().to_owned();
            OffsetDateTime::parse(&written, &Rfc3339).unwrap() >= now
        };
        self.until("/api/health", is_current).await.json()
    }

    /// Stops it in order and waits for its end.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.running.await.unwrap();
    }
}

/// A client without TLS, since loading the system's root certificates takes longer than most tests.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(20)).tls_certs_only([]).build().unwrap()
}

/// Waits until a state outside of the server is as wanted.
pub(crate) async fn eventually(mut is: impl AsyncFnMut() -> bool) {
    let polling = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, polling).await.is_ok(), "it did not happen");
}
