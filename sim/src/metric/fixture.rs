//! A store on paper for tests: the lunch-hour cut in numbers, and a log that is written event by event.

use std::time::Duration;

use backroom_collector::config::{BitRate, ByteSize, Config};
use indexmap::IndexMap;

use super::{LinkBytes, SeedLog};
use crate::{
    dist::Dist,
    event::{Event, EventLog, MachineId, Stamped},
    scenario::{
        ClassSpec, Discipline, Failover, Fault, FaultKind, FaultWindow, Fidelity, FlowStep, Hq,
        LinkSpec, Loss, Node, OrderArrivals, Orders, Pick, QueueSpec, Role, Scenario, Telemetry,
        expr::{Condition, Filter, Function, Measure, MetricRef, Op, Value, Window},
    },
};

pub(crate) fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// 90 minutes with 10 of warm-up; the uplink is cut from 2100 s to 3000 s; 48 KB/s at ratio 8 and 256 kbit/s.
pub(crate) fn scenario() -> Scenario {
    let link = |up: u64| LinkSpec {
        between: ("router".into(), "hq".into()),
        backup: false,
        up: BitRate(up),
        down: BitRate(10_000_000),
        delay: Dist::Const(0.017),
        loss: Loss::Bernoulli(0.0),
        queue: QueueSpec {
            bytes: ByteSize(262_144),
            discipline: Discipline::Priority,
        },
        trace: None,
    };
    let class = |priority| ClassSpec {
        priority,
        max_share: 1.0,
    };
    let mut collector = Config::default();
    collector.send.max_rate = Some(BitRate(256_000));
    collector.compress.ratio = Some(8.0);
    collector.buffer.disk = ByteSize(512 << 20);
    Scenario {
        path: "lunch.toml".into(),
        name: "lunch".into(),
        description: String::new(),
        seeds: vec![1],
        start: "2025-03-14T11:30:00-05:00[-05:00]".parse().expect("a time"),
        warmup: s(600.0),
        duration: s(5400.0),
        wall_time_max: None,
        memory_max: None,
        fidelity: Fidelity::Packet,
        nodes: IndexMap::new(),
        disks: IndexMap::new(),
        links: [
            ("uplink".into(), link(2_000_000)),
            ("lte".into(), link(1_000_000)),
        ]
        .into_iter()
        .collect(),
        classes: [
            ("payment".into(), class(0)),
            ("order".into(), class(1)),
            ("telemetry".into(), class(3)),
            ("media".into(), class(4)),
        ]
        .into_iter()
        .collect(),
        failover: Some(Failover {
            primary: "uplink".into(),
            backup: "lte".into(),
            probe: s(2.0),
            fails: 3,
            switch: Dist::Const(10.0),
            stable_for: s(60.0),
            allow: vec!["payment".into(), "order".into()],
            data_cap: None,
        }),
        orders: None,
        telemetry: Some(Telemetry {
            bytes_per_second: 48_000.0,
            from: vec!["store/*".into()],
            arrivals: OrderArrivals::Constant,
            profile: None,
            bytes_each: ByteSize(0),
            every: s(5.0),
            class: "telemetry".into(),
        }),
        media: None,
        shop: Default::default(),
        collector,
        hq: Hq {
            gateway: false,
            ingest_bytes_per_second: 20e6,
            accepts_per_second: 50.0,
            idle_timeout: s(600.0),
            auth: Dist::Const(0.12),
            declines: 0.0,
        },
        faults: vec![Fault {
            id: "uplink-cut".into(),
            kind: FaultKind::LinkDown {
                link: "uplink".into(),
            },
            plan: None,
            pick: Pick::All,
            windows: vec![FaultWindow {
                start: s(2100.0),
                end: Some(s(3000.0)),
            }],
            line: 12,
        }],
        expects: vec![],
        oracles: vec![],
        quantiles: vec![0.5, 0.99],
    }
}

/// A group of so many machines.
pub(crate) fn node(role: Role, count: u32) -> Node {
    Node {
        role,
        count,
        boot: Dist::Const(5.0),
        disk: None,
        service: None,
        offline_payments: None,
        stand_in: None,
        printer: None,
        custom: None,
    }
}

