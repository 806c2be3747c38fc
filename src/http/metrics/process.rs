//! Resource use of this process. Values that the system does not offer, such as those of `/proc`, are `None`.

use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike as _;

#[derive(Debug, Default)]
pub(super) struct Process {
    pub resident_bytes: Option<u64>,
    pub threads: Option<u64>,
    pub open_files: Option<u64>,
    pub max_files: Option<u64>,
    pub cpu: Option<Duration>,
}

impl Process {
    /// Reads `/proc`, which does not block.
    pub fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let cpu = getrusage(UsageWho::RUSAGE_SELF).ok().and_then(|usage| {
            let used = usage.user_time() + usage.system_time();
            let microseconds = u64::try_from(used.num_microseconds()).ok()?;
            Some(Duration::from_micros(microseconds))
        });
        Self {
            resident_bytes: number("VmRSS").map(|kibibytes| kibibytes * 1_024),
            threads: number("Threads"),
            open_files: std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
            max_files: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
            cpu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_reports_every_value() {
        let before = Process::read();
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 1 << 20);
        assert!(process.threads.unwrap() >= 1);
        assert!(process.open_files.unwrap() <= process.max_files.unwrap());
        assert!(process.cpu.unwrap() >= before.cpu.unwrap());
        drop(file);
    }
}
