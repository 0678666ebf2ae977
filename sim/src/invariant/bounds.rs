//! BOUND-1: the collector's backlog stays within its quota, and queues in the memory of machines within their bounds, whatever the outage.
//!
//! Source: `collector.buffer.disk` for the disk; for memory `collector.listen.inflight_bytes_max` (requests that are taken in), 64 MiB of
//! messages at the broker, 4 MiB of telemetry at each machine (`store::held`). Not here: sales in a till's outbox, which are on its disk.

use super::{Finding, Invariant, at, finding};
use crate::{
    event::{Event, Queue},
    metric::SeedLog,
    store::held,
};

pub(super) const BOUND_1: Invariant = Invariant {
    id: "BOUND-1",
    title: "the backlog and queues in memory stay within their bounds",
    check,
};

fn check(log: &SeedLog<'_>) -> Finding {
    let quota = log.scenario.collector.buffer.disk.0;
    let beyond = log.events.iter().filter_map(|stamped| match stamped.event {
        Event::Backlog { bytes, .. } if bytes > quota => Some(format!(
            "a backlog of {bytes} bytes at {}, the quota is {quota}",
            at(stamped.at)
        )),
        Event::QueueHeld {
            machine,
            queue,
            bytes,
        } => {
            let bound = held::bytes_max(queue, log.scenario);
            (bytes > bound).then(|| {
                format!(
                    "{bytes} bytes of {} in the memory of {} at {}, the bound is {bound}",
                    match queue {
                        Queue::Messages => "messages",
                        Queue::Exports => "telemetry",
                        Queue::Requests => "requests",
                    },
                    log.machine(machine),
                    at(stamped.at)
                )
            })
        }
        _ => None,
    });
    finding(
        "times more is held than allowed",
        &beyond.collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{event::MachineId, metric::fixture::Log};

    #[test]
    fn a_backlog_beyond_the_quota_violates() {
        let backlog = |bytes| Event::Backlog { bytes, items: 1 };
        let full = Log::default().at(700.0, backlog(512 << 20));
        assert_eq!(message(&BOUND_1, full), None);
        let text = "1 times more is held than allowed; first: a backlog of 536870913 bytes at 700.000s, the quota is 536870912";
        let beyond = Log::default().at(700.0, backlog((512 << 20) + 1));
        assert_eq!(message(&BOUND_1, beyond).as_deref(), Some(text));
    }

    #[test]
    fn a_queue_in_memory_beyond_its_bound_violates() {
        for (queue, bound, what) in [
            (Queue::Messages, 64 << 20, "67108865 bytes of messages"),
            (Queue::Exports, 4 << 20, "4194305 bytes of telemetry"),
            (Queue::Requests, 32 << 20, "33554433 bytes of requests"),
        ] {
            let log = |bytes| {
                let machine = MachineId(2);
                let held = Event::QueueHeld {
                    machine,
                    queue,
                    bytes,
                };
                Log::default().at(700.0, held)
            };
            assert_eq!(message(&BOUND_1, log(bound)), None);
            let found = message(&BOUND_1, log(bound + 1)).expect("it violates");
            assert!(found.contains(what), "{found}");
        }
    }
}
