//! A fake of all providers' APIs, which misbehaves under the test's control.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use chatchonk::clock::Clock;
use chatchonk::domain::seed::Seed;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::pooler::Authority;
use super::proxy::Stream;

/// A provider's reaction to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers with a list of models.
    Lists,
    /// Answers with this status and body.
    Says(u16, &'static str),
    /// Promises a longer body than it sends.
    BreaksOff,
    /// Sends a body without end.
    Floods,
    /// Closes the connection without an answer.
    HangsUp,
    /// Redirects elsewhere.
    Redirects,
    /// Waits until its behaviour changes, then does as the new one says.
    Waits,
}

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Its time on the test's clock.
    pub(crate) at: OffsetDateTime,
    /// Its provider: the first segment of the path.
    pub(crate) provider: String,
    /// The rest of the path.
    pub(crate) path: String,
    /// The headers, with names in lower case.
    pub(crate) headers: HashMap<String, String>,
}

/// The fake. It serves while the test's runtime lives.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    behaviours: watch::Sender<HashMap<String, Behaviour>>,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// Starts it with every provider listing its models.
    pub(crate) async fn start(clock: Clock) -> Self {
        Self::serving(clock, None).await
    }

    /// Starts it with TLS, as `localhost`.
    pub(crate) async fn with_tls(clock: Clock, authority: &Authority) -> Self {
        Self::serving(clock, Some(authority.acceptor("localhost"))).await
    }

    async fn serving(clock: Clock, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (behaviours, behaviour) = watch::channel(HashMap::new());
        let (received, connections) = (Arc::<Mutex<Vec<Received>>>::default(), Arc::<AtomicUsize>::default());
        tokio::spawn({
            let (received, connections) = (Arc::clone(&received), Arc::clone(&connections));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    let (behaviour, received, clock, tls) =
                        (behaviour.clone(), Arc::clone(&received), clock.clone(), tls.clone());
                    tokio::spawn(async move {
                        let stream: Box<dyn Stream> = match tls {
                            // A client that does not trust the certificate disconnects.
                            Some(tls) => Box::new(tls.accept(stream).await.ok()?),
                            None => Box::new(stream),
                        };
                        serve(stream, behaviour, received, clock).await;
                        Some(())
                    });
                }
            }
        });
        Self { address, behaviours, received, connections }
    }

    /// Returns the `PROVIDER_BASE_URLS` for all providers of the seed.
    pub(crate) fn base_urls(&self) -> String {
        let providers = Seed::builtin().unwrap().providers;
        let pair = |id: &str| format!("{id}=http://{}/{id}", self.address);
        providers.iter().map(|provider| pair(provider.id.as_str())).collect::<Vec<_>>().join(",")
    }

    /// Returns its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the number of opened connections, with or without requests.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Changes the behaviour of one provider.
    pub(crate) fn set(&self, provider: &str, behaviour: Behaviour) {
        self.behaviours.send_modify(|behaviours| _ = behaviours.insert(provider.to_owned(), behaviour));
    }

    /// Returns every request so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Returns the number of requests to the provider.
    pub(crate) fn count(&self, provider: &str) -> usize {
        self.received().iter().filter(|received| received.provider == provider).count()
    }
}

async fn serve(
    mut stream: Box<dyn Stream>,
    mut behaviours: watch::Receiver<HashMap<String, Behaviour>>,
    log: Arc<Mutex<Vec<Received>>>,
    clock: Clock,
) {
    let Some(received) = read(&mut stream, &clock).await else { return };
    let provider = received.provider.clone();
    let mood_of = |behaviours: &HashMap<String, Behaviour>| {
        behaviours.get(&provider).copied().unwrap_or(Behaviour::Lists)
    };
    log.lock().unwrap().push(received);
    let Ok(behaviour) = behaviours
        .wait_for(|behaviours| mood_of(behaviours) != Behaviour::Waits)
        .await
        .map(|behaviours| mood_of(&behaviours))
    else {
        return;
    };
    let whole = |status: u16, body: &str| {
        format!("HTTP/1.1 {status} Fake\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    let answer = match behaviour {
        Behaviour::Lists => whole(200, r#"{"object":"list","data":[{"id":"a-model"}]}"#),
        Behaviour::Says(status, body) => whole(status, body),
        Behaviour::Redirects => {
            "HTTP/1.1 307 Fake\r\nlocation: /elsewhere/models\r\ncontent-length: 0\r\n\r\n".to_owned()
        }
        Behaviour::BreaksOff => "HTTP/1.1 200 Fake\r\ncontent-length: 99\r\n\r\n{\"data\":[]}".to_owned(),
        Behaviour::Floods => "HTTP/1.1 200 Fake\r\nconnection: close\r\n\r\n[".to_owned(),
        Behaviour::HangsUp | Behaviour::Waits => return,
    };
    // The client may have disconnected.
    let mut sent = stream.write_all(answer.as_bytes()).await;
    while sent.is_ok() && behaviour == Behaviour::Floods {
        sent = stream.write_all(&vec![b' '; 64 << 10]).await;
    }
}

async fn read(stream: &mut Box<dyn Stream>, clock: &Clock) -> Option<Received> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(request).unwrap();
    let mut lines = text.split("\r\n");
    let path = lines.next()?.strip_prefix("GET /")?.strip_suffix(" HTTP/1.1")?;
    let (provider, path) = path.split_once('/')?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Some(Received { at: clock.utc(), provider: provider.to_owned(), path: path.to_owned(), headers })
}
