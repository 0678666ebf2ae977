//! Tells a scenario in words: the store, the day with its faults, what must hold, what theory predicts.

use std::{fmt::Write as _, time::Duration};

use backroom_collector::config::{
    Backoff, BitRate, Codec, OnFull, Order,
    quantity::{show_bit_rate, show_bytes, show_duration},
};

use crate::{
    cli::check::{count, refusals},
    dist::Dist,
    fault::{captive_portal, hq_reject, told},
    oracle::fluid::{self, Fluid},
    scenario::{
        Fault, FaultKind, FaultWindow, Fidelity, LinkSpec, Loaded, Loss, OrderArrivals, Orders,
        Pick, Role, Scenario, Severity, Telemetry, expr::Value, foresee, occur::Begins,
        time::Clock,
    },
};

/// The story of a scenario.
pub fn story(loaded: &Loaded) -> String {
    let scenario = &loaded.scenario;
    let mut out = format!("{}: {}\n", scenario.name, scenario.description);
    store(scenario, &mut out);
    timeline(scenario, &mut out);
    must_hold(scenario, &mut out);
    theory(scenario, &mut out);
    if loaded.sweep_points > 1 {
        let points = loaded.sweep_points;
        let _ = writeln!(out, "\nIts sweep varies this over {points} points.");
    }
    if loaded.stores > 1 {
        let _ = writeln!(out, "\nIts fleet has {} such stores.", loaded.stores);
    }
    super::cost::cost(loaded, &mut out);
    super::cost::origins(loaded, &mut out);
    let refusals = refusals(loaded);
    if !refusals.is_empty() {
        out.push_str("\nWhat keeps this version from running it\n");
        for refusal in refusals {
            let _ = writeln!(out, "  It {refusal}.");
        }
    }
    out
}

fn store(scenario: &Scenario, out: &mut String) {
    out.push_str("\nThe store\n");
    let machines: u32 = scenario.nodes.values().map(|n| n.count).sum();
    let groups: Vec<String> = scenario
        .nodes
        .values()
        .map(|n| format!("{} {}", n.count, role(n.role, n.count)))
        .collect();
    if machines > 0 {
        let _ = writeln!(out, "  {machines} machines: {}", groups.join(", "));
    }
    for (name, link) in &scenario.links {
        let _ = writeln!(out, "  {name}: {}", line(link));
    }
    if let Some(f) = &scenario.failover {
        let _ = writeln!(
            out,
            "  The router uses {} and goes to {} after {} failed probes {} apart; back when {} is well for {}.",
            f.primary,
            f.backup,
            f.fails,
            show_duration(f.probe),
            f.primary,
            show_duration(f.stable_for),
        );
        let _ = writeln!(
            out,
            "  {} carries {} only.",
            f.backup,
            f.allow.join(" and ")
        );
    }
    if let Some(orders) = &scenario.orders {
        let _ = writeln!(out, "  Orders: {}.", customers(orders));
    }
    let collector = &scenario.collector;
    if let Some(telemetry) = &scenario.telemetry {
        let _ = write!(
            out,
            "  Telemetry: {}, exported every {}",
            volume(telemetry),
            show_duration(telemetry.every)
        );
        if let (Some(ratio), Some(rate)) = (collector.compress.ratio, telemetry.steady_rate()) {
            let _ = write!(
                out,
                "; about {}/s at the declared ratio of {ratio}",
                show_bytes(rate / ratio)
            );
        }
        out.push_str(".\n");
    }
    let _ = writeln!(
        out,
        "  The collector keeps {} on disk ({} when full), compresses with {}, sends {}, {}, {}.",
        show_bytes(collector.buffer.disk.0 as f64),
        match collector.buffer.on_full {
            OnFull::Refuse => "refuses",
            OnFull::DropOldest => "drops the oldest",
            OnFull::DropNewest => "drops the newest",
        },
        codec(collector.compress.codec),
        collector
            .send
            .max_rate
            .map_or(String::from("as fast as it can"), |r| format!(
                "at most {}",
                show_bit_rate(r)
            )),
        match collector.send.order {
            Order::OldestFirst => "the oldest first",
            Order::NewestFirst => "the newest first",
        },
        backoff(collector.retry.backoff),
    );
}

