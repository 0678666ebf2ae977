//! A scenario, resolved: every template merged, every name bound, every unit settled.
//!
//! Times are virtual: `Duration` since `Scenario::start`. What is optional here is optional in the language; what has a
//! default has it filled in. Next: `expr` for expectations, `fault` for what each kind does.

use std::{path::PathBuf, time::Duration};

use backroom_collector::config::{BitRate, ByteSize, Config};
use indexmap::IndexMap;

use super::{
    expr::{Comparison, Measure, Window},
    occur::Plan,
    shop::{Printer, Shop},
};
use crate::{
    dist::Dist,
    fault::{captive_portal, cut_answers::Cuts, hq_reject, hq_slow},
    service::Configured,
    world::{DiskOp, NamesFail, SlowDisk},
};

/// A whole scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file it came from, as it was named.
    pub path: PathBuf,
    /// Short name; the file's stem unless given.
    pub name: String,
    /// The question that it answers.
    pub description: String,
    /// Seeds to run.
    pub seeds: Vec<u64>,
    /// Store-local wall-clock time of virtual time zero.
    pub start: jiff::ZonedDateTime,
    /// Samples before it are not judged; lies inside `duration`.
    pub warmup: Duration,
    /// Length of the run.
    pub duration: Duration,
    /// Wall-clock time after which a seed is stopped, without a verdict on it; `None` is never. The command line may say otherwise.
    pub wall_time_max: Option<Duration>,
    /// Memory that the process of one seed may hold; `None` is any.
    pub memory_max: Option<ByteSize>,
    /// Packets or flows.
    pub fidelity: Fidelity,
    /// Machines by name of their group, in file order.
    pub nodes: IndexMap<String, Node>,
    /// Disks by name.
    pub disks: IndexMap<String, DiskSpec>,
    /// Links by name.
    pub links: IndexMap<String, LinkSpec>,
    /// Traffic classes by name.
    pub classes: IndexMap<String, ClassSpec>,
    /// The router's two lines; `None` where there is one line only.
    pub failover: Option<Failover>,
    /// Orders; `None` is a store without customers.
    pub orders: Option<Orders>,
    /// Telemetry; `None` is none.
    pub telemetry: Option<Telemetry>,
    /// Bulk media to the store.
    pub media: Option<Media>,
    /// Menu, stock and offers; empty in a store whose orders are mere numbers.
    pub shop: Shop,
    /// The collector's own configuration.
    pub collector: Config,
    /// Head office.
    pub hq: Hq,
    /// What goes wrong, in file order.
    pub faults: Vec<Fault>,
    /// What must hold, in file order.
    pub expects: Vec<Expect>,
    /// Closed forms to be checked, in file order.
    pub oracles: Vec<Oracle>,
    /// Quantiles that are kept, as fractions: 0.5, 0.75, 0.9, 0.95, 0.99, 0.999 unless told otherwise.
    pub quantiles: Vec<f64>,
}

/// How exactly a run is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// Every packet.
    Packet,
    /// Fluid flows.
    Flow,
}

/// A group of equal machines.
#[derive(Clone, Debug)]
pub struct Node {
    /// What they do.
    pub role: Role,
    /// How many; they are called `name-1`, `name-2`, …, or just `name` where there is one.
    pub count: u32,
    /// Time from power-on to running.
    pub boot: Dist,
    /// Name of a disk in `Scenario::disks`.
    pub disk: Option<String>,
    /// Time to serve one message.
    pub service: Option<Dist>,
    /// Offline card payments (POS only).
    pub offline_payments: Option<OfflinePayments>,
    /// Approvals in head office's place (POS only).
    pub stand_in: Option<StandIn>,
    /// How it prints (printers only); `None` on others.
    pub printer: Option<Printer>,
    /// Its program (custom machines only).
    pub custom: Option<Configured>,
}

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Takes orders from customers.
    Kiosk,
    /// Takes orders, fires tickets, takes payments, keeps the outbox of sales.
    Pos,
    /// MQTT broker with a journal.
    Broker,
    /// Kitchen display.
    Kds,
    /// Menu board.
    Signage,
    /// The telemetry collector.
    Collector,
    /// Receipt printer.
    Printer,
    /// Counts what is left of each item.
    Stock,
    /// Keeps what head office publishes, and answers for offers.
    Catalog,
    /// Phones of customers, which show offers.
    Mobile,
    /// A program of the user's.
    Custom,
}

/// Limits of offline card payments.
#[derive(Clone, Debug, PartialEq)]
pub struct OfflinePayments {
    /// Age after which a stored payment expires.
    pub max_age: Duration,
    /// Largest single payment, in minor units of the currency (cents).
    pub max_each: u64,
    /// All stored payments of one POS together, in minor units.
    pub max_total: u64,
}

