//! What a seed did, as a timeline for Perfetto: who told whom about which order and which telemetry, and what was wrong meanwhile.
//!
//! Decides which recorded events are drawn and how they hang together; the format is `reports::perfetto`'s.

use std::{collections::BTreeMap, time::Duration};

use backroom_reports::perfetto::{Timeline, Track};

use super::one::SeedRun;
use crate::{
    event::{Event, MachineChange, MachineId, OrderId},
    scenario::Scenario,
};

/// 400,000 events: about 200 MB of JSON, which the viewer still opens. What comes later is left out, and said so.
const EVENTS_MAX: usize = 400_000;

/// Draws a run.
pub(super) fn of(scenario: &Scenario, run: &SeedRun) -> Timeline {
    let mut drawing = Drawing::new(scenario, run);
    for (number, stamped) in run.events.iter().enumerate() {
        if number == EVENTS_MAX {
            let name = format!("{} later events are not drawn", run.events.len() - number);
            drawing.timeline.instant(drawing.hq, &name, us(stamped.at));
            break;
        }
        drawing.draw(us(stamped.at), &stamped.event);
    }
    drawing.finish(us(run.ended_at))
}

fn us(at: Duration) -> f64 {
    at.as_nanos() as f64 / 1e3
}

/// Where a message was last: its track and instant.
type Place = (Track, f64);

struct Drawing<'a> {
    timeline: Timeline,
    scenario: &'a Scenario,
    store: usize,
    hq: Track,
    broker: Track,
    collector: Track,
    /// By order: where it was last.
    orders: BTreeMap<OrderId, Place>,
    /// By machine and first item: where telemetry was made.
    made: BTreeMap<(MachineId, u64), Place>,
    /// Machines that are down, since when.
    down: BTreeMap<MachineId, (f64, &'static str)>,
    /// By fault: number of its slice, and since when it lasts.
    faults: BTreeMap<u16, (u64, f64)>,
    /// Since when the backup line is active.
    backup: Option<f64>,
    slices: u64,
}

impl<'a> Drawing<'a> {
    fn new(scenario: &'a Scenario, run: &SeedRun) -> Self {
        let mut timeline = Timeline::new();
        // Head office is the last machine.
        let machines = run
            .machines
            .split_last()
            .map_or(&[][..], |(_, store)| store);
        let store = timeline.process("store", machines);
        let hq = timeline.process("head office", &["hq".into()]);
        let of_role = |name: &str| {
            let track = machines
                .iter()
                .position(|m| m == name || m.starts_with(&format!("{name}-")));
            Track {
                process: store,
                track: track.unwrap_or(0),
            }
        };
        Self {
            timeline,
            scenario,
            store,
            hq: Track {
                process: hq,
                track: 0,
            },
            broker: of_role("broker"),
            collector: of_role("collector"),
            orders: BTreeMap::new(),
            made: BTreeMap::new(),
            down: BTreeMap::new(),
            faults: BTreeMap::new(),
            backup: None,
            slices: 0,
        }
    }

    fn track(&self, machine: MachineId) -> Track {
        Track {
            process: self.store,
            track: usize::from(machine.0),
        }
    }

    /// An order's next step, with an arrow from where it was.
    fn step(&mut self, order: OrderId, at: Track, now: f64, what: &str) {
        let name = format!("order {order} {what}");
        self.timeline.instant(at, &name, now);
        if let Some(from) = self.orders.insert(order, (at, now)) {
            self.timeline
                .arrow(&format!("order {order}"), from, (at, now));
        }
    }

    fn draw(&mut self, now: f64, event: &Event) {
        match *event {
            Event::OrderPlaced { order, at } => self.step(order, self.track(at), now, "placed"),
            Event::OrderAccepted { order } => self.step(order, self.broker, now, "accepted"),
            Event::TicketShown { order, kds } => self.step(order, self.track(kds), now, "shown"),
            Event::SaleStored { order, pos } => self.step(order, self.track(pos), now, "stored"),
            Event::SaleBooked { order } => self.step(order, self.hq, now, "booked"),
            Event::SaleRepeated { order } => self.step(order, self.hq, now, "repeated"),
            Event::TelemetryMade {
                machine,
                first,
                count,
                ..
            } => {
                let at = self.track(machine);
                self.timeline
                    .instant(at, &format!("{count} items made"), now);
                self.made.insert((machine, first), (at, now));
            }
            Event::TelemetryAcked {
                machine,
                first,
                count,
            } => {
                let name = format!("{count} items acked");
                self.timeline.instant(self.collector, &name, now);
                if let Some(from) = self.made.remove(&(machine, first)) {
                    self.timeline
                        .arrow("telemetry", from, (self.collector, now));
                }
            }
            Event::TelemetryReceived { count, .. } => {
                self.timeline
                    .instant(self.hq, &format!("{count} items received"), now);
            }
            Event::TelemetryDropped { items, reason } => {
                let name = format!("{items} items dropped: {reason:?}");
                self.timeline.instant(self.collector, &name, now);
            }
            Event::Backlog { bytes, .. } => {
                self.timeline
                    .counter(self.store, "telemetry.backlog, bytes", now, bytes as f64);
            }
            Event::Failover { backup } => self.failover(now, backup),
            Event::Machine { machine, change } => self.machine(now, machine, change),
            Event::Fault { fault, begins, .. } => self.fault(now, fault, begins),
            _ => {}
        }
    }

