//! A wire between the server and Postgres that a test can cut, hang and mend.

use std::net::SocketAddr;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// How the wire is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    /// Passes everything on.
    Whole,
    /// Breaks every connection, old and new.
    Cut,
    /// Keeps connections open, but passes nothing on.
    Hanging,
}

/// A TCP proxy in front of a database.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    options: PgConnectOptions,
    wire: watch::Sender<Wire>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Proxy {
    /// A whole wire to the database that `options` name.
    pub(crate) async fn to(options: &PgConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (wire, state) = watch::channel(Wire::Whole);
        let upstream = Arc::new(options.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Arc::clone(&upstream), state.clone()));
            }
        });
        Self { address, options: options.clone(), wire }
    }

    /// How the server reaches the database over this wire.
    pub(crate) fn url(&self) -> String {
        let options = &self.options;
        format!(
            "postgres://{}:{}@{}/{}?sslmode=disable",
            options.get_username(),
            super::postgres::PASSWORD,
            self.address,
            options.get_database().unwrap()
        )
    }

    /// Breaks every connection, and new ones at once.
    pub(crate) fn cut(&self) {
        self.wire.send_replace(Wire::Cut);
    }

    /// Lets nothing through any more, without breaking anything.
    pub(crate) fn hang(&self) {
        self.wire.send_replace(Wire::Hanging);
    }

    /// Lets new connections through again; those that hung are broken.
    pub(crate) fn mend(&self) {
        self.wire.send_replace(Wire::Whole);
    }
}

async fn carry(mut client: TcpStream, upstream: Arc<PgConnectOptions>, mut wire: watch::Receiver<Wire>) {
    let now = *wire.borrow_and_update();
    if now == Wire::Whole {
        let Some(mut server) = connect(&upstream).await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            changed = wire.changed() => if changed.is_err() { return },
        }
    }
    if *wire.borrow_and_update() == Wire::Hanging {
        // Held open, with nobody reading, until the state changes.
        let _ = wire.changed().await;
    }
}

async fn connect(upstream: &PgConnectOptions) -> Option<Box<dyn Stream>> {
    let socket = upstream.get_socket().map(|folder| folder.join(format!(".s.PGSQL.{}", upstream.get_port())));
    Some(match socket {
        Some(socket) => Box::new(UnixStream::connect(socket).await.ok()?),
        None => Box::new(TcpStream::connect((upstream.get_host(), upstream.get_port())).await.ok()?),
    })
}

mod tests {
    use std::time::Duration;

    use sqlx::{Connection as _, PgConnection};

    use super::Proxy;
    use crate::support::postgres::database;

    #[tokio::test]
    async fn a_wire_can_be_cut_hung_and_mended() {
        let wire = Proxy::to(&database().await.options()).await;
        let mut connection = PgConnection::connect(&wire.url()).await.unwrap();
        wire.cut();
        assert!(connection.ping().await.is_err());
        assert!(PgConnection::connect(&wire.url()).await.is_err());
        wire.hang();
        let url = wire.url();
        let mut hanging = tokio::spawn(async move { PgConnection::connect(&url).await.is_err() });
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut hanging).await.is_err());
        wire.mend();
        assert!(hanging.await.unwrap());
        assert!(PgConnection::connect(&wire.url()).await.is_ok());
    }
}
