//! Faults in words: for the line below a scenario's name, and for `explain`.

use backroom_collector::config::quantity::show_bit_rate;
use backroom_reports::human;

use super::{disk_io_error, dns_fail};
use crate::scenario::FaultKind;

/// As the file names it: kind and what it acts on.
pub fn short(kind: &FaultKind) -> String {
    match kind {
        FaultKind::LinkDown { link } => format!("link.down {link}"),
        FaultKind::LinkFlap { link, .. } => format!("link.flap {link}"),
        FaultKind::LinkDegrade { link, .. } => format!("link.degrade {link}"),
        FaultKind::LinkCaptivePortal { link, .. } => format!("link.captive_portal {link}"),
        FaultKind::LinkCutAnswers { link, .. } => format!("link.cut_answers {link}"),
        FaultKind::LinkCapReached { link } => format!("link.cap_reached {link}"),
        FaultKind::LinkTrace { link, .. } => format!("link.trace {link}"),
        FaultKind::DnsFail(how) => format!("dns.fail {}", word(&dns_fail::MODES, how)),
        FaultKind::NodeCrash { node } => format!("node.crash {node}"),
        FaultKind::NodeReboot { node } => format!("node.reboot {node}"),
        FaultKind::NodePause { node } => format!("node.pause {node}"),
        FaultKind::StorePowerCut { .. } => "store.power_cut".into(),
        FaultKind::DiskFull { node, .. } => format!("disk.full {node}"),
        FaultKind::DiskSlow { node, .. } => format!("disk.slow {node}"),
        FaultKind::DiskCorrupt { node, .. } => format!("disk.corrupt {node}"),
        FaultKind::DiskIoError { node, .. } => format!("disk.io_error {node}"),
        FaultKind::ClockStep { node, .. } => format!("clock.step {node}"),
        FaultKind::ClockSkew { node, .. } => format!("clock.skew {node}"),
        FaultKind::HqReject(rule) => format!("hq.reject {}", rule.status),
        FaultKind::HqSlow(_) => "hq.slow".into(),
        FaultKind::HqGatewayCrash { .. } => "hq.gateway_crash".into(),
        FaultKind::RegionOutage { region, .. } => format!("region.outage {region}"),
    }
}

/// What happens, for those kinds whose settings a sentence can hold without the words of other sections.
pub fn sentence(kind: &FaultKind) -> String {
    match kind {
        FaultKind::LinkFlap {
            link,
            up_for,
            down_for,
        } => format!(
            "{link} goes down for {} and up for {} by turns, in the mean",
            human::seconds(down_for.mean()),
            human::seconds(up_for.mean())
        ),
        FaultKind::LinkCapReached { link } => format!("the allowance of {link} is used up"),
        FaultKind::LinkTrace { link, trace } => {
            // Folder and name: where the whole of it lies differs from machine to machine.
            let parts = trace.file.components().rev().take(2);
            let parts: Vec<_> = parts
                .map(|part| part.as_os_str().to_string_lossy())
                .collect();
            let name: Vec<&str> = parts.iter().rev().map(AsRef::as_ref).collect();
            format!("{link} follows {}", name.join("/"))
        }
        FaultKind::DnsFail(how) => format!(
            "names outside of the store are not resolved ({})",
            word(&dns_fail::MODES, how)
        ),
        FaultKind::NodeReboot { node } => format!("{node} restarts in order"),
        FaultKind::NodePause { node } => format!("{node} stands still"),
        FaultKind::DiskFull { node, leave_bytes } => format!(
            "the disk of {node} is filled but for {}",
            human::bytes(*leave_bytes as f64)
        ),
        FaultKind::DiskSlow { node, slow } => {
            let fsync = slow
                .fsync
                .as_ref()
                .map(|d| format!("fsync {}", human::seconds(d.mean())));
            let write = slow
                .write_bytes_per_second
                .map(|rate| format!("writes {}/s", human::bytes(rate)));
            let parts: Vec<String> = [fsync, write].into_iter().flatten().collect();
            format!(
                "the disk of {node} is slow: {} in the mean",
                parts.join(", ")
            )
        }
        FaultKind::DiskCorrupt { node, bytes } => {
            format!("{bytes} bytes on the disk of {node} rot")
        }
        FaultKind::DiskIoError { node, ops, share } => format!(
            "{} % of {} on the disk of {node} fail",
            share * 100.0,
            match word(&disk_io_error::OPS, ops) {
                "all" => "operations",
                word => word,
            }
        ),
        FaultKind::ClockStep { node, by_nanos } => format!(
            "the clock of {node} jumps {} by {}",
            if *by_nanos < 0 { "back" } else { "forwards" },
            human::seconds(by_nanos.unsigned_abs() as f64 / 1e9)
        ),
        FaultKind::ClockSkew { node, rate } => format!(
            "the clock of {node} {} {} s a day",
            if *rate < 0.0 { "loses" } else { "gains" },
            (rate.abs() * 86_400.0 * 10.0).round() / 10.0
        ),
        FaultKind::HqGatewayCrash { loses_power } => match loses_power {
            true => "head office's gateway loses power".to_owned(),
            false => "the program of head office's gateway dies".to_owned(),
        },
        FaultKind::HqSlow(slow) => {
            let auth = slow.auth.as_ref();
            let auth =
                auth.map(|d| format!("{} for a payment in the mean", human::seconds(d.mean())));
            let ingest = slow.ingest_bytes_per_second.map(|rate| {
                let rate = backroom_collector::config::BitRate((rate * 8.0) as u64);
                format!("takes in {}", show_bit_rate(rate))
            });
            let parts: Vec<String> = [auth, ingest].into_iter().flatten().collect();
            format!("head office is slow: {}", parts.join(", "))
        }
        FaultKind::RegionOutage { region, .. } => {
            format!("all stores of {region} lose their primary line")
        }
        other => short(other),
    }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], of: &T) -> &'static str {
    words
        .iter()
        .find(|(_, value)| value == of)
        .map_or("?", |(word, _)| word)
}
