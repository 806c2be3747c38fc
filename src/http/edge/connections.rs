//! Limits the cost of idle and stalled connections.
//!
//! actix-web limits the time for the first head of a connection and for waiting between two requests. It has no limit for
//! a later head, a chunked body or an answer that the client does not read.

use std::any::Any;
use std::cell::Cell;
use std::convert::Infallible;
use std::net::{Shutdown, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use actix_web::dev::{Extensions, ServiceRequest};
use actix_web::rt::net::TcpStream;
use socket2::{SockRef, Socket};
use tokio::sync::oneshot;

use crate::clock::Clock;

/// Idle time of a connection: longer than in any proxy in front, so that the proxy closes it first.
pub const KEEP_ALIVE: Duration = Duration::from_mins(2);
/// Pause between checks of a connection. One without a request since the last check is cut off, 2.5 to 5 minutes after
/// its last request.
const LOOK_EVERY: Duration = Duration::from_secs(150);
/// Length of the accept queue. Once the 128 of `TcpListener::bind` are full, clients retry after a second. Linux
/// caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;
/// `TCP_USER_TIMEOUT`: the kernel drops a connection whose client leaves bytes unread for this long.
const UNTAKEN: Duration = Duration::from_secs(30);

/// Sets the backlog of a bound listener, and how long its clients may leave bytes unread (Linux only).
///
/// # Errors
/// When the system refuses.
pub fn prepare(listener: &TcpListener) -> std::io::Result<()> {
    // A second `listen` only changes the backlog.
    SockRef::from(listener).listen(BACKLOG)?;
    #[cfg(target_os = "linux")]
    SockRef::from(listener).set_tcp_user_timeout(Some(UNTAKEN))?;
    #[cfg(not(target_os = "linux"))]
    let _ = (listener, UNTAKEN);
    Ok(())
}

/// An open connection.
struct Connection {
    requests: Rc<Cell<u64>>,
    /// Dropped with the connection.
    _open: oneshot::Sender<Infallible>,
}

/// Watches a new connection in its own task, on its thread.
pub fn watch(clock: Clock) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
    move |stream, data| {
        // A duplicate, because the connection does not share its handle. Without free handles it is not watched.
        let Some(socket) =
            stream.downcast_ref::<TcpStream>().and_then(|it| SockRef::from(it).try_clone().ok())
        else {
            return;
        };
        let requests = Rc::new(Cell::new(0));
        let (open, closed) = oneshot::channel();
        data.insert(Connection { requests: Rc::clone(&requests), _open: open });
        actix_web::rt::spawn(cut_when_silent(socket, requests, closed, clock.clone()));
    }
}

/// Records a request on its connection.
pub fn heard(request: &ServiceRequest) {
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.requests.set(connection.requests.get().wrapping_add(1));
    }
}

async fn cut_when_silent(
    socket: Socket,
    requests: Rc<Cell<u64>>,
    mut closed: oneshot::Receiver<Infallible>,
    clock: Clock,
) {
    loop {
        let before = requests.get();
        if clock.timeout(LOOK_EVERY, &mut closed).await.is_ok() {
            return;
        }
        if requests.get() == before {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::{Next, from_fn};
    use actix_web::{App, HttpServer, web};
    use time::macros::datetime;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    const ASK: &[u8] = b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n";
    const LIVE: &[u8] = b"it lives";

    async fn ask(connection: &mut TcpStream) {
        connection.write_all(ASK).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(LIVE) {
            assert!(connection.read_buf(&mut answer).await.unwrap() > 0, "it is closed");
        }
    }

    #[test]
    fn a_connection_is_cut_off_that_is_busy_without_ever_asking() {
        actix_web::rt::System::new().block_on(cut_off_whoever_never_asks());
    }

    async fn cut_off_whoever_never_asks() {
        let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = HttpServer::new(|| {
            let layer = |request: ServiceRequest, next: Next<_>| {
                heard(&request);
                next.call(request)
            };
            App::new().wrap(from_fn(layer)).default_service(web::to(async || "it lives"))
        });
        let server =
            server.workers(1).disable_signals().on_connect(watch(clock)).listen(listener).unwrap().run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let mut polite = TcpStream::connect(address).await.unwrap();
        ask(&mut polite).await;
        for busy in [
            "GET /li",
            "G",
            "POST /live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
            "GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        ] {
            let mut connection = TcpStream::connect(address).await.unwrap();
            ask(&mut connection).await;
            connection.write_all(busy.as_bytes()).await.unwrap();
            let ended = actix_web::rt::spawn(async move {
                let mut rest = Vec::new();
                // An end or a reset, as the system likes.
                let _ = connection.read_to_end(&mut rest).await;
            });
            while !ended.is_finished() {
                hand.advance(Duration::from_secs(70));
                ask(&mut polite).await;
            }
        }
        handle.stop(false).await;
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn accepted_connections_have_the_limit_of_the_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        prepare(&listener).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(SockRef::from(&accepted).tcp_user_timeout().unwrap(), Some(UNTAKEN));
    }
}