/// How much telemetry, and how it comes.
fn volume(telemetry: &Telemetry) -> String {
    let rate = show_bytes(telemetry.bytes_per_second);
    let text = match &telemetry.arrivals {
        OrderArrivals::Constant => format!("{rate}/s"),
        OrderArrivals::Poisson => format!("{rate}/s in records that come independently"),
        OrderArrivals::NegBin { per, .. } => {
            format!("{rate}/s in bursts of {}", show_duration(*per))
        }
        OrderArrivals::Mmpp { factor, .. } => {
            format!("{rate}/s in the mean, {factor} times as much in rushes as in calms")
        }
        OrderArrivals::At(all) => format!(
            "{} at each of {} times",
            show_bytes(telemetry.bytes_each.0 as f64),
            all.len()
        ),
    };
    match telemetry.profile {
        Some(_) => format!("up to {text}, by the hour"),
        None => text,
    }
}

fn customers(orders: &Orders) -> String {
    let most = format!("up to {:.0} an hour", orders.peak_per_hour);
    match &orders.arrivals {
        OrderArrivals::Poisson => most,
        OrderArrivals::Constant => format!("{most}, evenly spaced"),
        OrderArrivals::NegBin { dispersion, per } => format!(
            "{most}, in bursts (negative binomial by {}, dispersion {dispersion})",
            show_duration(*per)
        ),
        OrderArrivals::Mmpp { calm, rush, factor } => format!(
            "{most} on average; rushes of {} after {} of calm, {factor} times as fast",
            show_duration(*rush),
            show_duration(*calm)
        ),
        OrderArrivals::At(all) => format!("{} at listed times", all.len()),
    }
}

fn role(role: Role, n: u32) -> &'static str {
    match (role, n) {
        (Role::Kiosk, 1) => "kiosk",
        (Role::Kiosk, _) => "kiosks",
        (Role::Pos, _) => "POS",
        (Role::Broker, 1) => "broker",
        (Role::Broker, _) => "brokers",
        (Role::Kds, 1) => "kitchen display",
        (Role::Kds, _) => "kitchen displays",
        (Role::Signage, 1) => "menu board",
        (Role::Signage, _) => "menu boards",
        (Role::Collector, 1) => "collector",
        (Role::Collector, _) => "collectors",
        (Role::Printer, 1) => "receipt printer",
        (Role::Printer, _) => "receipt printers",
        (Role::Stock, _) => "stock",
        (Role::Catalog, _) => "catalog",
        (Role::Mobile, 1) => "customer's phone",
        (Role::Mobile, _) => "customers' phones",
        (Role::Custom, 1) => "custom service",
        (Role::Custom, _) => "custom services",
    }
}

fn line(link: &LinkSpec) -> String {
    let rate = match &link.trace {
        Some(trace) => format!("as recorded in {}", trace.file.display()),
        None => format!(
            "{} up, {} down",
            show_bit_rate(link.up),
            show_bit_rate(link.down)
        ),
    };
    let backup = if link.backup { "backup, " } else { "" };
    format!(
        "{backup}{} - {}, {rate}, {} one way, loses {}",
        link.between.0,
        link.between.1,
        dist(&link.delay),
        loss(link.loss)
    )
}

fn seconds(s: f64) -> String {
    show_duration(Duration::from_secs_f64(s.clamp(0.0, 1e9)))
}

