//! What the engine costs: packets, quiet time, building a world; and classic turmoil with the same small scenario.
//!
//! Wall time of one thread. `idle` also prints the ratio that has to stay below 1.3.

use std::{cell::Cell, time::Duration};

use backroom_benches::{
    TICK, classic, cpu,
    exchange::Exchange,
    ours::{self, Access},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests of a machine where packets are counted: a run takes some tens of milliseconds.
const REQUESTS: u32 = 400;

/// Back to back: every machine asks again as soon as it has its answer.
fn busy(hosts: u16) -> Exchange {
    Exchange {
        hosts,
        requests: REQUESTS,
        every: Duration::ZERO,
        ..Exchange::default()
    }
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("packets");
    group.sample_size(20);
    for access in [Access::Perfect, Access::Lan] {
        for hosts in [4, 12, 24] {
            let exchange = busy(hosts);
            let (_, report) = ours::run(&exchange, access);
            group.throughput(Throughput::Elements(report.packets));
            let id = BenchmarkId::new(format!("{access:?}").to_lowercase(), hosts);
            group.bench_with_input(id, &exchange, |b, exchange| {
                b.iter(|| ours::run(exchange, access));
            });
        }
    }
    group.finish();
}

/// The same exchanges, once a second and once in ten seconds.
fn idle(c: &mut Criterion) {
    let spread = |times: u32| Exchange {
        requests: REQUESTS,
        every: Duration::from_secs(1) * times,
        ..Exchange::default()
    };
    let ran = Cell::new(false);
    let mut group = c.benchmark_group("idle");
    group.sample_size(20);
    for times in [1, 10] {
        group.throughput(Throughput::Elements(spread(times).total()));
        group.bench_with_input(
            BenchmarkId::new("time", format!("x{times}")),
            &spread(times),
            |b, exchange| {
                ran.set(true);
                b.iter(|| ours::run(exchange, Access::Perfect));
            },
        );
    }
    group.finish();

    if ran.get() {
        let [once, ten] = [spread(1), spread(10)];
        let play = |exchange| {
            drop(ours::play(
                &ours::world_of(&exchange, Access::Perfect),
                exchange,
            ))
        };
        if let Some([once, ten]) = least_cpu(20, [&|| play(once), &|| play(ten)]) {
            let ratio = ten.as_secs_f64() / once.as_secs_f64();
            println!(
                "idle: ten times the time costs {ratio:.2} times the CPU ({once:?}, {ten:?})\n"
            );
        }
    }
}

/// CPU time of one run of each, the best of `times` in turns: whatever else the machine does hits both.
fn least_cpu(times: u32, runs: [&(dyn Fn() + Sync); 2]) -> Option<[Duration; 2]> {
    let mut least = [Duration::MAX; 2];
    for _ in 0..times {
        for (least, run) in least.iter_mut().zip(runs) {
            *least = cpu::of(run).1?.min(*least);
        }
    }
    Some(least)
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    for hosts in [4, 18, 60] {
        let spec = ours::world_of(&busy(hosts), Access::Lan);
        group.bench_with_input(BenchmarkId::from_parameter(hosts), &spec, |b, spec| {
            b.iter(|| {
                cpu::on_a_fresh_thread(|| backroom_sim::world::run(spec, |_| async {}))
                    .expect("no recordings")
            });
        });
    }
    group.finish();
}

/// Twelve machines, one request each every ten seconds, two minutes, on both engines.
fn peer(c: &mut Criterion) {
    let exchange = Exchange::default();
    let ran = Cell::new(false);
    let mut group = c.benchmark_group("peer");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(exchange.total()));
    group.bench_function("backroom", |b| {
        ran.set(true);
        b.iter(|| ours::run(&exchange, Access::Perfect));
    });
    group.bench_function("turmoil 0.7, 1 ms ticks", |b| {
        b.iter(|| classic::run(&exchange, TICK));
    });
    group.finish();

    if !ran.get() {
        return;
    }
    // The system counts CPU time in milliseconds, and ours takes one.
    const RUNS: u32 = 100;
    let spec = ours::world_of(&exchange, Access::Perfect);
    let ours = || {
        for _ in 0..RUNS {
            ours::play(&spec, exchange);
        }
    };
    let classic = || drop(classic::run(&exchange, TICK));
    if let Some([ours, classic]) = least_cpu(3, [&ours, &classic]) {
        let ours = ours / RUNS;
        let ratio = classic.as_secs_f64() / ours.as_secs_f64();
        println!("peer: classic turmoil needs {ratio:.0} times the CPU ({classic:?}, {ours:?})\n");
    }
}

criterion_group!(benches, packets, idle, build, peer);
criterion_main!(benches);
