//! A fake of Cloudflare Workers KV's REST API: its routes, statuses, codes, headers, limits and quirks.
//!
//! It stands in for an account that nobody who runs the tests has. What it answers follows Cloudflare's `OpenAPI`
//! description and what other clients have seen of the live API; it was never compared with the live API itself.
//! Where nothing is known it is said beside the code.
//!
//! # Routes
//!
//! Under `/client/v4`: `user/tokens/verify`, and under `accounts/{account}`: `tokens/verify`,
//! `storage/kv/namespaces` (GET), `…/{namespace}` (GET), `…/values/{key}` (GET, PUT, DELETE), `…/bulk` (PUT) and
//! `…/bulk/delete` (POST). Listing keys, metadata and bulk reads are not there.
//!
//! A request that the description does not allow is refused with a code that Cloudflare does not use, and written down:
//! a test that ends with [`FakeKv::assert_conforming`] proves that what was sent was well-formed.
//!
//! # Steering
//!
//! [`FakeKv::quirks`] changes what the account is like for a while: an outdated answer, a token without rights, small
//! quotas. [`FakeKv::fail_once`] and its kin break single calls: a hanging or cut connection, a web page, half a body.
//! Lifetimes, quotas and delays follow the [`Clock`], so that no test waits for them. Two writes of a key within a
//! second of that clock are refused, as they are by Cloudflare.
//!
//! # Pointing a server at it
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
/// The one token. Its shape is a user's.
pub const TOKEN: &str = "cfut_fake-token-of-the-kv-emulator-0123456789";

/// What the token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Workers KV Storage: Edit.
    Write,
    /// Workers KV Storage: Read.
    Read,
    /// Something else.
    None,
}

/// What the token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// In use, and a user's.
    OfUser,
    /// In use, and the account's own.
    OfAccount,
    /// A user's that was switched off.
    Disabled,
    /// A user's past its end.
    Expired,
    /// None that Cloudflare knows.
    Unknown,
}

/// What the account is like. [`Quirks::default`] is a free account that shows every change at once.
#[derive(Debug, Clone)]
pub struct Quirks {
    /// For so long after a change, reads may show any earlier state of the key, its absence included.
    pub stale_for: Duration,
    /// Which of these states.
    pub which: Which,
    /// For so long after a read found a key absent, it stays absent, whatever is written.
    pub absent_for: Duration,
    /// What the token may do.
    pub access: Access,
    /// What the token is.
    pub token: Token,
    /// Operations a day.
    pub daily: Daily,
    /// Calls in 5 minutes; beyond them all are refused for 5 minutes.
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

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it asked for.
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

/// A running fake, on a thread of its own. Stops when it is dropped.
#[derive(Debug)]
pub struct FakeKv {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: ServerHandle,
}

impl Drop for FakeKv {
    fn drop(&mut self) {
        // The command is sent at once; what it returns is the wait for the end.
        drop(self.server.stop(false));
    }
}

impl FakeKv {
    /// A fake on a port of the loopback address that the system chooses.
    ///
    /// # Errors
    /// When there is none, or no thread.
    pub fn start(clock: Clock) -> std::io::Result<Self> {
        Self::on(TcpListener::bind("127.0.0.1:0")?, clock)
    }

    /// A fake on this listener.
    ///
    /// # Errors
    /// When it cannot be listened on.
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
                // The receiver waits; and a server that ends badly leaves its clients without answers, which they show.
                let _ = send.send(server.as_ref().map(Server::handle).map_err(std::io::Error::kind));
                if let Ok(server) = server {
                    let _ = server.await;
                }
            });
        })?;
        let server = handle.recv().map_err(std::io::Error::other)??;
        Ok(Self { address, shared, server })
    }

    /// `CLOUDFLARE_KV_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}/client/v4/accounts/{ACCOUNT}", self.address)
    }

    /// What the server needs to be told.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("CLOUDFLARE_API_TOKEN", TOKEN.to_owned()),
            ("CLOUDFLARE_ACCOUNT_ID", ACCOUNT.to_owned()),
            ("CLOUDFLARE_KV_NAMESPACE_ID", NAMESPACE.to_owned()),
            ("CLOUDFLARE_KV_BASE_URL", self.base_url()),
        ]
    }

    /// Changes what the account is like.
    pub fn quirks(&self, change: impl FnOnce(&mut Quirks)) {
        change(&mut self.shared.state().quirks);
    }

    /// Breaks the next call of this kind; of any kind, with `None`. Several calls are broken in the order of these orders.
    pub fn fail_once(&self, call: Option<Call>, fault: Fault) {
        self.shared.state().faults.once(call, fault);
    }

    /// Breaks every call of this kind, or of any, until [`heal`](Self::heal).
    pub fn fail_always(&self, call: Option<Call>, fault: Fault) {
        self.shared.state().faults.always(call, fault);
    }

    /// Breaks nothing any more.
    pub fn heal(&self) {
        self.shared.state().faults = Faults::default();
    }

    /// Puts a value there, as if it had been so for ever. Counts for no limit.
    pub fn plant(&self, key: &str, value: &[u8]) {
        self.shared.state().store.plant(key, value);
    }

    /// The value that Cloudflare holds in truth, whatever reads show.
    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.state().store.truth(key, self.shared.clock.utc()).map(|found| found.value.to_vec())
    }

    /// How many calls of a kind have come, broken ones included.
    pub fn calls(&self, call: Call) -> usize {
        self.shared.state().calls.get(&call).copied().unwrap_or_default()
    }

    /// Operations that count for today's quotas: reads, writes (each pair) and deletes (each key).
    pub fn used_today(&self) -> Daily {
        self.shared.state().limits.used_on(self.shared.clock.utc().date())
    }

    /// The requests so far, in order: the latest thousand.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.iter().cloned().collect()
    }

    /// Fails the test if a request was not as the `OpenAPI` description wants it.
    pub fn assert_conforming(&self) {
        let violations = &self.shared.state().violations;
        assert!(violations.is_empty(), "requests that Cloudflare does not describe: {violations:#?}");
    }
}
