//! The link model: what one direction of a line does to a packet. Sans-IO.
//!
//! No socket, clock or route here: `world` feeds packets in and takes them out, and so does the live proxy. The call
//! order is the one of any sans-IO part: [`Link::offer`] each packet, [`Link::poll`] until it has nothing more, sleep
//! until [`Link::deadline`].
//!
//! A packet waits in a bounded queue, is serialised at the line's capacity (a constant, or a recording), is lost or not,
//! travels for a drawn delay, and arrives; never before an earlier packet of its flow. TCP's part (a segment that is lost
//! or finds the line down comes later, not never) is played by the caller with [`tcp`]. Next: `line`, the state machine;
//! `capacity` and `recording`, the two kinds of capacity; `loss`; `import`, recordings of other tools; `tcp`, the retransmission schedule.

mod capacity;
pub mod import;
mod line;
mod loss;
mod recording;
pub mod tcp;

use std::{sync::Arc, time::Duration};

use indexmap::IndexMap;

pub use self::{
    capacity::{Capacity, Trace},
    line::Link,
    loss::LossState,
    recording::{TRACE_BYTES_MAX, TraceError, load, parse, units},
};
use crate::{
    dist::Dist,
    scenario::{ClassSpec, LinkSpec, Loss, QueueSpec},
};

/// What one direction of a line is like.
#[derive(Clone, Debug)]
pub struct Direction {
    /// How fast it sends.
    pub capacity: Capacity,
    /// One-way delay after serialisation, seconds.
    pub delay: Dist,
    /// Which packets do not arrive.
    pub loss: Loss,
    /// The buffer in front of it.
    pub queue: QueueSpec,
    /// Largest share of the line by class index, above 0 and at most 1; a class beyond the end of the list may have all.
    pub shares: Vec<f64>,
}

impl Direction {
    /// One direction of a declared link: upwards is from the first of `between` to the second. Both directions play the
    /// same recording where there is one. `classes` are the scenario's, in order: a packet's class is its index there.
    ///
    /// # Errors
    /// If the recording cannot be read, see [`load`].
    pub fn from_spec(
        spec: &LinkSpec,
        upwards: bool,
        classes: &IndexMap<String, ClassSpec>,
    ) -> Result<Self, TraceError> {
        let rate = if upwards { spec.up } else { spec.down };
        Ok(Self {
            capacity: match &spec.trace {
                Some(trace) => Capacity::Trace(Arc::new(load(trace)?)),
                None => Capacity::Constant(rate),
            },
            delay: spec.delay.clone(),
            loss: spec.loss,
            queue: spec.queue,
            shares: classes.values().map(|class| class.max_share).collect(),
        })
    }
}

/// Something to be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<P> {
    /// Bytes on the wire, headers counted.
    pub bytes: u32,
    /// Lower goes first, on a line with a priority queue.
    pub priority: u8,
    /// Index of its traffic class: for shares and counters.
    pub class: u8,
    /// Packets of one flow arrive in the order in which they left. All packets of a flow have one class and priority.
    pub flow: u64,
    /// What is carried.
    pub payload: P,
}

/// What becomes of an offered packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer<P> {
    /// It is under way.
    Arrives {
        /// When it arrives.
        at: Duration,
        /// What arrives.
        payload: P,
    },
    /// It waits; [`Link::poll`] tells when it arrives.
    Queued,
    /// It uses the line, and does not arrive.
    Lost {
        /// What is lost.
        payload: P,
    },
    /// The queue has no room for it.
    Full {
        /// What was refused.
        payload: P,
    },
    /// The line is down.
    Down {
        /// What was refused.
        payload: P,
    },
}

/// What a fault changes; `None` stays as declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Degrade {
    /// Capacity, in place of a recording too.
    pub rate: Option<backroom_collector::config::BitRate>,
    /// A recording that is played from an instant on, where no `rate` is given.
    pub recording: Option<(Duration, Arc<Trace>)>,
    /// One-way delay, seconds.
    pub delay: Option<Dist>,
    /// Packet loss.
    pub loss: Option<Loss>,
}

impl Degrade {
    /// What is left of it under a later one, which decides about what it names.
    pub fn then(self, later: Self) -> Self {
        let (rate, recording) = match later.rate.is_some() || later.recording.is_some() {
            true => (later.rate, later.recording),
            false => (self.rate, self.recording),
        };
        Self {
            rate,
            recording,
            delay: later.delay.or(self.delay),
            loss: later.loss.or(self.loss),
        }
    }
}

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub packets: u64,
    /// Wire bytes.
    pub bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, bytes: u32) {
        self.packets += 1;
        self.bytes += u64::from(bytes);
    }
}

/// What became of the packets of one class. `offered` is always the sum of the others and of what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Every call of [`Link::offer`].
    pub offered: Tally,
    /// Under way or arrived.
    pub arrived: Tally,
    /// Lost on the way.
    pub lost: Tally,
    /// Refused: no room.
    pub full: Tally,
    /// Refused: line down.
    pub down: Tally,
    /// Taken back by [`Link::drain`].
    pub drained: Tally,
}
