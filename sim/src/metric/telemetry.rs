//! Telemetry, item by item: what was made, acknowledged, received, given up, and what nobody has at the end.
//!
//! Machines number their items, and events tell runs of numbers, so everything here is arithmetic on ranges. The collector's
//! own drops and its store at the end are told as numbers of items without names; see [`Items::fate`] for whom they meet.

use std::{collections::BTreeMap, time::Duration};

use super::{
    SeedLog, orders,
    ranges::RangeSet,
    series::{Series, Timed},
    windows,
};
use crate::{
    event::{DropReason, Event, MachineChange, MachineId},
    scenario::expr::{Filter, MetricRef},
};

/// A run of items made at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// When.
    pub at: Duration,
    /// First sequence number.
    pub first: u64,
    /// One beyond the last.
    pub end: u64,
}

/// What became of one machine's items.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// What it made, numbers increasing.
    pub made: Vec<Made>,
    pub(crate) acked: RangeSet,
    pub(crate) received: RangeSet,
    pub(crate) discarded: RangeSet,
    /// Items that head office received again.
    pub repeated: u64,
    /// When it lost its memory.
    pub crashes: Vec<Duration>,
}

impl Machine {
    /// Items that the collector acknowledged.
    pub fn acked_count(&self) -> u64 {
        self.acked.len()
    }

    /// Splits `first..end` where it was made at different times: (when, first, end). Numbers that were never made are left out.
    fn born(&self, first: u64, end: u64) -> impl Iterator<Item = (Duration, u64, u64)> {
        let from = self.made.partition_point(|m| m.end <= first);
        let runs = self.made[from..].iter().take_while(move |m| m.first < end);
        runs.map(move |m| (m.at, m.first.max(first), m.end.min(end)))
    }

    fn in_memory_at_a_crash(&self, born: Duration) -> bool {
        self.crashes.iter().any(|crash| *crash >= born)
    }
}

/// All telemetry of a run.
#[derive(Clone, Debug, Default)]
pub struct Items {
    /// By machine.
    pub machines: BTreeMap<MachineId, Machine>,
    /// What the collector dropped: when, how many, why.
    pub dropped: Vec<(Duration, u64, DropReason)>,
    /// Items in the collector's buffer at the end.
    pub stored: u64,
}

/// What became of items that never reached head office.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Acknowledged, and dropped by the collector with a reason.
    Dropped,
    /// Acknowledged, and in the collector's buffer.
    Stored,
    /// Given up by its machine, or in its memory when it crashed.
    Discarded,
    /// Acknowledged, and nobody has it.
    LostAcked,
    /// Never acknowledged, and nobody has it.
    LostUnacked,
}

/// Items with one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Who made them.
    pub machine: MachineId,
    /// When.
    pub born: Duration,
    /// First sequence number.
    pub first: u64,
    /// One beyond the last.
    pub end: u64,
    /// What became of them.
    pub fate: Fate,
}

impl Items {
    /// Reads a run's events.
    pub fn new(log: &SeedLog<'_>) -> Self {
        let mut all = Self::default();
        for stamped in log.events {
            all.observe(stamped.at, &stamped.event);
        }
        all
    }

    fn observe(&mut self, at: Duration, event: &Event) {
        match *event {
            Event::TelemetryMade {
                machine,
                first,
                count,
                ..
            } => {
                let (m, end) = (self.of(machine), first + u64::from(count));
                // Numbers grow with time; one that is late finds its place.
                let place = m.made.partition_point(|run| run.first <= first);
                m.made.insert(place, Made { at, first, end });
            }
            Event::TelemetryAcked {
                machine,
                first,
                count,
            } => {
                self.of(machine)
                    .acked
                    .insert(first, first + u64::from(count));
            }
            Event::TelemetryDiscarded {
                machine,
                first,
                count,
            } => {
                self.of(machine)
                    .discarded
                    .insert(first, first + u64::from(count));
            }
            Event::TelemetryReceived {
                machine,
                first,
                count,
            } => {
                let m = self.of(machine);
                m.repeated += m.received.insert(first, first + u64::from(count));
            }
            Event::TelemetryDropped { items, reason } => self.dropped.push((at, items, reason)),
            Event::Backlog { items, .. } => self.stored = items,
            Event::Machine {
                machine,
                change: MachineChange::Crashed | MachineChange::Rebooted | MachineChange::PowerLost,
            } => {
                self.of(machine).crashes.push(at);
            }
            _ => {}
        }
    }

    fn of(&mut self, machine: MachineId) -> &mut Machine {
        self.machines.entry(machine).or_default()
    }

