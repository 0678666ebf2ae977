//! What it costs to take telemetry in: the deployed collector on a real disk, and its spool alone.
//!
//! `ack`: one round of requests of about 43 KB over as many connections, each acknowledged after the fsync of its group
//! commit. `os` leaves the fsync out, so the difference is the disk's. `core` is the spool without sockets and disk. `read_back`
//! reads a stored batch as the exporter does, checks it, and decompresses it, from the page cache.

use std::{path::Path, time::Duration};

use backroom_benches::intake::{Intake, SPANS, bodies};
use backroom_collector::{
    config::{Codec, Config, Durability},
    core::{
        Mono,
        spool::{Admission, Limits, Spool},
    },
    env::{Env as _, OsEnv},
    otlp::Signal,
    shell::inspect,
};
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests under way together.
const TOGETHER: [usize; 3] = [1, 8, 32];

/// Refusals in one round after which something is wrong: the collector refuses while it compresses what came before.
const REFUSALS_MAX: u32 = 1_000_000;

fn ack(c: &mut Criterion) {
    // Beside the build, because the system's own directory for temporary files may be in memory.
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let bodies = bodies();
    let mut group = c.benchmark_group("ack");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(8));
    for (name, durability) in [("fsync", Durability::Fsync), ("os", Durability::Os)] {
        for together in TOGETHER {
            let bytes: usize = bodies.iter().cycle().take(together).map(Vec::len).sum();
            group.throughput(Throughput::ElementsAndBytes {
                elements: together as u64 * SPANS,
                bytes: bytes as u64,
            });
            group.bench_function(BenchmarkId::new(name, together), |b| {
                let intake = Intake::start(disk, durability, Codec::Zstd(3)).expect("a directory");
                let mut connections = intake.connect(together).expect("it listens");
                let mut next = bodies.iter().cycle();
                b.iter(|| {
                    for connection in &mut connections {
                        let body = next.next().expect("for ever");
                        connection.send(body).expect("it reads");
                    }
                    let mut refusals = 0;
                    for connection in &mut connections {
                        while !connection.receive().expect("it answers") {
                            refusals += 1;
                            assert!(refusals < REFUSALS_MAX, "nothing is taken any more");
                            connection.send(&bodies[0]).expect("it reads");
                        }
                    }
                });
            });
        }
    }
    group.finish();
}

fn core(c: &mut Criterion) {
    let bodies: Vec<Bytes> = bodies().into_iter().map(Bytes::from).collect();
    let limits = Limits::new(&Config::default());
    let mut group = c.benchmark_group("core");
    for together in TOGETHER {
        let bytes: usize = bodies.iter().cycle().take(together).map(Bytes::len).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("commit", together), |b| {
            b.iter_batched(
                || Spool::new(limits.clone(), 412),
                |mut spool| {
                    for body in bodies.iter().cycle().take(together) {
                        let admission = spool.append(Signal::Traces, SPANS, body.clone(), 1);
                        assert_eq!(admission, Admission::Queued);
                    }
                    let commit = spool.begin_commit().expect("something to write");
                    spool.commit_done(Mono::default(), true);
                    (spool, commit)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Requests that are stored for `read_back`: dozens of batches.
const STORED: usize = 1000;

fn read_back(c: &mut Criterion) {
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let intake = Intake::start(disk, Durability::Os, Codec::Zstd(1)).expect("a directory");
    let mut connection = intake.connect(1).expect("it listens").remove(0);
    for body in bodies().iter().cycle().take(STORED) {
        connection.send(body).expect("it reads");
        while !connection.receive().expect("it answers") {
            connection.send(body).expect("it reads");
        }
    }
    let mut config = Config::default();
    config.buffer.dir = intake.dir().join("buffer");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let env = OsEnv::with_root([7; 32]);
    let survey = runtime.block_on(inspect::survey(&env, &config));
    let survey = survey.expect("it can be listed");
    let is_sealed = |stored: &&inspect::Stored| matches!(stored.at, inspect::At::Segment(_));
    let batches: Vec<_> = survey.stored.iter().filter(is_sealed).collect();
    let items: u64 = batches.iter().map(|stored| stored.header.range.count).sum();
    let bytes: u64 = batches
        .iter()
        .map(|b| u64::from(b.header.payload_bytes))
        .sum();
    let mut group = c.benchmark_group("read_back");
    group
        .sample_size(20)
        .throughput(Throughput::ElementsAndBytes {
            elements: items,
            bytes,
        });
    group.bench_function("stored", |b| {
        b.iter(|| {
            for batch in &batches {
                let body = runtime.block_on(survey.body(env.disk(), batch));
                assert_eq!(
                    body.expect("it is whole").len(),
                    batch.header.raw_bytes as usize
                );
            }
        });
    });
    group.finish();
}

criterion_group!(benches, ack, core, read_back);
criterion_main!(benches);
