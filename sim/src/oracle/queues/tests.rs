//! T2 and T10 against stores on paper that do what their files say, or something else.

use backroom_collector::config::BitRate;
use backroom_reports::{Oracle as Judged, Verdict};

use super::*;
use crate::{
    dist::Dist,
    metric::{
        LinkBytes,
        fixture::{Log, measure, s, scenario, with},
    },
    oracle::judge::{OracleSample, judge},
    scenario::{Failover, FlowStep, Node, expr::Value},
};

fn node(role: Role) -> Node {
    Node {
        role,
        count: 1,
        boot: Dist::Const(0.0),
        disk: None,
        service: None,
        offline_payments: None,
        printer: None,
        custom: None,
        stand_in: None,
    }
}

fn step(msg: &str) -> FlowStep {
    FlowStep {
        msg: msg.into(),
        to: "hq".into(),
        bytes: backroom_collector::config::ByteSize(1_600),
        reply: Default::default(),
        class: "order".into(),
        timeout: None,
        store_and_forward: false,
        durable: true,
    }
}

/// A stand with one till, 900 orders an hour, and one line of 8 kbit/s.
fn stand() -> Scenario {
    let mut scenario = scenario();
    scenario.failover = None::<Failover>;
    scenario.links.shift_remove("lte");
    scenario.links["uplink"].up = BitRate(8_000);
    scenario.collector.send.max_rate = None;
    scenario.nodes.insert("pos".into(), node(Role::Pos));
    let mut broker = node(Role::Broker);
    broker.service = Some(Dist::Exp { mean: 2.0 });
    scenario.nodes.insert("broker".into(), broker);
    scenario.orders = Some(Orders {
        from: vec!["pos".into()],
        arrivals: OrderArrivals::Poisson,
        peak_per_hour: 900.0,
        profile: None,
        items: Dist::Const(1.0),
        flow: vec![step("order.placed"), step("order.sync")],
    });
    scenario
}

fn oracle(model: &str, fault: &str, observe: crate::scenario::expr::Measure) -> Oracle {
    Oracle {
        id: "form".into(),
        model: model.into(),
        fault: fault.into(),
        observe,
        observe_text: "what the test asks for".into(),
        tolerance: 0.05,
        line: 1,
    }
}

fn judged(scenario: &Scenario, oracle: &Oracle, mut log: Log) -> Judged {
    let sample = OracleSample::of(&log.log(scenario), oracle);
    judge(scenario, oracle, &[(1, sample)])
}

fn outbox() -> Oracle {
    let empty = measure(Function::TimeTo, "order.outbox", &[]);
    let empty = with(empty, Op::Eq, Value::Count(0.0));
    oracle("random_recovery", "uplink-cut", empty)
}

/// A sale every 4 s; the line takes `seconds` for each, and nothing from 2100 s to 3005 s.
fn sales(seconds: f64) -> Log {
    let mut line = LinkBytes::new("uplink", true, 1);
    let (mut log, mut free) = (Log::default(), 0.0);
    for order in 1..1340 {
        let stored = 4.0 * order as f64;
        let mut start = f64::max(stored, free);
        if (2098.0..3005.0).contains(&start) {
            start = 3005.0;
        }
        free = start + seconds;
        line.carry(s(free), 1_600);
        let pos = crate::event::MachineId(0);
        log = log.at(stored, Event::SaleStored { order, pos });
        log = log.at(free, Event::SaleBooked { order });
    }
    log.links.push(line);
    log
}

/// Guarantees: an outbox behind a line that carries what the file says agrees within 2 %; one that carries a tenth less does not.
#[test]
fn an_outbox_drains_as_the_delay_cycle_says() {
    let scenario = stand();
    let out = judged(&scenario, &outbox(), sales(1.6));
    assert_eq!(out.verdict, Verdict::Pass, "{out:#?}");
    assert!(out.deviation.is_some_and(|d| d.abs() < 0.02), "{out:#?}");
    let value = |name: &str| {
        let found = out.inputs.iter().find(|input| input.name == name);
        found.expect("is told").value
    };
    assert_eq!((value("lambda"), value("D")), (0.25, 900.0));
    assert!((value("rho") - 0.4).abs() < 0.01, "{out:#?}");

    let slow = judged(&scenario, &outbox(), sales(1.6 / 0.9));
    assert_eq!(slow.verdict, Verdict::Fail, "{slow:#?}");
    assert!(slow.deviation.is_some_and(|d| d > 0.1), "{slow:#?}");
}

