//! A fake of Cloudflare Workers KV's REST API: its routes, statuses, codes, headers, limits and quirks.
//!
//! It replaces an account that the tests do not have. Its answers follow Cloudflare's `OpenAPI` description and
//! observations of the live API by other clients; it was never compared with the live API itself. Comments next to the
//! code mark unknown behaviour.
//!
//! # Routes
//!
//! Under `/client/v4`: `user/tokens/verify`, and under `accounts/{account}`: `tokens/verify`,
//! `storage/kv/namespaces` (GET), `…/{namespace}` (GET), `…/values/{key}` (GET, PUT, DELETE), `…/bulk` (PUT) and
//! `…/bulk/delete` (POST). Listing keys, metadata and bulk reads are not implemented.
//!
//! A request that the description does not allow is refused with a code that Cloudflare does not use, and recorded: a
//! test that ends with [`FakeKv::assert_conforming`] proves that its requests were well-formed.
//!
//! # Control
//!
//! [`FakeKv::quirks`] changes the account's behaviour: outdated answers, a token without permissions, small quotas.
//! [`FakeKv::fail_once`] and similar methods break single calls: a hanging or cut connection, a web page, half a body.
//! Lifetimes, quotas and delays follow the [`Clock`], so no test waits for them. Like Cloudflare, the fake refuses two
//! writes of a key within a second of that clock.
//!
//! # Connecting a server
//!
//! With the three usual variables, and
//! `CLOUDFLARE_KV_BASE_URL=http://127.0.0.1:PORT/client/v4/accounts/{account}`: see [`FakeKv::variables`].

mod answer;
mod faults;
mod limits;
mod routes;
mod service;
mod store;

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpServer, web};
use chatchonk::clock::Clock;

pub use faults::Fault;
pub use limits::Daily;
pub use routes::Call;
pub use store::Which;

use faults::Faults;
use limits::Limits;
use store::Store;

/// The one account.
pub const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
/// Its one namespace.
pub const NAMESPACE: &str = "0f2ac74b498b48028cb68387c421e279";
/// The namespace's title.
pub const TITLE: &str = "chatchonk";
/// The one token, in the form of a user's token.
pub const TOKEN: &str = "cfut_fake-token-of-the-kv-emulator-0123456789";

/// The token's permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Workers KV Storage: Edit.
    Write,
    /// Workers KV Storage: Read.
    Read,
    /// Something else.
    None,
}

/// The token's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Active, and owned by a user.
    OfUser,
    /// Active, and owned by the account.
    OfAccount,
    /// A user's token that was disabled.
    Disabled,
    /// A user's token that has expired.
    Expired,
    /// Unknown to Cloudflare.
    Unknown,
}

/// The account's behaviour. [`Quirks::default`] is a free account that shows every change at once.
#[derive(Debug, Clone)]
pub struct Quirks {
    /// The time after a change during which reads may show any earlier state of the key, including its absence.
    pub stale_for: Duration,
    /// The choice among these states.
    pub which: Which,
    /// The time for which a key stays absent after a read found it absent, whatever is written.
    pub absent_for: Duration,
    /// The token's permission.
    pub access: Access,
    /// The token's state.
    pub token: Token,
    /// Operations per day.
    pub daily: Daily,
    /// Calls per 5 minutes; beyond them all calls are refused for 5 minutes.
    pub calls: u64,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            stale_for: Duration::ZERO,
            which: Which::Oldest,
            absent_for: Duration::ZERO,
            access: Access::Write,
            token: Token::OfUser,
            daily: Daily::FREE,
            calls: limits::CALLS,
        }
    }
}

/// A received request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its kind.
    pub call: Call,
    /// GET, PUT, POST or DELETE.
    pub method: String,
    /// Path and query, still encoded.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    quirks: Quirks,
    store: Store,
    limits: Limits,
    faults: Faults,
    calls: HashMap<Call, usize>,
    requests: VecDeque<Request>,
    violations: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running fake, on its own thread. Stops when it is dropped.
