//! What a run costs, and where its settings come from: the last pages of a scenario's story.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use backroom_collector::config::quantity::show_duration;

use super::wrap;
use crate::{
    cli::check::count,
    scenario::{Fidelity, Loaded, Scenario, foresee::orders_between},
};

/// CPU seconds of one export of one machine, with its packets: DESIGN figures of the engine, one core of 2024.
const EXPORT: f64 = 35e-6;
/// CPU seconds of one raw byte of telemetry: made, compressed, sent, read again at head office.
const RAW_BYTE: f64 = 5e-9;
/// CPU seconds of one order with its messages, syncs and spans.
const ORDER: f64 = 1e-3;
/// CPU seconds of one probe of the router.
const PROBE: f64 = 5e-6;

/// CPU seconds of one seed, within a factor of two; `None` where nobody knows.
pub(super) fn cpu_seconds(scenario: &Scenario) -> Option<f64> {
    if scenario.fidelity == Fidelity::Flow {
        return None;
    }
    let seconds = scenario.duration.as_secs_f64();
    let machines: u32 = scenario.nodes.values().map(|n| n.count).sum();
    let telemetry = scenario.telemetry.as_ref().map_or(0.0, |t| {
        let exports = f64::from(machines) * seconds / t.every.as_secs_f64();
        exports * EXPORT + t.bytes_per_second * seconds * RAW_BYTE
    });
    let orders = scenario.orders.as_ref().map_or(0.0, |orders| {
        orders_between(scenario, orders, Duration::ZERO, scenario.duration) * ORDER
    });
    let probes = scenario
        .failover
        .as_ref()
        .map_or(0.0, |f| seconds / f.probe.as_secs_f64() * PROBE);
    Some(telemetry + orders + probes)
}

/// What a run costs.
pub(super) fn cost(loaded: &Loaded, out: &mut String) {
    let Some(one) = cpu_seconds(&loaded.scenario) else {
        return;
    };
    // Two digits at most: more would claim what is not known.
    let shown = |seconds: f64| match seconds {
        s if s < 1.0 => String::from("less than a second"),
        s if s < 120.0 => show_duration(Duration::from_secs(s.round() as u64)),
        s => show_duration(Duration::from_secs((s / 60.0).round() as u64 * 60)),
    };
    let seeds = loaded.scenario.seeds.len();
    let all = one * seeds as f64;
    out.push_str("\nWhat it costs to run, within a factor of two\n");
    let _ = write!(out, "  {} of CPU for a seed", shown(one));
    if seeds > 1 {
        let _ = write!(
            out,
            ", {} for {}: {} on 4 cores",
            shown(all),
            count(seeds, "seed"),
            shown(all / 4.0)
        );
    }
    out.push('\n');
}

/// Where its settings come from: files by sections, and what nobody wrote.
pub(super) fn origins(loaded: &Loaded, out: &mut String) {
    out.push_str("\nWhere its settings come from\n");
    let mut files: Vec<(String, BTreeMap<&str, usize>)> = Vec::new();
    for (path, origin) in &loaded.origins {
        let file = match origin.starts_with("--set") {
            true => "--set",
            false => origin
                .rsplit_once(':')
                .map_or(origin.as_str(), |(file, _)| file),
        };
        let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let section = path.split('.').next().unwrap_or(path);
        let index = files.iter().position(|(name, _)| name == file);
        let index = index.unwrap_or_else(|| {
            files.push((file.to_owned(), BTreeMap::new()));
            files.len() - 1
        });
        *files[index].1.entry(section).or_default() += 1;
    }
    for (file, sections) in files {
        let list: Vec<String> = sections
            .iter()
            .map(|(section, n)| format!("{section} ({n})"))
            .collect();
        let _ = writeln!(
            out,
            "{}",
            wrap(&format!("{file}: {}", list.join(", ")), "  ", 110)
        );
    }
    let defaults = defaults(&loaded.lock_toml());
    if defaults.is_empty() {
        return;
    }
    out.push_str("  nobody wrote these; they are the language's defaults:\n");
    for (section, settings) in alike(defaults) {
        let line = match section.as_str() {
            "" => settings.join(", "),
            section => format!("[{section}] {}", settings.join(", ")),
        };
        let _ = writeln!(out, "{}", wrap(&line, "    ", 110));
    }
}

/// Neighbours with the same settings, told together: `link.lan, link.uplink`.
fn alike(all: Vec<(String, Vec<String>)>) -> Vec<(String, Vec<String>)> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    for (section, settings) in all {
        match out.last_mut() {
            Some((names, last)) if *last == settings => {
                names.push_str(", ");
                names.push_str(&section);
            }
            _ => out.push((section, settings)),
        }
    }
    out
}

/// Settings of the lock file that nobody wrote, by section.
fn defaults(lock: &str) -> Vec<(String, Vec<String>)> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    let (mut section, mut id) = (String::new(), String::new());
    for line in lock.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
            id.clear();
        }
        if let Some(text) = line.strip_prefix("id = ") {
            // Entries of a list are known by their id, which stands first or nearly so.
            id = text
                .split("  #")
                .next()
                .unwrap_or(text)
                .trim_matches('"')
                .to_owned();
        }
        let Some(setting) = line.strip_suffix("  # default") else {
            continue;
        };
        let name = match id.is_empty() {
            true => section.clone(),
            false => format!("{section}.{id}"),
        };
        match out.last_mut() {
            Some((last, settings)) if *last == name => settings.push(setting.to_owned()),
            _ => out.push((name, vec![setting.to_owned()])),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_found_in_the_lock_file() {
        let lock = "# Every value\nwarmup = \"0s\"  # default\n\n[node.kds]\nrole = \"kds\"  # q.toml:9\n\
                    count = 1  # default\nboot = \"x\"  # default\n\n[[expect]]\nid = \"fast\"  # a.toml:3\nwindow = \"whole run\"  # default\n";
        let found = defaults(lock);
        let expect = [
            ("", vec!["warmup = \"0s\""]),
            ("node.kds", vec!["count = 1", "boot = \"x\""]),
            ("expect.fast", vec!["window = \"whole run\""]),
        ];
        let expect = expect.map(|(section, list)| {
            (
                section.to_owned(),
                list.into_iter().map(str::to_owned).collect::<Vec<_>>(),
            )
        });
        assert_eq!(found, expect);
    }
}
