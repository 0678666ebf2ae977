//! What closed forms tell before a run: how many samples a window will have, how long an allowance lasts, how a backlog drains.
//!
//! Declared figures only, and expectations of them: what a seed draws is another matter. `warn` says what looks wrong, `explain`
//! what to expect. Next: `warn`.

use std::time::Duration;

use super::{
    Expect, Fault, FaultKind, FaultWindow, OrderArrivals, Orders, Scenario,
    expr::{Function, Window},
};
use crate::metric::{judge, windows, windows::Stretch};

/// Expected number of orders between two virtual times.
pub fn orders_between(scenario: &Scenario, orders: &Orders, from: Duration, to: Duration) -> f64 {
    if let OrderArrivals::At(all) = &orders.arrivals {
        let inside = all.iter().filter(|at| (from..to).contains(*at));
        return inside.count() as f64;
    }
    let Some(profile) = &orders.profile else {
        return orders.peak_per_hour * (to.saturating_sub(from)).as_secs_f64() / 3600.0;
    };
    // A long run is so many weeks: hour by hour, a century would take seconds.
    let seconds = to.saturating_sub(from).as_secs_f64();
    if seconds > 56.0 * 86_400.0 {
        let share: f64 = profile.hours.iter().sum::<f64>() / 24.0;
        let days: f64 = profile.days.iter().sum::<f64>() / 7.0;
        return orders.peak_per_hour * share * days * seconds / 3600.0;
    }
    // Hour by hour of the store's own clock.
    let (mut at, mut sum) = (from, 0.0);
    while at < to {
        let Ok(local) = scenario.start.checked_add(at) else {
            break;
        };
        let into = u64::from(local.minute().unsigned_abs()) * 60
            + u64::from(local.second().unsigned_abs());
        let next = (at + Duration::from_secs(3600_u64.saturating_sub(into).max(1))).min(to);
        let hour = usize::from(local.hour().unsigned_abs());
        let day = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
        let rate = orders.peak_per_hour * profile.hours[hour] * profile.days[day];
        sum += rate * (next - at).as_secs_f64() / 3600.0;
        at = next;
    }
    sum
}

/// What an expectation will have to go by.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// Stretches of time in which it is judged.
    pub window: Vec<Stretch>,
    /// Expected samples of one seed in it.
    pub expected: f64,
    /// Samples that are needed, of all seeds together.
    pub needed: u64,
}

/// How many samples an expectation on orders or payments will have; `None` where no closed form knows, or where none are needed.
pub fn samples(scenario: &Scenario, expect: &Expect) -> Option<Samples> {
    let measure = &expect.that.measure;
    let function = measure.function;
    let needs = match function {
        Function::Quantile(_) | Function::Share => judge::needed(function, expect.min_samples),
        _ => return None,
    };
    let takes_payments = |orders: &Orders| orders.flow.iter().any(|s| s.msg == "payment.auth");
    let orders = scenario.orders.as_ref()?;
    match measure.metric.name.as_str() {
        "order.accept_delay" | "order.to_kds" | "order.e2e" => {}
        "payment.auth" if takes_payments(orders) => {}
        _ => return None,
    }
    if expect.window == Window::AtEnd {
        return None;
    }
    let window = windows::stretches(&expect.window, scenario);
    let of = |s: &Stretch| orders_between(scenario, orders, s.start, s.end);
    let expected = window.iter().map(of).sum();
    Some(Samples {
        window,
        expected,
        needed: needs,
    })
}

/// How long the backup's allowance lasts, and for how long the primary line is out.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowance {
    /// Seconds until it is used up at the full rate of the line.
    pub lasts: f64,
    /// Longest time without the primary line within one period of the allowance, seconds.
    pub needed: f64,
    /// The faults that take the primary line away.
    pub faults: Vec<String>,
}

/// Faults that take a link away altogether.
fn cutting<'s>(scenario: &'s Scenario, name: &'s str) -> impl Iterator<Item = &'s Fault> {
    scenario
        .faults
        .iter()
        .filter(move |fault| match &fault.kind {
            FaultKind::LinkDown { link } | FaultKind::LinkCaptivePortal { link, .. } => {
                link == name
            }
            _ => false,
        })
}

