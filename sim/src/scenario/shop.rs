//! What a store sells, as a scenario declares it: menu, stock, offers, printers; and when head office publishes.
//!
//! All of it is optional. A store without these tables has orders that are mere numbers, and its machines say nothing of
//! items, versions or receipts. Which machine does what with it stands in `store`. Next: `resolve::shop`.

use std::time::Duration;

use backroom_collector::config::ByteSize;

use super::Scenario;
use crate::dist::Dist;

/// Largest published set: 64 GiB is ten times the reference data of a city's shops, and its list of checksums still fits into
/// one answer.
pub const SET_BYTES_MAX: u64 = 64 << 30;

/// Most chunks of a published set: the list of their checksums has 256 KiB, and a journal takes it in one record.
pub const CHUNKS_MAX: u64 = 65_536;

/// Chunks are fetched whole: smaller ones cost more for their heads than for their bytes, larger ones lose more when a line breaks.
pub const CHUNK_BYTES: std::ops::RangeInclusive<u64> = 4 << 10..=4 << 20;

/// What the store sells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shop {
    /// What there is of each item; `None` never runs out of anything.
    pub stock: Option<Stock>,
    /// What head office publishes.
    pub catalog: Option<Catalog>,
    /// Offers on phones.
    pub offers: Option<Offers>,
}

/// What the store has of each item.
#[derive(Clone, Debug, PartialEq)]
pub struct Stock {
    /// Items on the menu, numbered from 0. The k-th most popular one is ordered in proportion to 1/k.
    pub items: u16,
    /// Portions of an item at the start and after each restocking.
    pub start: Dist,
    /// Time from the last portion until there is more, seconds; `None` is never in this run.
    pub restock: Option<Dist>,
}

/// What head office publishes and the store's catalog keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// Traffic class.
    pub class: String,
    /// How often the store asks for something newer.
    pub poll: Duration,
    /// Menu and prices.
    pub menu: Option<Publication>,
    /// A large set of reference data.
    pub reference: Option<Publication>,
}

/// A set that is published in versions. Version 1 is in the store when the run starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Size of a version.
    pub bytes: ByteSize,
    /// Size of a chunk; the last one may be shorter.
    pub chunk: ByteSize,
    /// Times of day at which a new version comes out, since midnight, store-local.
    pub at: Vec<Duration>,
    /// Share of the chunks that differ from the version before, 0 to 1.
    pub changed: f64,
}

/// Offers on customers' phones.
#[derive(Clone, Debug, PartialEq)]
pub struct Offers {
    /// Offers that come out with each version of the menu.
    pub count: u16,
    /// Versions for which an offer holds, its own included.
    pub valid_for: u16,
    /// Scans per hour, of the whole store.
    pub scans_per_hour: f64,
    /// Share of the scans that show a coupon which was shown before.
    pub reused: f64,
    /// Traffic class of what settles at head office.
    pub class: String,
}

/// How a receipt printer prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Printer {
    /// Time to print one line, seconds.
    pub line: Dist,
    /// Lines on a roll of paper.
    pub roll: u32,
    /// Time from the end of a roll until somebody has put in a new one, seconds.
    pub refill: Dist,
}

impl Default for Printer {
    /// 60 ms a line, which is 16 lines a second: what cheap thermal printers do with a narrow line of text; a roll of 80 m at
    /// eight lines to the inch and some waste; and somebody who notices within minutes.
    fn default() -> Self {
        Self {
            line: Dist::Const(0.06),
            roll: 20_000,
            refill: Dist::LogNormal {
                p50: 90.0,
                p99: 600.0,
            },
        }
    }
}

impl Publication {
    /// Number of chunks.
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.bytes.0.div_ceil(self.chunk.0.max(1))).unwrap_or(u32::MAX)
    }

    /// Size of chunk `index`.
    pub fn chunk_bytes(&self, index: u32) -> u64 {
        let start = u64::from(index) * self.chunk.0;
        self.bytes.0.saturating_sub(start).min(self.chunk.0)
    }

    /// The version that is out at a virtual time: 1 at the start, and one more at each instant.
    pub fn version_at(&self, scenario: &Scenario, at: Duration) -> u32 {
        let out = instants(scenario, &self.at)
            .into_iter()
            .take_while(|instant| *instant <= at);
        u32::try_from(out.count()).unwrap_or(u32::MAX - 1) + 1
    }
}

/// The virtual times within a run at which times of day come, in order.
pub fn instants(scenario: &Scenario, times_of_day: &[Duration]) -> Vec<Duration> {
    let mut all = Vec::new();
    let zone = scenario.start.time_zone().clone();
    let mut day = scenario.start.date();
    loop {
        let mut is_over = true;
        for time in times_of_day {
            let Ok(time) = jiff::SignedDuration::try_from(*time) else {
                continue;
            };
            let Ok(local) = day
                .to_datetime(jiff::civil::Time::midnight())
                .checked_add(time)
            else {
                continue;
            };
            let Ok(instant) = local.to_zoned_datetime(zone.clone()) else {
                continue;
            };
            let since = scenario.start.duration_until(&instant);
            match Duration::try_from(since) {
                Ok(since) if since < scenario.duration => {
                    all.push(since);
                    is_over = false;
                }
                // Before the start: later today, or tomorrow.
                Err(_) => is_over = false,
                Ok(_) => {}
            }
        }
        match day.tomorrow() {
            Ok(next) if !is_over => day = next,
            _ => break,
        }
    }
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::fixture::{s, scenario};

    fn publication(bytes: u64, chunk: u64) -> Publication {
        Publication {
            bytes: ByteSize(bytes),
            chunk: ByteSize(chunk),
            at: vec![Duration::from_secs(12 * 3600)],
            changed: 0.1,
        }
    }

    #[test]
    fn the_last_chunk_is_what_is_left() {
        let set = publication(10_000, 4_096);
        assert_eq!(set.chunks(), 3);
        let sizes: Vec<u64> = (0..4).map(|n| set.chunk_bytes(n)).collect();
        assert_eq!(sizes, [4_096, 4_096, 1_808, 0]);
    }

    #[test]
    fn times_of_day_come_once_a_day_and_within_the_run() {
        // From 11:30 for 90 minutes.
        let mut scenario = scenario();
        let hours = |h: u64| Duration::from_secs(h * 3600);
        let noon = [hours(12), hours(4)];
        assert_eq!(instants(&scenario, &noon), [s(1_800.0)]);
        scenario.duration = hours(49);
        let days = [0.5, 16.5, 24.5, 40.5, 48.5].map(|h| s(h * 3_600.0));
        assert_eq!(instants(&scenario, &noon), days);
        assert!(instants(&scenario, &[]).is_empty());
        let set = publication(1, 1);
        let versions = [0.0, 1_799.0, 1_800.0, 90_000.0].map(|t| set.version_at(&scenario, s(t)));
        assert_eq!(versions, [1, 1, 2, 3]);
    }
}
