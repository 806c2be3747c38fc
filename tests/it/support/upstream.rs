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
pub(crate) enum Mood {
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
    /// Waits until its mood changes, then does as the new one says.
    Waits,
}

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
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
    moods: watch::Sender<HashMap<String, Mood>>,
    asked: Arc<Mutex<Vec<Asked>>>,
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
        let (moods, mood) = watch::channel(HashMap::new());
        let (asked, connections) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicUsize>::default());
        tokio::spawn({
            let (asked, connections) = (Arc::clone(&asked), Arc::clone(&connections));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    let (mood, asked, clock, tls) =
                        (mood.clone(), Arc::clone(&asked), clock.clone(), tls.clone());
                    tokio::spawn(async move {
                        let stream: Box<dyn Stream> = match tls {
                            // A client that does not trust the certificate disconnects.
                            Some(tls) => Box::new(tls.accept(stream).await.ok()?),
                            None => Box::new(stream),
                        };
                        serve(stream, mood, asked, clock).await;
                        Some(())
                    });
                }
            }
        });
        Self { address, moods, asked, connections }
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

    /// Changes the mood of one provider.
    pub(crate) fn becomes(&self, provider: &str, mood: Mood) {
        self.moods.send_modify(|moods| _ = moods.insert(provider.to_owned(), mood));
    }

    /// Returns every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns the number of requests to the provider.
    pub(crate) fn count(&self, provider: &str) -> usize {
        self.asked().iter().filter(|asked| asked.provider == provider).count()
    }
}

async fn serve(
    mut stream: Box<dyn Stream>,
    mut moods: watch::Receiver<HashMap<String, Mood>>,
    log: Arc<Mutex<Vec<Asked>>>,
    clock: Clock,
) {
    let Some(asked) = read(&mut stream, &clock).await else { return };
    let provider = asked.provider.clone();
    let mood_of = |moods: &HashMap<String, Mood>| moods.get(&provider).copied().unwrap_or(Mood::Lists);
    log.lock().unwrap().push(asked);
    let Ok(mood) = moods.wait_for(|moods| mood_of(moods) != Mood::Waits).await.map(|moods| mood_of(&moods))
    else {
        return;
    };
    let whole = |status: u16, body: &str| {
        format!("HTTP/1.1 {status} Fake\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    let answer = match mood {
        Mood::Lists => whole(200, r#"{"object":"list","data":[{"id":"a-model"}]}"#),
        Mood::Says(status, body) => whole(status, body),
        Mood::Redirects => {
            "HTTP/1.1 307 Fake\r\nlocation: /elsewhere/models\r\ncontent-length: 0\r\n\r\n".to_owned()
        }
        Mood::BreaksOff => "HTTP/1.1 200 Fake\r\ncontent-length: 99\r\n\r\n{\"data\":[]}".to_owned(),
        Mood::Floods => "HTTP/1.1 200 Fake\r\nconnection: close\r\n\r\n[".to_owned(),
        Mood::HangsUp | Mood::Waits => return,
    };
    // The client may have disconnected.
    let mut sent = stream.write_all(answer.as_bytes()).await;
    while sent.is_ok() && mood == Mood::Floods {
        sent = stream.write_all(&vec![b' '; 64 << 10]).await;
    }
}

async fn read(stream: &mut Box<dyn Stream>, clock: &Clock) -> Option<Asked> {
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
    Some(Asked { at: clock.utc(), provider: provider.to_owned(), path: path.to_owned(), headers })
}
