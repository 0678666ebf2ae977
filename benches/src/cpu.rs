//! Time that a thread has computed: what a run costs, whatever else the machine does meanwhile.

use std::time::Duration;

/// CPU time of the calling thread so far, a few milliseconds late; `None` where the system does not tell it.
pub fn of_this_thread() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = stat.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// Runs `work` on a fresh thread and gives the CPU time that it took, `None` where the system does not tell it.
///
/// # Panics
/// If `work` does.
pub fn of<T: Send>(work: impl FnOnce() -> T + Send) -> (T, Option<Duration>) {
    on_a_fresh_thread(|| {
        let before = of_this_thread();
        let out = work();
        let took = before
            .zip(of_this_thread())
            .map(|(before, after)| after.saturating_sub(before));
        (out, took)
    })
}

/// Runs `work` on a thread of its own, as every world needs it: hash keys of libraries advance within a thread.
///
/// # Panics
/// If `work` does.
pub fn on_a_fresh_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
