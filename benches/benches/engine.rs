//! What the engine costs: packets, quiet time, building a world, worlds per core; and classic turmoil with the same small scenario.
//!
//! Wall time of one thread. `idle` also prints the ratio that has to stay below 1.3. Elements of `worlds` are simulated seconds, so
//! elements per second are the stores that one core carries in real time; it also prints them by processor time.

use std::{cell::Cell, time::Duration};

use backroom_benches::{
    TICK, classic, cpu,
    exchange::Exchange,
    ours::{self, Access},
};
use backroom_sim::{load::profile::Profile, plan::stores::STORES};
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
        let [once, ten] = least_cpu(20, [&|| play(once), &|| play(ten)]);
        let ratio = ten.as_secs_f64() / once.as_secs_f64();
        println!("idle: ten times the time costs {ratio:.2} times the CPU ({once:?}, {ten:?})\n");
    }
}

/// CPU time of one run of each, the best of `times` in turns: whatever else the machine does hits both.
fn least_cpu<const N: usize>(times: u32, runs: [&(dyn Fn() + Sync); N]) -> [Duration; N] {
    let mut least = [Duration::MAX; N];
    for _ in 0..times {
        for (least, run) in least.iter_mut().zip(runs) {
            *least = cpu::of(run).1.min(*least);
        }
    }
    least
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

/// Export interval of stock SDKs.
const EXPORT_EVERY: Duration = Duration::from_secs(5);

/// Kinds of stores: each machine sends what it gathers in five seconds, for ten minutes.
fn worlds(c: &mut Criterion) {
    let mut group = c.benchmark_group("worlds");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    for store in STORES {
        let profile = Profile::of(store);
        let exchange = Exchange {
            hosts: profile.machines.len() as u16,
            requests: 120,
            every: EXPORT_EVERY,
            request_bytes: profile.request_bytes,
            ..Exchange::default()
        };
        let simulated = exchange.every * exchange.requests;
        let ran = Cell::new(false);
        group.throughput(Throughput::Elements(simulated.as_secs()));
        group.bench_with_input(
            BenchmarkId::from_parameter(store.name),
            &exchange,
            |b, exchange| {
                ran.set(true);
                b.iter(|| ours::run(exchange, Access::Lan));
            },
        );
        if !ran.get() {
            continue;
        }
        let spec = ours::world_of(&exchange, Access::Lan);
        let [took] = least_cpu(3, [&|| drop(ours::play(&spec, exchange))]);
        let worlds = simulated.as_secs_f64() / took.as_secs_f64();
        let name = store.name;
        println!("worlds: one core carries {worlds:.0} of {name} in real time ({took:?})\n");
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
    let [ours, classic] = least_cpu(3, [&ours, &classic]);
    let ours = ours / RUNS;
    let ratio = classic.as_secs_f64() / ours.as_secs_f64();
    println!("peer: classic turmoil needs {ratio:.0} times the CPU ({classic:?}, {ours:?})\n");
}

criterion_group!(benches, packets, idle, build, worlds, peer);
criterion_main!(benches);
