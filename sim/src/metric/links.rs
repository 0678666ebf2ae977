//! What the links carried and lost, by second.

use std::time::Duration;

use super::{LinkBytes, SeedLog, series::Series};
use crate::scenario::expr::{Filter, MetricRef};

/// The series of `link.NAME.bytes`, `.lost`, `.packets` or `.used`; `None` if it is another metric.
pub(super) fn series(log: &SeedLog<'_>, metric: &MetricRef) -> Option<Series> {
    let (link, what) = metric.name.strip_prefix("link.")?.rsplit_once('.')?;
    if what == "used" {
        return Some(used(log, link));
    }
    let matching = log.links.iter().filter(|l| l.link == link);
    let matching = matching.filter(|l| metric.filters.iter().all(|f| passes(log, l, f)));
    let mut steps: Vec<(Duration, f64)> = matching
        .flat_map(|l| match what {
            "bytes" => &l.carried,
            "packets" => &l.packets,
            _ => &l.lost,
        })
        .map(|(second, amount)| (Duration::from_secs(u64::from(second)), amount as f64))
        .collect();
    steps.sort_by_key(|(at, _)| *at);
    Some(Series::Counter(steps))
}

/// What a link has carried since its allowance was renewed, to the second.
fn used(log: &SeedLog<'_>, link: &str) -> Series {
    let failover = log.scenario.failover.as_ref();
    let cap = failover
        .filter(|f| f.backup == link)
        .and_then(|f| f.data_cap.as_ref());
    let period = cap.map_or(u64::MAX, |cap| cap.per.as_secs().max(1));
    let of_link = log.links.iter().filter(|l| l.link == link);
    let mut all: Vec<(u32, u64)> = of_link.flat_map(|l| &l.carried).collect();
    all.sort_unstable();
    let mut steps: Vec<(Duration, f64)> = Vec::new();
    let (mut sum, mut renewed) = (0, 0);
    for (second, bytes) in all {
        let of = u64::from(second) / period;
        if of != renewed {
            (sum, renewed) = (0, of);
            steps.push((Duration::from_secs(of * period), 0.0));
        }
        sum += bytes;
        let at = Duration::from_secs(u64::from(second));
        match steps.last_mut() {
            Some(last) if last.0 == at => last.1 = sum as f64,
            _ => steps.push((at, sum as f64)),
        }
    }
    Series::Gauge {
        initial: 0.0,
        steps,
    }
}

fn passes(log: &SeedLog<'_>, link: &LinkBytes, filter: &Filter) -> bool {
    let holds = match filter.key.as_str() {
        "class" => {
            let name = log
                .scenario
                .classes
                .get_index(usize::from(link.class))
                .map(|(name, _)| name.as_str());
            name == Some(filter.value.as_str())
        }
        "dir" => filter.value == if link.upwards { "up" } else { "down" },
        // One store has one region, and all of its stores.
        _ => return true,
    };
    holds != filter.negated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::fixture::{Log, s, scenario};
    use crate::scenario::DataCap;
    use backroom_collector::config::ByteSize;

    fn series(log: &SeedLog<'_>, name: &str) -> Series {
        let metric = MetricRef {
            name: name.into(),
            filters: Vec::new(),
        };
        super::series(log, &metric).expect("a metric of this family")
    }

    #[test]
    fn packets_are_counted_and_an_allowance_is_renewed() {
        let mut scenario = scenario();
        scenario.failover.as_mut().expect("has one").data_cap = Some(DataCap {
            bytes: ByteSize(2000),
            per: s(100.0),
            throttle_to: None,
        });
        let mut paper = Log::default();
        let mut up = LinkBytes::new("lte", true, 0);
        let mut down = LinkBytes::new("lte", false, 1);
        for at in [10.0, 20.0, 130.0] {
            up.carry(s(at), 500);
        }
        up.lose(s(20.0));
        down.carry(s(10.5), 100);
        paper.links.extend([up, down]);
        let log = paper.log(&scenario);
        let steps = [(10.0, 600.0), (20.0, 1100.0), (100.0, 0.0), (130.0, 500.0)];
        let steps = steps.map(|(at, v)| (s(at), v)).to_vec();
        let expect = Series::Gauge {
            initial: 0.0,
            steps,
        };
        assert_eq!(series(&log, "link.lte.used"), expect);
        let packets = [(10.0, 1.0), (10.0, 1.0), (20.0, 1.0), (130.0, 1.0)];
        let expect = Series::Counter(packets.map(|(at, v)| (s(at), v)).to_vec());
        assert_eq!(series(&log, "link.lte.packets"), expect);
    }
}
