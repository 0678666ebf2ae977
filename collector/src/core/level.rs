//! How hard a batch is compressed, where `compress.codec = "zstd:auto"` leaves it to us.
//!
//! A higher level costs processor time and saves bytes; what a byte costs depends on the line. So there are two limits, and the lower one
//! holds:
//!
//! - **what the line is worth**: a metered line, or a thin one, is worth all; a fast one, or one without a known rate, is worth nothing
//!   more than the least level.
//! - **what the processor has left**: the level that would take more than a quarter of the idle time, at the rate at which telemetry
//!   comes in, is too high. Where nobody knows the idle time (as in a simulation) half a processor is assumed.
//!
//! A batch is compressed once, when it is sealed, for the line that is in use then. Pure. Next: `shell::store`, which seals.

/// Levels that are chosen from, each with the raw bytes a second that one processor compresses: half of what
/// `cargo run --release -p backroom-benches --example levels` shows on the machine of `docs/collector.md`, since a store's is slower.
const LEVELS: [(u32, f64); 5] = [(3, 270e6), (6, 40e6), (9, 30e6), (12, 28e6), (19, 0.9e6)];

/// The level where nothing speaks for a higher one.
pub const LEAST: u32 = 1;

/// The part of the idle time that may be taken: the store's own work goes first.
const SHARE_OF_IDLE: f64 = 0.25;

/// Idle processors where nobody knows.
pub const IDLE_ASSUMED: f64 = 0.5;

/// Lines up to 2 Mbit/s are thin: a backlog of an hour takes an hour there.
const THIN: f64 = 250_000.0;

/// Lines up to 20 Mbit/s gain by some compression.
const MEDIUM: f64 = 2_500_000.0;

/// The line that is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// Whether it has a budget.
    pub is_metered: bool,
    /// Wire bytes a second that we may send; `None` is no limit.
    pub bytes_per_second: Option<f64>,
}

/// The level for a batch, 1 to 19: telemetry comes in at `raw_bytes_per_second`, and so many processors are idle.
pub fn choose(price: Price, raw_bytes_per_second: f64, idle_processors: f64) -> u32 {
    let worth = match price.bytes_per_second {
        _ if price.is_metered => u32::MAX,
        Some(rate) if rate <= THIN => u32::MAX,
        Some(rate) if rate <= MEDIUM => 6,
        _ => LEAST,
    };
    let allowed = SHARE_OF_IDLE * idle_processors.max(0.0);
    let fits =
        |(level, speed): &&(u32, f64)| *level <= worth && raw_bytes_per_second / speed <= allowed;
    let best = LEVELS.iter().rev().find(fits);
    best.map_or(LEAST, |(level, _)| *level)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const METERED: Price = Price {
        is_metered: true,
        bytes_per_second: None,
    };

    fn rate(bytes_per_second: f64) -> Price {
        Price {
            is_metered: false,
            bytes_per_second: Some(bytes_per_second),
        }
    }

    #[test]
    fn the_line_and_the_processor_both_limit_it() {
        let check = |price, raw, idle, level| {
            assert_eq!(choose(price, raw, idle), level, "{price:?} {raw} {idle}");
        };
        // A store's 48 kB/s of telemetry.
        check(Price::default(), 48e3, 2.0, 1);
        check(rate(32e3), 48e3, 0.5, 19);
        check(METERED, 48e3, 0.5, 19);
        check(rate(2e6), 48e3, 0.5, 6);
        check(rate(12e6), 48e3, 4.0, 1);
        // A busy machine, and a busy store.
        check(METERED, 48e3, 0.1, 12);
        check(METERED, 48e3, 0.0, 1);
        check(METERED, 6e6, 2.0, 12);
        check(METERED, 0.0, 0.0, 19);
    }

    proptest! {
        /// A dearer line, less telemetry and more idle time never lower it.
        #[test]
        fn it_goes_one_way(line in 1.0..1e8_f64, raw in 0.0..1e8_f64, idle in 0.0..8.0_f64, by in 1.0..10.0_f64) {
            let level = choose(rate(line), raw, idle);
            prop_assert!((1..=19).contains(&level));
            prop_assert!(choose(rate(line / by), raw, idle) >= level);
            prop_assert!(choose(rate(line), raw / by, idle) >= level);
            prop_assert!(choose(rate(line), raw, idle * by) >= level);
            prop_assert!(choose(METERED, raw, idle) >= level);
        }
    }
}
