//! Requests of many stores' machines for a load on real sockets: the same pool, envelope and ids as in a simulated store.
//!
//! Decides whose request is next, how large it is, and which numbers its items have. It knows no clock and no socket: when a request
//! is due is decided in `load::pace`, `load::client` sends it. Numbers: a store's items count from 1, below its run's tag
//! (`run << 32 | number`), as a simulated machine's count below its boot; so [`ItemId::machine`] is the store here.

use std::sync::Arc;

use super::{
    envelope,
    items::{ItemId, Signal},
    pool::{Envelope, Picked, Stamp, pool},
    resource_of,
};
use crate::event::MachineId;

/// Most stores of a load: data points have 14 bits for theirs.
pub const STORES_MAX: u16 = 10_000;

/// Bytes of a request, at least and at most: one item fits into the least, and every receiver takes the most.
pub const REQUEST_BYTES: std::ops::RangeInclusive<usize> = 1_000..=2_000_000;

/// Log records of the pool spread over a second.
const SPREAD_NANOS: u64 = 1_000_000_000;

/// A machine: its group, and its name within the store.
pub type Machine = (String, String);

/// One request that is to be made: whose, and which items.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Kind of its items.
    pub signal: Signal,
    /// The store, from 1.
    pub store: u16,
    /// Number of its first item within run and store.
    pub first: u32,
    /// How many items it has.
    pub items: u32,
    /// About how long it is, before compression.
    pub bytes: usize,
    envelope: Arc<Envelope>,
    cursor: usize,
    picked: Picked,
    id: ItemId,
}

#[derive(Debug)]
struct Emitter {
    store: u16,
    envelope: Arc<Envelope>,
    cursors: [usize; 3],
    turn: usize,
}

/// Gives out tickets: store after store, machine after machine, each with its three signals in turn.
#[derive(Debug)]
pub struct Source {
    emitters: Vec<Emitter>,
    next: usize,
    /// Numbers that each store has given out.
    numbers: Vec<u32>,
    run: u16,
    request_bytes: usize,
}

impl Source {
    /// A source of so many stores with these machines each, whose requests are about `request_bytes` long.
    ///
    /// # Panics
    /// If there is no machine, or `stores` or `request_bytes` is not within [`STORES_MAX`] and [`REQUEST_BYTES`].
    pub fn new(run: u16, stores: u16, machines: &[Machine], request_bytes: usize) -> Self {
        assert!(!machines.is_empty(), "somebody must make telemetry");
        assert!((1..=STORES_MAX).contains(&stores), "{stores} stores");
        assert!(REQUEST_BYTES.contains(&request_bytes), "{request_bytes} B");
        let count = machines.len() * usize::from(stores);
        let mut emitters = Vec::with_capacity(count);
        for (place, (group, name)) in machines.iter().enumerate() {
            for store in 1..=stores {
                let resource = resource_of(group, name, Some(store));
                let at = place * usize::from(stores) + usize::from(store) - 1;
                emitters.push(Emitter {
                    store,
                    envelope: Arc::new(envelope(&resource)),
                    cursors: Signal::ALL.map(|signal| pool().start(signal, at, count)),
                    turn: at % Signal::ALL.len(),
                });
            }
        }
        Self {
            emitters,
            next: 0,
            numbers: vec![0; usize::from(stores)],
            run,
            request_bytes,
        }
    }

    /// The next request; `None` when its store has given out all 2^32 numbers of a run.
    pub fn ticket(&mut self) -> Option<Ticket> {
        let emitter = &mut self.emitters[self.next];
        let signal = Signal::ALL[emitter.turn];
        let cursor = &mut emitter.cursors[signal as usize];
        let body = self.request_bytes.saturating_sub(emitter.envelope.bytes());
        let picked = pool().pick_some(signal, *cursor, body);
        let given = &mut self.numbers[usize::from(emitter.store) - 1];
        let first = given.checked_add(1)?;
        *given = given.checked_add(picked.items)?;
        let ticket = Ticket {
            signal,
            store: emitter.store,
            first,
            items: picked.items,
            bytes: picked.bytes + emitter.envelope.bytes(),
            envelope: Arc::clone(&emitter.envelope),
            cursor: *cursor,
            picked,
            id: ItemId {
                machine: MachineId(emitter.store),
                seq: u64::from(self.run) << 32 | u64::from(first),
            },
        };
        *cursor = pool().after(signal, *cursor, picked);
        emitter.turn = (emitter.turn + 1) % Signal::ALL.len();
        self.next = (self.next + 1) % self.emitters.len();
        Some(ticket)
    }

