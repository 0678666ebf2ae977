//! What machines and the engine record, and nothing else: metrics and invariants see these events only.
//!
//! Machines know their own [`Recorder`]; who reads the log is decided in `run`. Events are kept small: a two-week run
//! records millions, and [`EventLog`] keeps most of them on the disk.

mod log;
mod shop;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bitcode::{Decode, Encode};
use serde::Serialize;

pub use log::{EventLog, Events};
pub use shop::{CouponId, ItemId, OfferAnswer, Set, ShopEvent};

use crate::spill::Scratch;

/// Index of a machine in its world, in start order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Encode, Decode)]
pub struct MachineId(pub u16);

/// An order's number: unique in a run, carried from kiosk to ledger.
pub type OrderId = u64;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Encode, Decode)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A customer confirmed an order at a kiosk or POS.
    OrderPlaced {
        /// The order.
        order: OrderId,
        /// Where.
        at: MachineId,
    },
    /// The broker acknowledged the order: the store has accepted it and may not lose it.
    OrderAccepted {
        /// The order.
        order: OrderId,
    },
    /// The order stands on a kitchen display.
    TicketShown {
        /// The order.
        order: OrderId,
        /// Which display.
        kds: MachineId,
    },
    /// A POS asked for a payment authorisation and has its answer, or took the payment offline.
    PaymentSettled {
        /// The order.
        order: OrderId,
        /// When it was asked for.
        asked_at: Duration,
        /// How it ended.
        how: Payment,
    },
    /// A POS has the sale in its durable outbox. Told again for what a POS finds there when it starts.
    SaleStored {
        /// The order.
        order: OrderId,
        /// Which POS.
        pos: MachineId,
    },
    /// Head office booked the sale, in its ledger, for the first time.
    SaleBooked {
        /// The order.
        order: OrderId,
    },
    /// Head office received a sale that it had booked already, and dropped it.
    SaleRepeated {
        /// The order.
        order: OrderId,
    },
    /// A machine made telemetry items: sequence numbers `first..first + count`.
    TelemetryMade {
        /// Which machine.
        machine: MachineId,
        /// First sequence number.
        first: u64,
        /// How many.
        count: u32,
        /// Encoded size in bytes.
        bytes: u32,
    },
    /// The collector acknowledged those items.
    TelemetryAcked {
        /// Which machine.
        machine: MachineId,
        /// First sequence number.
        first: u64,
        /// How many.
        count: u32,
    },
    /// A machine gave up on those items before the collector acknowledged them (its queue is bounded).
    TelemetryDiscarded {
        /// Which machine.
        machine: MachineId,
        /// First sequence number.
        first: u64,
        /// How many.
        count: u32,
    },
    /// One item reached head office's sink. Recorded in runs of consecutive numbers.
    TelemetryReceived {
        /// Which machine made it.
        machine: MachineId,
        /// First sequence number.
        first: u64,
        /// How many.
        count: u32,
    },
    /// Head office answered one export: decoded bytes and wire bytes of its body.
    ExportReceived {
        /// Body bytes as received.
        wire_bytes: u32,
        /// Body bytes decoded.
        raw_bytes: u32,
    },
    /// The collector's backlog changed: bytes stored and not acknowledged, after compression.
    Backlog {
        /// Bytes.
        bytes: u64,
        /// Items.
        items: u64,
    },
    /// The collector dropped items, with a reason.
    TelemetryDropped {
        /// How many.
        items: u64,
        /// Why.
        reason: DropReason,
    },
    /// The router's active line changed.
    Failover {
        /// Whether the backup is active now.
        backup: bool,
    },
    /// A machine started, or stopped.
    Machine {
        /// Which.
        machine: MachineId,
        /// What happened.
        change: MachineChange,
    },
    /// A fault began or ended.
    Fault {
        /// Index in `Scenario::faults`.
        fault: u16,
        /// Whether it began.
        begins: bool,
        /// Whether it bit: packets parked, writes lost, tasks aborted. Told when it ends.
        effects: u64,
    },
    /// Head office took a new session.
    SessionOpened,
    /// An export reached head office, whatever it answers.
    ExportRequested,
    /// The collector tries a destination again after an attempt that failed.
    ExportRetried {
        /// When that one had failed.
        failed_at: Duration,
    },
    /// Something that happened to items, menus, receipts and offers.
    Shop(ShopEvent),
    /// A custom service has done something.
    Did {
        /// Which machine.
        at: MachineId,
        /// When it began.
        began: Duration,
    },
    /// Items came to head office's gateway, which has them, and were dropped there.
    TelemetryRepeated {
        /// How many.
        items: u64,
    },
    /// A machine that started found records of its journal damaged, and goes on without them. New events stand at the end: a trace
    /// hashes the places of those before them.
    RecordsDamaged {
        /// Which machine.
        machine: MachineId,
        /// Places in the file that could not be read.
        places: u32,
        /// Records that were lost in them, at most; 0 where all could be put right.
        records_max: u32,
        /// Bytes of the places.
        bytes: u64,
    },
    /// A queue in a machine's memory is fuller than ever since its program began, by a step at least.
    QueueHeld {
        /// Which machine.
        machine: MachineId,
        /// Which of its queues.
        queue: Queue,
        /// What it holds.
        bytes: u64,
    },
}