#[derive(Debug)]
pub struct FakeKv {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: ServerHandle,
}

impl Drop for FakeKv {
    fn drop(&mut self) {
        // The command is sent at once; the returned future only waits for the end.
        drop(self.server.stop(false));
    }
}

impl FakeKv {
    /// Starts a fake on a loopback port that the system chooses.
    ///
    /// # Errors
    /// If no port or no thread is available.
    pub fn start(clock: Clock) -> std::io::Result<Self> {
        Self::on(TcpListener::bind("127.0.0.1:0")?, clock)
    }

    /// Starts a fake on this listener.
    ///
    /// # Errors
    /// If the listener cannot be used.
    pub fn on(listener: TcpListener, clock: Clock) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { clock, state: Mutex::default() });
        let data = web::Data::from(Arc::clone(&shared));
        let (send, handle) = mpsc::channel();
        std::thread::Builder::new().name("kv-emulator".to_owned()).spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    let body = web::PayloadConfig::new(limits::REQUEST_BYTES);
                    App::new().app_data(data.clone()).app_data(body).default_service(web::to(service::answer))
                };
                let server = HttpServer::new(app).workers(1).disable_signals().listen(listener);
                let server = server.map(HttpServer::run);
                // The receiver waits. If the server fails later, its clients get no answers and show that.
                let _ = send.send(server.as_ref().map(Server::handle).map_err(std::io::Error::kind));
                if let Ok(server) = server {
                    let _ = server.await;
                }
            });
        })?;
        let server = handle.recv().map_err(std::io::Error::other)??;
        Ok(Self { address, shared, server })
    }

    /// Returns the `CLOUDFLARE_KV_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}/client/v4/accounts/{ACCOUNT}", self.address)
    }

    /// Returns the variables that connect a server.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("CLOUDFLARE_API_TOKEN", TOKEN.to_owned()),
            ("CLOUDFLARE_ACCOUNT_ID", ACCOUNT.to_owned()),
            ("CLOUDFLARE_KV_NAMESPACE_ID", NAMESPACE.to_owned()),
            ("CLOUDFLARE_KV_BASE_URL", self.base_url()),
        ]
    }

    /// Changes the account's behaviour.
    pub fn quirks(&self, change: impl FnOnce(&mut Quirks)) {
        change(&mut self.shared.state().quirks);
    }

    /// Breaks the next call of this kind, or of any kind with `None`. Several faults apply in the order of these calls.
    pub fn fail_once(&self, call: Option<Call>, fault: Fault) {
        self.shared.state().faults.once(call, fault);
    }

    /// Breaks every call of this kind, or of any, until [`heal`](Self::heal).
    pub fn fail_always(&self, call: Option<Call>, fault: Fault) {
        self.shared.state().faults.always(call, fault);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.shared.state().faults = Faults::default();
    }

    /// Stores a value as if it had always been there. Counts towards no limit.
    pub fn plant(&self, key: &str, value: &[u8]) {
        self.shared.state().store.plant(key, value);
    }

    /// Returns the value that Cloudflare really has, whatever reads show.
    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.state().store.truth(key, self.shared.clock.utc()).map(|found| found.value.to_vec())
    }

    /// Returns the number of calls of a kind, including broken ones.
    pub fn calls(&self, call: Call) -> usize {
        self.shared.state().calls.get(&call).copied().unwrap_or_default()
    }

    /// Returns the operations that count towards today's quotas: reads, writes (each pair) and deletes (each key).
    pub fn used_today(&self) -> Daily {
        self.shared.state().limits.used_on(self.shared.clock.utc().date())
    }

    /// Returns the latest thousand requests, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.iter().cloned().collect()
    }

    /// Fails the test if a request violates the `OpenAPI` description.
    pub fn assert_conforming(&self) {
        let violations = &self.shared.state().violations;
        assert!(violations.is_empty(), "requests that Cloudflare does not describe: {violations:#?}");
    }
}