    /// Numbers given out so far, by store: those of store 1 first.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }
}

impl Ticket {
    /// Appends the encoded export request. Its data points say that they were made at `unix_nanos`, its spans and log records that it was
    /// within the second before: so it is in the pool, where a record stands up to a second after its time.
    pub fn put(&self, unix_nanos: u64, out: &mut Vec<u8>) {
        out.reserve(self.bytes);
        let back = match self.signal {
            Signal::Metrics => 0,
            Signal::Traces | Signal::Logs => SPREAD_NANOS,
        };
        let stamp = Stamp {
            first: self.id,
            now: unix_nanos.saturating_sub(back),
            started: unix_nanos.saturating_sub(3_600_000_000_000),
            every: 0,
        };
        let mut cursor = self.cursor;
        pool().put(
            self.signal,
            &mut cursor,
            self.picked,
            &self.envelope,
            stamp,
            out,
        );
    }
}

/// The run, the store and the number of an item that a load has made.
pub fn parts_of(id: ItemId) -> (u16, u16, u32) {
    ((id.seq >> 32) as u16, id.machine.0, id.seq as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::telemetry::items::visit_items_at;

    fn machines() -> Vec<Machine> {
        [("pos", "pos-1"), ("kiosk", "kiosk-1")]
            .map(|(group, name)| (group.to_owned(), name.to_owned()))
            .to_vec()
    }

    /// Guarantees: each store's items have the numbers 1, 2, 3 ... without a gap, all signals come, and all times are within a second of
    /// the request's.
    #[test]
    fn every_item_has_a_number_of_its_own() {
        const NOW: u64 = 1_764_000_000_000_000_000;
        let mut source = Source::new(0xbeef, 3, &machines(), 4_000);
        let mut next: BTreeMap<u16, u32> = BTreeMap::new();
        let mut signals = [0; 3];
        let (mut bytes, mut requests) = (0, 0);
        for _ in 0..60 {
            let ticket = source.ticket().expect("numbers are left");
            let mut body = Vec::new();
            ticket.put(NOW, &mut body);
            assert!(body.len().abs_diff(ticket.bytes) < 16, "{}", body.len());
            bytes += body.len();
            requests += 1;
            signals[ticket.signal as usize] += 1;
            let items = visit_items_at(ticket.signal, &body, &mut |id, time| {
                let (run, store, number) = parts_of(id.expect("all have one"));
                assert_eq!((run, store), (0xbeef, ticket.store));
                let expect = next.entry(store).or_insert(1);
                assert_eq!(number, *expect);
                *expect += 1;
                let age = time().expect("all have a time").abs_diff(NOW);
                assert!(age <= SPREAD_NANOS, "{age} ns");
            })
            .expect("well formed");
            assert_eq!(items, u64::from(ticket.items));
        }
        assert_eq!(signals, [20, 20, 20]);
        let given: Vec<u32> = next.values().map(|next| next - 1).collect();
        assert_eq!(source.numbers(), given);
        let mean = bytes / requests;
        assert!(mean.abs_diff(4_000) < 600, "{mean} bytes a request");
    }

    #[test]
    fn numbers_end_and_do_not_wrap() {
        let mut source = Source::new(1, 1, &machines(), 4_000);
        source.numbers[0] = u32::MAX - 2;
        assert!(source.ticket().is_none());
    }

    #[test]
    fn a_small_request_has_an_item() {
        let mut source = Source::new(1, 1, &machines(), *REQUEST_BYTES.start());
        for _ in 0..30 {
            assert!(source.ticket().expect("numbers are left").items > 0);
        }
    }
}
