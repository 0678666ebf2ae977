//! Time that a thread has computed: what a run costs, whatever else the machine does meanwhile.

use std::time::Duration;

use backroom_sim::run::cost::thread_cpu;

/// Runs `work` on a fresh thread and gives the CPU time that it took.
///
/// # Panics
/// If `work` does.
pub fn of<T: Send>(work: impl FnOnce() -> T + Send) -> (T, Duration) {
    on_a_fresh_thread(|| {
        let before = thread_cpu();
        let out = work();
        (out, thread_cpu() - before)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_takes_some_time() {
        let (sum, took) = of(|| (0..10_000_u64).map(std::hint::black_box).sum::<u64>());
        assert_eq!(sum, 49_995_000);
        assert!(took > Duration::ZERO);
    }
}