impl Event {
    /// Whether it is part of the trace hash. What merely repeats what packets show already is not: a metric that starts to
    /// count it must not make every trace of before a different one.
    pub fn is_hashed(&self) -> bool {
        !matches!(
            self,
            Self::SessionOpened
                | Self::ExportRequested
                | Self::ExportRetried { .. }
                | Self::QueueHeld { .. }
        )
    }
}

/// A queue in the memory of a machine. What it may hold, `store::held` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    /// The broker: messages that somebody has not taken yet, and retained ones.
    Messages,
    /// Any machine: telemetry that the collector has not acknowledged.
    Exports,
    /// The collector: requests that are being taken in.
    Requests,
}

/// How a payment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Payment {
    /// Authorised by head office.
    Online,
    /// Taken offline, to be settled later.
    Offline,
    /// Refused: offline limits were used up.
    Declined,
    /// An offline payment that head office settled later.
    SettledLater,
    /// An offline payment, or an approval in head office's place, that expired.
    Expired,
    /// Approved by the till in head office's place, to be told later.
    StandIn,
    /// Declined by its issuer, when it was asked.
    Refused,
    /// An offline payment, or an approval in head office's place, that its issuer declined when it was asked later.
    DeclinedLater,
}

/// Why telemetry was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The buffer was full.
    BufferFull,
    /// Older than allowed.
    TooOld,
    /// Refused by the receiver, item by item.
    Refused,
    /// Damaged on disk.
    Damaged,
    /// Taken out of the buffer by an operator.
    Removed,
    /// In memory when its machine crashed.
    Crash,
}

/// What became of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum MachineChange {
    /// Its program runs.
    Started,
    /// Its program died; the disk is as it was.
    Crashed,
    /// It restarts in order: its program has ended and its disk is synced.
    Rebooted,
    /// The power went; unsynced writes are gone.
    PowerLost,
}

/// An event and its virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Stamped {
    /// Time since the start of the run.
    pub at: Duration,
    /// What happened.
    pub event: Event,
}

/// Writes events into the run's log.
#[derive(Clone, Debug)]
pub struct Recorder {
    start: tokio::time::Instant,
    log: Arc<Mutex<EventLog>>,
}

impl Recorder {
    /// An empty log with a scratch file of its own; virtual time zero is now.
    pub fn new() -> Self {
        Self::into_log(EventLog::new(Scratch::open()))
    }

    /// The same, into a log that is there.
    pub fn into_log(log: EventLog) -> Self {
        Self {
            start: tokio::time::Instant::now(),
            log: Arc::new(Mutex::new(log)),
        }
    }

    /// Virtual time.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Records an event at the current virtual time.
    pub fn record(&self, event: Event) {
        self.record_at(self.now(), event);
    }

    /// Records an event that happened at an earlier virtual time. Meant for few: they all stay in memory.
    pub fn record_at(&self, at: Duration, event: Event) {
        self.log().push(Stamped { at, event });
    }

    /// Shows `each` what was recorded in its order, but for the first `skip` and what was recorded late; gives how many it has
    /// seen of, to go on from there.
    pub(crate) fn replay(&self, skip: usize, each: impl FnMut(Stamped)) -> usize {
        self.log().replay(skip, each)
    }

    /// Takes everything recorded so far.
    pub fn take(&self) -> EventLog {
        let mut log = self.log();
        let empty = EventLog::new(log.scratch().clone());
        std::mem::replace(&mut *log, empty)
    }

    fn log(&self) -> MutexGuard<'_, EventLog> {
        self.log
            .lock()
            .expect("the log is never poisoned: one thread, and a panic inside ends the run")
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}
