//! BOUND-1: the collector's backlog stays within its quota, whatever the outage.
//!
//! Source: `collector.buffer.disk`; every queue has a bound. Memory is not in the log: machines' own queues are bounded where they stand.

use super::{Finding, Invariant, at, finding};
use crate::{event::Event, metric::SeedLog};

pub(super) const BOUND_1: Invariant = Invariant {
    id: "BOUND-1",
    title: "the backlog stays within its quota",
    check,
};

fn check(log: &SeedLog<'_>) -> Finding {
    let quota = log.scenario.collector.buffer.disk.0;
    let beyond = log.events.iter().filter_map(|stamped| match stamped.event {
        Event::Backlog { bytes, .. } if bytes > quota => Some(format!(
            "{bytes} bytes at {}, the quota is {quota}",
            at(stamped.at)
        )),
        _ => None,
    });
    finding(
        "backlogs are larger than allowed",
        &beyond.collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::metric::fixture::Log;

    #[test]
    fn a_backlog_beyond_the_quota_violates() {
        let backlog = |bytes| Event::Backlog { bytes, items: 1 };
        let full = Log::default().at(700.0, backlog(512 << 20));
        assert_eq!(message(&BOUND_1, full), None);
        let text = "1 backlogs are larger than allowed; first: 536870913 bytes at 700.000s, the quota is 536870912";
        let beyond = Log::default().at(700.0, backlog((512 << 20) + 1));
        assert_eq!(message(&BOUND_1, beyond).as_deref(), Some(text));
    }
}
