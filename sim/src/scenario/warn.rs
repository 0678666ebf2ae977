//! What looks wrong in a scenario before a run: backlogs that never drain, expectations without samples, faults that overlap,
//! allowances that are used up. Oracles that are skipped are told where their `when` is read.
//!
//! Cheap closed forms on declared figures (`foresee`); nothing here fails a check.

use std::time::Duration;

use backroom_collector::config::{
    BitRate, Diagnostic, Sink,
    quantity::{self, show_bit_rate, show_bytes, show_duration},
    tree::{Node, Table, Value},
};

use super::{
    FaultKind, FaultWindow, Scenario, codes, foresee, parse::function_name, paths::value_at,
};
use crate::{
    fault::hq_reject,
    metric::windows::Stretch,
    oracle::fluid::{Fluid, fluid_recovery},
};

/// Reports what looks wrong.
pub(super) fn warn(scenario: &Scenario, tree: &Table, sink: &Sink) {
    backlog_never_drains(scenario, tree, sink);
    never_judged(scenario, tree, sink);
    allowance_too_small(scenario, tree, sink);
    overlaps(scenario, tree, sink);
}

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

/// Arrival of telemetry after compression at the declared ratio, bytes per second; `None` without both figures.
pub(super) fn arrival(scenario: &Scenario) -> Option<f64> {
    let telemetry = scenario.telemetry.as_ref()?;
    let ratio = scenario.collector.compress.ratio?;
    Some(telemetry.steady_rate()? / ratio)
}

fn backlog_never_drains(scenario: &Scenario, tree: &Table, sink: &Sink) {
    const MAX_RATE: &str = "collector.send.max_rate";
    let (Some(a), Some(telemetry)) = (arrival(scenario), &scenario.telemetry) else {
        return;
    };
    let ratio = scenario.collector.compress.ratio.unwrap_or(1.0);
    let check = |rate: BitRate, node: &Node| {
        let c = rate.bytes_per_second();
        if a < c {
            return;
        }
        let breaks_even = BitRate((a * 8.0).ceil() as u64);
        sink.push(
            Diagnostic::warning(&codes::W0601, "the backlog can never drain")
                .at(node.span, "less than what arrives")
                .fact(format!(
                    "{}/s of telemetry at ratio {ratio} is {}/s, but the collector may send only {}/s",
                    show_bytes(telemetry.bytes_per_second),
                    show_bytes(a),
                    show_bytes(c),
                ))
                .help(way_out(scenario, a, breaks_even)),
        );
    };
    if let (Some(rate), Some(node)) = (
        scenario.collector.send.max_rate,
        value_at(tree, &path(MAX_RATE)),
    ) {
        check(rate, node);
    }
    let grid = tree
        .get("sweep")
        .and_then(|n| n.as_table()?.get("grid")?.as_table()?.get(MAX_RATE));
    if let Some(Value::Array(values)) = grid.map(|n| &n.value) {
        for node in values {
            if let Some(Ok(rate)) = node.as_text().map(quantity::bit_rate) {
                check(rate, node);
            }
        }
    }
}

/// The rate that breaks even, and how the next round one drains the longest outage of the file.
fn way_out(scenario: &Scenario, a: f64, breaks_even: BitRate) -> String {
    let even = show_bit_rate(breaks_even);
    // A third above it, as a power of two in kbit/s.
    let mut kbits = 1_u64;
    while kbits * 1000 < breaks_even.0 + breaks_even.0 / 4 && kbits < 1 << 40 {
        kbits *= 2;
    }
    let next = BitRate(kbits * 1000);
    let outages = scenario
        .faults
        .iter()
        .filter(|fault| matches!(fault.kind, FaultKind::LinkDown { .. }))
        .flat_map(|fault| &fault.windows)
        .filter_map(|w| Some(w.end? - w.start));
    let Some(d) = outages.max() else {
        return format!("at least {even} breaks even; a backlog drains only above it");
    };
    let form = Fluid {
        a,
        c: next.bytes_per_second(),
        d: d.as_secs_f64(),
        ..Fluid::default()
    };
    match fluid_recovery(&form) {
        Ok(recovery) => format!(
            "at least {even} breaks even; {} drains an outage of {} ({}) in {}",
            show_bit_rate(next),
            show_duration(d),
            show_bytes(recovery.peak),
            show_duration(Duration::from_secs(recovery.seconds.round() as u64)),
        ),
        Err(_) => format!("at least {even} breaks even; a backlog drains only above it"),
    }
}

/// Expectations whose samples will not be enough: five in a million runs would have them.
fn never_judged(scenario: &Scenario, tree: &Table, sink: &Sink) {
    let seeds = scenario.seeds.len() as f64;
    for expect in &scenario.expects {
        let Some(found) = foresee::samples(scenario, expect) else {
            continue;
        };
        // Without windows a fault happens at random, and nobody knows yet when.
        let is_known = scenario
            .faults
            .iter()
            .all(|fault| !fault.windows.is_empty());
        if found.window.is_empty() && !is_known {
            continue;
        }
        let all = found.expected * seeds;
        if all + 4.5 * all.sqrt() >= found.needed as f64 {
            continue;
        }
        let name = &expect.that.measure.metric.name;
        let span: f64 = found.window.iter().map(Stretch::seconds).sum();
        let why = match found.window.is_empty() {
            true => String::from("its window never happens"),
            false => format!(
                "its window is {} and {name} has about {all:.0} samples in it{}, {} needs {}",
                show_duration(Duration::from_secs_f64(span)),
                if seeds > 1.0 { " over all seeds" } else { "" },
                function_name(expect.that.measure.function),
                found.needed
            ),
        };
        let mut finding = Diagnostic::warning(
            &codes::W0602,
            format!("`expect.{}` can never be judged: {why}", expect.id),
        );
        let key = |key: &str| value_at(tree, &path(&format!("expect.{}.{key}", expect.id)));
        if let Some(node) = key("window").or_else(|| key("that")) {
            let label = match found.window.is_empty() {
                true => "not within the time that is judged",
                false => "too few samples",
            };
            finding = finding.at(node.span, label);
        }
        let help = match found.window.is_empty() {
            true => "move the window; the warm-up is not judged",
            false => "run more seeds, or widen the window",
        };
        sink.push(finding.help(String::from(help)));
    }
}