fn dist(dist: &Dist) -> String {
    match dist {
        Dist::Const(v) => seconds(*v),
        Dist::Uniform(a, b) => format!("{} to {}", seconds(*a), seconds(*b)),
        Dist::Exp { mean } => format!("{} on average", seconds(*mean)),
        Dist::LogNormal { p50, p99 } => format!("{} (p99 {})", seconds(*p50), seconds(*p99)),
        Dist::Geometric { mean } => format!("{mean} on average"),
        Dist::Weibull { .. } | Dist::Pareto { .. } => {
            format!("{} on average, with a long tail", seconds(dist.mean()))
        }
        Dist::Quantiles(list) => {
            let of = |q: usize| seconds(list[q].1);
            format!(
                "{} to {}, {} on average",
                of(0),
                of(list.len() - 1),
                seconds(dist.mean())
            )
        }
    }
}

fn loss(loss: Loss) -> String {
    match loss {
        Loss::Bernoulli(p) => percent(p),
        // T12: mean loss of the two-state line.
        Loss::Gilbert { enter, leave, loss } => {
            format!("{} in bursts", percent(loss * enter / (enter + leave)))
        }
    }
}

fn percent(p: f64) -> String {
    let text = format!("{:.3}", p * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn codec(codec: Codec) -> String {
    match codec {
        Codec::None => String::from("nothing"),
        Codec::Gzip(level) => format!("gzip level {level}"),
        Codec::Zstd(level) => format!("zstd level {level}"),
    }
}

fn backoff(backoff: Backoff) -> String {
    let (name, base, cap) = match backoff {
        Backoff::None => return String::from("and tries again at once"),
        Backoff::Exponential { base, cap } => ("doubling delays", base, cap),
        Backoff::EqualJitter { base, cap } => ("equal jitter", base, cap),
        Backoff::FullJitter { base, cap } => ("full jitter", base, cap),
        Backoff::DecorrelatedJitter { base, cap } => ("decorrelated jitter", base, cap),
    };
    format!(
        "and tries again with {name} from {} to {}",
        show_duration(base),
        show_duration(cap)
    )
}

fn timeline(scenario: &Scenario, out: &mut String) {
    let clock = Clock {
        start: scenario.start.clone(),
    };
    let _ = writeln!(
        out,
        "\nThe run: {} from {}, {}, {}",
        show_duration(scenario.duration),
        scenario.start.strftime("%A %Y-%m-%d %H:%M"),
        count(scenario.seeds.len(), "seed"),
        match scenario.fidelity {
            Fidelity::Packet => "packet by packet",
            Fidelity::Flow => "as flows",
        },
    );
    let mut events: Vec<(Duration, String)> = Vec::new();
    if !scenario.warmup.is_zero() {
        events.push((scenario.warmup, String::from("  judged from here")));
    }
    for fault in &scenario.faults {
        if fault.windows.is_empty() {
            let often = at_random(fault, scenario);
            let text = format!("? {}: {}, {often}", fault.id, what(fault));
            events.push((Duration::ZERO, text));
        }
        // A fault that happens a thousand times is told by its first few.
        for window in fault.windows.iter().take(10) {
            events.extend(told(fault, *window, scenario.duration));
        }
        if let Some(next) = fault.windows.get(10) {
            let more = fault.windows.len() - 10;
            events.push((next.start, format!("▼ {}: {more} more times", fault.id)));
        }
    }
    events.push((scenario.duration, String::from("  end")));
    events.sort_by_key(|(at, _)| *at);
    for (at, text) in events {
        let _ = writeln!(out, "  {}  {text}", clock.show(at));
    }
}

/// The beginning and the end of a window, where the run sees them.
fn told(fault: &Fault, window: FaultWindow, duration: Duration) -> Vec<(Duration, String)> {
    let length = match window.end {
        Some(end) if end > window.start => format!(", for {}", show_duration(end - window.start)),
        Some(_) => String::new(),
        None => String::from(", to the end"),
    };
    let mut list = vec![(
        window.start,
        format!("▼ {}: {}{length}", fault.id, what(fault)),
    )];
    if let Some(end) = window
        .end
        .filter(|end| *end > window.start && *end <= duration)
    {
        list.push((end, format!("▲ {} is over", fault.id)));
    }
    list
}

/// When a fault happens whose times a seed decides.
fn at_random(fault: &Fault, scenario: &Scenario) -> String {
    let Some(plan) = &fault.plan else {
        return String::from("never");
    };
    if let Some(expected) = plan.expected(scenario.duration) {
        let expected = match expected < 9.95 {
            true => format!("{expected:.1}"),
            false => format!("{expected:.0}"),
        };
        return format!("at random, {expected} times expected");
    }
    let other = match &plan.begins {
        Begins::After { fault, .. } => scenario.faults.get(*fault),
        _ => None,
    };
    match other {
        Some(other) => format!("relative to each `{}`", other.id),
        None => String::from("at a time that depends on the seed"),
    }
}

fn what(fault: &Fault) -> String {
    let happens = what_happens(&fault.kind);
    match fault.pick {
        Pick::All => happens,
        Pick::One => format!("{happens} (one of them)"),
        Pick::RoundRobin => format!("{happens} (one of them, in turn)"),
        Pick::Random => format!("{happens} (one of them, at random)"),
    }
}

fn what_happens(kind: &FaultKind) -> String {
    match kind {
        FaultKind::LinkDown { link } => format!("{link} carries nothing"),
        FaultKind::LinkDegrade {
            link,
            up,
            down,
            delay,
            loss: lost,
        } => {
            let changes: Vec<String> = [
                up.map(|r| format!("{} up", show_bit_rate(r))),
                down.map(|r| format!("{} down", show_bit_rate(r))),
                delay.as_ref().map(|d| format!("{} one way", dist(d))),
                lost.map(|l| format!("loses {}", loss(l))),
            ]
            .into_iter()
            .flatten()
            .collect();
            format!("{link} is worse: {}", changes.join(", "))
        }
        FaultKind::NodeCrash { node } => format!("the program on {node} dies"),
        FaultKind::StorePowerCut { ups } if ups.is_empty() => String::from("the power goes"),
        FaultKind::StorePowerCut { ups } => {
            let kept: Vec<String> = ups
                .iter()
                .map(|(name, time)| format!("{name} runs on for {}", show_duration(*time)))
                .collect();
            format!("the power goes; {}", kept.join(", "))
        }
        FaultKind::LinkCaptivePortal { link, answer } => {
            let with = match answer {
                captive_portal::Answer::Redirect => "",
                captive_portal::Answer::Page => ", with status 200",
                captive_portal::Answer::Certificate => ", with a certificate for another name",
            };
            format!("a login page answers for head office on {link}{with}")
        }
        FaultKind::LinkCutAnswers { link, cuts } => {
            let of = cuts.class.as_ref().map(|class| format!(" of {class}"));
            let of = of.unwrap_or_default();
            let share = 100.0 * cuts.share;
            format!("{share} % of the packets with answers{of} reset their connection over {link}")
        }
        FaultKind::HqReject(rule) => {
            let words = hq_reject::Service::ALL;
            let service = words.iter().find(|(_, service)| *service == rule.service);
            let of = match service {
                Some((word, Some(_))) => format!(" for {word}"),
                _ => String::new(),
            };
            let wait = match rule.retry_after {
                Some(wait) => format!(" and Retry-After {}", show_duration(wait)),
                None => String::new(),
            };
            let percent = rule.share * 100.0;
            format!(
                "head office answers {percent:.0} % of requests{of} with {}{wait}",
                rule.status
            )
        }
        other => told::sentence(other),
    }
}

fn must_hold(scenario: &Scenario, out: &mut String) {
    if scenario.expects.is_empty() {
        out.push_str("\nNothing must hold: there is no [[expect]].\n");
        return;
    }
    out.push_str("\nWhat must hold\n");
    let width = |f: fn(&crate::scenario::Expect) -> usize| {
        scenario.expects.iter().map(f).max().unwrap_or_default()
    };
    let (ids, texts) = (width(|e| e.id.len()), width(|e| e.text.len()));
    for expect in &scenario.expects {
        let warn = match expect.severity {
            Severity::Error => "",
            Severity::Warn => "  (shown only)",
        };
        let _ = writeln!(
            out,
            "  {:ids$}  {:texts$}  {}{warn}{}",
            expect.id,
            expect.text,
            window(scenario, &expect.window),
            expected_samples(scenario, expect)
        );
    }
}

/// How many samples an expectation will have to go by, where that can be foreseen.
fn expected_samples(scenario: &Scenario, expect: &crate::scenario::Expect) -> String {
    match foresee::samples(scenario, expect) {
        Some(found) if !found.window.is_empty() => format!(
            ", about {:.0} samples of the {} that it needs",
            found.expected * scenario.seeds.len() as f64,
            found.needed
        ),
        _ => String::new(),
    }
}

fn window(scenario: &Scenario, window: &crate::scenario::expr::Window) -> String {
    use crate::scenario::expr::Window;
    let clock = Clock {
        start: scenario.start.clone(),
    };
    let part = |len: &Option<Duration>| {
        len.map_or(String::new(), |d| format!(" for {}", show_duration(d)))
    };
    match window {
        Window::During { fault, from, len } if from.is_zero() => {
            format!("during {fault}{}", part(len))
        }
        Window::During { fault, from, len } => {
            format!("during {fault} from +{}{}", show_duration(*from), part(len))
        }
        Window::After { fault, len } => format!("after {fault}{}", part(len)),
        Window::Between { start, end, except } => {
            let mut text = format!("between {} and {}", clock.show(*start), clock.show(*end));
            if !except.is_empty() {
                text.push_str(&format!(" except {}", except.join(", ")));
            }
            text
        }
        Window::OutsideFaults => String::from("outside faults"),
        Window::WholeRun => String::from("whole run"),
        Window::AtEnd => String::from("at end"),
    }
}

/// Whether telemetry waits while a link is down: over the primary, and its class may not use the backup.
fn stops_telemetry(scenario: &Scenario, link: &str) -> bool {
    let class = scenario.telemetry.as_ref().map(|t| t.class.as_str());
    match &scenario.failover {
        Some(f) => link == f.primary && class.is_none_or(|c| f.allow.iter().all(|a| a != c)),
        None => scenario
            .links
            .get(link)
            .is_some_and(|l| l.between.1 == "hq"),
    }
}

/// What theory predicts for an outage, from declared figures alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Arrival after compression, bytes per second.
    pub arrival: f64,
    /// Drain, bytes per second.
    pub drain: f64,
    /// Largest backlog, bytes.
    pub peak: f64,
    /// Seconds from the end of the outage until all of the backlog is drained; `None` if it never is.
    pub recovery: Option<f64>,
    /// Seconds from its beginning until the buffer is full; `None` if it lasts.
    pub full_after: Option<f64>,
}

/// Predicts the backlog of an outage (T1, without reconnect and threshold). `None` where it does not stop telemetry, or
/// where a figure is not declared.
pub fn predict(scenario: &Scenario, link: &str, length: Duration) -> Option<Prediction> {
    let arrival = scenario.telemetry.as_ref()?.steady_rate()? / scenario.collector.compress.ratio?;
    if !stops_telemetry(scenario, link) {
        return None;
    }
    let up = scenario.links.get(link)?.up;
    let rate = scenario
        .collector
        .send
        .max_rate
        .map_or(up, |r: BitRate| r.min(up));
    let (drain, d) = (rate.bytes_per_second(), length.as_secs_f64());
    let buffer = scenario.collector.buffer.disk.0 as f64;
    let lost = fluid::overflow(arrival, d, buffer);
    let form = Fluid {
        a: arrival,
        c: drain,
        d,
        ..Fluid::default()
    };
    // A full buffer drains what it holds: as if the outage had been as long as the buffer lasts.
    let held = Fluid {
        d: d.min(fluid::time_to_full(arrival, buffer)),
        ..form
    };
    let recovery = fluid::fluid_recovery(&held).ok();
    Some(Prediction {
        arrival,
        drain,
        peak: recovery.map_or(arrival * held.d, |r| r.peak),
        recovery: recovery.map(|r| r.seconds),
        full_after: (lost > 0.0).then(|| fluid::time_to_full(arrival, buffer)),
    })
}

fn theory(scenario: &Scenario, out: &mut String) {
    let mut text = String::new();
    for fault in &scenario.faults {
        let (FaultKind::LinkDown { link }, Some(window)) = (&fault.kind, fault.windows.first())
        else {
            continue;
        };
        let Some(length) = window.end.map(|end| end - window.start) else {
            continue;
        };
        if let Some(p) = predict(scenario, link, length) {
            text.push_str(&told_prediction(&fault.id, length, &p));
        }
    }
    for oracle in &scenario.oracles {
        let limit = oracle.observe.condition.as_ref().map(|c| &c.limit);
        let below = match limit {
            Some(Value::Bytes(b)) => format!(" below {}", show_bytes(*b)),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "  The run is compared with {} (oracle {}{below}), within {}.",
            oracle.model,
            oracle.id,
            percent(oracle.tolerance)
        );
    }
    if !text.is_empty() {
        out.push_str("\nWhat theory says, from declared figures\n");
        out.push_str(&text);
    }
}

fn told_prediction(id: &str, length: Duration, p: &Prediction) -> String {
    let mut out = format!(
        "  {id}: {}/s arrive for {}, so the backlog peaks at {}",
        show_bytes(p.arrival),
        show_duration(length),
        show_bytes(p.peak)
    );
    match p.recovery {
        Some(seconds) => {
            let _ = writeln!(
                out,
                ";\n    at {}/s it is drained {} after the line is back ({seconds:.1} s)",
                show_bytes(p.drain),
                minutes(seconds)
            );
        }
        None => {
            let _ = writeln!(out, ";\n    at {}/s it never drains", show_bytes(p.drain));
        }
    }
    if let Some(full) = p.full_after {
        let _ = writeln!(
            out,
            "    the buffer is full after {}; what comes later is lost or refused",
            minutes(full)
        );
    }
    out
}

/// `3m 27.7s`, `40m 12s`.
fn minutes(seconds: f64) -> String {
    if (60.0..600.0).contains(&seconds) {
        return format!("{:.0}m {:.1}s", (seconds / 60.0).floor(), seconds % 60.0);
    }
    self::seconds(seconds)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scenario;

    fn shipped(name: &str) -> Loaded {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../scenarios")
            .join(name);
        scenario::load(&path, &[]).unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn the_lunch_outage_is_predicted_as_theory_has_it() {
        let loaded = shipped("lunch-uplink-cut.toml");
        let p =
            predict(&loaded.scenario, "uplink", Duration::from_secs(900)).expect("a prediction");
        assert!((p.peak - 5.4e6).abs() < 1.0, "{p:?}");
        assert!(
            (p.recovery.expect("it drains") - 207.692).abs() < 0.001,
            "{p:?}"
        );
        assert_eq!(p.full_after, None);
        assert_eq!(
            predict(&loaded.scenario, "lte", Duration::from_secs(900)),
            None
        );
    }

    #[test]
    fn a_buffer_that_is_too_small_is_told() {
        let mut loaded = shipped("lunch-uplink-cut.toml");
        loaded.scenario.collector.buffer.disk = backroom_collector::config::ByteSize(3_000_000);
        let p =
            predict(&loaded.scenario, "uplink", Duration::from_secs(900)).expect("a prediction");
        assert_eq!(p.full_after, Some(500.0));
        assert!((p.peak - 3e6).abs() < 1.0, "{p:?}");
    }

    #[test]
    fn stories_are_told() {
        insta::assert_snapshot!("lunch", story(&shipped("lunch-uplink-cut.toml")));
        insta::assert_snapshot!("bad_day", story(&shipped("bad-day.toml")));
        insta::assert_snapshot!("two_weeks", story(&shipped("two-weeks-dark.toml")));
        insta::assert_snapshot!("sizing", story(&shipped("buffer-sizing.toml")));
    }
}
