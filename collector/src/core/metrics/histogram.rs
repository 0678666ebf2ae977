//! Durations and sizes in fixed buckets: enough for quantiles on a dashboard, and a few hundred bytes for ever.

use std::time::Duration;

/// Upper bounds for durations, in seconds: from a fast NVMe sync to an answer over a satellite.
pub static SECONDS: [f64; 15] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Upper bounds for sizes in bytes, 4 KiB to 16 MiB: a commit takes at most 8 MiB, and one request more.
pub static BYTES: [f64; 7] = [
    4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0,
];

/// Upper bounds for small counts.
pub static COUNTS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0];

/// Counts of values by size.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is larger than all of them.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// An empty one with these upper bounds, which must grow. A value that equals a bound belongs to it.
    pub fn new(bounds: &'static [f64]) -> Self {
        debug_assert!(bounds.is_sorted());
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
        }
    }

    /// Counts a value.
    pub fn record(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// Counts a duration, in seconds.
    pub fn record_duration(&mut self, duration: Duration) {
        self.record(duration.as_secs_f64());
    }

    /// The upper bounds.
    pub fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// Values in each bucket, the one without a bound last. Not cumulative.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Sum of all values.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_bucket_that_holds_them() {
        let check = |value: f64, bucket: usize| {
            let mut histogram = Histogram::new(&COUNTS);
            histogram.record(value);
            let found = histogram.counts().iter().position(|count| *count == 1);
            assert_eq!(found, Some(bucket), "{value}");
            assert_eq!((histogram.count(), histogram.sum()), (1, value));
        };
        check(0.0, 0);
        check(1.0, 0);
        check(1.5, 1);
        check(256.0, 7);
        check(257.0, 8);
    }
}
