//! T5, a herd: N clients come back at random instants of a window, to a server of limited rate.

/// Euler's constant: mean of the standard Gumbel distribution.
const EULER: f64 = 0.577_215_664_901_532_9;

/// When the last of `clients` is served, seconds after the first could be: `max(W, N / mu)`.
pub fn finished(clients: f64, window: f64, per_second: f64) -> f64 {
    window.max(clients / per_second)
}

/// Whether the server keeps up with the mean rate: `W > N / mu`.
pub fn keeps_up(clients: f64, window: f64, per_second: f64) -> bool {
    window > clients / per_second
}

/// Mean number of clients in the busiest second: `L + sqrt(L) * (z - (ln ln W + ln 4 pi) / 2z + gamma / z)`, `L = N / W`,
/// `z = sqrt(2 ln W)`.
///
/// Maximum of W nearly normal counts (Gumbel limit; David and Nagaraja 2003, section 10.5). `window` in seconds, at least 3.
pub fn busiest_second(clients: f64, window: f64) -> f64 {
    let mean = clients / window;
    let z = (2.0 * window.ln()).sqrt();
    let location = z - (window.ln().ln() + (4.0 * std::f64::consts::PI).ln()) / (2.0 * z);
    mean + mean.sqrt() * (location + EULER / z)
}

#[cfg(test)]
mod tests {
    use super::{super::near, *};

    #[test]
    fn two_thousand_stores_over_a_minute_peak_at_47() {
        near(busiest_second(2000.0, 60.0), 47.0, 2e-3);
        assert!(keeps_up(2000.0, 60.0, 50.0));
        assert!(!keeps_up(2000.0, 60.0, 30.0));
        assert_eq!(
            (finished(2000.0, 60.0, 50.0), finished(2000.0, 60.0, 25.0)),
            (60.0, 80.0)
        );
    }
}
