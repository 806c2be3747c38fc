//! A log call that blocks delays only the task that makes it.

use std::future::Future;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::{Key, rig};
use crate::support::log::Captured;

#[tokio::test]
async fn a_blocked_log_does_not_block_other_callers() {
    let rig = rig();
    rig.outcome().await;
    let (cache, runtime) = (rig.cache.clone(), tokio::runtime::Handle::current());
    let (log, _installed) = Captured::here_with(LevelFilter::INFO, move || {
        let (cache, runtime, (done, is_done)) = (cache.clone(), runtime.clone(), mpsc::channel());
        std::thread::spawn(move || {
            let _entered = runtime.enter();
            // Another key, since a caller that misses needs every lock that a read can need.
            let mut read = Box::pin(cache.read(&Key(7)));
            let _ = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(5)).expect("a caller waits for the log");
    });
    // A load after an announced change finds the database replaced by an older one, which is logged.
    rig.origin.change();
    rig.catch_up();
    rig.origin.replace(0);
    rig.advance(Duration::from_secs(1)).await;
    rig.cache.refresh(&Key(0)).await.unwrap();
    let lines = log.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("restored or replaced")).count(), 1, "{lines:?}");
}