    /// What never reached head office, oldest first, with its fate.
    ///
    /// The collector tells how many items it dropped and how many it holds, not which. It drops the oldest and holds the
    /// newest, so of the acknowledged items that are missing the oldest count as dropped and the newest as stored; what is
    /// left in between, if anything, is lost.
    pub fn fate(&self) -> Vec<Missing> {
        let mut out = Vec::new();
        for (machine, m) in &self.machines {
            for run in &m.made {
                for (first, end) in m.received.missing(run.first, run.end) {
                    let mut put = |first, end, fate| {
                        out.push(Missing {
                            machine: *machine,
                            born: run.at,
                            first,
                            end,
                            fate,
                        });
                    };
                    let mut at = first;
                    for (from, to) in m.acked.missing(first, end) {
                        if from > at {
                            put(at, from, Fate::LostAcked);
                        }
                        at = to;
                        let gone = m.in_memory_at_a_crash(run.at);
                        let mut unacked = from;
                        for (kept, until) in m.discarded.missing(from, to) {
                            if kept > unacked {
                                put(unacked, kept, Fate::Discarded);
                            }
                            put(
                                kept,
                                until,
                                if gone {
                                    Fate::Discarded
                                } else {
                                    Fate::LostUnacked
                                },
                            );
                            unacked = until;
                        }
                        if unacked < to {
                            put(unacked, to, Fate::Discarded);
                        }
                    }
                    if at < end {
                        put(at, end, Fate::LostAcked);
                    }
                }
            }
        }
        out.sort_by_key(|m| (m.born, m.machine, m.first));
        let dropped = self.dropped.iter().map(|(_, items, _)| items).sum();
        mark(&mut out, dropped, Fate::Dropped, false);
        mark(&mut out, self.stored, Fate::Stored, true);
        out.sort_by_key(|m| (m.born, m.machine, m.first));
        out
    }
}

/// Gives `count` acknowledged items, from one end, a better fate.
fn mark(all: &mut Vec<Missing>, mut count: u64, fate: Fate, from_end: bool) {
    let mut extra = Vec::new();
    let step = |m: &mut Missing| {
        if m.fate != Fate::LostAcked || count == 0 {
            return;
        }
        let len = m.end - m.first;
        if len > count {
            // Cut in two: the part that is left keeps its fate.
            let mut part = *m;
            match from_end {
                true => (part.end, m.first) = (m.end - count, m.end - count),
                false => (part.first, m.end) = (m.first + count, m.first + count),
            }
            extra.push(part);
        }
        m.fate = fate;
        count -= len.min(count);
    };
    match from_end {
        true => all.iter_mut().rev().for_each(step),
        false => all.iter_mut().for_each(step),
    }
    all.extend(extra);
}

/// The series of a metric of this family; `None` if it is of another one.
pub(super) fn series(log: &SeedLog<'_>, metric: &MetricRef) -> Option<Series> {
    Some(match metric.name.as_str() {
        "telemetry.generated" => {
            let born = Born::new(log, metric);
            let made = |s: crate::event::Stamped| match s.event {
                Event::TelemetryMade { count, .. } if born.admits(s.at) => {
                    Some((s.at, f64::from(count)))
                }
                _ => None,
            };
            Series::Counter(log.events.iter().filter_map(made).collect())
        }
        "telemetry.acked" => passing(log, metric, |m| &mut m.acked, false),
        "telemetry.delivered" => passing(log, metric, |m| &mut m.received, false),
        "telemetry.duplicated" => passing(log, metric, |m| &mut m.received, true),
        "telemetry.dropped" => dropped(log, metric),
        "telemetry.lost" => lost(log, metric),
        "telemetry.lag" => lag(log, metric),
        "telemetry.backlog" => {
            let bytes = |s: crate::event::Stamped| match s.event {
                Event::Backlog { bytes, .. } => Some((s.at, bytes as f64)),
                _ => None,
            };
            Series::Gauge {
                initial: 0.0,
                steps: log.events.iter().filter_map(bytes).collect(),
            }
        }
        "gateway.repeated" => {
            let repeated = |s: crate::event::Stamped| match s.event {
                Event::TelemetryRepeated { items } => Some((s.at, items as f64)),
                _ => None,
            };
            Series::Counter(log.events.iter().filter_map(repeated).collect())
        }
        "collector.exports" => orders::count(log, |e| matches!(e, Event::ExportReceived { .. })),
        _ => return None,
    })
}

/// `born='…'`: the window in which an item was made.
struct Born {
    windows: Vec<(bool, Vec<windows::Stretch>)>,
    end: Duration,
}

impl Born {
    fn new(log: &SeedLog<'_>, metric: &MetricRef) -> Self {
        let of = |filter: &Filter| {
            let window = filter.window.as_ref()?;
            Some((filter.negated, windows::stretches(window, log.scenario)))
        };
        Self {
            windows: metric.filters.iter().filter_map(of).collect(),
            end: log.scenario.duration,
        }
    }

    fn admits(&self, at: Duration) -> bool {
        self.windows
            .iter()
            .all(|(negated, all)| windows::contain(all, at, self.end) != *negated)
    }
}

