//! Which items of loads came, how often, how late, and which are missing.
//!
//! Sans-IO. Items are kept as ranges of numbers, so memory grows with the holes between them: two million holes, some 200 MB, are kept,
//! and what would make more is counted as unchecked rather than forgotten. Without a receipt only holes below a store's highest number
//! are seen; with one, every acknowledged item is asked for.

use std::{collections::BTreeMap, time::Duration};

use backroom_collector::core::ranges::Ranges;
use backroom_reports::{
    SCHEMA_VERSION, human,
    load::{Numbers, SinkResult, SinkStore},
};

use crate::{
    load::{
        Latencies,
        receipt::{range, tag},
    },
    store::telemetry::{
        Malformed, Signal,
        source::{STORES_MAX, parts_of},
        visit_items_at,
    },
};

/// Most holes that are kept.
const HOLES_MAX: usize = 2_000_000;

/// Most stores of all runs: ids of other telemetry look like those of many.
const STORES_KEPT_MAX: usize = 100_000;

/// After so many ranges the holes are counted again.
const COUNT_EVERY: u32 = 4_096;

/// Stores that are told one by one.
const STORES_TOLD_MAX: usize = 100;

/// The run, and what was acknowledged of it.
pub type Receipt = (u16, Ranges);

#[derive(Clone, Copy, Debug, Default)]
struct Store {
    highest: u32,
    distinct: u64,
    duplicates: u64,
}

/// What came.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    seen: Ranges,
    stores: BTreeMap<(u16, u16), Store>,
    until_count: u32,
    is_full: bool,
    pub(super) items: u64,
    pub(super) distinct: u64,
    duplicates: u64,
    foreign: u64,
    unchecked: u64,
    late: u64,
    /// An item is late after this; `None` is never.
    late_after: Option<Duration>,
    delay: Latencies,
}

/// Consecutive items of one request.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    run: u16,
    store: u16,
    first: u32,
    count: u32,
    made_nanos: Option<u64>,
}

impl Ledger {
    /// An empty one.
    pub(super) fn new(late_after: Option<Duration>) -> Self {
        Self {
            late_after,
            ..Self::default()
        }
    }

    /// Takes in an export request that came at `now_nanos` since 1970; gives its number of items.
    ///
    /// # Errors
    /// If it is none. Then nothing of it counts.
    pub(super) fn take(
        &mut self,
        signal: Signal,
        body: &[u8],
        now_nanos: u64,
    ) -> Result<u64, Malformed> {
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut foreign = 0;
        let items = visit_items_at(signal, body, &mut |id, time| {
            let parts = id.map(parts_of);
            let ours = parts.filter(|(run, store, number)| {
                *run > 0 && (1..=STORES_MAX).contains(store) && *number > 0
            });
            let Some((run, store, number)) = ours else {
                foreign += 1;
                return;
            };
            if let Some(last) = stretches.last_mut()
                && (last.run, last.store) == (run, store)
                && last.first.checked_add(last.count) == Some(number)
            {
                last.count += 1;
                return;
            }
            stretches.push(Stretch {
                run,
                store,
                first: number,
                count: 1,
                made_nanos: time(),
            });
        })?;
        self.items += items;
        self.foreign += foreign;
        for stretch in stretches {
            self.add(stretch, now_nanos);
        }
        Ok(items)
    }

    fn add(&mut self, stretch: Stretch, now_nanos: u64) {
        let count = u64::from(stretch.count);
        if self.until_count == 0 {
            self.until_count = COUNT_EVERY;
            self.is_full = self.seen.interval_count() >= HOLES_MAX;
        }
        self.until_count -= 1;
        let key = (stretch.run, stretch.store);
        if self.is_full || (self.stores.len() >= STORES_KEPT_MAX && !self.stores.contains_key(&key))
        {
            self.unchecked += count;
            return;
        }
        let all = range(stretch.run, stretch.store, stretch.first, stretch.count);
        let new: u64 = self.seen.missing(&all).iter().map(|part| part.count).sum();
        let store = self.stores.entry(key).or_default();
        store.highest = store.highest.max(stretch.first + (stretch.count - 1));
        store.distinct += new;
        store.duplicates += count - new;
        self.distinct += new;
        self.duplicates += count - new;
        if new == 0 {
            return;
        }
        self.seen.insert(&all);
        if let Some(made) = stretch.made_nanos {
            // Clocks of two machines differ, and a transaction ends after it begins: what comes from the future is not late.
            let delay = Duration::from_nanos(now_nanos.saturating_sub(made));
            self.delay.add(delay, new);
            if self.late_after.is_some_and(|late| delay > late) {
                self.late += new;
            }
        }
    }