    fn failover(&mut self, now: f64, backup: bool) {
        match (backup, self.backup.take()) {
            (true, since) => self.backup = Some(since.unwrap_or(now)),
            (false, Some(since)) => self.last("on the backup line", since, now),
            (false, None) => {}
        }
    }

    fn machine(&mut self, now: f64, machine: MachineId, change: MachineChange) {
        let why = match change {
            MachineChange::Started => {
                if let Some((since, why)) = self.down.remove(&machine) {
                    let at = self.track(machine);
                    self.timeline.slice(at, why, since, now);
                }
                return;
            }
            MachineChange::Crashed => "crashed",
            MachineChange::Rebooted => "reboots",
            MachineChange::PowerLost => "without power",
        };
        self.down.entry(machine).or_insert((now, why));
    }

    fn fault(&mut self, now: f64, fault: u16, begins: bool) {
        match (begins, self.faults.remove(&fault)) {
            (true, _) => {
                self.slices += 1;
                self.faults.insert(fault, (self.slices, now));
            }
            (false, Some((id, since))) => self.fault_slice(fault, id, since, now),
            (false, None) => {}
        }
    }

    fn fault_slice(&mut self, fault: u16, id: u64, since: f64, now: f64) {
        let name = self.scenario.faults.get(usize::from(fault));
        let name = name.map_or("fault", |fault| fault.id.as_str());
        self.timeline.fault(self.store, id, name, since, now);
    }

    fn last(&mut self, name: &str, since: f64, now: f64) {
        self.slices += 1;
        self.timeline
            .fault(self.store, self.slices, name, since, now);
    }

    /// Ends what still lasts.
    fn finish(mut self, end: f64) -> Timeline {
        for (machine, (since, why)) in std::mem::take(&mut self.down) {
            let at = self.track(machine);
            self.timeline.slice(at, why, since, end.max(since));
        }
        for (fault, (id, since)) in std::mem::take(&mut self.faults) {
            self.fault_slice(fault, id, since, end.max(since));
        }
        if let Some(since) = self.backup.take() {
            self.last("on the backup line", since, end.max(since));
        }
        self.timeline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Stamped, metric::fixture, world::WorldReport};

    fn run(events: Vec<(u64, Event)>) -> SeedRun {
        SeedRun {
            seed: 1,
            events: events
                .into_iter()
                .map(|(at, event)| Stamped {
                    at: Duration::from_millis(at),
                    event,
                })
                .collect(),
            links: vec![],
            machines: ["kiosk-1", "broker", "collector", "hq"]
                .map(str::to_owned)
                .to_vec(),
            ended_at: Duration::from_secs(60),
            pending: vec![],
            world: WorldReport::default(),
        }
    }

    #[test]
    fn orders_telemetry_faults_and_crashes_are_drawn_as_viewers_read_them() {
        let scenario = fixture::scenario();
        let (kiosk, collector) = (MachineId(0), MachineId(2));
        let fault = |begins| Event::Fault {
            fault: 0,
            begins,
            effects: 1,
        };
        let down = Event::Machine {
            machine: collector,
            change: MachineChange::Crashed,
        };
        let timeline = of(
            &scenario,
            &run(vec![
                (
                    10,
                    Event::OrderPlaced {
                        order: 1,
                        at: kiosk,
                    },
                ),
                (12, Event::OrderAccepted { order: 1 }),
                (12, Event::OrderAccepted { order: 2 }),
                (
                    15,
                    Event::TelemetryMade {
                        machine: kiosk,
                        first: 0,
                        count: 5,
                        bytes: 9,
                    },
                ),
                (15, fault(true)),
                (
                    20,
                    Event::TelemetryAcked {
                        machine: kiosk,
                        first: 0,
                        count: 5,
                    },
                ),
                (30, down),
                (40, Event::Failover { backup: true }),
                (50, Event::SaleBooked { order: 1 }),
                (55, fault(false)),
                (60, fault(true)),
                (70, Event::Backlog { bytes: 7, items: 1 }),
            ]),
        );
        let text = timeline.render();
        assert_eq!(backroom_reports::perfetto::validate(&text), Ok(()));
        for part in [
            "order 1 booked",
            "crashed",
            "on the backup line",
            "5 items acked",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(
            text.matches("\"ph\":\"s\"").count(),
            3,
            "three arrows: {text}"
        );
    }
}
