//! Each function against small logs whose answers are plain to see.

use super::{
    super::fixture::{Log, acked, after, during, made, measure as m, received, s, scenario, with},
    *,
};
use crate::{
    event::{DropReason, MachineChange, MachineId, Payment},
    metric::LinkBytes,
};

fn check(log: Log, measure: &Measure, window: &Window, expect: Sample) {
    let scenario = scenario();
    let mut log = log;
    assert_eq!(
        super::measure(&log.log(&scenario), measure, window),
        expect,
        "{measure:?} {window:?}"
    );
}

fn num(value: f64) -> Sample {
    Sample::Number { value }
}

use crate::event::Event;

#[test]
fn samples_count_in_the_window_in_which_they_begin() {
    let log = || {
        Log::default()
            .order(1, 100.0, 109.0, 110.0) // warm-up
            .order(2, 2000.0, 2002.0, 2003.0)
            .order(3, 2099.0, 2101.0, 2102.0)
            .order(4, 2100.0, 2101.0, 2102.0)
            .order(5, 2500.0, 2504.0, 3100.0)
    };
    let to_kds = |f| m(f, "order.to_kds", &[]);
    let values = |values: &[(f64, u64)]| Sample::Values {
        values: values.to_vec(),
    };
    check(
        log(),
        &to_kds(Function::Quantile(0.99)),
        &during(),
        values(&[(1.0, 1), (4.0, 1)]),
    );
    check(
        log(),
        &to_kds(Function::Mean),
        &Window::WholeRun,
        values(&[(1.0, 1), (2.0, 2), (4.0, 1)]),
    );
    check(
        log(),
        &to_kds(Function::Max),
        &Window::OutsideFaults,
        num(2.0),
    );
    check(log(), &to_kds(Function::Count), &during(), num(2.0));
    check(log(), &to_kds(Function::Sum), &during(), num(5.0));
    check(
        log(),
        &to_kds(Function::Max),
        &after(),
        nothing("there was no sample"),
    );
    let share = with(to_kds(Function::Share), Op::Lt, Value::Time(2.0));
    check(
        log(),
        &share,
        &during(),
        Sample::Share {
            hits: 1.0,
            of: 2.0,
            counted: true,
        },
    );
    check(
        log(),
        &m(Function::Max, "order.e2e", &[]),
        &during(),
        num(600.0),
    );
    let gap = m(Function::Gap, "order.booked", &[]);
    check(log(), &gap, &after(), num(2300.0));
}

#[test]
fn an_order_that_never_arrives_counts_with_its_age() {
    let log = Log::default().at(
        3000.0,
        Event::OrderPlaced {
            order: 1,
            at: MachineId(0),
        },
    );
    check(
        log,
        &m(Function::Max, "order.to_kds", &[]),
        &Window::WholeRun,
        num(3000.0),
    );
}

#[test]
fn windows_have_offsets_lengths_and_exceptions() {
    let scenario = scenario();
    let check = |window: Window, expect: &[(f64, f64)], text: &str| {
        let got: Vec<_> = windows::stretches(&window, &scenario)
            .into_iter()
            .map(|s| (s.start.as_secs_f64(), s.end.as_secs_f64()))
            .collect();
        assert_eq!(got, expect, "{window:?}");
        assert_eq!(windows::text(&window, &scenario), text);
    };
    let fault = || "uplink-cut".to_owned();
    check(during(), &[(2100.0, 3000.0)], "during uplink-cut");
    let window = Window::During {
        fault: fault(),
        from: s(45.0),
        len: Some(s(60.0)),
    };
    check(
        window,
        &[(2145.0, 2205.0)],
        "during uplink-cut from +45s for 1m",
    );
    check(
        Window::After {
            fault: fault(),
            len: Some(s(600.0)),
        },
        &[(3000.0, 3600.0)],
        "after uplink-cut for 10m",
    );
    check(after(), &[(3000.0, 5400.0)], "after uplink-cut");
    check(
        Window::OutsideFaults,
        &[(600.0, 2100.0), (3000.0, 5400.0)],
        "outside faults",
    );
    let window = Window::Between {
        start: s(1800.0),
        end: s(3600.0),
        except: vec![fault()],
    };
    check(
        window,
        &[(1800.0, 2100.0), (3000.0, 3600.0)],
        "between 12:00 and 12:30 except uplink-cut",
    );
    check(
        Window::After {
            fault: "nothing".into(),
            len: None,
        },
        &[],
        "after nothing",
    );
}

