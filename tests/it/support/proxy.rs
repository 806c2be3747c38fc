//! A connection between the server and Postgres that a test can cut, hang and restore.

use std::net::SocketAddr;
use std::sync::Arc;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Forwards everything.
    Whole,
    /// Breaks every connection, old and new.
    Cut,
    /// Keeps connections open, but forwards nothing.
    Hanging,
}

/// A TCP proxy in front of a database.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    options: PgConnectOptions,
    link: watch::Sender<Link>,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Proxy {
    /// Starts a proxy to the database that `options` name.
    pub(crate) async fn to(options: &PgConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (link, state) = watch::channel(Link::Whole);
        let upstream = Arc::new(options.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Arc::clone(&upstream), state.clone()));
            }
        });
        Self { address, options: options.clone(), link }
    }

    /// Returns the server's `DATABASE_URL` through this proxy.
    pub(crate) fn url(&self) -> String {
        let mut url = self.options.to_url_lossy();
        url.set_ip_host(self.address.ip()).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.set_query(Some("sslmode=disable"));
        url.into()
    }

    /// Breaks every connection, and new ones at once.
    pub(crate) fn cut(&self) {
        self.link.send_replace(Link::Cut);
    }

    /// Stops forwarding without breaking connections.
    pub(crate) fn hang(&self) {
        self.link.send_replace(Link::Hanging);
    }

    /// Lets new connections through again; those that hung are broken.
    pub(crate) fn restore(&self) {
        self.link.send_replace(Link::Whole);
    }
}

async fn carry(mut client: TcpStream, upstream: Arc<PgConnectOptions>, mut link: watch::Receiver<Link>) {
    let now = *link.borrow_and_update();
    if now == Link::Whole {
        let Some(mut server) = connect(&upstream).await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            changed = link.changed() => if changed.is_err() { return },
        }
    }
    if *link.borrow_and_update() == Link::Hanging {
        // Held open without a reader until the state changes.
        let _ = link.changed().await;
    }
}

pub(super) async fn connect(upstream: &PgConnectOptions) -> Option<Box<dyn Stream>> {
    let socket = upstream.get_socket().map(|folder| folder.join(format!(".s.PGSQL.{}", upstream.get_port())));
    Some(match socket {
        Some(socket) => Box::new(UnixStream::connect(socket).await.ok()?),
        None => Box::new(TcpStream::connect((upstream.get_host(), upstream.get_port())).await.ok()?),
    })
}