/// Limits of card payments that a till approves in head office's place.
#[derive(Clone, Debug, PartialEq)]
pub struct StandIn {
    /// Largest single payment, in minor units of the currency (cents).
    pub floor: u64,
    /// Approvals of one till for one card within the window.
    pub per_card: u32,
    /// Their sum, in minor units.
    pub per_card_total: u64,
    /// The window, by the till's wall clock.
    pub within: Duration,
    /// Age after which an approval that head office has not heard of expires.
    pub max_age: Duration,
    /// Different cards that customers pay with, each as likely as any other.
    pub cards: u32,
}

/// A disk.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskSpec {
    /// Size.
    pub size: ByteSize,
    /// Free space at the start.
    pub free: ByteSize,
    /// Sequential write rate, bytes per second.
    pub write_bytes_per_second: f64,
    /// Time of one fsync, seconds.
    pub fsync: Dist,
    /// What becomes of unsynced data.
    pub on_power_cut: OnPowerCut,
}

/// What becomes of unsynced data when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPowerCut {
    /// It is gone.
    LoseUnsynced,
    /// A prefix of each write may survive, in blocks of 4 KiB.
    TearLastBlock,
    /// It survives (a disk with capacitors).
    Keep,
}

/// A link. *Up* is from the first of `between` to the second.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSpec {
    /// Both ends: `store/*`, `router`, `hq` or a node's name.
    pub between: (String, String),
    /// Whether it is a backup line.
    pub backup: bool,
    /// Capacity upwards.
    pub up: BitRate,
    /// Capacity downwards.
    pub down: BitRate,
    /// One-way delay, seconds.
    pub delay: Dist,
    /// Packet loss.
    pub loss: Loss,
    /// The buffer in front of the line.
    pub queue: QueueSpec,
    /// A recorded capacity that replaces `up` and `down`.
    pub trace: Option<TraceSpec>,
}

/// Packet loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Independent, with this probability.
    Bernoulli(f64),
    /// Two states, changed per packet (Gilbert 1960, Elliott 1963). Nothing is lost in the good one.
    Gilbert {
        /// Probability of good to bad.
        enter: f64,
        /// Probability of bad to good.
        leave: f64,
        /// Probability that a packet is lost in the bad state.
        loss: f64,
    },
}

/// The buffer in front of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Bytes that may wait.
    pub bytes: ByteSize,
    /// Who goes first.
    pub discipline: Discipline,
}

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// First in, first out.
    Fifo,
    /// The class with the lowest number; within it first in, first out. Not preemptive.
    Priority,
}

/// A recorded throughput.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSpec {
    /// The file, as resolved against the file that names it.
    pub file: PathBuf,
    /// Its format.
    pub format: TraceFormat,
    /// Bits per second that one unit of a "cooked" file stands for.
    pub unit_bits_per_second: f64,
    /// Whether it starts over at its end (else the last value stays).
    pub repeat: bool,
}

/// Formats of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// Lines of `seconds<TAB>throughput`.
    Cooked,
    /// Lines of milliseconds; each is an opportunity to deliver 1,500 bytes.
    Mahimahi,
}

/// A traffic class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassSpec {
    /// Lower goes first.
    pub priority: u8,
    /// Largest share of the line; 1.0 is all of it.
    pub max_share: f64,
}

/// How the router chooses its line.
#[derive(Clone, Debug, PartialEq)]
pub struct Failover {
    /// Link used while it is well.
    pub primary: String,
    /// Link used while the primary is not.
    pub backup: String,
    /// Interval between probes.
    pub probe: Duration,
    /// Probes that fail in a row before the line counts as down.
    pub fails: u32,
    /// Time from detection to the backup carrying traffic, seconds.
    pub switch: Dist,
    /// Time that the primary must be well before the router goes back.
    pub stable_for: Duration,
    /// Classes that the backup may carry.
    pub allow: Vec<String>,
    /// Allowance of the backup.
    pub data_cap: Option<DataCap>,
}

/// A data allowance.
#[derive(Clone, Debug, PartialEq)]
pub struct DataCap {
    /// Allowance per period.
    pub bytes: ByteSize,
    /// The period.
    pub per: Duration,
    /// Rate once it is used up; `None` blocks.
    pub throttle_to: Option<BitRate>,
}

/// Customers' orders.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Node groups that take them.
    pub from: Vec<String>,
    /// When customers come.
    pub arrivals: OrderArrivals,
    /// Orders per hour of the whole store at the profile's peak; 0 where arrivals are listed.
    pub peak_per_hour: f64,
    /// Share of the peak by hour and day; `None` is 1 always.
    pub profile: Option<Profile>,
    /// Items in an order.
    pub items: Dist,
    /// What an order causes, in order.
    pub flow: Vec<FlowStep>,
}

