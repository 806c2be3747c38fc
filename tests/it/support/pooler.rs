//! Everything between the server and a database at Supabase: TLS, and a pooler that may refuse clients.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatchonk::clock::Clock;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::proxy::{Stream, connect};

/// A name of this machine that, unlike a loopback address, may belong to another machine.
pub(crate) const REMOTE: &str = "0.0.0.0";
/// The first message of a client that wants TLS: its length, and a code instead of a version.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// An error sent instead of a welcome.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
    /// The delay before it is sent.
    pub(crate) delay: Duration,
}

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns the certificate for `PGSSLROOTCERT`.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// TLS with a certificate for this host, valid today.
    pub(crate) fn acceptor(&self, host: &str) -> TlsAcceptor {
        self.acceptor_for(host, -1..1)
    }

    fn acceptor_for(&self, host: &str, days: std::ops::Range<i64>) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        let day = |days| Clock::system().utc() + time::Duration::days(days);
        (params.not_before, params.not_after) = (day(days.start), day(days.end));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A pooler in front of a database.
pub(crate) struct Pooler {
    address: SocketAddr,
    options: PgConnectOptions,
    behaviour: Arc<Behaviour>,
}

struct Behaviour {
    tls: Option<TlsAcceptor>,
    refusal: Mutex<Option<Refusal>>,
    refused: AtomicUsize,
    cut: Notify,
    /// The message that a man in the middle sends instead of a welcome.
    request: Mutex<Option<Vec<u8>>>,
    /// Everything it received after that, from all clients.
    received: Mutex<Vec<u8>>,
    /// The last client's first message.
    greeting: Mutex<Vec<u8>>,
}

impl Pooler {
    /// Starts a pooler without TLS that accepts all clients.
    pub(crate) async fn to(options: &PgConnectOptions) -> Self {
        Self::start(options, None).await
    }

    /// Starts one with a certificate for `host`.
    pub(crate) async fn with_tls(options: &PgConnectOptions, authority: &Authority, host: &str) -> Self {
        Self::start(options, Some(authority.acceptor(host))).await
    }

    /// Starts one whose certificate for `host` expired yesterday.
    pub(crate) async fn expired(options: &PgConnectOptions, authority: &Authority, host: &str) -> Self {
        Self::start(options, Some(authority.acceptor_for(host, -3..-1))).await
    }

    async fn start(options: &PgConnectOptions, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let refusal = Mutex::default();
        let behaviour = Arc::new(Behaviour {
            tls,
            refusal,
            refused: AtomicUsize::new(0),
            cut: Notify::new(),
            request: Mutex::default(),
            received: Mutex::default(),
            greeting: Mutex::default(),
        });
        let (upstream, shared) = (options.clone(), Arc::clone(&behaviour));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, behaviour) = (upstream.clone(), Arc::clone(&shared));
                // The test ignores clients that disconnect early.
                tokio::spawn(async move { serve(client, &upstream, &behaviour).await });
            }
        });
        Self { address, options: options.clone(), behaviour }
    }

    /// Returns the server's URL for it, with the host name of the certificate.
    pub(crate) fn url(&self, ssl_mode: &str) -> String {
        self.url_at("localhost", &format!("sslmode={ssl_mode}"))
    }

    /// Returns a URL that addresses it as another machine.
    pub(crate) fn remote_url(&self, query: &str) -> String {
        self.url_at(REMOTE, query)
    }

    fn url_at(&self, host: &str, query: &str) -> String {
        let mut url = self.options.to_url_lossy();
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.set_query((!query.is_empty()).then_some(query));
        url.into()
    }

    /// Acts as a man in the middle: sends `request` instead of a welcome and records the replies.
    pub(crate) fn request(&self, request: &[u8]) {
        *self.behaviour.request.lock().unwrap() = Some(request.to_vec());
    }

    /// Returns everything that clients sent to the man in the middle after its request.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.behaviour.received.lock().unwrap().clone()
    }

    /// Returns user, database and options of the last client.
    pub(crate) fn greeting(&self) -> String {
        String::from_utf8_lossy(&self.behaviour.greeting.lock().unwrap()).into_owned()
    }

    /// Ends all sessions and refuses new ones.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        *self.behaviour.refusal.lock().unwrap() = Some(refusal);
        self.behaviour.cut.notify_waiters();
    }

    /// Accepts sessions again.
    pub(crate) fn accept(&self) {
        *self.behaviour.refusal.lock().unwrap() = None;
    }

    /// Returns the number of refused sessions.
    pub(crate) fn refused(&self) -> usize {
        self.behaviour.refused.load(Ordering::Relaxed)
    }
}

async fn serve(mut client: TcpStream, upstream: &PgConnectOptions, behaviour: &Behaviour) -> Option<()> {
    let mut first = message(&mut client).await?;
    let mut client: Box<dyn Stream> = if first == TLS_REQUEST {
        client.write_all(if behaviour.tls.is_some() { b"S" } else { b"N" }).await.ok()?;
        let mut client: Box<dyn Stream> = match &behaviour.tls {
            Some(tls) => Box::new(tls.accept(client).await.ok()?),
            None => Box::new(client),
        };
        first = message(&mut client).await?;
        client
    } else {
        Box::new(client)
    };
    behaviour.greeting.lock().unwrap().clone_from(&first);
    let refusal = behaviour.refusal.lock().unwrap().clone();
    if let Some(Refusal { code, message, delay }) = refusal {
        behaviour.refused.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(delay).await;
        client.write_all(&error(code, message)).await.ok()?;
        return client.shutdown().await.ok();
    }
    let request = behaviour.request.lock().unwrap().clone();
    if let Some(request) = request {
        client.write_all(&request).await.ok()?;
        client.flush().await.ok()?;
        let mut byte = [0];
        while client.read_exact(&mut byte).await.is_ok() {
            behaviour.received.lock().unwrap().push(byte[0]);
        }
        return None;
    }
    let mut server = connect(upstream).await?;
    server.write_all(&first).await.ok()?;
    tokio::select! {
        copied = copy_bidirectional(&mut client, &mut server) => copied.ok().map(drop),
        () = behaviour.cut.notified() => None,
    }
}

/// Reads a message of the start-up phase, which has no type byte.
async fn message(client: &mut (impl Stream + ?Sized)) -> Option<Vec<u8>> {
    let mut message = client.read_u32().await.ok()?.to_be_bytes().to_vec();
    let length = u32::from_be_bytes(message[..].try_into().unwrap());
    message.resize(usize::try_from(length).unwrap(), 0);
    client.read_exact(&mut message[4..]).await.ok()?;
    Some(message)
}

fn error(code: &str, message: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap();
    [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
}