#[test]
fn lost_and_duplicated_orders_are_counted() {
    let log = || {
        Log::default()
            .order(1, 1000.0, 1001.0, 1002.0)
            .order(2, 2200.0, 2201.0, 2202.0)
            .at(2300.0, Event::SaleBooked { order: 2 })
            .at(2300.0, Event::SaleRepeated { order: 1 })
            .at(2400.0, Event::OrderAccepted { order: 3 })
            .at(
                2401.0,
                Event::SaleStored {
                    order: 3,
                    pos: MachineId(2),
                },
            )
            .at(
                2402.0,
                Event::TicketShown {
                    order: 1,
                    kds: MachineId(7),
                },
            )
            .at(
                2403.0,
                Event::TicketShown {
                    order: 1,
                    kds: MachineId(7),
                },
            )
            // A display that has started again shows for the first time what it is told.
            .at(
                2404.0,
                Event::Machine {
                    machine: MachineId(7),
                    change: MachineChange::PowerLost,
                },
            )
            .at(
                2405.0,
                Event::TicketShown {
                    order: 1,
                    kds: MachineId(7),
                },
            )
    };
    let count = |name| m(Function::Count, name, &[]);
    check(log(), &count("order.lost"), &Window::WholeRun, num(1.0));
    check(log(), &count("order.lost"), &after(), num(0.0));
    check(
        log(),
        &count("order.duplicated"),
        &Window::WholeRun,
        num(2.0),
    );
    check(log(), &count("order.repeated"), &Window::WholeRun, num(1.0));
    check(log(), &count("order.booked"), &Window::AtEnd, num(3.0));
}

#[test]
fn payments_count_from_the_question() {
    let settled = |order, asked: f64, how| Event::PaymentSettled {
        order,
        asked_at: s(asked),
        how,
    };
    let log = || {
        Log::default()
            .at(2105.0, settled(1, 2099.0, Payment::Online))
            .at(2110.0, settled(2, 2102.0, Payment::Offline))
            .at(3100.0, settled(2, 2102.0, Payment::SettledLater))
            .at(2111.0, settled(3, 2110.0, Payment::Declined))
    };
    let auth = with(
        m(Function::Share, "payment.auth", &[]),
        Op::Lt,
        Value::Time(8.0),
    );
    check(
        log(),
        &auth,
        &during(),
        Sample::Share {
            hits: 1.0,
            of: 2.0,
            counted: true,
        },
    );
    check(
        log(),
        &m(Function::Count, "payment.offline", &[]),
        &Window::WholeRun,
        num(1.0),
    );
}

#[test]
fn links_are_narrowed_by_class_and_direction() {
    let carried = |link: &str, upwards, class, carried: &[(u32, u64)]| LinkBytes {
        carried: carried.iter().copied().collect(),
        ..LinkBytes::new(link, upwards, class)
    };
    let log = || Log {
        links: vec![
            carried(
                "lte",
                true,
                0,
                &[(2099, 5), (2100, 10), (2999, 20), (3000, 40)],
            ),
            carried("lte", false, 0, &[(2200, 100)]),
            carried("lte", true, 2, &[(2200, 1000)]),
            carried("uplink", true, 0, &[(2200, 10_000)]),
        ],
        ..Log::default()
    };
    let sum = |filters: &[(&str, &str)]| m(Function::Sum, "link.lte.bytes", filters);
    check(log(), &sum(&[]), &during(), num(1130.0));
    check(log(), &sum(&[("class", "payment")]), &during(), num(130.0));
    check(
        log(),
        &sum(&[("class", "payment"), ("dir", "up")]),
        &during(),
        num(30.0),
    );
    check(log(), &sum(&[("class", "telemetry")]), &after(), num(0.0));
    check(
        log(),
        &m(Function::Max, "link.lte.bytes", &[]),
        &during(),
        num(1100.0),
    );
    let rate = m(Function::Rate, "link.lte.bytes", &[]);
    check(log(), &rate, &during(), num(8.0 * 1130.0 / 900.0));
}

