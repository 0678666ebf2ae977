//! The machines of a store together, on simulated sockets and disks: what is accepted is sold, shown and booked, once.
//!
//! - quiet days: orders flow, telemetry keeps its rate, two runs are equal;
//! - outages of the line: payments are taken offline and settled, sales wait and are booked;
//! - crashes and power cuts of broker, tills and displays: nothing accepted is lost, nothing is booked twice.
//!
//! The collector's machine is played by a sink that counts: the real one has its own tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use backroom_collector::{
    config::{
        Backoff, Batch, BitRate, Buffer, ByteSize, Codec, Compress, Config, Durability, Listen,
        OnFull, Order, Retry, Send,
    },
    env::{Env as _, Listener as _},
};
use backroom_sim::{
    dist::Dist,
    event::{Event, EventLog, MachineId, OrderId, Payment, Recorder},
    scenario::{
        ClassSpec, Discipline, DiskSpec, Failover, Fidelity, FlowStep, Hq, LinkSpec, Loss, Node,
        OfflinePayments, OnPowerCut, OrderArrivals, Orders, QueueSpec, Role, Scenario, Telemetry,
    },
    store::{
        self, Context, Directory,
        telemetry::{Runs, Signal, visit_items},
    },
    world::{self, MachineSpec, World, WorldReport, WorldSpec, Zone, env::SimEnv},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;

const S: Duration = Duration::from_secs(1);
const MIN: Duration = Duration::from_secs(60);

fn lognormal(p50_ms: f64, p99_ms: f64) -> Dist {
    Dist::LogNormal {
        p50: p50_ms / 1e3,
        p99: p99_ms / 1e3,
    }
}

fn node(role: Role, count: u32) -> Node {
    Node {
        role,
        count,
        boot: Dist::Const(5.0),
        disk: (role == Role::Broker).then(|| "emmc".to_owned()),
        service: (role == Role::Broker).then(|| lognormal(2.0, 18.0)),
        offline_payments: (role == Role::Pos).then(|| OfflinePayments {
            max_age: 24 * 60 * MIN,
            max_each: 5_000,
            max_total: 200_000,
        }),
        stand_in: None,
        printer: None,
        custom: None,
    }
}

fn step(msg: &str, to: &str, bytes: u64) -> FlowStep {
    FlowStep {
        msg: msg.into(),
        to: to.into(),
        bytes: ByteSize(bytes),
        reply: ByteSize(0),
        class: "order".into(),
        timeout: None,
        store_and_forward: false,
        durable: false,
    }
}

fn link(between: (&str, &str), up: u64, down: u64, delay: Dist, loss: f64) -> LinkSpec {
    LinkSpec {
        between: (between.0.into(), between.1.into()),
        backup: false,
        up: BitRate(up),
        down: BitRate(down),
        delay,
        loss: Loss::Bernoulli(loss),
        queue: QueueSpec {
            bytes: ByteSize(256 << 10),
            discipline: Discipline::Fifo,
        },
        trace: None,
    }
}

/// Two kiosks, two tills, two displays, a menu board, a broker and a collector; no second line.
fn small_store(duration: Duration) -> Scenario {
    let backoff = Backoff::FullJitter {
        base: S,
        cap: 60 * S,
    };
    Scenario {
        path: PathBuf::from("small.toml"),
        name: "small".into(),
        description: String::new(),
        seeds: vec![1],
        start: "2025-03-14T11:30:00-05:00[-05:00]".parse().expect("a date"),
        warmup: Duration::ZERO,
        duration,
        wall_time_max: None,
        memory_max: None,
        fidelity: Fidelity::Packet,
        nodes: [
            ("kiosk", Role::Kiosk, 2),
            ("pos", Role::Pos, 2),
            ("broker", Role::Broker, 1),
            ("kds", Role::Kds, 2),
            ("signage", Role::Signage, 1),
            ("collector", Role::Collector, 1),
        ]
        .into_iter()
        .map(|(name, role, count)| (name.to_owned(), node(role, count)))
        .collect(),
        disks: [(
            "emmc".to_owned(),
            DiskSpec {
                size: ByteSize(8 << 30),
                free: ByteSize(3 << 30),
                write_bytes_per_second: 18e6,
                fsync: lognormal(4.0, 60.0),
                on_power_cut: OnPowerCut::LoseUnsynced,
            },
        )]
        .into(),
        links: [
            (
                "lan".to_owned(),
                link(
                    ("store/*", "router"),
                    300_000_000,
                    300_000_000,
                    lognormal(1.0, 12.0),
                    0.001,
                ),
            ),
            (
                "uplink".to_owned(),
                link(
                    ("router", "hq"),
                    2_000_000,
                    10_000_000,
                    lognormal(17.0, 71.0),
                    0.001,
                ),
            ),
        ]
        .into(),
        classes: ["payment", "order", "telemetry"]
            .into_iter()
            .enumerate()
            .map(|(priority, name)| {
                let class = ClassSpec {
                    priority: priority as u8,
                    max_share: 1.0,
                };
                (name.to_owned(), class)
            })
            .collect(),
        failover: None,
        orders: Some(Orders {
            from: vec!["kiosk".into(), "pos".into()],
            arrivals: OrderArrivals::Poisson,
            peak_per_hour: 600.0,
            profile: None,
            items: Dist::Geometric { mean: 2.2 },
            flow: vec![
                step("order.placed", "broker", 1_200),
                step("ticket.fire", "kds", 900),
                FlowStep {
                    reply: ByteSize(300),
                    class: "payment".into(),
                    timeout: Some(8 * S),
                    store_and_forward: true,
                    ..step("payment.auth", "hq", 900)
                },
                FlowStep {
                    durable: true,
                    ..step("order.sync", "hq", 1_600)
                },
            ],
        }),
        telemetry: Some(Telemetry {
            bytes_per_second: 20_000.0,
            from: vec!["store/*".into()],
            arrivals: OrderArrivals::Constant,
            profile: None,
            bytes_each: ByteSize(0),
            every: 5 * S,
            class: "telemetry".into(),
        }),
        media: None,
        shop: Default::default(),
        collector: Config {
            destinations: Vec::new(),
            listen: Listen {
                http: Some(SocketAddr::from(([0, 0, 0, 0], 4318))),
                grpc: None,
                ..Listen::default()
            },
            endpoint: None,
            buffer: Buffer {
                dir: PathBuf::from("/data/buffer"),
                disk: ByteSize(512 << 20),
                on_full: OnFull::DropOldest,
                durability: Durability::Fsync,
            },
            classes: Vec::new(),
            links: Vec::new(),
            compress: Compress {
                codec: Codec::Zstd(3),
                is_auto: false,
                ratio: None,
            },
            batch: Batch {
                bytes: ByteSize(1 << 20),
                delay: 5 * S,
                delay_down: 600 * S,
            },
            send: Send {
                inflight: Some(2),
                yield_delay: None,
                link: None,
                time_zone: None,
                max_rate: Some(BitRate(256_000)),
                order: Order::OldestFirst,
                live_window: Some(15 * S),
                backfill_share: 0.25,
            },
            retry: Retry {
                backoff,
                give_up: None,
            },
            telemetry: Default::default(),
            ..Config::default()
        },
        hq: Hq {
            gateway: false,
            ingest_bytes_per_second: 20e6,
            accepts_per_second: 50.0,
            idle_timeout: Duration::from_secs(600),
            auth: lognormal(120.0, 900.0),
            declines: 0.0,
        },
        faults: Vec::new(),
        expects: Vec::new(),
        oracles: Vec::new(),
        quantiles: vec![0.5, 0.99],
    }
}

/// Everything that a director of a store needs.
#[derive(Clone)]
struct Store {
    world: World,
    scenario: Arc<Scenario>,
    machines: Arc<Directory>,
    recorder: Recorder,
    sink: Arc<Mutex<Sink>>,
}

/// What the sink in the collector's place has seen.
#[derive(Debug, Default)]
struct Sink {
    exports: u64,
    bytes: u64,
    items: u64,
    runs: Vec<(MachineId, u64, u32)>,
}

impl Store {
    fn context(&self, env: SimEnv, id: MachineId, name: &str, group: &str) -> Context<SimEnv> {
        Context {
            env,
            id,
            name: name.to_owned(),
            group: group.to_owned(),
            scenario: Arc::clone(&self.scenario),
            recorder: self.recorder.clone(),
            machines: Arc::clone(&self.machines),
            run_seed: 1,
            refusals: Default::default(),
            plant: None,
        }
    }

    fn start(&self, name: &str) {
        let store = self.clone();
        if name == store::HQ {
            self.world.start(name, move |env| {
                let ctx = store.context(env, store.machines.hq(), store::HQ, store::HQ);
                async move { store::run_hq(ctx).await.expect("head office runs") }
            });
            return;
        }
        let machine = self.machines.named(name).expect("it is declared").clone();
        if machine.role == Role::Collector {
            let sink = Arc::clone(&self.sink);
            self.world.start(name, move |env| count_exports(env, sink));
            return;
        }
        self.world.start(name, move |env| {
            let ctx = store.context(env, machine.id, &machine.name, &machine.group);
            async move {
                store::run(ctx)
                    .await
                    .expect("a machine runs until it is aborted")
            }
        });
    }

    fn start_all(&self) {
        self.start(store::HQ);
        for machine in self.machines.machines() {
            self.start(&machine.name);
        }
    }

    async fn until(&self, time: Duration) {
        tokio::time::sleep_until(self.world.at(time)).await;
    }

    async fn crash(&self, name: &str, away: Duration) {
        assert!(self.world.crash(name).await > 0, "{name} was running");
        tokio::time::sleep(away).await;
        self.start(name);
    }

    async fn cut_power(&self, name: &str, away: Duration) {
        assert!(self.world.power_off(name).await.0 > 0, "{name} was running");
        tokio::time::sleep(away).await;
        self.world.power_on(name);
        self.start(name);
    }
}

/// Takes exports, counts what is in them, and answers.
async fn count_exports(env: SimEnv, sink: Arc<Mutex<Sink>>) {
    let mut listener = env
        .listen(SocketAddr::from(([0, 0, 0, 0], store::COLLECTOR_PORT)))
        .await
        .expect("the port is free");
    while let Ok((stream, _)) = listener.accept().await {
        let sink = Arc::clone(&sink);
        let service = service_fn(move |request: Request<Incoming>| {
            let sink = Arc::clone(&sink);
            async move {
                let signal = Signal::of_path(request.uri().path()).expect("an OTLP path");
                if let Ok(body) = request.into_body().collect().await {
                    let body = body.to_bytes();
                    let mut runs = Runs::default();
                    let items = visit_items(signal, &body, &mut |id| {
                        runs.push(id.expect("every item of a store has an id"));
                    });
                    let mut sink = sink.lock().expect("no panic");
                    sink.exports += 1;
                    sink.bytes += body.len() as u64;
                    sink.items += items.expect("machines send well-formed requests");
                    let runs = runs.into_vec().into_iter();
                    sink.runs
                        .extend(runs.map(|run| (run.machine, run.first, run.count)));
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
            }
        });
        env.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .auto_date_header(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// What happened, ready to be asked.
struct Outcome {
    log: EventLog,
    sink: Sink,
    report: WorldReport,
    machines: Arc<Directory>,
}

fn play<F>(
    seed: u64,
    scenario: Scenario,
    direct: impl FnOnce(Store) -> F + core::marker::Send,
) -> Outcome
where
    F: Future<Output = ()>,
{
    let spec = WorldSpec {
        seed,
        machines: Directory::of(&scenario)
            .machines()
            .iter()
            .map(|machine| MachineSpec {
                name: machine.name.clone(),
                zone: Zone::Store,
                access: Some("lan".into()),
                disk: scenario.nodes[&machine.group]
                    .disk
                    .as_ref()
                    .map(|disk| scenario.disks[disk].clone()),
            })
            .chain([MachineSpec {
                name: store::HQ.into(),
                zone: Zone::Hq,
                access: None,
                disk: None,
            }])
            .collect(),
        links: scenario.links.clone(),
        classes: scenario.classes.clone(),
        ports: store::classes_by_port(&scenario).into_iter().collect(),
        line: Some("uplink".into()),
        failover: scenario.failover.clone(),
        ..WorldSpec::default()
    };
    let run = || {
        world::run(&spec, |world| async move {
            let store = Store {
                world,
                machines: Arc::new(Directory::of(&scenario)),
                scenario: Arc::new(scenario),
                recorder: Recorder::new(),
                sink: Arc::default(),
            };
            direct(store.clone()).await;
            let log = store.recorder.take();
            let sink = std::mem::take(&mut *store.sink.lock().expect("no panic"));
            (log, sink, Arc::clone(&store.machines))
        })
        .expect("no recordings")
    };
    // A fresh thread for each world, as real runs have.
    let ((log, sink, machines), report) =
        std::thread::scope(|scope| scope.spawn(run).join()).expect("the world ends well");
    Outcome {
        log,
        sink,
        report,
        machines,
    }
}

impl Outcome {
    fn events<'a, T>(&'a self, pick: impl Fn(&Event) -> Option<T> + 'a) -> Vec<(Duration, T)> {
        self.log
            .iter()
            .filter_map(|stamped| Some((stamped.at, pick(&stamped.event)?)))
            .collect()
    }

    fn orders(&self, pick: impl Fn(&Event) -> Option<OrderId>) -> BTreeMap<OrderId, Vec<Duration>> {
        let mut orders: BTreeMap<OrderId, Vec<Duration>> = BTreeMap::new();
        for (at, order) in self.events(pick) {
            orders.entry(order).or_default().push(at);
        }
        orders
    }

    fn placed(&self) -> BTreeMap<OrderId, Vec<Duration>> {
        self.orders(|event| match event {
            Event::OrderPlaced { order, .. } => Some(*order),
            _ => None,
        })
    }

    fn accepted(&self) -> BTreeMap<OrderId, Vec<Duration>> {
        self.orders(|event| match event {
            Event::OrderAccepted { order } => Some(*order),
            _ => None,
        })
    }

    fn shown(&self) -> BTreeMap<OrderId, Vec<Duration>> {
        self.orders(|event| match event {
            Event::TicketShown { order, .. } => Some(*order),
            _ => None,
        })
    }

    fn booked(&self) -> BTreeMap<OrderId, Vec<Duration>> {
        self.orders(|event| match event {
            Event::SaleBooked { order } => Some(*order),
            _ => None,
        })
    }

    fn payments(&self, wanted: Payment) -> BTreeMap<OrderId, Vec<Duration>> {
        self.orders(|event| match event {
            Event::PaymentSettled { order, how, .. } if *how == wanted => Some(*order),
            _ => None,
        })
    }

    /// What must hold whatever happened: accepted orders are shown and booked, none is booked twice.
    fn check_orders(&self) {
        let accepted = self.accepted();
        assert!(!accepted.is_empty(), "somebody orders");
        let placed = self.placed();
        let (shown, booked) = (self.shown(), self.booked());
        for order in accepted.keys() {
            assert!(placed.contains_key(order), "order {order:x} was placed");
            assert!(shown.contains_key(order), "order {order:x} was never shown");
            assert!(
                booked.contains_key(order),
                "order {order:x} was never booked"
            );
        }
        for (order, times) in booked.iter().chain(&accepted) {
            assert_eq!(times.len(), 1, "order {order:x} once: {times:?}");
        }
        for order in booked.keys() {
            assert!(placed.contains_key(order), "order {order:x} out of nothing");
        }
    }

    /// Items by machine, without repeats.
    fn items(
        &self,
        pick: impl Fn(&Event) -> Option<(MachineId, u64, u32)>,
    ) -> BTreeSet<(u16, u64)> {
        let runs = self.events(pick).into_iter();
        runs.flat_map(|(_, (machine, first, count))| {
            (first..first + u64::from(count)).map(move |seq| (machine.0, seq))
        })
        .collect()
    }

    fn made(&self) -> BTreeSet<(u16, u64)> {
        self.items(|event| match *event {
            Event::TelemetryMade {
                machine,
                first,
                count,
                ..
            } => Some((machine, first, count)),
            _ => None,
        })
    }

    fn acked(&self) -> BTreeSet<(u16, u64)> {
        self.items(|event| match *event {
            Event::TelemetryAcked {
                machine,
                first,
                count,
            } => Some((machine, first, count)),
            _ => None,
        })
    }

    fn discarded(&self) -> BTreeSet<(u16, u64)> {
        self.items(|event| match *event {
            Event::TelemetryDiscarded {
                machine,
                first,
                count,
            } => Some((machine, first, count)),
            _ => None,
        })
    }

    fn bytes_made(&self) -> f64 {
        let bytes = self.events(|event| match event {
            Event::TelemetryMade { bytes, .. } => Some(f64::from(*bytes)),
            _ => None,
        });
        bytes.into_iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Scenario: twenty minutes without a fault.
/// Guarantees: each order is accepted, shown, paid and booked once, and soon; telemetry keeps its rate and is all acknowledged.
#[test]
fn a_quiet_lunch() {
    let outcome = play(7, small_store(20 * MIN), |store| async move {
        store.start_all();
        store.until(22 * MIN).await;
    });
    outcome.check_orders();
    let (placed, accepted, shown) = (outcome.placed(), outcome.accepted(), outcome.shown());
    // 600 an hour for twenty minutes; four standard deviations are 57.
    assert!(
        (143..=257).contains(&placed.len()),
        "{} orders",
        placed.len()
    );
    assert_eq!(placed.len(), accepted.len());
    for (order, times) in &shown {
        assert_eq!(times.len(), 1, "order {order:x} is shown once");
        let took = times[0] - placed[order][0];
        assert!(
            took < Duration::from_millis(1_500),
            "order {order:x} took {took:?}"
        );
    }
    assert_eq!(outcome.payments(Payment::Online).len(), placed.len());
    assert_eq!(outcome.payments(Payment::Offline).len(), 0);

    let wanted = 20_000.0 * 1_200.0;
    let off = (outcome.bytes_made() - wanted).abs() / wanted;
    assert!(
        off < 0.01,
        "made {} bytes instead of {wanted}",
        outcome.bytes_made()
    );
    let made = outcome.made();
    assert_eq!(made, outcome.acked());
    assert_eq!(outcome.sink.items as usize, made.len());
    assert_eq!(outcome.sink.bytes as f64, outcome.bytes_made());
    let from: BTreeSet<u16> = made.iter().map(|item| item.0).collect();
    assert_eq!(
        from.len(),
        outcome.machines.machines().len() - 1,
        "all but the collector"
    );
}

/// Scenario: a store is switched on for the first time, and its tills need two minutes longer than its kiosks.
/// Guarantees: what kiosks order meanwhile waits at the broker for the till that it is for.
#[test]
fn an_order_waits_for_a_pos_that_has_never_connected() {
    let outcome = play(7, small_store(10 * MIN), |store| async move {
        let machines: Vec<_> = store.machines.machines().to_vec();
        let (tills, others): (Vec<_>, Vec<_>) = machines.iter().partition(|m| m.role == Role::Pos);
        store.start(store::HQ);
        others.iter().for_each(|m| store.start(&m.name));
        store.until(2 * MIN).await;
        tills.iter().for_each(|m| store.start(&m.name));
        store.until(14 * MIN).await;
    });
    assert!(outcome.placed().len() > 10);
    outcome.check_orders();
}

#[test]
fn two_runs_of_a_seed_are_equal() {
    let run = |seed| {
        let outcome = play(seed, small_store(3 * MIN), |store| async move {
            store.start_all();
            store.until(4 * MIN).await;
        });
        (
            outcome.report.trace_hash,
            outcome.report.packets,
            outcome.log,
        )
    };
    let (first, again, other) = (run(3), run(3), run(4));
    assert_eq!(first.0, again.0);
    assert_eq!(first.2, again.2);
    assert_ne!(first.0, other.0);
}

/// Scenario: the only line is dead from minute 5 to 15.
/// Guarantees: the kitchen does not notice; payments are taken offline within the limit of 8 s, within their limits, and
/// settled later; every sale is booked once.
#[test]
fn a_dead_line_stops_nobody_from_eating() {
    let outcome = play(11, small_store(20 * MIN), |store| async move {
        store.start_all();
        store.until(5 * MIN).await;
        store.world.set_link_up("uplink", false);
        store.until(15 * MIN).await;
        store.world.set_link_up("uplink", true);
        store.until(30 * MIN).await;
        assert!(store.world.refused_by("uplink") > 0, "the outage bit");
    });
    outcome.check_orders();
    let placed = outcome.placed();
    for (order, times) in outcome.shown() {
        let took = times[0] - placed[&order][0];
        assert!(
            took < Duration::from_millis(1_500),
            "order {order:x} took {took:?}"
        );
    }
    let offline = outcome.payments(Payment::Offline);
    assert!(offline.len() > 50, "{} offline payments", offline.len());
    let settled: Vec<OrderId> = outcome
        .payments(Payment::SettledLater)
        .into_keys()
        .collect();
    assert_eq!(settled, offline.into_keys().collect::<Vec<_>>());
    let declined = outcome.payments(Payment::Declined);
    assert!(
        declined.len() < 20,
        "{} were over the limit",
        declined.len()
    );
    for (at, asked_at) in outcome.events(|event| match event {
        Event::PaymentSettled {
            asked_at,
            how: Payment::Online | Payment::Offline | Payment::Declined,
            ..
        } => Some(*asked_at),
        _ => None,
    }) {
        assert!(
            at - asked_at < 9 * S,
            "asked at {asked_at:?}, known at {at:?}"
        );
    }
}

/// Scenario: the broker dies three times and loses power twice, at the busiest time.
/// Guarantees: what it has acknowledged survives; customers wait, and nothing is booked twice.
#[test]
fn a_broker_that_dies_keeps_what_it_accepted() {
    for seed in [1, 2, 3] {
        let mut scenario = small_store(15 * MIN);
        scenario.orders.as_mut().expect("orders").peak_per_hour = 3_000.0;
        let outcome = play(seed, scenario, |store| async move {
            store.start_all();
            store.until(3 * MIN + seed as u32 * S / 7).await;
            store.crash("broker", 20 * S).await;
            store.until(5 * MIN).await;
            store.cut_power("broker", 30 * S).await;
            store.until(8 * MIN).await;
            store.crash("broker", S / 10).await;
            store.until(10 * MIN).await;
            store.cut_power("broker", 2 * S).await;
            store.until(11 * MIN).await;
            store.crash("broker", 45 * S).await;
            // A display that only listens finds a dead connection by its keep-alive.
            store.until(40 * MIN).await;
        });
        outcome.check_orders();
    }
}

/// Scenario: tills and displays die and lose power in the middle of orders.
/// Guarantees: every accepted order is booked once; its ticket is shown.
#[test]
fn tills_and_displays_that_die_lose_no_order() {
    for seed in [1, 2, 3] {
        let mut scenario = small_store(15 * MIN);
        scenario.orders.as_mut().expect("orders").peak_per_hour = 3_000.0;
        let outcome = play(seed, scenario, |store| async move {
            store.start_all();
            for minute in 3..12_u32 {
                store.until(minute * MIN + seed as u32 * S / 3).await;
                match minute % 4 {
                    0 => store.crash("pos-1", 5 * S).await,
                    1 => store.cut_power("pos-2", 3 * S).await,
                    2 => store.crash("kds-1", 10 * S).await,
                    _ => store.cut_power("kiosk-1", 3 * S).await,
                }
            }
            store.until(40 * MIN).await;
        });
        outcome.check_orders();
    }
}

/// Scenario: the whole store loses power for three minutes while the line is dead.
/// Guarantees: sales and payments that were taken offline before are booked and settled afterwards.
#[test]
fn a_dark_store_forgets_nothing() {
    let outcome = play(5, small_store(20 * MIN), |store| async move {
        store.start_all();
        store.until(4 * MIN).await;
        store.world.set_link_up("uplink", false);
        store.until(9 * MIN).await;
        let names: Vec<String> = store
            .machines
            .machines()
            .iter()
            .map(|m| m.name.clone())
            .collect();
        for name in &names {
            store.world.power_off(name).await;
        }
        store.until(12 * MIN).await;
        store.world.set_link_up("uplink", true);
        for name in &names {
            store.world.power_on(name);
            store.start(name);
        }
        store.until(40 * MIN).await;
    });
    outcome.check_orders();
    let offline = outcome.payments(Payment::Offline);
    assert!(!offline.is_empty());
    let settled = outcome.payments(Payment::SettledLater);
    for order in offline.keys() {
        assert!(
            settled.contains_key(order),
            "order {order:x} was never settled"
        );
    }
}

/// Scenario: the collector is away for an hour at a rate that fills a machine's queue of 4 MiB in half of that.
/// Guarantees: what was made is acknowledged or discarded, never both and never neither; the oldest goes.
#[test]
fn a_full_queue_gives_up_its_oldest() {
    let mut scenario = small_store(90 * MIN);
    scenario.orders = None;
    scenario
        .telemetry
        .as_mut()
        .expect("telemetry")
        .bytes_per_second = 8.0 * 2_500.0;
    scenario.telemetry.as_mut().expect("telemetry").every = 20 * S;
    let outcome = play(9, scenario, |store| async move {
        store.start_all();
        store.until(10 * MIN).await;
        assert!(store.world.crash("collector").await > 0);
        store.until(70 * MIN).await;
        store.start("collector");
        store.until(100 * MIN).await;
    });
    let (made, acked, discarded) = (outcome.made(), outcome.acked(), outcome.discarded());
    assert!(!discarded.is_empty(), "the queue overflowed");
    assert!(acked.is_disjoint(&discarded));
    let told: BTreeSet<_> = acked.union(&discarded).copied().collect();
    assert_eq!(told, made);
    let newest_discarded = outcome.events(|event| match event {
        Event::TelemetryDiscarded { machine, first, .. } => Some((machine.0, *first)),
        _ => None,
    });
    assert!(newest_discarded.iter().all(|(at, _)| *at < 71 * MIN));
}

/// Payments as (asked at, took, how), settlements of offline payments left out.
fn asked(outcome: &Outcome) -> Vec<(Duration, Duration, Payment)> {
    let settled = outcome.events(|event| match *event {
        Event::PaymentSettled {
            asked_at,
            how: how @ (Payment::Online | Payment::Offline | Payment::Declined),
            ..
        } => Some((asked_at, how)),
        _ => None,
    });
    settled
        .into_iter()
        .map(|(at, (asked_at, how))| (asked_at, at - asked_at, how))
        .collect()
}

/// Scenario: the uplink is dead from minute 5 to 15; the router moves payments and orders to a backup line within 11 s.
/// Guarantees: after that payments are authorised online, over connections that the switch has broken; so they are after
/// the switch back; sales do not wait for the uplink.
#[test]
fn payments_move_to_the_backup_line() {
    let mut scenario = small_store(20 * MIN);
    let mut lte = link(
        ("router", "hq"),
        1_000_000,
        5_000_000,
        lognormal(38.0, 240.0),
        0.01,
    );
    lte.backup = true;
    scenario.links.insert("lte".into(), lte);
    scenario.failover = Some(Failover {
        primary: "uplink".into(),
        backup: "lte".into(),
        probe: 2 * S,
        fails: 3,
        switch: Dist::Const(5.0),
        stable_for: 60 * S,
        allow: vec!["payment".into(), "order".into()],
        data_cap: None,
    });
    let outcome = play(13, scenario, |store| async move {
        store.start_all();
        let probes = async {
            loop {
                tokio::time::sleep(2 * S).await;
                store.world.probed(store.world.probe().is_some());
            }
        };
        let story = async {
            store.until(5 * MIN).await;
            store.world.set_link_up("uplink", false);
            store.until(15 * MIN).await;
            store.world.set_link_up("uplink", true);
            store.until(25 * MIN).await;
        };
        tokio::select! { biased; () = story => {}, () = probes => {} }
        assert_eq!(store.world.take_switches().len(), 2, "there and back");
    });
    outcome.check_orders();
    let dark = 5 * MIN - 8 * S..5 * MIN + 15 * S;
    for (asked_at, took, how) in asked(&outcome) {
        if dark.contains(&asked_at) {
            assert!(took < 9 * S, "asked at {asked_at:?}, took {took:?}");
        } else {
            assert_eq!(how, Payment::Online, "asked at {asked_at:?}, took {took:?}");
            assert!(took < 5 * S, "asked at {asked_at:?}, took {took:?}");
        }
    }
    let during = 6 * MIN..14 * MIN;
    let accepted = outcome.accepted();
    for (order, times) in outcome.booked() {
        let at = accepted[&order][0];
        if during.contains(&at) {
            assert!(times[0] - at < MIN, "order {order:x} waited for the uplink");
        }
    }
}

/// Scenario: six orders an hour, so that most find the connection to head office closed for its silence.
/// Guarantees: nobody notices.
#[test]
fn a_silent_till_pays_online() {
    let mut scenario = small_store(8 * 60 * MIN);
    scenario.telemetry = None;
    scenario.orders.as_mut().expect("orders").peak_per_hour = 6.0;
    let outcome = play(17, scenario, |store| async move {
        store.start_all();
        store.until(8 * 60 * MIN + MIN).await;
    });
    outcome.check_orders();
    for (asked_at, took, how) in asked(&outcome) {
        assert_eq!(how, Payment::Online, "asked at {asked_at:?}");
        assert!(took < 4 * S, "asked at {asked_at:?}, took {took:?}");
    }
}
