//! Connects the driver to a remote database through our own TLS, because the driver's trusts too much.
//!
//! The driver adds every public authority to the given root certificate, and sends any server the password in clear
//! text on request. So it connects to a socket of this process, and the relay connects to the database through TLS that
//! trusts only the configured roots. Until the login ends, the relay reads the server's messages and reports faults as
//! PostgreSQL errors. Later a fault only closes the connection, because it may be inside a message.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;
use tokio_util::task::AbortOnDropHandle;

use super::tls::{Roots, connector};

/// PostgreSQL's `SSLRequest`: its length, and a code in place of the protocol version.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// Longer than any message of a login; a longer one is not PostgreSQL's.
const LONGEST: u32 = 64 * 1024;
/// Limit for shutting down the connection to the server.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);
/// Pause after a failed accept, such as without free descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// TLS failed, or the certificate is not trusted. Not a PostgreSQL code.
pub(super) const CERTIFICATE: &str = "ZT001";
/// An unverified server requested the password in clear text.
pub(super) const CLEAR_TEXT: &str = "ZT002";
/// PostgreSQL's `sqlclient_unable_to_establish_sqlconnection`.
const UNREACHABLE: &str = "08001";

/// Address and security of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
}

/// Protection of a connection that leaves the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Security {
    /// TLS with a certificate that chains to these roots.
    Verified(Roots),
    /// TLS with any certificate.
    Encrypted,
    /// TLS with any certificate, if the server offers TLS.
    Opportunistic,
    /// Clear text.
    Plain,
}

/// A local socket that leads to the database until dropped.
#[derive(Debug)]
pub(super) struct Relay {
    folder: PathBuf,
    accepting: AbortOnDropHandle<()>,
}

/// An error reported to the driver in place of the database's answer.
struct Fault {
    code: &'static str,
    message: String,
}

impl Fault {
    fn certificate(message: impl Into<String>) -> Self {
        Self { code: CERTIFICATE, message: message.into() }
    }

    fn not_postgres() -> Self {
        Self { code: UNREACHABLE, message: "this is not PostgreSQL".to_owned() }
    }

    /// Encodes it as PostgreSQL's `ErrorResponse`.
    fn to_message(&self) -> Vec<u8> {
        let fields = format!("SFATAL\0VFATAL\0C{}\0M{}\0\0", self.code, self.message);
        let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
        [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        // rustls reports a refused certificate as invalid data.
        let code = if error.kind() == io::ErrorKind::InvalidData { CERTIFICATE } else { UNREACHABLE };
        Self { code, message: error.to_string() }
    }
}

impl Relay {
    /// Opens the socket.
    ///
    /// # Errors
    /// The operating system's error, such as without free descriptors.
    pub(super) fn start(destination: Destination) -> io::Result<Self> {
        let name = format!("chatchonk-{}", uuid::Uuid::now_v7());
        let folder = if cfg!(target_os = "linux") {
            // An abstract name needs no writable disk.
            PathBuf::from(format!("\0{name}"))
        } else {
            let folder = Path::new("/tmp").join(name);
            std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
            folder
        };
        let listener = UnixListener::bind(folder.join(format!(".s.PGSQL.{}", destination.port)))?;
        let destination = Arc::new(destination);
        let accepting = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    // Other users of this machine are refused.
                    Ok((driver, _)) if is_ours(&driver) => {
                        tokio::spawn(serve(driver, Arc::clone(&destination)));
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
        });
        Ok(Self { folder, accepting: AbortOnDropHandle::new(accepting) })
    }

    /// Returns the folder to give the driver as the server's socket folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        if !cfg!(target_os = "linux") {
            // A failure leaves only an empty socket in a temporary folder.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn is_ours(driver: &UnixStream) -> bool {
    driver.peer_cred().is_ok_and(|peer| peer.uid() == nix::unistd::geteuid().as_raw())
}

/// A connection to the server, in clear text or TLS.
type Server = Either<TcpStream, TlsStream<TcpStream>>;
/// Serves one connection of the driver.
async fn serve(mut driver: UnixStream, destination: Arc<Destination>) {
    let Ok(startup) = startup_message(&mut driver).await else { return };
    let connected = tokio::select! {
        connected = connect(&destination) => connected,
        // The driver waits for an answer, so any byte or end of stream means that it gave up.
        _ = driver.read_u8() => return,
    };
    let carried = match connected {
        Ok(server) => carry(&mut driver, server, &startup, &destination.security).await,
        Err(fault) => Err(fault),
    };
    if let Err(fault) = carried {
        // The driver may be gone.
        let _ = driver.write_all(&fault.to_message()).await;
    }
}

/// Reads the startup message, which has no type byte.
async fn startup_message(driver: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = driver.read_u32().await?;
    let mut message = length.to_be_bytes().to_vec();
    driver.take(u64::from(length.min(LONGEST)).saturating_sub(4)).read_to_end(&mut message).await?;
    Ok(message)
}

