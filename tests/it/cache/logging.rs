//! What the cache logs, and when: a log that blocks holds up only the task that writes to it.

use std::future::Future;
use std::io::Write;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use tracing::subscriber::DefaultGuard;

use super::{Key, rig};

/// What the log has, and what happens while a line is written to it.
#[derive(Clone)]
struct Log {
    written: Arc<Mutex<Vec<u8>>>,
    meanwhile: Arc<dyn Fn() + Send + Sync>,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (self.meanwhile)();
        self.written.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Installs it for this thread.
    fn during(meanwhile: impl Fn() + Send + Sync + 'static) -> (Self, DefaultGuard) {
        let log = Self { written: Arc::default(), meanwhile: Arc::new(meanwhile) };
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn a_blocked_log_does_not_block_other_callers() {
    let rig = rig();
    rig.outcome().await;
    let (cache, runtime) = (rig.cache.clone(), tokio::runtime::Handle::current());
    let (log, _installed) = Log::during(move || {
        let (cache, runtime, (done, is_done)) = (cache.clone(), runtime.clone(), mpsc::channel());
        std::thread::spawn(move || {
            let _entered = runtime.enter();
            // Another key: a caller that misses needs every lock that a read can need.
            let mut read = Box::pin(cache.read(&Key(7)));
            let _ = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(5)).expect("a caller waits for the log");
    });
    // A load, as what is held is outdated, finds the database replaced by an older one, which is worth a line.
    rig.origin.change();
    rig.catch_up();
    rig.origin.replace(0);
    rig.advance(Duration::from_secs(1)).await;
    rig.cache.refresh(&Key(0)).await.unwrap();
    let lines = log.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("restored or replaced")).count(), 1, "{lines:?}");
}
