//! Quantities as people write them: `512MiB`, `256kbit/s`, `1500ms`, `99%`.
//!
//! A bare number is refused everywhere: nobody can tell whether `timeout = 10` is seconds. Next: `model`, which uses them.

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A data rate in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRate(pub u64);

impl BitRate {
    /// Bytes per second.
    pub fn bytes_per_second(self) -> f64 {
        self.0 as f64 / 8.0
    }
}