async fn connect(destination: &Destination) -> Result<Server, Fault> {
    let Destination { host, port, security } = destination;
    let mut server = TcpStream::connect((host.as_str(), *port)).await?;
    server.set_nodelay(true)?;
    let roots = match security {
        Security::Plain => return Ok(Either::Left(server)),
        Security::Verified(roots) => Some(roots),
        Security::Encrypted | Security::Opportunistic => None,
    };
    server.write_all(&TLS_REQUEST).await?;
    // Exactly one byte: clear text after it could be injected.
    match server.read_u8().await? {
        b'S' => {}
        b'N' if *security == Security::Opportunistic => return Ok(Either::Left(server)),
        b'N' => {
            return Err(Fault::certificate(
                "server does not support TLS; on a private network, set DATABASE_TLS=unverified and add \
                 sslmode=disable to DATABASE_URL",
            ));
        }
        _ => return Err(Fault::not_postgres()),
    }
    let name = ServerName::try_from(host.clone()).map_err(|error| Fault::certificate(error.to_string()))?;
    let connector = connector(roots).await.map_err(Fault::certificate)?;
    Ok(Either::Right(connector.connect(name, server).await?))
}

/// Copies in both directions until one side ends.
///
/// # Errors
/// The fault that ends the connection before or between the messages of a login.
async fn carry(
    driver: &mut UnixStream,
    mut server: Server,
    startup: &[u8],
    security: &Security,
) -> Result<(), Fault> {
    server.write_all(startup).await?;
    server.flush().await?;
    let (mut from_server, mut to_server) = split(server);
    let (mut from_driver, mut to_driver) = driver.split();
    let is_verified = matches!(security, Security::Verified(_));
    let answers = async {
        watch_login(&mut from_server, &mut to_driver, is_verified).await?;
        // An error here ends the connection like any other end.
        let _ = copy(&mut from_server, &mut to_driver).await;
        Ok(())
    };
    let requests = async {
        if copy(&mut from_driver, &mut to_server).await.is_err() {
            // The server may have sent the reason; the other direction ends as well.
            std::future::pending::<()>().await;
        }
    };
    let carried = tokio::select! {
        answered = answers => answered,
        () = requests => Ok(()),
    };
    let _ = tokio::time::timeout(GOODBYE_LIMIT, to_server.shutdown()).await;
    carried
}

/// Forwards the server's messages, each as a whole, until `ReadyForQuery`. After it the driver no longer answers password
/// requests.
async fn watch_login(
    server: &mut (impl AsyncRead + Unpin),
    driver: &mut (impl AsyncWrite + Unpin),
    is_verified: bool,
) -> Result<(), Fault> {
    const AUTHENTICATION: u8 = b'R';
    const CLEAR_TEXT_PASSWORD: &[u8] = &[0, 0, 0, 3];
    const READY_FOR_QUERY: u8 = b'Z';
    loop {
        let kind = server.read_u8().await?;
        let length = server.read_u32().await?;
        if !(4..=LONGEST).contains(&length) {
            return Err(Fault::not_postgres());
        }
        let mut message = [&[kind], &length.to_be_bytes()[..]].concat();
        message.resize(length as usize + 1, 0);
        server.read_exact(&mut message[5..]).await?;
        if !is_verified && kind == AUTHENTICATION && message[5..].starts_with(CLEAR_TEXT_PASSWORD) {
            let message = "an unverified connection does not answer a request for the password in clear text";
            return Err(Fault { code: CLEAR_TEXT, message: message.to_owned() });
        }
        driver.write_all(&message).await?;
        if kind == READY_FOR_QUERY {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// `AuthenticationOk` and `ReadyForQuery`.
    const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    /// The beginning of a row.
    const HALF_A_ROW: &[u8] = b"D\0\0\0\x40\0\x01";

    /// Returns what the driver receives from a server that sends `answer`, of which `passed_on` bytes arrive at once, and
    /// then ends the connection, by a reset or in order.
    async fn received(answer: &[u8], passed_on: usize, is_reset: bool) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (host, port) = ("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
        let relay = Relay::start(Destination { host, port, security: Security::Plain }).unwrap();
        let socket = relay.folder().join(format!(".s.PGSQL.{port}"));
        let mut driver = UnixStream::connect(socket).await.unwrap();
        driver.write_all(b"\0\0\0\x08\0\x03\0\0").await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.read_exact(&mut [0; 8]).await.unwrap();
        server.write_all(answer).await.unwrap();
        let mut received = vec![0; passed_on];
        driver.read_exact(&mut received).await.unwrap();
        if is_reset {
            server.set_zero_linger().unwrap();
        }
        drop(server);
        driver.read_to_end(&mut received).await.unwrap();
        received
    }

    #[tokio::test]
    async fn break_after_login_closes_the_connection() {
        let answer = [WELCOME, HALF_A_ROW].concat();
        for is_reset in [true, false] {
            assert_eq!(received(&answer, answer.len(), is_reset).await, answer);
        }
    }

    #[tokio::test]
    async fn login_messages_are_forwarded_whole_or_not_at_all() {
        for is_reset in [true, false] {
            let reported = received(&WELCOME[..7], 0, is_reset).await;
            assert!(reported.starts_with(b"E") && reported.windows(5).any(|code| code == b"08001"));
        }
    }
}
