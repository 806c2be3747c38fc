//! What the process inherits from its parent.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The bit of SIGHUP in a signal mask.
const HANG_UP: u64 = 1;

/// Raises the soft limit of file descriptors, mostly 1,024, to the hard limit.
pub(super) fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::info!(%error, "the limit of file descriptors was not raised");
    }
}

/// Whether to listen for SIGHUP. `nohup` starts programs with the signal ignored, and a handler would end that.
/// Returns `false` on systems without `/proc`.
pub(super) fn may_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & HANG_UP == 0)
}
