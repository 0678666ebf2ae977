//! How fast a line sends: a constant, or a recording. Answers one question: a packet that starts now, when is it through?
//!
//! Knows nothing of queues or packets. Files are read in `recording`.

use std::{sync::Arc, time::Duration};

use backroom_collector::config::BitRate;

/// Nanoseconds in a second.
const NANOS: f64 = 1e9;

/// How fast a line sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Capacity {
    /// Always the same; zero carries nothing.
    Constant(BitRate),
    /// As recorded.
    Trace(Arc<Trace>),
}

impl Capacity {
    /// When the last bit of `bytes` is on the line, if the first one is put on it at `start`; `None` is never.
    ///
    /// Rounded up to a nanosecond, so that a busy line never exceeds its capacity.
    pub fn finish(&self, start: Duration, bytes: u32) -> Option<Duration> {
        match self {
            Self::Constant(BitRate(0)) => None,
            Self::Constant(BitRate(rate)) => {
                let nanos = (u128::from(bytes) * 8_000_000_000).div_ceil(u128::from(*rate));
                // 4 GiB at 1 bit/s is 3.4e19 ns, a little more than a u64 holds: later than any run ends either way.
                Some(start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
            }
            Self::Trace(trace) => trace.finish(start, f64::from(bytes) * 8.0),
        }
    }
}

/// A recorded capacity: steps of constant rate, played from virtual time zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Never empty, `end_ns` strictly increasing.
    steps: Vec<Step>,
    repeat: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    /// End of the step since the start of the recording.
    end_ns: u64,
    /// Bits per nanosecond.
    rate: f64,
    /// Bits that the recording carries up to the end of this step.
    bits: f64,
}

impl Trace {
    /// Builds a recording from steps of `(end in nanoseconds since its start, bits per second)`, ends strictly increasing.
    /// Neighbours of the same rate become one step. Where `repeat` is false, the last rate stays for ever.
    ///
    /// `None` if there is no step, or none carries anything: a line that can never send anything is a mistake in a file.
    pub fn new(steps: impl IntoIterator<Item = (u64, f64)>, repeat: bool) -> Option<Self> {
        let mut out: Vec<Step> = Vec::new();
        let (mut from, mut bits) = (0, 0.0);
        for (end_ns, per_second) in steps {
            assert!(
                end_ns > from,
                "a step ends at {end_ns} ns, not after {from} ns"
            );
            assert!(
                per_second >= 0.0,
                "a step has a capacity of {per_second} bit/s"
            );
            let rate = per_second / NANOS;
            bits += rate * (end_ns - from) as f64;
            match out.last_mut() {
                Some(last) if last.rate == rate => (last.end_ns, last.bits) = (end_ns, bits),
                _ => out.push(Step { end_ns, rate, bits }),
            }
            from = end_ns;
        }
        (bits > 0.0).then_some(Self { steps: out, repeat })
    }

    /// Length of the recording.
    pub fn period(&self) -> Duration {
        Duration::from_nanos(self.last().end_ns)
    }

    /// Mean capacity over the recording, bits per second.
    pub fn mean_bits_per_second(&self) -> f64 {
        self.last().bits / self.last().end_ns as f64 * NANOS
    }

    /// Capacity at an instant, bits per second.
    pub fn bits_per_second_at(&self, at: Duration) -> f64 {
        let (_, pos) = self.position(at);
        self.steps[self.step_at(pos)].rate * NANOS
    }

    fn last(&self) -> &Step {
        self.steps
            .last()
            .expect("a recording has at least one step")
    }

    /// Which time round, and nanoseconds since its start.
    fn position(&self, at: Duration) -> (u64, u64) {
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let period = self.last().end_ns;
        match self.repeat {
            true => (at / period, at % period),
            false => (0, at),
        }
    }

    /// The step that holds at `pos`; the last one beyond the end.
    fn step_at(&self, pos: u64) -> usize {
        self.steps
            .partition_point(|step| step.end_ns <= pos)
            .min(self.steps.len() - 1)
    }

    pub(super) fn finish(&self, start: Duration, bits: f64) -> Option<Duration> {
        let (round, pos) = self.position(start);
        let step = self.steps[self.step_at(pos)];
        // Bits of this round that are gone already: all of the step, less what is left of it. Beyond the end of a
        // recording that does not repeat, the difference is negative and the last rate goes on.
        let target = step.bits - step.rate * (step.end_ns as f64 - pos as f64) + bits;
        let (whole, last) = (self.last().bits, self.last());
        if !self.repeat && target > whole {
            return (last.rate > 0.0)
                .then(|| nanos(last.end_ns as f64 + (target - whole) / last.rate).max(start));
        }
        let rounds = ((target / whole).ceil() - 1.0).max(0.0);
        // Kept inside the round: a difference of two large sums may miss its ends by a rounding error.
        let rest = (target - rounds * whole).clamp(0.0, whole);
        let index = self
            .steps
            .partition_point(|step| step.bits < rest)
            .min(self.steps.len() - 1);
        let step = self.steps[index];
        let end = match step.rate > 0.0 {
            true => step.end_ns as f64 - (step.bits - rest) / step.rate,
            // Only a packet without bytes ends in a silent stretch.
            false => pos as f64,
        };
        let base = (round + rounds as u64).saturating_mul(last.end_ns);
        Some((Duration::from_nanos(base) + nanos(end)).max(start))
    }
}

fn nanos(value: f64) -> Duration {
    Duration::from_nanos(value.max(0.0).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_constant_rate_rounds_up_to_a_nanosecond() {
        let line = Capacity::Constant(BitRate(2_000_000));
        assert_eq!(line.finish(ms(5), 1500), Some(ms(11)));
        let line = Capacity::Constant(BitRate(3));
        assert_eq!(
            line.finish(Duration::ZERO, 1),
            Some(Duration::from_nanos(2_666_666_667))
        );
        assert_eq!(Capacity::Constant(BitRate(0)).finish(ms(5), 1), None);
    }

    #[test]
    fn a_recording_waits_through_silence_and_starts_over() {
        // 1,000 bits in the first second, nothing in the second one.
        let trace =
            Trace::new([(1000 * MS, 1000.0), (2000 * MS, 0.0)], true).expect("carries bits");
        let check = |start: u64, bytes: u32, expect: u64| {
            let line = Capacity::Trace(Arc::new(trace.clone()));
            let end = line.finish(ms(start), bytes).expect("ends");
            let late = end.as_secs_f64() - ms(expect).as_secs_f64();
            assert!(
                late.abs() < 1e-8,
                "{start} ms, {bytes} B: {end:?}, expected {expect} ms"
            );
        };
        check(0, 125, 1000);
        check(500, 125, 2500);
        check(1500, 1, 2008);
        check(0, 1250, 19_000);
        check(100_500, 125, 102_500);
    }

    #[test]
    fn the_last_rate_stays_where_a_recording_does_not_repeat() {
        let trace =
            Trace::new([(1000 * MS, 1000.0), (2000 * MS, 500.0)], false).expect("carries bits");
        let line = Capacity::Trace(Arc::new(trace));
        assert_eq!(line.finish(ms(10_000), 125), Some(ms(12_000)));
        let silent =
            Trace::new([(1000 * MS, 1000.0), (2000 * MS, 0.0)], false).expect("carries bits");
        assert_eq!(Capacity::Trace(Arc::new(silent)).finish(ms(1500), 1), None);
    }

    #[test]
    fn a_recording_that_carries_nothing_is_refused() {
        assert!(Trace::new([(MS, 0.0)], true).is_none());
        assert!(Trace::new([], true).is_none());
    }
}