/// An allowance that the backup line could use up while the primary is out.
fn allowance_too_small(scenario: &Scenario, tree: &Table, sink: &Sink) {
    let (Some(found), Some(failover)) = (foresee::allowance(scenario), &scenario.failover) else {
        return;
    };
    if found.lasts >= found.needed {
        return;
    }
    let needs = foresee::backup_bytes_per_second(scenario) * found.needed;
    let cap = failover.data_cap.as_ref().map_or(0.0, |c| c.bytes.0 as f64);
    // Card payments and sales are far from it, even with all that is tried twice.
    if !foresee::backup_carries_bulk(scenario) && needs * 10.0 < cap {
        return;
    }
    let Some(node) = value_at(tree, &path("failover.data_cap.bytes")) else {
        return;
    };
    let span = |seconds: f64| show_duration(Duration::from_secs(seconds.round() as u64));
    let rate = scenario.links.get(&failover.backup).map(|link| link.up);
    let title = format!(
        "the allowance of `{}` lasts {} at the full {}, and `{}` is out for {}",
        failover.backup,
        span(found.lasts),
        rate.map_or_else(String::new, show_bit_rate),
        failover.primary,
        span(found.needed),
    );
    sink.push(
        Diagnostic::warning(&codes::W0605, title)
            .at(node.span, "less than that")
            .fact(format!("taken away by {}", found.faults.join(", ")))
            .fact(format!(
                "what may use it at the busiest rate: {} of bodies in that time",
                show_bytes(needs)
            )),
    );
}

/// What a fault sets that another one would set otherwise: two of them at once do not add up.
fn sets(kind: &FaultKind) -> Option<(&'static str, &str)> {
    match kind {
        FaultKind::LinkDown { link }
        | FaultKind::LinkFlap { link, .. }
        | FaultKind::LinkDegrade { link, .. }
        | FaultKind::LinkTrace { link, .. }
        | FaultKind::LinkCapReached { link }
        | FaultKind::LinkCaptivePortal { link, .. } => Some(("link", link)),
        FaultKind::LinkCutAnswers { link, .. } => Some(("answers on a link", link)),
        FaultKind::DiskSlow { node, .. } => Some(("slow disk", node)),
        FaultKind::DnsFail(_) => Some(("resolver", "router")),
        FaultKind::HqReject(rule) => Some((
            "service of head office",
            match rule.service {
                None => "all",
                Some(hq_reject::Service::Payment) => "payment",
                Some(hq_reject::Service::Sync) => "sync",
                Some(hq_reject::Service::Telemetry) => "telemetry",
                Some(hq_reject::Service::Catalog) => "catalog",
            },
        )),
        FaultKind::HqSlow(_) => Some(("slow head office", "hq")),
        _ => None,
    }
}

/// What two faults both set, if they do.
fn both_set<'a>(a: &'a FaultKind, b: &'a FaultKind) -> Option<&'static str> {
    let ((of_a, name_a), (of_b, name_b)) = (sets(a)?, sets(b)?);
    let is_one_of = |one: &str, group: &str| {
        let number = one.strip_prefix(group).and_then(|n| n.strip_prefix('-'));
        number.is_some_and(|n| n.parse::<u32>().is_ok())
    };
    let is_same = name_a == name_b
        || (of_a == "slow disk" && (is_one_of(name_a, name_b) || is_one_of(name_b, name_a)))
        || (of_a == "service of head office" && (name_a == "all" || name_b == "all"));
    (of_a == of_b && is_same).then_some(of_a)
}

/// Whether two lists of windows, each in time order, have an instant in common.
fn meet(a: &[FaultWindow], b: &[FaultWindow]) -> bool {
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if y.end.is_none_or(|end| x.start < end) && x.end.is_none_or(|end| y.start < end) {
            return true;
        }
        // The one that ends first meets nothing later.
        match x
            .end
            .is_some_and(|end| y.end.is_none_or(|other| end <= other))
        {
            true => i += 1,
            false => j += 1,
        }
    }
    false
}

fn overlaps(scenario: &Scenario, tree: &Table, sink: &Sink) {
    for (i, later) in scenario.faults.iter().enumerate() {
        for earlier in &scenario.faults[..i] {
            let Some(of) = both_set(&later.kind, &earlier.kind) else {
                continue;
            };
            if !meet(&later.windows, &earlier.windows) {
                continue;
            }
            let Some(at) = value_at(tree, &path(&format!("fault.{}.on", later.id))) else {
                continue;
            };
            let mut finding = Diagnostic::warning(
                &codes::W0604,
                format!("faults `{}` and `{}` overlap", earlier.id, later.id),
            )
            .at(at.span, format!("the same {of} at the same time"));
            if let Some(other) = value_at(tree, &path(&format!("fault.{}.on", earlier.id))) {
                finding = finding.see(other.span, "as here");
            }
            sink.push(finding.help(String::from("the one that began last wins")));
        }
    }
}
