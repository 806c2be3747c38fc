//! The way to a database over the network, as the driver's own TLS is too trusting.
//!
//! The driver adds every public authority to the root certificate it is given, and answers each server that asks for
//! the password in clear text. So it talks to a socket of this process instead. What arrives there goes to the
//! database through TLS whose roots are exactly those of the settings, and the server's messages are read up to the end
//! of the login. Until then a fault is reported to the driver as PostgreSQL reports its own. Later it only ends the
//! connection, because it may come in the middle of a message.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::task::AbortOnDropHandle;

use super::tls::{Roots, connector};

/// The request for TLS: its length, and a number in the place of the protocol's version.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// Longer than every message of a login; a server that sends a longer one is none.
const LONGEST: u32 = 64 * 1024;
/// How long the goodbye to the server may take.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);
/// The pause after a connection that could not be accepted, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// TLS could not be agreed on, or the server's certificate is not trusted. Not one of PostgreSQL's codes.
pub(super) const CERTIFICATE: &str = "ZT001";
/// A server that is not verified asked for the password in clear text.
pub(super) const CLEAR_TEXT: &str = "ZT002";
/// PostgreSQL's `sqlclient_unable_to_establish_sqlconnection`.
const UNREACHABLE: &str = "08001";

/// Where the database is, and how far it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
}

/// How a connection that leaves the process is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Security {
    /// TLS with a certificate that leads to these roots.
    Verified(Roots),
    /// TLS with any certificate.
    Encrypted,
    /// The same where the server offers TLS.
    Opportunistic,
    /// Clear text.
    Plain,
}

/// A socket of this process that leads to the database, until it is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    folder: PathBuf,
    accepting: AbortOnDropHandle<()>,
}

/// What the driver is told in place of the database's answer.
struct Fault {
    code: &'static str,
    message: String,
}

impl Fault {
    fn certificate(message: impl Into<String>) -> Self {
        Self { code: CERTIFICATE, message: message.into() }
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
    /// The operating system's, such as when no descriptor is left.
    pub(super) fn start(destination: Destination) -> io::Result<Self> {
        let name = format!("chatchonk-{}", uuid::Uuid::now_v7());
        let folder = if cfg!(target_os = "linux") {
            // An abstract name needs no place on the disk, which may be read-only.
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
                    // Other users of this machine have no business here.
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

    /// What the driver takes for the folder of the server's socket.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        if !cfg!(target_os = "linux") {
            // What is left is an empty socket in a folder for temporary files.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn is_ours(driver: &UnixStream) -> bool {
    driver.peer_cred().is_ok_and(|peer| peer.uid() == nix::unistd::geteuid().as_raw())
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection from its first byte to its last.
async fn serve(mut driver: UnixStream, destination: Arc<Destination>) {
    let Ok(startup) = startup_message(&mut driver).await else { return };
    let connected = tokio::select! {
        connected = connect(&destination) => connected,
        // The driver waits for an answer: whatever comes before it means that it gave up.
        _ = driver.read_u8() => return,
    };
    let carried = match connected {
        Ok(server) => carry(&mut driver, server, &startup, &destination.security).await,
        Err(fault) => Err(fault),
    };
    if let Err(fault) = carried {
        // A driver that is gone needs no reason.
        let _ = driver.write_all(&fault.to_message()).await;
    }
}

/// Reads the driver's first message, which has no letter for its kind.
async fn startup_message(driver: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = driver.read_u32().await?;
    let mut message = length.to_be_bytes().to_vec();
    driver.take(u64::from(length.min(LONGEST)).saturating_sub(4)).read_to_end(&mut message).await?;
    Ok(message)
}

async fn connect(destination: &Destination) -> Result<Box<dyn Stream>, Fault> {
    let Destination { host, port, security } = destination;
    let mut server = TcpStream::connect((host.as_str(), *port)).await?;
    server.set_nodelay(true)?;
    let roots = match security {
        Security::Plain => return Ok(Box::new(server)),
        Security::Verified(roots) => Some(roots),
        Security::Encrypted | Security::Opportunistic => None,
    };
    server.write_all(&TLS_REQUEST).await?;
    // This one byte and no more: what follows it in clear text did not come from the server.
    match server.read_u8().await? {
        b'S' => {}
        b'N' if *security == Security::Opportunistic => return Ok(Box::new(server)),
        b'N' => {
            return Err(Fault::certificate(
                "server does not support TLS; on a private network, set DATABASE_TLS=unverified and add \
                 sslmode=disable to DATABASE_URL",
            ));
        }
        _ => return Err(Fault { code: UNREACHABLE, message: "this is not PostgreSQL".to_owned() }),
    }
    let name = ServerName::try_from(host.clone()).map_err(|error| Fault::certificate(error.to_string()))?;
    let connector = connector(roots).await.map_err(Fault::certificate)?;
    Ok(Box::new(connector.connect(name, server).await?))
}

/// Passes on everything in both directions until one side ends.
///
/// # Errors
/// What ends the connection before or between the messages of a login.
async fn carry(
    driver: &mut UnixStream,
    mut server: Box<dyn Stream>,
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
        // An error ends the connection like any other end.
        let _ = copy(&mut from_server, &mut to_driver).await;
        Ok(())
    };
    let requests = async {
        if copy(&mut from_driver, &mut to_server).await.is_err() {
            // The server may have said why it hung up, and the other direction ends as well.
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

/// Passes on the server's messages, each as a whole, until it is ready for statements, which ends the time in which the
/// driver answers a request for the password.
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
            return Err(Fault { code: UNREACHABLE, message: "this is not PostgreSQL".to_owned() });
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

impl Fault {
    /// As PostgreSQL's `ErrorResponse`.
    fn to_message(&self) -> Vec<u8> {
        let fields = format!("SFATAL\0VFATAL\0C{}\0M{}\0\0", self.code, self.message);
        let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
        [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
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

    /// What the driver receives from a server that sends `answer`, of which so much is passed on at once, and then ends the
    /// connection, by a reset or in order.
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
    async fn connection_that_breaks_after_the_login_just_ends() {
        let answer = [WELCOME, HALF_A_ROW].concat();
        for is_reset in [true, false] {
            assert_eq!(received(&answer, answer.len(), is_reset).await, answer);
        }
    }

    #[tokio::test]
    async fn message_of_a_login_is_passed_on_whole_or_not_at_all() {
        for is_reset in [true, false] {
            let reported = received(&WELCOME[..7], 0, is_reset).await;
            assert!(reported.starts_with(b"E") && reported.windows(5).any(|code| code == b"08001"));
        }
    }
}
