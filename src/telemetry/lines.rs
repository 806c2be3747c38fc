//! Writes log lines to standard error without blocking the caller.
//!
//! One thread writes the lines of a bounded queue. If it is blocked, lines beyond the bound are dropped and counted, and the
//! log reports their number once lines flow again.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// How many lines may wait.
const MAX_LINES: usize = 4_096;

/// Lines in the queue, and the one that is being written.
static WAITING: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// A line that the writing thread logs itself. It bypasses the queue, so it is not dropped.
    static OWN_LINE: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Returns how many lines this process has dropped.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The log of the process. Dropping it writes the waiting lines, for at most a second.
#[derive(Debug)]
pub struct Log {
    pub(super) lines: Lines,
    _worker: WorkerGuard,
}

impl Log {
    /// Opens the log on a duplicate of standard error's descriptor. `std::io::stderr()` has a lock, which another writer may
    /// hold while the pipe is full.
    pub fn open() -> Self {
        match io::stderr().as_fd().try_clone_to_owned().map(OwnedFd::into) {
            Ok(file) => Self::to(Descriptor(file)),
            // An empty buffer takes no line, so each counts as dropped.
            Err(_) => Self::to(<&mut [u8]>::default()),
        }
    }

    fn to(to: impl Write + Send + 'static) -> Self {
        let output = Output { to, reported: dropped_lines(), flows: true };
        // One place is for the message that ends the thread. Without it, `WorkerGuard` prints to standard output, which may
        // be a full pipe.
        let builder = NonBlockingBuilder::default().buffered_lines_limit(MAX_LINES + 1).lossy(true);
        let (queue, worker) = builder.thread_name("log").finish(output);
        Self { lines: Lines(queue), _worker: worker }
    }

    /// Writes a text as it is: for final messages, and before a subscriber is installed.
    pub fn say(&self, text: &str) {
        self.lines.say(text);
    }

    /// Reports every panic of the process in this log.
    pub fn report_panics(&self) {
        let lines = self.lines.clone();
        panic::set_hook(Box::new(move |panic| report(panic, &lines)));
    }
}

fn report(panic: &PanicHookInfo<'_>, lines: &Lines) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no message");
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(thread, place, backtrace, "a thread panicked: {message}");
    } else {
        lines.say(&format!("chatchonk: thread {thread} panicked at {place}: {message}"));
    }
}

/// Queues log lines. Each `write` counts as one line, as the subscriber's layers call it.
#[derive(Debug, Clone)]
pub(super) struct Lines(NonBlocking);

impl Lines {
    fn say(&self, text: &str) {
        let _ = self.clone().write(format!("{}\n", text.trim_end()).as_bytes());
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if OWN_LINE.with_borrow_mut(|own| own.as_mut().map(|own| own.extend_from_slice(line)).is_some()) {
            return Ok(line.len());
        }
        let has_place = |count: usize| (count < MAX_LINES).then_some(count + 1);
        if WAITING.fetch_update(Ordering::AcqRel, Ordering::Acquire, has_place).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return Ok(line.len());
        }
        // The queue has a free place, so this never fails.
        self.0.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The output of the thread, which calls `write` per line and `flush` when the queue is empty.
struct Output<W> {
    to: W,
    /// How many dropped lines the log has reported.
    reported: u64,
    /// Whether the last line was written.
    flows: bool,
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.flows = self.to.write_all(line).is_ok();
        WAITING.fetch_sub(1, Ordering::AcqRel);
        if !self.flows {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let dropped = dropped_lines();
        if !self.flows || dropped == self.reported {
            return Ok(());
        }
        let lost = dropped - self.reported;
        OWN_LINE.set(Some(Vec::new()));
        tracing::warn!(lost, "{lost} log lines were dropped: standard error was not read, or failed");
        let line = OWN_LINE.take().unwrap_or_default();
        self.flows = self.to.write_all(&line).is_ok();
        if self.flows {
            self.reported = dropped;
        }
        Ok(())
    }
}

/// A descriptor that another process may have made non-blocking, such as a shared terminal.
struct Descriptor(File);

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::{LogFormat, TelemetrySettings, dispatch};
    use super::*;

    /// Keeps everything that is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_a_line_of_the_log_with_or_without_subscriber() {
        let kept = Kept::default();
        let log = Log::to(kept.clone());
        let (lines, own, previous) = (log.lines.clone(), std::thread::current().id(), panic::take_hook());
        // Panics of other tests go to the previous hook.
        panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() == own { report(panic, &lines) } else { previous(panic) }
        }));
        let number = 42;
        assert!(panic::catch_unwind(|| panic!("early {number}")).is_err());
        let settings =
            TelemetrySettings { filter: "info".to_owned(), format: LogFormat::Json, colour: false };
        let dispatch = dispatch(&log, &settings, None).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            assert!(panic::catch_unwind(|| panic!("late")).is_err());
        });
        drop(panic::take_hook());
        drop(log);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let [early, late] = text.lines().collect::<Vec<_>>()[..] else { panic!("not two lines: {text}") };
        assert!(early.starts_with("chatchonk: thread ") && early.ends_with(": early 42"), "{early}");
        assert!(late.starts_with('{') && late.contains("a thread panicked: late"), "{late}");
        assert!(late.contains("lines.rs:"), "{late}");
    }
}
