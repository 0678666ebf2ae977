//! Recovery time in virtual time, over outage length and line rate. Exact: any change is a change of the code.

use std::{sync::Arc, time::Duration};

use backroom_benches::{
    recovery::{POINTS, recovery, scenario_of},
    virtual_time::VirtualTime,
};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn recovery_time(c: &mut Criterion<VirtualTime>) {
    let mut group = c.benchmark_group("recovery");
    // Every sample is a run, and all of one point are equal: as few of them as criterion allows.
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_nanos(1))
        .measurement_time(Duration::from_nanos(1));
    for point in POINTS {
        let scenario = scenario_of(point).unwrap_or_else(|e| panic!("{e}"));
        group.bench_with_input(
            BenchmarkId::from_parameter(point),
            &scenario,
            |b, scenario| {
                b.iter_custom(|runs| {
                    (0..runs)
                        .map(|_| recovery(&Arc::clone(scenario), 1))
                        .sum::<Result<Duration, _>>()
                        .unwrap_or_else(|e| panic!("{point}: {e}"))
                });
            },
        );
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(VirtualTime);
    targets = recovery_time
}
criterion_main!(benches);
