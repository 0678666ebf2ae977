//! What can be known of a scenario without a run: backlogs that never drain, faults that overlap.
//!
//! Cheap closed forms on declared figures; nothing here fails a check.

use backroom_collector::config::{
    BitRate, Diagnostic, Sink,
    quantity::{self, show_bit_rate, show_bytes},
    tree::{Node, Table, Value},
};

use super::{FaultKind, Scenario, codes, paths::value_at};

/// Reports what looks wrong.
pub(super) fn warn(scenario: &Scenario, tree: &Table, sink: &Sink) {
    backlog_never_drains(scenario, tree, sink);
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
                .help(format!(
                    "at least {} breaks even; a backlog drains only above it",
                    show_bit_rate(breaks_even)
                )),
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