fn backlog(steps: &[(f64, u64)]) -> Log {
    Log::default().many(steps.iter().map(|(at, bytes)| {
        (
            *at,
            Event::Backlog {
                bytes: *bytes,
                items: 0,
            },
        )
    }))
}

#[test]
fn recovery_is_for_good() {
    let recovery = with(
        m(Function::Recovery, "telemetry.backlog", &[]),
        Op::Lt,
        Value::Bytes(100.0),
    );
    // A saw-tooth that touches the level at 3200 s and is below it for good from 3230 s on.
    let steps = [
        (2200.0, 500),
        (3000.0, 900),
        (3200.0, 90),
        (3210.0, 120),
        (3230.0, 80),
        (3250.0, 99),
        (3280.0, 10),
    ];
    check(backlog(&steps), &recovery, &after(), num(230.0));
    // Another wave an hour later is not this fault's.
    let later: Vec<_> = steps
        .into_iter()
        .chain([(3300.0, 500), (3400.0, 0)])
        .collect();
    check(backlog(&later), &recovery, &after(), num(230.0));
    // It was below all the time.
    check(backlog(&[(2200.0, 50)]), &recovery, &after(), num(0.0));
    // It is not below when the run ends.
    check(
        backlog(&[(2200.0, 500)]),
        &recovery,
        &after(),
        Sample::AtLeast { value: 2400.0 },
    );
    let last_moment = [(2200.0, 500), (5390.0, 0)];
    check(backlog(&last_moment), &recovery, &after(), num(2390.0));
}

#[test]
fn gauges_are_weighted_by_time() {
    let log = || backlog(&[(2100.0, 100), (2400.0, 700), (3000.0, 50)]);
    let of = |f| m(f, "telemetry.backlog", &[]);
    check(log(), &of(Function::Mean), &during(), num(500.0));
    check(log(), &of(Function::Max), &during(), num(700.0));
    check(log(), &of(Function::Min), &during(), num(100.0));
    check(log(), &of(Function::Last), &Window::AtEnd, num(50.0));
    check(log(), &of(Function::Delta), &during(), num(-50.0));
    check(log(), &of(Function::Quantile(0.5)), &during(), num(700.0));
    let share = with(of(Function::Share), Op::Lt, Value::Bytes(200.0));
    check(
        log(),
        &share,
        &during(),
        Sample::Share {
            hits: 300.0,
            of: 900.0,
            counted: false,
        },
    );
}

#[test]
fn failover_has_the_names_of_its_lines() {
    let log = || {
        Log::default()
            .at(2121.0, Event::Failover { backup: true })
            .at(3079.0, Event::Failover { backup: false })
    };
    let to = |name: &str| {
        let text = Value::Text(name.into());
        with(m(Function::TimeTo, "failover.active", &[]), Op::Eq, text)
    };
    check(log(), &to("lte"), &during(), num(21.0));
    check(log(), &to("uplink"), &after(), num(79.0));
    check(
        Log::default(),
        &to("lte"),
        &during(),
        Sample::AtLeast { value: 900.0 },
    );
    check(
        log(),
        &m(Function::Count, "failover.switch", &[]),
        &Window::WholeRun,
        num(2.0),
    );
}

