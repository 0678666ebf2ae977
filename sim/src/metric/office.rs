//! What head office notices of a store's collector, and how patient the collector is with it.

use std::time::Duration;

use super::{
    SeedLog, orders,
    series::{Series, Timed},
};
use crate::event::Event;

/// The series of a metric of this family; `None` if it is of another one.
pub(super) fn series(log: &SeedLog<'_>, name: &str) -> Option<Series> {
    Some(match name {
        "hq.new_sessions" => sessions(log),
        "hq.requests" => orders::count(log, |e| matches!(e, Event::ExportRequested)),
        "hq.accepted" => orders::count(log, |e| matches!(e, Event::ExportReceived { .. })),
        "collector.retry_gap" => {
            let gap = |s: crate::event::Stamped| match s.event {
                Event::ExportRetried { failed_at } => Some(Timed::latency(failed_at, s.at, 1)),
                _ => None,
            };
            Series::Samples(log.events.iter().filter_map(gap).collect())
        }
        _ => return None,
    })
}

/// Sessions in bins of one second.
fn sessions(log: &SeedLog<'_>) -> Series {
    let mut bins: Vec<(u64, f64)> = Vec::new();
    let opened = log
        .events
        .iter()
        .filter(|s| s.event == Event::SessionOpened);
    for second in opened.map(|s| s.at.as_secs()) {
        match bins.last_mut() {
            Some(last) if last.0 == second => last.1 += 1.0,
            _ => bins.push((second, 1.0)),
        }
    }
    let mut steps = Vec::with_capacity(bins.len() * 2);
    for (index, (second, count)) in bins.iter().enumerate() {
        steps.push((Duration::from_secs(*second), *count));
        if bins.get(index + 1).is_none_or(|next| next.0 > second + 1) {
            steps.push((Duration::from_secs(second + 1), 0.0));
        }
    }
    Series::Gauge {
        initial: 0.0,
        steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::fixture::{Log, s, scenario};

    #[test]
    fn sessions_are_counted_by_the_second() {
        let scenario = scenario();
        let opened = [2.1, 2.9, 3.0, 7.5].map(|at| (at, Event::SessionOpened));
        let mut log = Log::default().many(opened);
        let Some(Series::Gauge { steps, .. }) = series(&log.log(&scenario), "hq.new_sessions")
        else {
            panic!("a level")
        };
        let expect = [(2.0, 2.0), (3.0, 1.0), (4.0, 0.0), (7.0, 1.0), (8.0, 0.0)];
        assert_eq!(steps, expect.map(|(at, n)| (s(at), n)));
    }

    #[test]
    fn a_gap_begins_with_the_failure() {
        let scenario = scenario();
        let failed_at = s(100.0);
        let mut log = Log::default().at(131.0, Event::ExportRetried { failed_at });
        let found = series(&log.log(&scenario), "collector.retry_gap");
        let expect = Timed::latency(failed_at, s(131.0), 1);
        assert_eq!(found, Some(Series::Samples(vec![expect])));
    }
}