/// Items that pass a point, counted at that time: for the first time, or (`again`) every time after it.
fn passing(
    log: &SeedLog<'_>,
    metric: &MetricRef,
    set: fn(&mut Machine) -> &mut RangeSet,
    again: bool,
) -> Series {
    let born = Born::new(log, metric);
    let acks = metric.name == "telemetry.acked";
    let (mut all, mut steps) = (Items::default(), Vec::new());
    for stamped in log.events {
        let (machine, first, count) = match stamped.event {
            Event::TelemetryMade { .. } => {
                all.observe(stamped.at, &stamped.event);
                continue;
            }
            Event::TelemetryAcked {
                machine,
                first,
                count,
            } if acks => (machine, first, count),
            Event::TelemetryReceived {
                machine,
                first,
                count,
            } if !acks => (machine, first, count),
            _ => continue,
        };
        let m = all.machines.entry(machine).or_default();
        let parts: Vec<_> = m.born(first, first + u64::from(count)).collect();
        for (made_at, first, end) in parts {
            let present = set(m).insert(first, end);
            let counted = if again {
                present
            } else {
                end - first - present
            };
            if counted > 0 && born.admits(made_at) {
                steps.push((stamped.at, counted as f64));
            }
        }
    }
    Series::Counter(steps)
}

fn dropped(log: &SeedLog<'_>, metric: &MetricRef) -> Series {
    let reasons: Vec<&Filter> = metric
        .filters
        .iter()
        .filter(|f| f.key == "reason")
        .collect();
    let admits = |reason: &str| {
        reasons
            .iter()
            .all(|f| (f.value.replace('_', "-") == reason) != f.negated)
    };
    let items = Items::new(log);
    let born = Born::new(log, metric);
    if !born.windows.is_empty() {
        // Which items a collector dropped is known by their fate only.
        let fated = items.fate().into_iter().filter(|m| match m.fate {
            Fate::Dropped => true,
            Fate::Discarded => admits(DISCARDED),
            _ => false,
        });
        let admitted = fated.filter(|m| born.admits(m.born));
        return Series::Counter(
            admitted
                .map(|m| (m.born, (m.end - m.first) as f64))
                .collect(),
        );
    }
    let step = |s: crate::event::Stamped| match s.event {
        Event::TelemetryDropped { items, reason } if admits(reason_name(reason)) => {
            Some((s.at, items as f64))
        }
        Event::TelemetryDiscarded { count, .. } if admits(DISCARDED) => {
            Some((s.at, f64::from(count)))
        }
        _ => None,
    };
    Series::Counter(log.events.iter().filter_map(step).collect())
}

/// What a machine gave up by itself, as expectations name it.
const DISCARDED: &str = "discarded";

/// All words for why an item was given up.
pub const REASONS: [&str; 7] = [
    "buffer-full",
    "too-old",
    "refused",
    "damaged",
    "removed",
    "crash",
    DISCARDED,
];

/// As expectations name it.
pub fn reason_name(reason: DropReason) -> &'static str {
    match reason {
        DropReason::BufferFull => "buffer-full",
        DropReason::TooOld => "too-old",
        DropReason::Refused => "refused",
        DropReason::Damaged => "damaged",
        DropReason::Removed => "removed",
        DropReason::Crash => "crash",
    }
}

fn lost(log: &SeedLog<'_>, metric: &MetricRef) -> Series {
    let born = Born::new(log, metric);
    let acked = metric
        .filters
        .iter()
        .find(|f| f.key == "acked")
        .map(|f| (f.value == "true") != f.negated);
    let counts = |fate: Fate| match acked {
        Some(true) => matches!(fate, Fate::LostAcked | Fate::Dropped),
        Some(false) => matches!(fate, Fate::LostUnacked | Fate::Discarded),
        // A reason does not bring data back: a buffer that drops its oldest has lost the start of an outage.
        None => fate != Fate::Stored,
    };
    let missing = Items::new(log)
        .fate()
        .into_iter()
        .filter(|m| counts(m.fate) && born.admits(m.born));
    Series::Counter(
        missing
            .map(|m| (m.born, (m.end - m.first) as f64))
            .collect(),
    )
}

/// Age at the first receipt; what is still on its way counts with its age at the end of the run.
fn lag(log: &SeedLog<'_>, metric: &MetricRef) -> Series {
    let born = Born::new(log, metric);
    let (mut all, mut samples) = (Items::default(), Vec::new());
    for stamped in log.events {
        if let Event::TelemetryReceived {
            machine,
            first,
            count,
        } = stamped.event
        {
            let m = all.machines.entry(machine).or_default();
            let fresh = m.received.missing(first, first + u64::from(count));
            let parts = fresh
                .into_iter()
                .flat_map(|(first, end)| m.born(first, end));
            let parts = parts.filter(|(made_at, ..)| born.admits(*made_at));
            samples
                .extend(parts.map(|(at, first, end)| Timed::latency(at, stamped.at, end - first)));
        }
        all.observe(stamped.at, &stamped.event);
    }
    let on_the_way = |fate| matches!(fate, Fate::Stored | Fate::LostAcked | Fate::LostUnacked);
    let left = all
        .fate()
        .into_iter()
        .filter(|m| on_the_way(m.fate) && born.admits(m.born));
    samples.extend(left.map(|m| Timed::latency(m.born, log.ended_at, m.end - m.first)));
    Series::Samples(samples)
}