    /// The result, without what it knows nothing of: requests, bytes, times.
    pub(super) fn result(&self, receipt: Option<&Receipt>) -> SinkResult {
        let mut stores: BTreeMap<(u16, u16), SinkStore> = BTreeMap::new();
        for (&(run, store), counted) in &self.stores {
            let told = SinkStore {
                run: tag(run),
                store,
                highest: counted.highest,
                distinct: counted.distinct,
                duplicates: counted.duplicates,
                missing: u64::from(counted.highest) - counted.distinct,
                lost: receipt.filter(|(of, _)| *of == run).map(|_| 0),
                first_hole: None,
            };
            stores.insert((run, store), told);
        }
        let missing = stores.values().map(|store| store.missing).sum();
        let (mut lost, mut acked) = (0, 0);
        if let Some((run, ranges)) = receipt {
            for asked in ranges.iter() {
                acked += asked.count;
                let holes = self.seen.missing(&asked);
                let Some(hole) = holes.first() else {
                    continue;
                };
                let number = u16::try_from(asked.store).expect("a receipt has 16 bits for it");
                let count: u64 = holes.iter().map(|hole| hole.count).sum();
                lost += count;
                let store = stores.entry((*run, number)).or_insert_with(|| SinkStore {
                    run: tag(*run),
                    store: number,
                    ..SinkStore::default()
                });
                *store.lost.get_or_insert(0) += count;
                store
                    .first_hole
                    .get_or_insert(numbers(hole.first, hole.end()));
            }
        }
        let of_run = |run: u16| {
            let of = self.stores.range((run, 0)..=(run, u16::MAX));
            of.map(|(_, store)| store.distinct).sum::<u64>()
        };
        let mut told: Vec<SinkStore> = stores.into_values().collect();
        told.retain(|s| s.missing > 0 || s.duplicates > 0 || s.lost.unwrap_or(0) > 0);
        told.sort_by_key(|s| std::cmp::Reverse((s.lost.unwrap_or(0), s.missing, s.duplicates)));
        told.truncate(STORES_TOLD_MAX);
        for store in &mut told {
            if store.lost.is_none() && store.missing > 0 {
                let run = u16::from_str_radix(&store.run, 16).expect("written above");
                let all = range(run, store.store, 1, store.highest);
                let hole = self.seen.missing(&all).into_iter().next();
                store.first_hole = hole.map(|hole| numbers(hole.first, hole.end()));
            }
        }
        SinkResult {
            schema_version: SCHEMA_VERSION,
            items: self.items,
            distinct: self.distinct,
            duplicates: self.duplicates,
            foreign: self.foreign,
            unchecked: self.unchecked,
            late: self.late,
            missing,
            lost: receipt.map(|_| lost),
            unacked: receipt.map(|(run, _)| of_run(*run).saturating_sub(acked - lost)),
            delay: self.delay.quantiles(),
            stores: told,
            ..SinkResult::default()
        }
    }
}

fn numbers(first: u64, end: u64) -> Numbers {
    let number = |n: u64| u32::try_from(n).expect("numbers have 32 bits");
    [number(first), number(end - 1)]
}

/// What may be wrong and is all the same right for who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tolerated {
    /// Items lost or missing.
    pub lost: bool,
    /// Items that came again.
    pub duplicates: bool,
    /// Items that came late.
    pub late: bool,
}