/// When customers come, under the rate of the store.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderArrivals {
    /// Independent of each other.
    Poisson,
    /// Evenly spaced at each machine.
    Constant,
    /// In bursts: counts of an interval are negative binomial, with variance `m + m^2 / dispersion`.
    NegBin {
        /// More than zero; the larger, the nearer to Poisson.
        dispersion: f64,
        /// The interval.
        per: Duration,
    },
    /// Calm and rush in turn, of exponential length, the same for the whole store.
    Mmpp {
        /// Mean length of a calm.
        calm: Duration,
        /// Mean length of a rush.
        rush: Duration,
        /// How many times as fast they come in a rush; at least 1.
        factor: f64,
    },
    /// At these virtual times, in order; machines take them in turn.
    At(std::sync::Arc<[Duration]>),
}

/// Share of the busiest hour, store-local time.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// By hour of the day.
    pub hours: [f64; 24],
    /// By day of the week, Monday first.
    pub days: [f64; 7],
}

/// One message of an order's flow.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowStep {
    /// `order.placed`, `ticket.fire`, `payment.auth`, `order.sync` or `receipt.print`.
    pub msg: String,
    /// Node group or `hq`.
    pub to: String,
    /// Size of the message.
    pub bytes: ByteSize,
    /// Size of the answer; 0 is none.
    pub reply: ByteSize,
    /// Traffic class.
    pub class: String,
    /// Limit for the answer.
    pub timeout: Option<Duration>,
    /// Whether it is taken offline when head office cannot be reached.
    pub store_and_forward: bool,
    /// Whether it goes through the durable outbox.
    pub durable: bool,
}

/// Telemetry of the whole store.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// Groups or machines that make it; `store/*` is all. The collector's own is not counted here.
    pub from: Vec<String>,
    /// Raw OTLP bytes per second of the whole store, at the profile's peak; 0 where arrivals are listed.
    pub bytes_per_second: f64,
    /// How it comes under that rate.
    pub arrivals: OrderArrivals,
    /// Share of the peak by hour and day; `None` is 1 always.
    pub profile: Option<Profile>,
    /// Size of each listed arrival, of the whole store.
    pub bytes_each: ByteSize,
    /// Interval between two exports of a machine; 5 s unless told otherwise.
    pub every: Duration,
    /// Traffic class.
    pub class: String,
}

impl Telemetry {
    /// Its rate in bytes per second, where it is the same at all times: closed forms know no other.
    pub fn steady_rate(&self) -> Option<f64> {
        let is_steady = matches!(
            self.arrivals,
            OrderArrivals::Constant | OrderArrivals::Poisson
        );
        (is_steady && self.profile.is_none()).then_some(self.bytes_per_second)
    }

    /// Whether a machine makes some.
    pub(crate) fn is_from(&self, machine: &crate::store::Machine) -> bool {
        let mut from = self.from.iter();
        from.any(|f| f == "store/*" || *f == machine.group || *f == machine.name)
    }
}

/// Bulk media to the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// Times of day at which it is sent, since midnight, store-local.
    pub at: Vec<Duration>,
    /// Node groups that receive it.
    pub to: Vec<String>,
    /// Size.
    pub bytes: ByteSize,
    /// Traffic class.
    pub class: String,
}

/// Head office.
#[derive(Clone, Debug, PartialEq)]
pub struct Hq {
    /// Bytes per second that it takes in.
    pub ingest_bytes_per_second: f64,
    /// New sessions per second.
    pub accepts_per_second: f64,
    /// Silence after which it closes a connection. More than zero.
    pub idle_timeout: Duration,
    /// Time to authorise a payment, seconds.
    pub auth: Dist,
    /// Share of card payments that their issuers decline.
    pub declines: f64,
    /// Whether a gateway stands in front of its OTLP sink.
    pub gateway: bool,
}

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Its name.
    pub id: String,
    /// What happens.
    pub kind: FaultKind,
    /// When it happens, as far as no seed decides it.
    pub plan: Option<Plan>,
    /// Which machines of a group each time.
    pub pick: Pick,
    /// When it begins and ends; one window for each time it happens. Empty where a seed decides it: see
    /// [`Scenario::of_seed`].
    pub windows: Vec<FaultWindow>,
    /// Where it is declared (1-based line of `Scenario::path`, or of a template).
    pub line: usize,
}

/// One occurrence of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultWindow {
    /// Virtual time at which it begins.
    pub start: Duration,
    /// Virtual time at which it ends; `None` outlasts the run.
    pub end: Option<Duration>,
}

