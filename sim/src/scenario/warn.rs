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

use super::{FaultKind, Scenario, codes, foresee, parse::function_name, paths::value_at};
use crate::{
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
    Some(telemetry.bytes_per_second / ratio)
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

/// The link that a fault changes.
fn link_of(kind: &FaultKind) -> Option<&str> {
    match kind {
        FaultKind::LinkDown { link }
        | FaultKind::LinkDegrade { link, .. }
        | FaultKind::LinkCaptivePortal { link } => Some(link),
        _ => None,
    }
}

fn overlaps(scenario: &Scenario, tree: &Table, sink: &Sink) {
    for (i, later) in scenario.faults.iter().enumerate() {
        for earlier in &scenario.faults[..i] {
            let same_link = link_of(&later.kind).is_some_and(|l| link_of(&earlier.kind) == Some(l));
            let both = later.windows.iter().any(|a| {
                earlier.windows.iter().any(|b| {
                    b.end.is_none_or(|end| a.start < end) && a.end.is_none_or(|end| b.start < end)
                })
            });
            if !same_link || !both {
                continue;
            }
            let Some(at) = value_at(tree, &path(&format!("fault.{}.on", later.id))) else {
                continue;
            };
            let mut finding = Diagnostic::warning(
                &codes::W0604,
                format!("faults `{}` and `{}` overlap", earlier.id, later.id),
            )
            .at(at.span, "the same link at the same time");
            if let Some(other) = value_at(tree, &path(&format!("fault.{}.on", earlier.id))) {
                finding = finding.see(other.span, "as here");
            }
            sink.push(finding.help(String::from("the one that began last wins")));
        }
    }
}
