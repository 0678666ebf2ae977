//! What the lines to head office carried: by class over time, sums, the backup's allowance, and how fast the backlog drained.

use std::{collections::BTreeMap, time::Duration};

use backroom_reports::{Allowance, LinkUse, Plot, Shape, Track, Unit, human};

use super::{bins, theory};
use crate::{
    event::Event,
    metric::{LinkBytes, SeedLog},
    oracle::judge::OracleSample,
    seconds::Seconds,
};

/// What head office received of telemetry, and how fast it could go.
pub(super) fn drain(log: &SeedLog<'_>, oracles: &[OracleSample]) -> Option<Plot> {
    let received = log.events.iter().filter_map(|s| match s.event {
        Event::ExportReceived { wire_bytes, .. } => Some((s.at, f64::from(wire_bytes))),
        _ => None,
    });
    let received: Vec<(Duration, f64)> = received.collect();
    if received.is_empty() {
        return None;
    }
    let mut tracks = vec![Track::new(
        "received by head office",
        Shape::Step,
        &bins::rate(log, received.into_iter(), 1.0),
    )];
    tracks.extend(theory::drain(log, oracles));
    Some(Plot {
        id: "drain".into(),
        title: "Drain of telemetry".into(),
        unit: Unit::BytesPerSecond,
        note: "bodies of exports, as head office received them".into(),
        tracks,
    })
}

/// A plot for each direction of a line to head office that carried anything, with a track for each class.
pub(super) fn plots(log: &SeedLog<'_>) -> Vec<Plot> {
    let mut groups: BTreeMap<(bool, usize, bool), Vec<&LinkBytes>> = BTreeMap::new();
    for link in log.links.iter().filter(|l| !l.carried.is_empty()) {
        let Some((index, _, spec)) = log.scenario.links.get_full(&link.link) else {
            continue;
        };
        if spec.between.1 == "hq" {
            // The primary line first, upwards first.
            let key = (spec.backup, index, !link.upwards);
            groups.entry(key).or_default().push(link);
        }
    }
    let width = human::span(bins::width(log) as f64);
    let mut out = Vec::new();
    for ((_, index, downwards), links) in groups {
        let Some((name, _)) = log.scenario.links.get_index(index) else {
            continue;
        };
        let track = |link: &&LinkBytes| {
            let bytes = link.carried.iter();
            let bytes = bytes.map(|(second, n)| (Duration::from_secs(u64::from(second)), n as f64));
            Track::new(
                class_name(log, link.class),
                Shape::Step,
                &bins::rate(log, bytes, 8.0),
            )
        };
        let way = if downwards { "down" } else { "up" };
        out.push(Plot {
            id: format!("link.{name}.{way}"),
            title: format!("{name}, {way}, by class"),
            unit: Unit::BitsPerSecond,
            note: format!("wire bytes, headers counted, in bins of {width}"),
            tracks: links.iter().map(track).collect(),
        });
    }
    out
}

/// Sums over the run, by link, direction and class.
pub(super) fn uses(log: &SeedLog<'_>) -> Vec<LinkUse> {
    let sum = |of: &Seconds| of.iter().map(|(_, n)| n as f64).sum();
    log.links
        .iter()
        .map(|link| LinkUse {
            link: link.link.clone(),
            direction: if link.upwards { "up" } else { "down" }.into(),
            class: class_name(log, link.class),
            bytes: sum(&link.carried),
            packets_lost: sum(&link.lost),
        })
        .collect()
}

/// What the backup line used of its allowance in the first period.
pub(super) fn allowance(log: &SeedLog<'_>) -> Option<Allowance> {
    let failover = log.scenario.failover.as_ref()?;
    let cap = failover.data_cap.as_ref()?;
    let first = |second: u32| u64::from(second) < cap.per.as_secs().max(1);
    let used = log
        .links
        .iter()
        .filter(|l| l.link == failover.backup)
        .flat_map(|l| &l.carried)
        .filter(|(second, _)| first(*second))
        .map(|(_, bytes)| bytes as f64)
        .sum();
    Some(Allowance {
        link: failover.backup.clone(),
        bytes: cap.bytes.0 as f64,
        period_seconds: cap.per.as_secs_f64(),
        bytes_used: used,
        seed: log.seed,
    })
}

/// `other` is traffic without a class.
fn class_name(log: &SeedLog<'_>, class: u8) -> String {
    let found = log.scenario.classes.get_index(usize::from(class));
    found.map_or_else(|| "other".into(), |(name, _)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::fixture::{Log, s, scenario};

    #[test]
    fn lines_are_told_by_class_and_direction() {
        let scenario = scenario();
        let mut paper = Log::default();
        for (link, upwards, class, at) in [("lte", true, 0, 2200.0), ("uplink", true, 2, 100.0)] {
            let mut bytes = LinkBytes::new(link, upwards, class);
            bytes.carry(s(at), 1500);
            bytes.lose(s(at));
            paper.links.push(bytes);
        }
        let log = paper.log(&scenario);
        let plots = plots(&log);
        let ids: Vec<&str> = plots.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["link.uplink.up", "link.lte.up"]);
        assert_eq!(plots[0].tracks[0].name, "telemetry");
        let (_, (_, peak)) = plots[0].tracks[0].extremes().expect("points");
        assert_eq!(peak, 800.0, "1500 B in a bin of 15 s");
        let uses = uses(&log);
        assert_eq!((uses[0].bytes, uses[0].packets_lost), (1500.0, 1.0));
        assert_eq!(allowance(&log), None, "no allowance is declared");
    }
}