#[test]
fn an_outbox_that_is_not_the_forms_is_refused() {
    let check = |change: fn(&mut Scenario), reason: &str| {
        let mut scenario = stand();
        change(&mut scenario);
        let out = judged(&scenario, &outbox(), sales(1.6));
        assert_eq!(
            (out.verdict, out.theory),
            (Verdict::Skipped, None),
            "{out:#?}"
        );
        assert_eq!(out.notes, [reason]);
    };
    check(
        |s| s.nodes["pos"].count = 4,
        "4 tills share the line: the form is of one server",
    );
    check(
        |s| s.orders.as_mut().expect("has some").arrivals = OrderArrivals::Constant,
        "orders do not arrive as a Poisson process",
    );
    check(
        |s| s.orders.as_mut().expect("has some").flow.truncate(1),
        "no sales go to head office: there is no `order.sync`",
    );
    check(|s| s.orders = None, "there are no orders");
    check(
        |s| s.orders.as_mut().expect("has some").peak_per_hour = 2_400.0,
        "a load of 1.07 is not below 1",
    );
    let out = judged(&stand(), &outbox(), Log::default());
    assert_eq!(out.notes, ["head office booked nothing after the outage"]);
    let one = Log::default().at(3010.0, Event::SaleBooked { order: 1 });
    let out = judged(&stand(), &outbox(), one);
    let reason = "0 sales waited when the line was back, 20 are needed to tell what one takes";
    assert_eq!(out.notes, [reason]);
}

/// Customers of one server by Lindley's recursion, as orders that are placed and accepted.
fn queue(service: &Dist, lambda: f64) -> Log {
    let mut rng = crate::world::seed::stream(3, &["queue"]);
    let gap = Dist::Exp { mean: 1.0 / lambda };
    let (mut log, mut at, mut free) = (Log::default(), 0.0f64, 0.0f64);
    for order in 0..40_000 {
        at += gap.sample(&mut rng);
        free = free.max(at) + service.sample(&mut rng);
        let place = crate::event::MachineId(0);
        log.events.push(crate::event::Stamped {
            at: s(at),
            event: Event::OrderPlaced { order, at: place },
        });
        log.events.push(crate::event::Stamped {
            at: s(free),
            event: Event::OrderAccepted { order },
        });
    }
    log
}

/// Guarantees: a broker that serves as the file says agrees; one whose service never varies waits half as long, and does not.
#[test]
fn a_broker_lets_wait_as_the_form_says() {
    let mut scenario = stand();
    scenario.faults.clear();
    scenario.duration = s(300_000.0);
    let accepted = oracle(
        "queue_wait",
        "",
        measure(Function::Mean, "order.accept_delay", &[]),
    );
    let out = judged(&scenario, &accepted, queue(&Dist::Exp { mean: 2.0 }, 0.25));
    assert_eq!(out.verdict, Verdict::Pass, "{out:#?}");
    // M/M/1 at half load: E[S] / (1 - rho) = 4 s.
    assert!(
        out.theory.is_some_and(|t| (t - 4.0).abs() < 1e-9),
        "{out:#?}"
    );
    let out = judged(&scenario, &accepted, queue(&Dist::Const(2.0), 0.25));
    assert_eq!(out.verdict, Verdict::Fail, "{out:#?}");

    let check = |change: fn(&mut Scenario), reason: &str| {
        let mut scenario = scenario.clone();
        change(&mut scenario);
        let out = judged(&scenario, &accepted, Log::default());
        assert_eq!(out.notes, [reason]);
    };
    check(
        |s| {
            s.orders
                .as_mut()
                .expect("has some")
                .flow
                .push(step("ticket.fire"))
        },
        "`ticket.fire` goes through the broker too",
    );
    check(
        |s| s.nodes["broker"].service = Some(Dist::Exp { mean: 5.0 }),
        "a load of 1.25 is not below 1",
    );
    check(
        |s| {
            s.nodes["broker"].service = Some(Dist::Pareto {
                min: 1.0,
                alpha: 1.5,
            })
        },
        "the broker's `service` has no variance",
    );
    check(
        |s| s.nodes["broker"].service = None,
        "the broker has no `service`",
    );
    check(
        |s| s.faults = super::super::super::metric::fixture::scenario().faults,
        "`uplink-cut` disturbs the steady state",
    );
}
