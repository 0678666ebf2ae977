//! Random outages: T2 (one server that is down now and then), T3 and T3b (a line that is up and down for exponential times),
//! T13 (two lines), T14 (what a data allowance and a slewed clock take).
//!
//! Not here: one known outage (`fluid`).

use super::{Refusal, assume};

/// T2: mean time from the end of an outage of `d` seconds until the queue is empty: `rho * D / (1 - rho)`.
///
/// M/G/1 delay cycle (Conway, Maxwell, Miller 1967): Poisson arrivals, any service time, `rho` the load.
///
/// # Errors
/// Refuses if `rho >= 1`.
pub fn cycle_mean(rho: f64, d: f64) -> Result<f64, Refusal> {
    stable(rho)?;
    Ok(rho * d / (1.0 - rho))
}

/// T2: variance of that time: `lambda * D * E[S^2] / (1 - rho)^3`. Gives the half-width for seeds: `1.96 * sqrt(var / n)`.
///
/// # Errors
/// Refuses if `rho >= 1`.
pub fn cycle_variance(lambda: f64, service_squared: f64, rho: f64, d: f64) -> Result<f64, Refusal> {
    stable(rho)?;
    Ok(lambda * d * service_squared / (1.0 - rho).powi(3))
}

fn stable(rho: f64) -> Result<(), Refusal> {
    assume((0.0..1.0).contains(&rho), || {
        format!("a load of {rho:.2} is not below 1")
    })
}

/// A line that is up and down for exponential times, with a constant arrival.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnOff {
    /// Bytes per second that arrive.
    pub a: f64,
    /// Bytes per second that leave while it is up.
    pub c: f64,
    /// Mean seconds up.
    pub mtbf: f64,
    /// Mean seconds down.
    pub mttr: f64,
}

impl OnOff {
    /// `1 - A`: share of time that it is down.
    pub fn unavailability(&self) -> f64 {
        self.mttr / (self.mtbf + self.mttr)
    }

    /// `theta = r/a - f/(c - a)`, per byte. Its inverse is the e-folding size of the backlog.
    ///
    /// # Errors
    /// Refuses unless `a < A * c`: the line cannot carry the traffic on average.
    pub fn theta(&self) -> Result<f64, Refusal> {
        let carried = (1.0 - self.unavailability()) * self.c;
        assume(self.a < carried, || {
            format!(
                "{:.0} B/s arrive and the line carries {carried:.0} B/s on average",
                self.a
            )
        })?;
        Ok(1.0 / (self.mttr * self.a) - 1.0 / (self.mtbf * (self.c - self.a)))
    }

    fn front(&self) -> f64 {
        self.unavailability() * self.c / (self.c - self.a)
    }

    /// T3: `P(X > x)`, the share of time that the backlog is above `x` bytes, in an infinite buffer.
    ///
    /// # Errors
    /// As [`theta`](Self::theta).
    pub fn exceeds(&self, x: f64) -> Result<f64, Refusal> {
        Ok(self.front() * (-self.theta()? * x).exp())
    }

    /// T3: mean backlog in bytes.
    ///
    /// # Errors
    /// As [`theta`](Self::theta).
    pub fn mean_backlog(&self) -> Result<f64, Refusal> {
        Ok(self.front() / self.theta()?)
    }

    /// T3: the buffer that an infinite backlog exceeds for a share `epsilon` of the time.
    ///
    /// # Errors
    /// As [`theta`](Self::theta).
    pub fn buffer_for(&self, epsilon: f64) -> Result<f64, Refusal> {
        Ok((self.front() / epsilon).ln() / self.theta()?)
    }

    /// T3b: share of bytes that a buffer of `b` bytes loses.
    ///
    /// # Errors
    /// As [`theta`](Self::theta).
    pub fn loss(&self, b: f64) -> Result<f64, Refusal> {
        let (down, edge) = (self.unavailability(), (-self.theta()? * b).exp());
        let up = 1.0 - down;
        let k = down * self.a / (self.c - self.a);
        // The theory page has `down (1 - empty (1 - edge))` with `empty = up / (up - k edge)`; this is the same, without a difference of
        // nearly equal numbers, which says 0 of buffers that lose one byte in 10^17.
        Ok(down * edge * (up - k) / (up - k * edge))
    }
}

