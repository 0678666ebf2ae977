//! What a run takes of the real machine: processor time of a thread, memory of a process.
//!
//! Only told, beside results and in benches: nothing that is simulated may depend on it. Next: `outcome`, which keeps it; `pool`, which
//! stops a worker by it.

use std::time::Duration;

/// CPU time of the calling thread so far, to the nanosecond: a run of some microseconds can be told from none.
pub fn thread_cpu() -> Duration {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(at.tv_sec.unsigned_abs(), at.tv_nsec.unsigned_abs() as u32)
}

/// The most memory that a process (`None`: this one) has had resident, bytes; `None` where the system does not tell (Linux does), or it
/// has ended.
pub fn peak_bytes(process: Option<u32>) -> Option<u64> {
    bytes(&status(process)?, "VmHWM:")
}

/// What it has resident now, in the same way.
pub fn resident_bytes(process: Option<u32>) -> Option<u64> {
    bytes(&status(process)?, "VmRSS:")
}

fn status(process: Option<u32>) -> Option<String> {
    let process = process.map_or_else(|| "self".to_owned(), |id| id.to_string());
    std::fs::read_to_string(format!("/proc/{process}/status")).ok()
}

/// A line of `/proc/PID/status` that is in kB.
fn bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_system_are_read() {
        let peak = |status| bytes(status, "VmHWM:");
        assert_eq!(peak("VmPeak:\t9 kB\nVmHWM:\t  2048 kB\n"), Some(2 << 20));
        assert_eq!(peak("VmHWM:\n"), None);
        assert_eq!(peak(""), None);
    }
}
