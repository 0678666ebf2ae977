//! How fast a size grows: a smoothed net rate, which says when a buffer will be full.
//!
//! The average is exponential in time with a time constant of five minutes: a burst of a minute does not raise an alarm,
//! and a rate that lasts is believed to two thirds after five minutes. It is fed when something happens and read when
//! somebody asks; quiet time needs no timer, because the size stands still in it and the next look makes up for it.
//! What the buffer gives back (delivered, dropped) counts against what it takes.

use std::time::Duration;

use crate::core::Mono;

/// How long a change of the rate takes to be believed to 63 %.
const TIME_CONSTANT: Duration = Duration::from_secs(300);

/// Looks closer together than this are taken as one: files grow in steps.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A smoothed net growth rate of a size in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trend {
    last: Option<(Mono, u64)>,
    bytes_per_second: f64,
}

impl Trend {
    /// Whether a look would count.
    pub fn is_due(&self, now: Mono) -> bool {
        self.last
            .is_none_or(|(then, _)| now.since(then) >= LOOK_EVERY)
    }

    /// The size is `bytes` now.
    pub fn look(&mut self, now: Mono, bytes: u64) {
        let Some((then, before)) = self.last else {
            self.last = Some((now, bytes));
            return;
        };
        if !self.is_due(now) {
            return;
        }
        let passed = now.since(then);
        self.last = Some((now, bytes));
        let seconds = passed.as_secs_f64();
        let rate = (bytes as f64 - before as f64) / seconds;
        let weight = 1.0 - (-seconds / TIME_CONSTANT.as_secs_f64()).exp();
        self.bytes_per_second += weight * (rate - self.bytes_per_second);
    }

    /// Bytes a second; negative while the size shrinks.
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes_per_second
    }

    /// Seconds until `headroom` bytes are used up; infinite while less than a byte a second is gained.
    pub fn seconds_to_use_up(&self, headroom: u64) -> f64 {
        if self.bytes_per_second < 1.0 {
            return f64::INFINITY;
        }
        headroom as f64 / self.bytes_per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    /// Looks every `step` seconds while the size changes by `rate`.
    fn grow(trend: &mut Trend, from: u64, to: u64, step: u64, size: &mut f64, rate: f64) {
        for second in (from..to).step_by(step as usize) {
            trend.look(at(second), *size as u64);
            *size += rate * step as f64;
        }
    }

    #[test]
    fn a_lasting_rate_is_believed_and_a_burst_is_not() {
        let (mut trend, mut size) = (Trend::default(), 1e6);
        grow(&mut trend, 0, 60, 5, &mut size, 1000.0);
        assert!(trend.bytes_per_second() < 200.0, "{trend:?}");
        grow(&mut trend, 60, 3000, 5, &mut size, 1000.0);
        assert!((trend.bytes_per_second() - 1000.0).abs() < 1.0, "{trend:?}");
        let seconds = trend.seconds_to_use_up(3_600_000);
        assert!((seconds - 3600.0).abs() < 10.0, "{seconds}");
    }

    /// The result does not depend on how often it looks.
    #[test]
    fn rare_looks_agree_with_frequent_ones() {
        let (mut often, mut rarely) = (Trend::default(), Trend::default());
        let (mut a, mut b) = (0.0, 0.0);
        grow(&mut often, 0, 601, 1, &mut a, 500.0);
        grow(&mut rarely, 0, 601, 100, &mut b, 500.0);
        let apart = often.bytes_per_second() - rarely.bytes_per_second();
        assert!(apart.abs() < 1.0, "{often:?} {rarely:?}");
    }

    #[test]
    fn what_shrinks_or_stands_still_is_never_full() {
        let (mut trend, mut size) = (Trend::default(), 1e9);
        assert_eq!(trend.seconds_to_use_up(10), f64::INFINITY);
        grow(&mut trend, 0, 600, 10, &mut size, -1000.0);
        assert!(trend.bytes_per_second() < -500.0, "{trend:?}");
        assert_eq!(trend.seconds_to_use_up(10), f64::INFINITY);
        // Quiet for a day, and one look: it has stood still.
        trend.look(at(90_000), size as u64);
        assert!(trend.bytes_per_second().abs() < 1.0, "{trend:?}");
    }
}