#[test]
fn recovery_of_a_quantile_looks_at_minutes() {
    let slow = |order, placed: f64| (order, placed, placed + 5.0);
    let fast = |order, placed: f64| (order, placed, placed + 1.0);
    let orders = [
        slow(1, 3010.0),
        fast(2, 3070.0),
        slow(3, 3130.0),
        fast(4, 3190.0),
        fast(5, 4000.0),
    ];
    let log = || {
        orders.iter().fold(Log::default(), |log, (n, at, shown)| {
            log.order(*n, *at, *shown, shown + 1.0)
        })
    };
    let mut recovery = with(
        m(Function::Recovery, "order.to_kds", &[]),
        Op::Lt,
        Value::Time(2.0),
    );
    check(log(), &recovery, &after(), num(135.0));
    // What is slow five minutes later is another fault's; before that it is still this one's.
    let later = |at: f64| log().order(6, at, at + 5.0, at + 6.0);
    check(later(4500.0), &recovery, &after(), num(135.0));
    check(later(3400.0), &recovery, &after(), num(405.0));
    recovery.condition.as_mut().expect("has one").quantile = Some(0.99);
    check(log(), &recovery, &after(), num(180.0));
    check(later(4500.0), &recovery, &after(), num(180.0));
    check(later(3400.0), &recovery, &after(), num(420.0));
    // Without one that is fast there is no recovery in between.
    let slow_only = Log::default()
        .order(1, 3010.0, 3015.0, 3016.0)
        .order(2, 4500.0, 4505.0, 4506.0);
    check(slow_only, &recovery, &after(), num(1_560.0));
}

/// 10 items each from two machines; some are received, twice, acknowledged and not received, discarded.
fn items() -> Log {
    Log::default()
        .at(1000.0, made(0, 0, 10))
        .at(2200.0, made(0, 10, 10))
        .at(2300.0, made(1, 0, 10))
        .at(1001.0, acked(0, 0, 10))
        .at(2201.0, acked(0, 10, 8))
        .at(2301.0, acked(1, 0, 5))
        .at(1010.0, received(0, 0, 10))
        .at(3100.0, received(0, 5, 10))
        .at(3200.0, received(1, 0, 3))
}

#[test]
fn telemetry_is_counted_item_by_item() {
    let count = |name, filters: &[(&str, &str)]| m(Function::Count, name, filters);
    let run = &Window::WholeRun;
    check(items(), &count("telemetry.generated", &[]), run, num(30.0));
    check(
        items(),
        &count("telemetry.generated", &[("born", "")]),
        run,
        num(20.0),
    );
    check(items(), &count("telemetry.acked", &[]), run, num(23.0));
    check(items(), &count("telemetry.delivered", &[]), run, num(18.0));
    check(
        items(),
        &count("telemetry.delivered", &[]),
        &after(),
        num(8.0),
    );
    check(items(), &count("telemetry.duplicated", &[]), run, num(5.0));
    // Machine 0: 15..18 acked, 18..20 not; machine 1: 3..5 acked, 5..10 not.
    check(
        items(),
        &count("telemetry.lost", &[]),
        &Window::AtEnd,
        num(12.0),
    );
    check(
        items(),
        &count("telemetry.lost", &[("acked", "true")]),
        &Window::AtEnd,
        num(5.0),
    );
    check(
        items(),
        &count("telemetry.lost", &[("born", "")]),
        &Window::AtEnd,
        num(12.0),
    );
    let mut ratio = count("telemetry.duplicated", &[]);
    ratio.function = Function::Ratio;
    ratio.of = Some(count("telemetry.delivered", &[]).metric);
    let expect = Sample::Ratio {
        over: 5.0,
        under: 18.0,
    };
    check(items(), &ratio, run, expect);
}

