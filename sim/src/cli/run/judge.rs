//! The verdict on the seeds of one scenario, and what they took.
//!
//! A part of a sharded run judges only what one seed decides by itself. The rules are `run::merge`'s.

use backroom_reports::{RunResult, Timing, exit};

use super::{Plan, seeds::Ended};
use crate::{
    cli::progress::Shown,
    run::{
        merge::{self, Asked},
        shard::Shard,
    },
};

pub(super) fn is_partial(plan: &Plan, ended: &Ended) -> bool {
    ended.outcomes.len() + ended.failures.len() < plan.seeds.len()
}

pub(super) fn judge(plan: &Plan, ended: &Ended, asked: &Asked, shard: Option<Shard>) -> RunResult {
    let scenario = &plan.loaded.scenario;
    let Ended {
        outcomes,
        failures,
        differences,
        ..
    } = ended;
    let mut result = merge::merge(scenario, asked, outcomes, failures, differences);
    if let Some(shard) = shard
        && shard.count > 1
    {
        // What is judged on all seeds together is not this part's to say.
        let mut codes = vec![exit::OK];
        codes.extend(outcomes.iter().map(|o| merge::decided_by(scenario, o)));
        codes.extend(failures.iter().map(|_| exit::INTERNAL));
        codes.extend(differences.iter().map(|_| exit::SUSPECT));
        codes.extend(asked.interrupted.then_some(exit::INTERRUPTED));
        result.exit_code = exit::first(codes);
        result.exit_reason =
            format!("shard {shard} alone: `backroom merge` judges all shards together");
        result.notes.push(format!(
            "shard {shard} of {} seeds: what is judged on all seeds together is judged by `backroom merge`",
            plan.all_seeds.len()
        ));
    }
    result
}

pub(super) fn timing(
    plan: &Plan,
    ended: &Ended,
    shown: &Shown,
    jobs: usize,
    times: usize,
) -> Timing {
    let outcomes = ended.outcomes.iter();
    Timing {
        wall_seconds: shown.elapsed().as_secs_f64(),
        cpu_seconds: Some(match times {
            1 => outcomes.clone().map(|o| o.cost.cpu_seconds).sum(),
            _ => shown.cpu_seconds(),
        }),
        simulated_seconds: plan.loaded.scenario.duration.as_secs_f64()
            * (ended.outcomes.len() * times) as f64,
        jobs: jobs.min(plan.seeds.len().max(1)) as u32,
        memory_bytes_peak: outcomes.map(|o| o.cost.memory_bytes_peak).max(),
    }
}
