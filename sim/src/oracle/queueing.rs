//! T10 and T11, queues in steady state: a broker with one server, a row of registers.

use super::{Refusal, assume};

/// T10, Pollaczek and Khinchine: mean wait `lambda * E[S^2] / (2 * (1 - rho))` of one server with Poisson arrivals.
///
/// # Errors
/// Refuses if the load `lambda * E[S]` is not below 1.
pub fn mean_wait(lambda: f64, service: f64, service_squared: f64) -> Result<f64, Refusal> {
    let rho = lambda * service;
    assume(rho < 1.0, || format!("a load of {rho:.2} is not below 1"))?;
    Ok(lambda * service_squared / (2.0 * (1.0 - rho)))
}

/// T11, Erlang C: probability that all of `servers` are busy, at `load` Erlang.
///
/// # Errors
/// Refuses if `load >= servers`.
pub fn all_busy(servers: u32, load: f64) -> Result<f64, Refusal> {
    assume(load < f64::from(servers), || {
        format!("{load} Erlang keep {servers} servers busy for ever")
    })?;
    // Erlang B by its recursion, which neither overflows nor needs factorials.
    let blocked = (1..=servers).fold(1.0, |b, n| load * b / (f64::from(n) + load * b));
    let rho = load / f64::from(servers);
    Ok(blocked / (1.0 - rho + rho * blocked))
}

#[cfg(test)]
mod tests {
    use super::{super::near, *};

    #[test]
    fn exponential_service_gives_the_textbook_wait() {
        // M/M/1 at half load with 1 s of service: 1 s.
        near(mean_wait(0.5, 1.0, 2.0).expect("stable"), 1.0, 1e-12);
        assert!(mean_wait(1.0, 1.0, 2.0).is_err());
    }

    #[test]
    fn one_server_is_busy_for_its_load() {
        near(all_busy(1, 0.7).expect("stable"), 0.7, 1e-12);
        // Two servers: 2 rho^2 / (1 + rho).
        near(all_busy(2, 1.0).expect("stable"), 1.0 / 3.0, 1e-12);
        assert!(all_busy(4, 4.0).is_err());
    }
}