#[test]
fn what_is_dropped_or_discarded_is_lost_and_what_is_stored_is_not() {
    let lost = m(Function::Count, "telemetry.lost", &[]);
    let acked_lost = m(Function::Count, "telemetry.lost", &[("acked", "true")]);
    let log = || {
        items()
            .at(
                2500.0,
                Event::TelemetryDropped {
                    items: 2,
                    reason: DropReason::BufferFull,
                },
            )
            .at(
                2600.0,
                Event::TelemetryDiscarded {
                    machine: MachineId(1),
                    first: 6,
                    count: 2,
                },
            )
            .at(
                5300.0,
                Event::Backlog {
                    bytes: 100,
                    items: 1,
                },
            )
    };
    // Of 5 acknowledged ones 2 were dropped and 1 is stored; of 7 others 2 were discarded.
    check(log(), &lost, &Window::AtEnd, num(4.0 + 7.0));
    check(log(), &acked_lost, &Window::AtEnd, num(4.0));
    let dropped = |filters: &[(&str, &str)]| m(Function::Count, "telemetry.dropped", filters);
    check(log(), &dropped(&[]), &Window::WholeRun, num(4.0));
    check(
        log(),
        &dropped(&[("reason", "buffer-full")]),
        &Window::WholeRun,
        num(2.0),
    );
    check(
        log(),
        &dropped(&[("born", "")]),
        &Window::WholeRun,
        num(4.0),
    );
    // What was in the memory of a machine that crashed is lost too.
    let crash = Event::Machine {
        machine: MachineId(1),
        change: crate::event::MachineChange::Crashed,
    };
    check(
        log().at(2400.0, crash),
        &lost,
        &Window::AtEnd,
        num(4.0 + 7.0),
    );
}

#[test]
fn lag_is_told_by_birth_and_weighted() {
    let p50 = m(Function::Quantile(0.5), "telemetry.lag", &[]);
    let values = |values: &[(f64, u64)]| Sample::Values {
        values: values.to_vec(),
    };
    let before = Window::Between {
        start: s(600.0),
        end: s(2100.0),
        except: vec![],
    };
    check(items(), &p50, &before, values(&[(10.0, 10)]));
    // 5 and 3 items arrive late; 5 and 7 never do and count with their age at the end of the settle phase.
    check(
        items(),
        &p50,
        &during(),
        values(&[(900.0, 8), (3700.0, 7), (3800.0, 5)]),
    );
    let max = m(Function::Max, "telemetry.lag", &[]);
    check(items(), &max, &Window::AtEnd, num(3800.0));
}

/// Silence ends with old items; a fresh one comes 4 s later. Short pauses, and repeats in them, are no silence.
#[test]
fn the_first_fresh_item_is_told_from_the_first_one() {
    let log = || {
        Log::default()
            .at(2200.0, acked(0, 10, 8))
            .at(3105.0, acked(1, 0, 5))
            .at(2090.0, received(0, 0, 10))
            .at(3099.0, received(0, 0, 10))
            .at(3100.0, received(0, 10, 4))
            .at(3102.0, received(0, 14, 4))
            .at(3104.0, received(0, 18, 1))
            .at(3106.0, received(1, 0, 3))
            .at(3300.0, received(1, 3, 1))
    };
    let fresh = m(Function::Max, "telemetry.first_fresh", &[]);
    check(log(), &fresh, &after(), num(6.0));
    // Heard of the past only: it counts until the end.
    let never = Log::default()
        .at(2000.0, acked(0, 0, 8))
        .at(3100.0, received(0, 0, 8));
    let count = m(Function::Count, "telemetry.first_fresh", &[]);
    check(never, &count, &after(), num(1.0));
}

#[test]
fn what_is_not_recorded_is_said_so() {
    let sample = nothing("`no.such` is not recorded in this version");
    check(
        Log::default(),
        &m(Function::Max, "no.such", &[]),
        &Window::WholeRun,
        sample,
    );
}

#[test]
fn quantiles_are_nearest_ranks() {
    let hundred: Vec<(f64, u64)> = (1..=100).map(|n| (f64::from(n), 1)).collect();
    assert_eq!(quantile(&hundred, 0.99), Some(99.0));
    assert_eq!(quantile(&hundred, 0.5), Some(50.0));
    assert_eq!(quantile(&hundred, 0.999), Some(100.0));
    assert_eq!(quantile(&[(1.0, 98), (7.0, 2)], 0.99), Some(7.0));
    assert_eq!(quantile(&[], 0.5), None);
}
