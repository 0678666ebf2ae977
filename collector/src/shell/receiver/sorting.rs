//! A request's items by their classes, where a class has a `match`. Next: `intake`.
//!
//! Without such a class nothing is looked at and nothing is copied: a request goes to the class of its signal.

use bytes::Bytes;

use super::{
    body::{self, Lease},
    intake,
    refusal::Refusal,
};
use crate::{
    config::Config,
    core::{class::ClassName, spool::Part},
    env::Env,
    otlp::{Rule, Signal, sort_items},
    shell::shared::Shared,
};

/// Copies of envelopes come to a request's size and this at most ([`sort_items`]).
const COPIES_BYTES: u64 = 64 << 10;

/// The parts of a well-formed request. Memory for the copies is held as for the request.
pub(super) async fn sort<E: Env>(
    shared: &Shared<E>,
    lease: &mut Lease<'_, E>,
    signal: Signal,
    items: u64,
    body: Bytes,
) -> Result<Vec<Part>, Refusal> {
    let config = shared.config();
    if !has_rules(&config, signal) {
        return Ok(vec![whole(&config, signal, items, body)]);
    }
    let bytes = body.len() as u64;
    // The request, and parts of twice its size. One that is alone is taken whatever its size is: its own limit has held.
    let most = config.listen.inflight_bytes_max.0;
    if !lease.hold((3 * bytes + COPIES_BYTES).min(most)) {
        return Err(intake::busy(shared));
    }
    let is_large = body.len() > body::LARGE_BYTES;
    let work = move || sort_parts(&config, signal, items, body);
    let parts = body::on(lease, is_large, work).await;
    lease.hold(parts.iter().map(|part| part.body.len() as u64).sum());
    Ok(parts)
}

fn has_rules(config: &Config, signal: Signal) -> bool {
    let mut classes = config.classes.iter();
    classes.any(|class| class.signal == signal && !class.rules.is_empty())
}

/// The parts of a request that is well formed and has items.
pub(in crate::shell) fn sort_parts(
    config: &Config,
    signal: Signal,
    items: u64,
    body: Bytes,
) -> Vec<Part> {
    let ruled = config.classes.iter().filter(|class| class.signal == signal);
    let ruled: Vec<(ClassName, &[Rule])> = ruled
        .filter(|class| !class.rules.is_empty())
        .map(|class| (class.name, &class.rules[..]))
        .collect();
    if ruled.is_empty() {
        return vec![whole(config, signal, items, body)];
    }
    let rules: Vec<&[Rule]> = ruled.iter().map(|(_, rules)| *rules).collect();
    let sorted = sort_items(signal, &body, &rules).expect("the walk has found it well formed");
    let sum: u64 = sorted.iter().map(|part| part.items).sum();
    assert_eq!(sum, items, "the parts have the items of the whole");
    let parts = sorted.into_iter().map(|part| Part {
        class: ruled
            .get(part.class)
            .map_or_else(|| rest(config, signal), |(name, _)| *name),
        items: part.items,
        body: part.request,
    });
    parts.collect()
}

fn whole(config: &Config, signal: Signal, items: u64, body: Bytes) -> Part {
    Part {
        class: rest(config, signal),
        items,
        body,
    }
}

/// The class of what no other class takes.
fn rest(config: &Config, signal: Signal) -> ClassName {
    let mut classes = config.classes.iter();
    let class = classes.find(|class| class.takes_rest_of(signal));
    class.map_or(signal.into(), |class| class.name)
}