/// Which machines of a group a fault happens to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pick {
    /// All of them.
    #[default]
    All,
    /// One, the same each time; the seed says which.
    One,
    /// One after the other.
    RoundRobin,
    /// One, drawn anew each time.
    Random,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// A link carries nothing.
    LinkDown {
        /// Which link.
        link: String,
    },
    /// A link is worse than declared; `None` stays as it is.
    LinkDegrade {
        /// Which link.
        link: String,
        /// Capacity upwards.
        up: Option<BitRate>,
        /// Capacity downwards.
        down: Option<BitRate>,
        /// One-way delay, seconds.
        delay: Option<Dist>,
        /// Packet loss.
        loss: Option<Loss>,
    },
    /// The program on a machine dies (memory lost, disk kept) and starts again at the end of the window.
    NodeCrash {
        /// Node group or one machine.
        node: String,
    },
    /// The power goes: memory and unsynced writes are lost.
    StorePowerCut {
        /// Node groups that run on, and for how long.
        ups: IndexMap<String, Duration>,
    },
    /// A portal answers for head office on a link.
    LinkCaptivePortal {
        /// Which link.
        link: String,
        /// What it answers.
        answer: captive_portal::Answer,
    },
    /// Connections over a link are reset when answers come back.
    LinkCutAnswers {
        /// Which link.
        link: String,
        /// What cuts.
        cuts: Cuts,
    },
    /// Head office refuses requests.
    HqReject(hq_reject::Rule),
    /// A link goes down and comes back by turns.
    LinkFlap {
        /// Which link.
        link: String,
        /// How long it is up each time, seconds.
        up_for: Dist,
        /// How long it is down each time, seconds.
        down_for: Dist,
    },
    /// The data allowance of a link is used up.
    LinkCapReached {
        /// Which link.
        link: String,
    },
    /// A link's capacity follows a recording.
    LinkTrace {
        /// Which link.
        link: String,
        /// The recording.
        trace: TraceSpec,
    },
    /// Names outside of the store are not resolved.
    DnsFail(NamesFail),
    /// A machine restarts in order.
    NodeReboot {
        /// Node group or one machine.
        node: String,
    },
    /// A machine stands still.
    NodePause {
        /// Node group or one machine.
        node: String,
    },
    /// Something else fills a disk.
    DiskFull {
        /// Node group or one machine.
        node: String,
        /// What stays free.
        leave_bytes: u64,
    },
    /// A disk is slow.
    DiskSlow {
        /// Node group or one machine.
        node: String,
        /// What it is like.
        slow: SlowDisk,
    },
    /// Stored bytes rot.
    DiskCorrupt {
        /// Node group or one machine.
        node: String,
        /// How many, on each machine.
        bytes: u64,
    },
    /// A share of a disk's operations fails.
    DiskIoError {
        /// Node group or one machine.
        node: String,
        /// Which operations.
        ops: &'static [DiskOp],
        /// Share of them, 0 to 1.
        share: f64,
    },
    /// A wall clock jumps.
    ClockStep {
        /// Node group or one machine.
        node: String,
        /// How far, nanoseconds.
        by_nanos: i64,
    },
    /// A wall clock runs fast or slow.
    ClockSkew {
        /// Node group or one machine.
        node: String,
        /// Seconds that it gains each second.
        rate: f64,
    },
    /// Head office is slow.
    HqSlow(hq_slow::Slow),
    /// The program of head office's gateway dies.
    HqGatewayCrash {
        /// Whether it loses power, too.
        loses_power: bool,
    },
    /// All stores of a region lose their primary line.
    RegionOutage {
        /// Which region.
        region: String,
        /// Whether the store that is run belongs to it.
        is_ours: bool,
        /// How much later the store sees the end, seconds.
        heal: Option<Dist>,
    },
}

/// One thing that must hold.
#[derive(Clone, Debug)]
pub struct Expect {
    /// Its name.
    pub id: String,
    /// `that`, as it was written.
    pub text: String,
    /// `that`, parsed.
    pub that: Comparison,
    /// When it is judged.
    pub window: Window,
    /// Samples that a quantile needs; `None` is the default for its kind.
    pub min_samples: Option<u64>,
    /// Confidence at which it must hold, such as 0.95; `None` judges the value itself.
    pub confidence: Option<f64>,
    /// What a failure does.
    pub severity: Severity,
    /// The file that declares it, as it was named.
    pub file: PathBuf,
    /// The 1-based line of `that`.
    pub line: usize,
}

/// What a failed expectation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The run fails.
    Error,
    /// It is shown.
    Warn,
}

/// One closed form to be checked.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// Its name.
    pub id: String,
    /// Name of the model.
    pub model: String,
    /// The fault that it is about.
    pub fault: String,
    /// What is observed.
    pub observe: Measure,
    /// `observe`, as it was written.
    pub observe_text: String,
    /// Relative tolerance, as a fraction.
    pub tolerance: f64,
    /// The 1-based line of its header.
    pub line: usize,
}