/// A store whose orders cause one message to a group.
pub(crate) fn orders_with(msg: &str, to: &str) -> Orders {
    Orders {
        from: Vec::new(),
        arrivals: OrderArrivals::Poisson,
        peak_per_hour: 60.0,
        profile: None,
        items: Dist::Const(1.0),
        flow: vec![FlowStep {
            msg: msg.into(),
            to: to.into(),
            bytes: ByteSize(900),
            reply: ByteSize(0),
            class: "order".into(),
            timeout: None,
            store_and_forward: false,
            durable: false,
        }],
    }
}

/// A log under construction.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) events: Vec<Stamped>,
    pub(crate) links: Vec<LinkBytes>,
    /// What [`Log::log`] hands out.
    pub(crate) log: EventLog,
}

impl Log {
    pub(crate) fn at(mut self, seconds: f64, event: Event) -> Self {
        self.events.push(Stamped {
            at: s(seconds),
            event,
        });
        self
    }

    pub(crate) fn many(mut self, events: impl IntoIterator<Item = (f64, Event)>) -> Self {
        for (seconds, event) in events {
            self = self.at(seconds, event);
        }
        self
    }

    /// An order from its placement through the store to the ledger; `None` is where it stopped.
    pub(crate) fn order(self, order: u64, placed: f64, shown: f64, booked: f64) -> Self {
        let events = [
            (
                placed,
                Event::OrderPlaced {
                    order,
                    at: MachineId(0),
                },
            ),
            (placed + 0.1, Event::OrderAccepted { order }),
            (
                shown,
                Event::TicketShown {
                    order,
                    kds: MachineId(1),
                },
            ),
            (
                shown,
                Event::SaleStored {
                    order,
                    pos: MachineId(2),
                },
            ),
            (booked, Event::SaleBooked { order }),
        ];
        self.many(events)
    }

    /// Events in time order.
    pub(crate) fn log<'a>(&'a mut self, scenario: &'a Scenario) -> SeedLog<'a> {
        self.log = self.events.iter().copied().collect();
        SeedLog {
            seed: 1,
            scenario,
            events: &self.log,
            links: &self.links,
            machines: &[],
            ended_at: scenario.duration + s(600.0),
        }
    }
}

pub(crate) fn made(machine: u16, first: u64, count: u32) -> Event {
    Event::TelemetryMade {
        machine: MachineId(machine),
        first,
        count,
        bytes: count * 400,
    }
}

pub(crate) fn acked(machine: u16, first: u64, count: u32) -> Event {
    Event::TelemetryAcked {
        machine: MachineId(machine),
        first,
        count,
    }
}

pub(crate) fn received(machine: u16, first: u64, count: u32) -> Event {
    Event::TelemetryReceived {
        machine: MachineId(machine),
        first,
        count,
    }
}

/// `function(name, filters…)`.
pub(crate) fn measure(function: Function, name: &str, filters: &[(&str, &str)]) -> Measure {
    let filter = |(key, value): &(&str, &str)| Filter {
        key: (*key).into(),
        negated: false,
        value: (*value).into(),
        window: (*key == "born").then(|| Window::During {
            fault: "uplink-cut".into(),
            from: Duration::ZERO,
            len: None,
        }),
    };
    Measure {
        function,
        metric: MetricRef {
            name: name.into(),
            filters: filters.iter().map(filter).collect(),
        },
        of: None,
        condition: None,
    }
}

pub(crate) fn with(measure: Measure, op: Op, limit: Value) -> Measure {
    Measure {
        condition: Some(Condition {
            op,
            limit,
            quantile: None,
        }),
        ..measure
    }
}

pub(crate) fn during() -> Window {
    Window::During {
        fault: "uplink-cut".into(),
        from: Duration::ZERO,
        len: None,
    }
}

pub(crate) fn after() -> Window {
    Window::After {
        fault: "uplink-cut".into(),
        len: None,
    }
}
