//! How full the queues in machines' memory become, and how full they may: what BOUND-1 judges.
//!
//! A queue tells its high-water mark in steps of a 64th of its bound, so that a life of a program has a few dozen of these events
//! however long it lasts, and at once when it is beyond the bound. What is on a disk has bounds of its own (`buffer.disk`, the
//! disk's size). Next to read: `invariant::bounds`.

use super::{Context, broker, telemetry};
use crate::{
    event::{Event, MachineId, Queue, Recorder},
    scenario::Scenario,
};

/// Steps from empty to full.
const STEPS: u64 = 64;

/// What a queue may hold, in bytes.
pub(crate) fn bytes_max(queue: Queue, scenario: &Scenario) -> u64 {
    match queue {
        Queue::Messages => broker::HELD_BYTES_MAX as u64,
        Queue::Exports => telemetry::QUEUE_BYTES_MAX as u64,
        Queue::Requests => scenario.collector.listen.inflight_bytes_max.0,
    }
}

/// Tells how full one queue has become since its program began.
#[derive(Debug)]
pub(super) struct Held {
    recorder: Recorder,
    machine: MachineId,
    queue: Queue,
    bytes_max: u64,
    told: u64,
}

impl Held {
    pub(super) fn new<E>(ctx: &Context<E>, queue: Queue) -> Self {
        Self {
            recorder: ctx.recorder.clone(),
            machine: ctx.id,
            queue,
            bytes_max: bytes_max(queue, &ctx.scenario),
            told: 0,
        }
    }

    /// It holds so much now.
    pub(super) fn look(&mut self, bytes: u64) {
        let is_a_step = bytes >= self.told + (self.bytes_max / STEPS).max(1);
        let is_beyond = self.told <= self.bytes_max && bytes > self.bytes_max;
        if is_a_step || is_beyond {
            self.told = bytes;
            let (machine, queue) = (self.machine, self.queue);
            self.recorder.record(Event::QueueHeld {
                machine,
                queue,
                bytes,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue of 640 bytes at most that holds these one after the other: what it tells.
    fn check(held: &[u64], expect: &[u64]) {
        let recorder = Recorder::new();
        let mut queue = Held {
            recorder: recorder.clone(),
            machine: MachineId(1),
            queue: Queue::Messages,
            bytes_max: 640,
            told: 0,
        };
        held.iter().for_each(|bytes| queue.look(*bytes));
        let told: Vec<u64> = recorder
            .take()
            .iter()
            .filter_map(|stamped| match stamped.event {
                Event::QueueHeld { bytes, .. } => Some(bytes),
                _ => None,
            })
            .collect();
        assert_eq!(told, expect);
    }

    #[tokio::test]
    async fn a_queue_tells_its_high_water_mark_in_steps_and_that_it_is_beyond() {
        check(&[0, 9], &[]);
        check(&[9, 10, 3, 19, 20, 640], &[10, 20, 640]);
        check(&[639, 641, 642, 700], &[639, 641, 700]);
    }
}