/// T14 for the router's backup line; `None` without an allowance, or where the primary line never fails for sure.
pub fn allowance(scenario: &Scenario) -> Option<Allowance> {
    let failover = scenario.failover.as_ref()?;
    let cap = failover.data_cap.as_ref()?;
    let backup = scenario.links.get(&failover.backup)?;
    let cuts: Vec<&Fault> = cutting(scenario, &failover.primary).collect();
    let times = |fault: &Fault| -> Vec<(Duration, Duration)> {
        let end_of_run = scenario.duration;
        let of = |w: &FaultWindow| (w.start, w.end.unwrap_or(end_of_run).min(end_of_run));
        fault.windows.iter().map(of).collect()
    };
    // A backup that is down itself uses up nothing.
    let mut out: Vec<(Duration, Duration)> = cuts.iter().flat_map(|fault| times(fault)).collect();
    for (from, to) in cutting(scenario, &failover.backup).flat_map(times) {
        out = out
            .into_iter()
            .flat_map(|(start, end)| [(start, end.min(from)), (start.max(to), end)])
            .filter(|(start, end)| start < end)
            .collect();
    }
    out.sort_unstable();
    // The worst period begins with an outage.
    let within = |from: Duration| -> f64 {
        let to = from.saturating_add(cap.per);
        let clipped = out
            .iter()
            .filter(|(start, _)| *start >= from && *start < to);
        clipped
            .map(|(start, end)| ((*end).min(to) - *start).as_secs_f64())
            .sum()
    };
    let needed = out
        .iter()
        .map(|(start, _)| within(*start))
        .fold(0.0, f64::max);
    (needed > 0.0).then(|| Allowance {
        lasts: crate::oracle::outages::allowance_life(
            cap.bytes.0 as f64,
            backup.up.bytes_per_second(),
        ),
        needed,
        faults: cuts.iter().map(|fault| fault.id.clone()).collect(),
    })
}

/// Whether the backup may carry what would fill it: telemetry or media.
pub fn backup_carries_bulk(scenario: &Scenario) -> bool {
    let telemetry = scenario.telemetry.as_ref().map(|t| &t.class);
    let media = scenario.media.as_ref().map(|m| &m.class);
    let failover = scenario.failover.as_ref();
    failover.is_some_and(|failover| {
        telemetry
            .into_iter()
            .chain(media)
            .any(|c| failover.allow.contains(c))
    })
}

/// What goes over the backup line per second at the busiest, both directions: orders and payments, and telemetry where its class may use
/// it. Bodies only.
pub fn backup_bytes_per_second(scenario: &Scenario) -> f64 {
    let Some(failover) = &scenario.failover else {
        return 0.0;
    };
    let may = |class: &String| failover.allow.contains(class);
    let orders = scenario.orders.as_ref().map_or(0.0, |orders| {
        let steps = orders.flow.iter().filter(|s| s.to == "hq" && may(&s.class));
        let bytes: f64 = steps.map(|s| (s.bytes.0 + s.reply.0) as f64).sum();
        bytes * orders.peak_per_hour / 3600.0
    });
    let telemetry = scenario
        .telemetry
        .as_ref()
        .filter(|t| may(&t.class))
        .map_or(0.0, |t| {
            t.bytes_per_second / scenario.collector.compress.ratio.unwrap_or(1.0)
        });
    orders + telemetry
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scenario::{load, words};

    fn lunch(sets: &[&str]) -> Scenario {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/lunch-uplink-cut.toml");
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        let loaded = load(&file, &sets).unwrap_or_else(|report| panic!("{report}"));
        loaded.scenario
    }

    fn count(scenario: &Scenario, id: &str) -> Samples {
        let expect = scenario.expects.iter().find(|e| e.id == id).expect(id);
        samples(scenario, expect).expect("it needs samples")
    }

    /// From 11:30 to 13:00 on a Friday: 180 an hour at the peak, by the profile's hours and its Friday.
    #[test]
    fn samples_are_foreseen_from_the_profile() {
        let scenario = lunch(&[]);
        let found = count(&scenario, "kitchen-never-waits");
        // 15 min at 12 o'clock: 180 * 1.15 / 4.
        assert!((found.expected - 51.75).abs() < 0.01, "{found:?}");
        assert_eq!(found.needed, 30);
        let found = count(&scenario, "cards-not-starved-by-catch-up");
        assert!((found.expected - 34.5).abs() < 0.01, "{found:?}");
        assert_eq!(found.needed, 100);
        let listed = lunch(&["traffic.orders.arrivals=schedule(12:06, 12:07, 13:30)"]);
        assert_eq!(count(&listed, "kitchen-never-waits").expected, 2.0);
    }

    #[test]
    fn an_allowance_is_compared_with_the_worst_period() {
        let found = allowance(&lunch(&[])).expect("a cap and an outage");
        // 2 GiB at 1 Mbit/s: 4 h 46 min.
        assert!((found.lasts / 17_180.0 - 1.0).abs() < 0.01, "{found:?}");
        assert_eq!(found.needed, 900.0);
        assert_eq!(found.faults, ["uplink-cut"]);
        let without = lunch(&["fault.uplink-cut.on=lte"]);
        assert_eq!(allowance(&without), None);
        // Both lines are dead for the same two weeks.
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/two-weeks-dark.toml");
        let both = load(&file, &[]).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(allowance(&both.scenario), None);
        let start = words::start("2025-03-14T11:30:00-05:00").expect("start");
        assert_eq!(start, lunch(&[]).start);
        let used = backup_bytes_per_second(&lunch(&[]));
        // An authorisation with its answer, and a sale: some 3 kB, fifty times in a quarter of an hour.
        assert!((50.0..500.0).contains(&used), "{used}");
    }
}
