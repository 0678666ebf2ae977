//! What the links carried and lost, by second.

use std::time::Duration;

use super::{LinkBytes, SeedLog, series::Series};
use crate::scenario::expr::{Filter, MetricRef};

/// The series of `link.NAME.bytes` or `link.NAME.lost`; `None` if it is another metric.
pub(super) fn series(log: &SeedLog<'_>, metric: &MetricRef) -> Option<Series> {
    let (link, what) = metric.name.strip_prefix("link.")?.rsplit_once('.')?;
    let buckets = |l: &'_ LinkBytes| -> Vec<(u32, u64)> {
        match what {
            "bytes" => l.carried.clone(),
            _ => l.lost.clone(),
        }
    };
    let matching = log.links.iter().filter(|l| l.link == link);
    let matching = matching.filter(|l| metric.filters.iter().all(|f| passes(log, l, f)));
    let mut steps: Vec<(Duration, f64)> = matching
        .flat_map(buckets)
        .map(|(second, amount)| (Duration::from_secs(u64::from(second)), amount as f64))
        .collect();
    steps.sort_by_key(|(at, _)| *at);
    Some(Series::Counter(steps))
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
