//! What the operating system says about this very process: memory, CPU, open files. Behind `OsEnv` only; a simulated machine
//! has none of it, and its metrics leave it out.
//!
//! Read from `/proc`, so there is nothing to tell where that is missing.

use std::{fs, time::Duration};

/// What a process has used and holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessStats {
    /// Resident memory.
    pub resident_bytes: u64,
    /// User and system time of all threads.
    pub cpu: Duration,
    /// When it started, since 1970.
    pub start_unix: Duration,
    /// Open file descriptors.
    pub open_files: u64,
    /// How many it may open.
    pub open_files_max: u64,
}

/// Time of all processors of a machine together, in ticks of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// All of it.
    pub total: u64,
    /// With nothing to do, or waiting for a disk.
    pub idle: u64,
    /// How many processors there are.
    pub processors: u32,
}

impl CpuTimes {
    /// Those of this machine; `None` where the system does not tell.
    pub(super) fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// Of `/proc/stat`: `cpu user nice system idle iowait irq softirq steal guest guest_nice`. What guests take is in `user` and
    /// `nice` already.
    fn parse(text: &str) -> Option<Self> {
        let all = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let times: Option<Vec<u64>> = all
            .split_ascii_whitespace()
            .take(8)
            .map(|n| n.parse().ok())
            .collect();
        let times = times.filter(|times| times.len() >= 4)?;
        let is_one = |line: &&str| {
            let number = line
                .strip_prefix("cpu")
                .and_then(|rest| rest.bytes().next());
            number.is_some_and(|b| b.is_ascii_digit())
        };
        Some(Self {
            total: times.iter().fold(0, |sum, time| sum.saturating_add(*time)),
            idle: times[3].saturating_add(times.get(4).copied().unwrap_or(0)),
            processors: text.lines().filter(is_one).count().max(1) as u32,
        })
    }

    /// Processors that had nothing to do between an earlier reading and this one; `None` if no time has passed.
    pub fn idle_processors_since(&self, earlier: &Self) -> Option<f64> {
        let total = self
            .total
            .checked_sub(earlier.total)
            .filter(|total| *total > 0)?;
        let idle = self.idle.saturating_sub(earlier.idle).min(total);
        Some(idle as f64 / total as f64 * f64::from(self.processors))
    }
}

impl ProcessStats {
    /// Those of this process; `None` where the system does not tell.
    pub(super) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        let seconds = |ticks: u64| Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64);
        let stat = Stat::parse(&stat)?;
        Some(Self {
            resident_bytes: stat.resident_pages * rustix::param::page_size() as u64,
            cpu: seconds(stat.cpu_ticks),
            start_unix: Duration::from_secs(boot_time(&boot)?) + seconds(stat.start_ticks),
            // The listing itself holds one.
            open_files: fs::read_dir("/proc/self/fd").ok()?.count() as u64 - 1,
            open_files_max: limit.current.unwrap_or(u64::MAX),
        })
    }
}

/// Asks the kernel for small pages only, from now on and for all threads. True if it was done; only Linux can.
///
/// Where transparent huge pages are on for everyone, one used byte holds 2 MiB: a collector that takes in and sends then
/// stays at 70 to 85 MiB instead of about 34, at no other speed.
pub fn use_small_pages() -> bool {
    #[cfg(target_os = "linux")]
    {
        rustix::thread::disable_transparent_huge_pages(true).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Fields of `/proc/self/stat` (proc(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    /// Fields 14 and 15, user and system time.
    cpu_ticks: u64,
    /// Field 22, since boot.
    start_ticks: u64,
    /// Field 24.
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the command in brackets, and may hold spaces and brackets: count from the last one.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

/// `btime` of `/proc/stat`: when the machine booted, seconds since 1970.
fn boot_time(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("btime "));
    line?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_shift_the_fields() {
        let text = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 2 0 5000 1000000 250 18446744073709551615";
        let expect = Stat {
            cpu_ticks: 42,
            start_ticks: 5000,
            resident_pages: 250,
        };
        assert_eq!(Stat::parse(text), Some(expect));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_000_000)
        );
        assert_eq!(boot_time("cpu 1 2\n"), None);
    }

    #[test]
    fn idle_time_is_that_between_two_readings() {
        let text = "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 50 0 25 400 25 0 0 0 0 0\ncpu1 1 1 1 1\nbtime 5\n";
        let before = CpuTimes::parse(text).expect("it is one");
        assert_eq!(
            (before.total, before.idle, before.processors),
            (1000, 850, 2)
        );
        let after = CpuTimes {
            total: 1400,
            idle: 950,
            ..before
        };
        assert_eq!(after.idle_processors_since(&before), Some(0.5));
        assert_eq!(before.idle_processors_since(&before), None);
        assert_eq!(
            before.idle_processors_since(&after),
            None,
            "it was another machine"
        );
        for garbage in ["", "cpu", "cpu 1 2 3\n", "cpu a b c d\n", "cpu0 1 2 3 4\n"] {
            assert_eq!(CpuTimes::parse(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pages_are_small_when_asked_for() {
        assert!(use_small_pages());
        let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
        // Kernels before 5.0 do not tell.
        if let Some(line) = status
            .lines()
            .find_map(|line| line.strip_prefix("THP_enabled:"))
        {
            assert_eq!(line.trim(), "0");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_holds_memory_and_files() {
        let stats = ProcessStats::read().expect("/proc is there");
        assert!(stats.resident_bytes > 100_000, "{stats:?}");
        assert!(stats.open_files >= 3, "{stats:?}");
        assert!(stats.open_files_max >= stats.open_files, "{stats:?}");
        assert!(stats.start_unix > Duration::from_secs(1_700_000_000));
    }
}