/// What is wrong, in sentences. `expected` is how many different items should have come.
pub(super) fn findings(
    result: &SinkResult,
    tolerated: Tolerated,
    expected: Option<u64>,
) -> Vec<String> {
    let count = |n: u64| human::count(n as f64);
    let mut list = Vec::new();
    match result.lost {
        Some(lost) if lost > 0 && !tolerated.lost => {
            list.push(format!("{} acknowledged items did not come", count(lost)));
        }
        None if result.missing > 0 && !tolerated.lost => list.push(format!(
            "{} numbers did not come: refused, lost or under way; --receipt tells which",
            count(result.missing)
        )),
        _ => {}
    }
    if let Some(expected) = expected.filter(|expected| result.distinct < *expected) {
        list.push(format!(
            "{} of {} expected items came",
            count(result.distinct),
            count(expected)
        ));
    }
    if result.duplicates > 0 && !tolerated.duplicates {
        list.push(format!("{} items came again", count(result.duplicates)));
    }
    if result.late > 0 && !tolerated.late {
        list.push(format!("{} items came late", count(result.late)));
    }
    if result.malformed_requests > 0 {
        list.push(format!(
            "{} requests were no OTLP",
            count(result.malformed_requests)
        ));
    }
    if result.unchecked > 0 {
        list.push(format!(
            "{} items were not checked: more than {HOLES_MAX} holes or {STORES_KEPT_MAX} stores",
            count(result.unchecked)
        ));
    }
    list
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::store::telemetry::source::{Source, Ticket};

    const NOW: u64 = 1_764_000_000_000_000_000;

    fn tickets(count: usize) -> Vec<Ticket> {
        let machines = [("pos".to_owned(), "pos-1".to_owned())];
        let mut source = Source::new(0xbeef, 2, &machines, 2_000);
        let tickets = (0..count).map(|_| source.ticket().expect("numbers are left"));
        tickets.collect()
    }

    fn take(ledger: &mut Ledger, ticket: &Ticket) {
        let mut body = Vec::new();
        ticket.put(NOW, &mut body);
        let items = ledger.take(ticket.signal, &body, NOW + 2_000_000_000);
        assert_eq!(items, Ok(u64::from(ticket.items)));
    }

    fn receipt(tickets: &[Ticket]) -> Receipt {
        let mut acked = Ranges::default();
        for ticket in tickets {
            acked.insert(&range(0xbeef, ticket.store, ticket.first, ticket.items));
        }
        (0xbeef, acked)
    }

    /// Scenario: of ten requests the last of store 2 is lost, one comes twice, one was never acknowledged.
    /// Guarantees: each is told for what it is; the tail is seen with a receipt only.
    #[test]
    fn what_is_lost_and_what_is_twice() {
        let all = tickets(10);
        let mut ledger = Ledger::default();
        for ticket in &all[..9] {
            take(&mut ledger, ticket);
        }
        take(&mut ledger, &all[3]);
        let alone = ledger.result(None);
        assert_eq!((alone.missing, alone.lost, alone.unacked), (0, None, None));
        assert_eq!(alone.duplicates, u64::from(all[3].items));
        assert_eq!(findings(&alone, Tolerated::default(), None).len(), 1);

        let acked: Vec<Ticket> = all
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != 4)
            .map(|(_, t)| t.clone())
            .collect();
        let told = ledger.result(Some(&receipt(&acked)));
        assert_eq!(told.lost, Some(all[9].items.into()));
        assert_eq!(told.unacked, Some(all[4].items.into()));
        let worst = &told.stores[0];
        assert_eq!((worst.store, worst.run.as_str()), (2, "beef"));
        let last = all[9].first + all[9].items - 1;
        assert_eq!(worst.first_hole, Some([all[9].first, last]));
        let found = findings(&told, Tolerated::default(), Some(1_000_000));
        assert_eq!(found.len(), 3, "{found:?}");
        let tolerated = Tolerated {
            lost: true,
            duplicates: true,
            late: true,
        };
        assert!(findings(&told, tolerated, None).is_empty());
    }

    #[test]
    fn a_hole_is_seen_without_a_receipt() {
        let all = tickets(6);
        let mut ledger = Ledger::default();
        for ticket in [&all[0], &all[1], &all[3], &all[4], &all[5]] {
            take(&mut ledger, ticket);
        }
        let told = ledger.result(None);
        assert_eq!(told.missing, u64::from(all[2].items));
        let last = all[2].first + all[2].items - 1;
        assert_eq!(told.stores[0].first_hole, Some([all[2].first, last]));
    }

    #[test]
    fn late_is_later_than_asked() {
        let all = tickets(3);
        let check = |late: Option<u64>, expect: bool| {
            let mut ledger = Ledger::new(late.map(Duration::from_secs));
            take(&mut ledger, &all[0]);
            let told = ledger.result(None);
            assert_eq!(told.late > 0, expect, "{late:?}");
            assert!((1.0..60.0).contains(&told.delay.p50), "{:?}", told.delay);
        };
        check(None, false);
        check(Some(1), true);
        check(Some(3_600), false);
    }

    #[test]
    fn other_telemetry_is_foreign_and_garbage_counts_for_nothing() {
        use opentelemetry_proto::tonic::{
            collector::trace::v1::ExportTraceServiceRequest,
            trace::v1::{ResourceSpans, ScopeSpans, Span},
        };
        use prost::Message as _;
        let spans = [vec![], vec![1; 4], vec![0; 8]].map(|span_id| Span {
            span_id,
            ..Span::default()
        });
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: spans.to_vec(),
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let mut ledger = Ledger::default();
        let body = request.encode_to_vec();
        assert_eq!(ledger.take(Signal::Traces, &body, NOW), Ok(3));
        let before = ledger.result(None);
        assert_eq!((before.items, before.foreign, before.distinct), (3, 3, 0));
        let mut torn = Vec::new();
        tickets(1)[0].put(NOW, &mut torn);
        torn.pop();
        assert_eq!(ledger.take(Signal::Traces, &torn, NOW), Err(Malformed));
        assert_eq!(ledger.result(None), before);
    }

    proptest! {
        /// Against a count of each item.
        #[test]
        fn it_counts_as_one_who_remembers_every_item(
            came in prop::collection::vec((0..3_u16, 1..40_u32, 1..8_u32), 0..30),
        ) {
            let (mut ledger, mut model) = (Ledger::default(), BTreeMap::new());
            for (store, first, count) in came {
                let stretch = Stretch { run: 9, store: store + 1, first, count, made_nanos: None };
                ledger.add(stretch, NOW);
                for number in first..first + count {
                    *model.entry((store + 1, number)).or_insert(0_u64) += 1;
                }
            }
            let told = ledger.result(None);
            prop_assert_eq!(told.distinct, model.len() as u64);
            prop_assert_eq!(told.duplicates, model.values().map(|n| n - 1).sum::<u64>());
            let mut highest = BTreeMap::new();
            for (store, number) in model.keys() {
                highest.insert(*store, u64::from(*number));
            }
            prop_assert_eq!(told.missing, highest.values().sum::<u64>() - model.len() as u64);
        }
    }
}
