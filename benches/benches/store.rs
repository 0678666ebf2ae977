//! What the store's own machines cost: a sale from the order to the ledger through the till's outbox, and a version of reference data in chunks.
//!
//! Wall time of a whole simulated store of which little else is there. `outbox`: items are sales; `online` uploads each by itself, after
//! `outage` half of them go in batches. `catalog`: bytes are those of the version, items its chunks, by their size.

use std::time::Duration;

use backroom_benches::whole::{Whole, catalog, outbox};
use backroom_sim::plan::stores::STORES;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group,
    criterion_main, measurement::WallTime,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lengths of the outage, seconds: one that nobody notices, and half of the hour.
const OUTAGES: [(&str, u32); 2] = [("online", 1), ("outage", 1800)];

/// Sizes of a chunk, KiB.
const CHUNKS: [u32; 3] = [64, 1024, 4096];

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, id: BenchmarkId, whole: Whole) {
    group.throughput(Throughput::ElementsAndBytes {
        elements: whole.items,
        bytes: whole.bytes,
    });
    group.bench_function(id, |b| {
        b.iter(|| whole.play().unwrap_or_else(|error| panic!("{error}")));
    });
}

/// As few runs as criterion allows: each simulates a store.
fn small(group: &mut BenchmarkGroup<'_, WallTime>) {
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
}

fn outboxes(c: &mut Criterion) {
    let mut group = c.benchmark_group("outbox");
    small(&mut group);
    for store in STORES {
        for (name, outage) in OUTAGES {
            let whole = outbox(store, outage).unwrap_or_else(|error| panic!("{error}"));
            measure(&mut group, BenchmarkId::new(name, store.name), whole);
        }
    }
    group.finish();
}

fn catalogs(c: &mut Criterion) {
    let mut group = c.benchmark_group("catalog");
    small(&mut group);
    for chunk in CHUNKS {
        let whole = catalog(chunk).unwrap_or_else(|error| panic!("{error}"));
        let id = BenchmarkId::new("reference", format!("{chunk} KiB"));
        measure(&mut group, id, whole);
    }
    group.finish();
}

criterion_group!(benches, outboxes, catalogs);
criterion_main!(benches);
