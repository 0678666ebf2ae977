//! Recovery time in virtual time, over outage length, line rate and load. Exact: any change is a change of the code.

use std::{cell::OnceCell, time::Duration};

use backroom_benches::{
    recovery::{LOADS_KB, points, recovery, scenario_of},
    virtual_time::VirtualTime,
};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn recovery_time(c: &mut Criterion<VirtualTime>) {
    for load_kb in LOADS_KB {
        let mut group = c.benchmark_group(format!("recovery under {load_kb} KB/s"));
        // All samples of one point are equal: as few of them as criterion allows.
        group
            .sampling_mode(SamplingMode::Flat)
            .sample_size(10)
            .warm_up_time(Duration::from_nanos(1))
            .measurement_time(Duration::from_nanos(1));
        for point in points(load_kb) {
            let scenario = scenario_of(point).unwrap_or_else(|e| panic!("{e}"));
            // The same seed gives the same run: it is made once, and counts for every sample.
            let took = OnceCell::new();
            let id = format!("{} min at {} kbit/s", point.outage_minutes, point.line_kbit);
            group.bench_function(BenchmarkId::from_parameter(id), |b| {
                b.iter_custom(|runs| {
                    let one = took.get_or_init(|| {
                        recovery(&scenario, 1).unwrap_or_else(|e| panic!("{point}: {e}"))
                    });
                    one.saturating_mul(u32::try_from(runs).unwrap_or(u32::MAX))
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(VirtualTime);
    targets = recovery_time
}
criterion_main!(benches);
