//! Metrics: one table, one file per family; and how an expectation is judged.
//!
//! A metric is computed from what was recorded ([`SeedLog`]) and nothing else, first as a [`Series`](series::Series), then by the
//! function and window of the expectation as a [`Sample`] of one seed. Seeds are run in different processes: samples are
//! serialised, and [`judge`] sees those of all seeds. Next to read: `catalogue`, the table; `orders`, `telemetry`, `links`, `office`, `shop`, the
//! families; `windows`; `evaluate`; `judge`.

pub mod catalogue;
pub mod evaluate;
#[cfg(test)]
pub(crate) mod fixture;
mod freshness;
pub mod interval;
pub mod judge;
mod links;
mod office;
pub(crate) mod orders;
pub(crate) mod ranges;
pub mod series;
pub(crate) mod shop;
pub mod telemetry;
pub mod timeline;
pub mod windows;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{event::EventLog, scenario::Scenario, seconds::Seconds};

/// What one seed did: all that metrics, invariants and closed forms may look at.
#[derive(Clone, Copy, Debug)]
pub struct SeedLog<'a> {
    /// The seed.
    pub seed: u64,
    /// What was run.
    pub scenario: &'a Scenario,
    /// What was recorded, in time order.
    pub events: &'a EventLog,
    /// What the links carried; directions and classes without traffic may be missing.
    pub links: &'a [LinkBytes],
    /// Names of machines, by `MachineId`.
    pub machines: &'a [String],
    /// When the settle phase ended: at least `Scenario::duration`. Nothing new is made in it; what is under way may arrive.
    pub ended_at: Duration,
}

impl SeedLog<'_> {
    /// Name of a machine, for messages.
    pub fn machine(&self, id: crate::event::MachineId) -> String {
        let name = self.machines.get(usize::from(id.0)).cloned();
        name.unwrap_or_else(|| format!("machine {}", id.0))
    }
}

/// What one direction of a link did with the packets of one class, by second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkBytes {
    /// Name of the link.
    pub link: String,
    /// Whether it is the direction from the first of `between` to the second.
    pub upwards: bool,
    /// Index in `Scenario::classes`; anything beyond is traffic without a class.
    pub class: u8,
    /// Wire bytes that the line carried, headers counted.
    pub carried: Seconds,
    /// Packets lost on the line or refused by a full queue.
    pub lost: Seconds,
    /// Packets that came to the line while it was up, lost ones included.
    pub packets: Seconds,
}

impl LinkBytes {
    /// Nothing yet.
    pub fn new(link: impl Into<String>, upwards: bool, class: u8) -> Self {
        Self {
            link: link.into(),
            upwards,
            class,
            carried: Seconds::default(),
            lost: Seconds::default(),
            packets: Seconds::default(),
        }
    }

    /// Counts a packet that the line carries.
    pub fn carry(&mut self, at: Duration, bytes: u32) {
        self.packets.count(at, 1);
        self.carried.count(at, u64::from(bytes));
    }

    /// Counts a packet that was lost or refused.
    pub fn lose(&mut self, at: Duration) {
        self.lost.count(at, 1);
    }
}

/// What one seed contributes to one expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Sample {
    /// There was nothing to judge.
    Nothing {
        /// Why: the window never happened, or nothing of the kind is recorded.
        why: String,
    },
    /// One number, in the base unit of its metric.
    Number {
        /// The number.
        value: f64,
    },
    /// A time that had not passed when the run ended: it is at least this.
    AtLeast {
        /// Seconds until the end.
        value: f64,
    },
    /// One number over another: `ratio`. What is below the line is more than zero.
    Ratio {
        /// Above the line.
        over: f64,
        /// Below it.
        under: f64,
    },
    /// Samples to be judged with those of the other seeds: quantiles and means.
    Values {
        /// (value, how often), values increasing.
        values: Vec<(f64, u64)>,
    },
    /// How many samples, or seconds, meet a condition.
    Share {
        /// Those that do.
        hits: f64,
        /// All.
        of: f64,
        /// Whether they are samples, which have to be enough, or seconds.
        counted: bool,
    },
}
