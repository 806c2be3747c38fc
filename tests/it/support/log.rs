//! Captures the log of one thread. The library's unit tests include this file too.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{DefaultGuard, NoSubscriber};

/// The captured lines, and an action to run while each line is written.
#[derive(Clone)]
pub(crate) struct Captured {
    written: Arc<Mutex<Vec<u8>>>,
    meanwhile: Arc<dyn Fn() + Send + Sync>,
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (self.meanwhile)();
        self.written.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    /// Captures this thread's log up to this level until the guard is dropped.
    pub(crate) fn here(level: LevelFilter) -> (Self, DefaultGuard) {
        Self::here_with(level, || ())
    }

    /// Like [`Self::here`], with an action to run while each line is written.
    pub(crate) fn here_with(
        level: LevelFilter,
        meanwhile: impl Fn() + Send + Sync + 'static,
    ) -> (Self, DefaultGuard) {
        // With one subscriber in the process, `tracing` caches the interest of whichever thread reaches a line first.
        // With two it asks all of them.
        static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
        LazyLock::force(&OTHER);
        let captured = Self { written: Arc::default(), meanwhile: Arc::new(meanwhile) };
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        (captured, tracing::subscriber::set_default(subscriber))
    }

    /// Returns all lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        std::str::from_utf8(&written).unwrap().lines().map(|line| line.trim().to_owned()).collect()
    }
}
