//! T6 and T9, trying again: how many calls a herd makes without back-off, and how many attempts a request needs.

use super::{Refusal, assume};

/// T6: calls until all of `clients` have won, if all try in each round and one wins: `N * (N + 1) / 2`
/// (Brooker, AWS Architecture Blog 2015).
pub fn calls_without_backoff(clients: u64) -> u64 {
    clients * (clients + 1) / 2
}

/// T6: mean delay of full jitter after `failures`: half of `min(cap, base * 2^failures)`. Seconds.
pub fn full_jitter_mean(base: f64, cap: f64, failures: i32) -> f64 {
    cap.min(base * 2f64.powi(failures)) / 2.0
}

/// T9: mean attempts of a request that fails with probability `p` each time and is retried up to `retries` times.
pub fn attempts(p: f64, retries: i32) -> f64 {
    match p < 1.0 {
        true => (1.0 - p.powi(retries + 1)) / (1.0 - p),
        false => f64::from(retries + 1),
    }
}

/// T9: mean attempts without a limit: `1 / (1 - p)`.
///
/// # Errors
/// Refuses unless `lambda / (1 - p) < mu`: the retries alone would keep the server busy.
pub fn attempts_unlimited(p: f64, lambda: f64, mu: f64) -> Result<f64, Refusal> {
    assume(p < 1.0, || "every attempt fails".into())?;
    let offered = lambda / (1.0 - p);
    assume(offered < mu, || {
        format!("{offered:.1}/s are tried and {mu:.1}/s are served")
    })?;
    Ok(1.0 / (1.0 - p))
}

#[cfg(test)]
mod tests {
    use super::{super::near, *};

    #[test]
    fn herds_and_retries() {
        assert_eq!(calls_without_backoff(2000), 2_001_000);
        near(full_jitter_mean(0.1, 30.0, 5), 1.6, 1e-12);
        near(full_jitter_mean(1.0, 60.0, 10), 30.0, 1e-12);
        near(attempts(0.5, 1), 1.5, 1e-12);
        near(attempts(1.0, 3), 4.0, 1e-12);
        near(
            attempts_unlimited(0.5, 10.0, 30.0).expect("stable"),
            2.0,
            1e-12,
        );
        assert!(attempts_unlimited(0.5, 10.0, 20.0).is_err());
    }
}
