//! The walk over a request allocates nothing, whatever the request holds: its cost is the time to read the bytes.
//!
//! A file of its own, because the allocator that counts is the whole program's.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::alloc::System;

use backroom_collector::otlp::{Signal, count_items};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn the_walk_allocates_nothing() {
    let good = common::spans(0..1000);
    let mut cut = good.clone();
    cut.truncate(good.len() - 1);
    let region = Region::new(ALLOCATOR);
    let counted = count_items(Signal::Traces, &good);
    let refused = count_items(Signal::Traces, &cut);
    let change = region.change();
    assert_eq!(counted, Ok(1000));
    assert!(refused.is_err());
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    // The counter counts.
    let region = Region::new(ALLOCATOR);
    drop(std::hint::black_box(good.clone()));
    assert_eq!(region.change().allocations, 1);
}
