//! A fake trace collector.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Head and body of each request.
type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Records each request. Serves while the test's runtime lives.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    requests: Requests,
}

impl Collector {
    /// Starts a collector that accepts everything or, if it hangs, never answers.
    pub(crate) async fn start(hangs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Requests::default();
        tokio::spawn({
            let requests = Arc::clone(&requests);
            async move {
                let mut kept = Vec::new();
                while let Ok((stream, _)) = listener.accept().await {
                    if hangs {
                        kept.push(stream);
                    } else {
                        tokio::spawn(serve(stream, Arc::clone(&requests)));
                    }
                }
            }
        });
        Self { endpoint, requests }
    }

    /// Returns every request so far.
    pub(crate) fn requests(&self) -> Vec<(String, Vec<u8>)> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns how often these bytes were sent.
    pub(crate) fn count(&self, bytes: &[u8]) -> usize {
        let of = |body: &[u8]| body.windows(bytes.len()).filter(|window| *window == bytes).count();
        self.requests().iter().map(|(_, body)| of(body)).sum()
    }
}

async fn serve(mut stream: TcpStream, requests: Requests) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        requests.lock().unwrap().push((head, body));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
}