/// T13: share of time without a line, where a second line takes over `takeover` seconds after the first one fails. Both lines fail
/// independently, with exponential times up and down in seconds.
pub fn downtime_with_failover(first: (f64, f64), second: (f64, f64), takeover: f64) -> f64 {
    let down = |(mtbf, mttr): (f64, f64)| mttr / (mtbf + mttr);
    let (mtbf, mttr) = first;
    let both = down(first) * down(second);
    // Mean length of an outage as far as it lies within the takeover.
    let uncovered = mttr * (1.0 - (-takeover / mttr).exp());
    both + (1.0 - down(second)) * uncovered / (mtbf + mttr)
}

/// T14: seconds that a data allowance lasts at a constant rate.
pub fn allowance_life(cap_bytes: f64, bytes_per_second: f64) -> f64 {
    cap_bytes / bytes_per_second
}

/// T14: seconds that NTP needs to slew a clock by `offset` seconds, at 500 ppm.
pub fn slew_time(offset: f64) -> f64 {
    offset.abs() / 500e-6
}

#[cfg(test)]
mod tests {
    use super::{super::near, *};

    const MIB: f64 = 1_048_576.0;

    /// The capacity planner's file: an outage of two hours a month.
    const LINE: OnOff = OnOff {
        a: 6000.0,
        c: 32_000.0,
        mtbf: 30.0 * 86_400.0,
        mttr: 7200.0,
    };

    #[test]
    fn a_broker_that_was_down_catches_up() {
        near(cycle_mean(0.5, 30.0).expect("stable"), 30.0, 1e-12);
        // Exponential service of 1 s at half load: E[S^2] = 2.
        near(
            cycle_variance(0.5, 2.0, 0.5, 30.0).expect("stable"),
            240.0,
            1e-12,
        );
        assert!(cycle_mean(1.0, 30.0).is_err());
    }

    #[test]
    fn the_buffer_question_has_its_golden_answers() {
        near(1.0 / LINE.theta().expect("stable"), 43.2e6, 1e-3);
        let losses = [
            (32.0, 1.3e-3),
            (64.0, 5.9e-4),
            (128.0, 1.2e-4),
            (256.0, 5.6e-6),
            (512.0, 1.1e-8),
        ];
        for (mib, expect) in losses {
            near(LINE.loss(mib * MIB).expect("stable"), expect, 0.045);
        }
        near(LINE.loss(138.0 * MIB).expect("stable"), 1e-4, 0.05);
        // A buffer for a week: e-fold by e-fold, far below what a difference of doubles could tell.
        let week = LINE.loss(3.6e9).expect("stable");
        let longer = LINE.loss(3.6e9 + 1.0 / LINE.theta().expect("stable"));
        near(week / longer.expect("stable"), std::f64::consts::E, 1e-9);
        assert!(OnOff { c: 6010.0, ..LINE }.theta().is_err());
    }

    #[test]
    fn the_infinite_buffer_agrees_with_itself() {
        let b = LINE.buffer_for(1e-4).expect("stable");
        near(LINE.exceeds(b).expect("stable"), 1e-4, 1e-9);
        // The mean is the integral of the tail.
        let tail: f64 = (0..100_000)
            .map(|n| LINE.exceeds(f64::from(n) * 1e4 + 5e3).expect("stable") * 1e4)
            .sum();
        near(LINE.mean_backlog().expect("stable"), tail, 1e-3);
    }

    #[test]
    fn a_second_line_leaves_both_down_and_the_takeover() {
        let (wired, lte) = ((30.0 * 86_400.0, 7200.0), (10.0 * 86_400.0, 3600.0));
        let alone = 7200.0 / (30.0 * 86_400.0 + 7200.0);
        near(downtime_with_failover(wired, lte, 1e9), alone, 1e-9);
        near(
            downtime_with_failover(wired, lte, 0.0),
            alone * (3600.0 / 867_600.0),
            1e-9,
        );
    }

    #[test]
    fn allowances_and_clocks() {
        // 2 GiB at 1 Mbit/s: 4 h 46 min.
        near(
            allowance_life(2048.0 * MIB, 125_000.0),
            4.0 * 3600.0 + 46.0 * 60.0,
            2e-3,
        );
        near(slew_time(-1.0), 2000.0, 1e-9);
    }
}
