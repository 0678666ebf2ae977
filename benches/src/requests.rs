//! What a store's machines send, encoded beforehand: all three signals, machine after machine, as `backroom load` sends them.
//!
//! Kinds of stores and their sizes are those of `backroom_sim::plan::stores`; here they only become bodies. Next: [`crate::export`] sends them.

use backroom_collector::otlp::Signal;
use backroom_sim::{load::profile::Profile, plan::stores::Store, store::telemetry::source::Source};
use bytes::Bytes;

/// Requests of a round: every machine of the largest kind of store sends each of its signals at least once.
pub const REQUESTS: usize = 96;

/// Time of the items: bodies are the same in every run.
const MADE_AT_NANOS: u64 = 1_763_000_000_000_000_000;

/// One export request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Kind of its items.
    pub signal: Signal,
    /// How many items.
    pub items: u64,
    /// Protobuf, not compressed.
    pub body: Bytes,
}

/// [`REQUESTS`] requests of one store of this kind: some 5 s of its telemetry for every round of its machines.
///
/// # Panics
/// Never: a run has far more numbers for items than these requests take.
pub fn of_store(store: &Store) -> Vec<Request> {
    let profile = Profile::of(store);
    let mut source = Source::new(1, 1, &profile.machines, profile.request_bytes);
    (0..REQUESTS)
        .map(|_| {
            let ticket = source.ticket().expect("numbers are left");
            let mut body = Vec::new();
            ticket.put(MADE_AT_NANOS, &mut body);
            Request {
                signal: Signal::from_path(ticket.signal.path()).expect("the same paths"),
                items: ticket.items.into(),
                body: body.into(),
            }
        })
        .collect()
}

/// Items and bytes of requests.
pub fn size(requests: &[Request]) -> (u64, u64) {
    let items = requests.iter().map(|request| request.items).sum();
    let bytes = requests.iter().map(|request| request.body.len() as u64);
    (items, bytes.sum())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use backroom_sim::plan::stores::STORES;

    use super::*;

    #[test]
    fn every_kind_of_store_sends_all_signals_in_pieces_of_its_size() {
        for store in STORES {
            let requests = of_store(store);
            let signals: BTreeSet<_> = requests.iter().map(|r| r.signal.path()).collect();
            assert_eq!(signals.len(), 3, "{}", store.name);
            let (items, bytes) = size(&requests);
            let wanted = Profile::of(store).request_bytes as u64;
            assert!(items > REQUESTS as u64, "{}", store.name);
            assert!(
                (bytes / REQUESTS as u64).abs_diff(wanted) < wanted / 4,
                "{}: {bytes}",
                store.name
            );
        }
    }
}
