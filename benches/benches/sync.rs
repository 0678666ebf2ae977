//! What a store's telemetry costs on its way: into the deployed collector over HTTP and gRPC with an fsync, and out of a filled buffer.
//!
//! Wall time, real sockets, a real disk. Requests are those of the kinds of stores that `backroom plan` computes with, all three signals.
//! `intake`: a round of requests over eight connections, each acknowledged when it is durable. `forward`: a buffer of some 16 MiB is read
//! back and sent to a receiver that answers at once. Bytes are those before compression, in both.

use std::{io, path::Path, sync::Arc, time::Duration};

use backroom_benches::{
    answers::Answers,
    drain::Filled,
    export::Exporters,
    intake::Intake,
    requests::{Request, of_store, size},
};
use backroom_collector::{config::Protocol, shell::Quiet};
use backroom_sim::plan::stores::STORES;
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PROTOCOLS: [(&str, Protocol); 2] =
    [("http", Protocol::HttpProtobuf), ("grpc", Protocol::Grpc)];

/// Requests under way together.
const CONNECTIONS: usize = 8;

/// What a buffer holds that is drained: the batches of two minutes or more.
const FILLED_BYTES: u64 = 16 << 20;

/// Beside the build, because the system's own directory for temporary files may be in memory.
fn disk() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn intake(c: &mut Criterion) {
    let mut group = c.benchmark_group("intake");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    for store in STORES {
        let requests = of_store(store);
        let (elements, bytes) = size(&requests);
        group.throughput(Throughput::ElementsAndBytes { elements, bytes });
        for (name, protocol) in PROTOCOLS {
            // One collector for all samples, made when it is asked for. Connections end before it does.
            let mut ready = None;
            group.bench_function(BenchmarkId::new(name, store.name), |b| {
                let (exporters, _collector) =
                    ready.get_or_insert_with(|| collector(protocol, &requests).expect("it starts"));
                b.iter(|| exporters.round().expect("it takes them"));
            });
        }
    }
    group.finish();
}

/// A collector as it is deployed, fsync and all, and connections to it.
fn collector(protocol: Protocol, requests: &[Request]) -> io::Result<(Exporters, Intake)> {
    let intake = Intake::start_with(disk(), Arc::new(Quiet), |_| {})?;
    let address = match protocol {
        Protocol::Grpc => intake.grpc(),
        _ => intake.http(),
    };
    let exporters = Exporters::connect(address, protocol, CONNECTIONS, requests)?;
    Ok((exporters, intake))
}

fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward");
    // Each run starts a collector: as few of them as criterion allows.
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    for store in STORES {
        let requests = of_store(store);
        let rounds = FILLED_BYTES.div_ceil(size(&requests).1) as u32;
        // Made for the first that asks: whoever measures something else does not wait for it.
        let mut filled = None;
        for (name, protocol) in PROTOCOLS {
            let (elements, bytes) = size(&requests);
            group.throughput(Throughput::ElementsAndBytes {
                elements: elements * u64::from(rounds),
                bytes: bytes * u64::from(rounds),
            });
            let mut receiver = None;
            group.bench_function(BenchmarkId::new(name, store.name), |b| {
                let filled = filled.get_or_insert_with(|| {
                    Filled::fill(disk(), &requests, rounds).expect("it is filled")
                });
                let answers =
                    receiver.get_or_insert_with(|| Answers::start(protocol).expect("a port"));
                b.iter_custom(|runs| {
                    (0..runs)
                        .map(|_| filled.drain(disk(), answers).expect("all of it arrives"))
                        .sum()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, intake, forward);
criterion_main!(benches);
