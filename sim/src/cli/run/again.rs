//! The seeds of which everything is kept, run once more: which these are is known only when all are judged.

use backroom_reports::exit;

use super::{Args, Plan};
use crate::{
    cli::outputs::Judged,
    run::pool::{self, Control, Job, PoolError, Task},
};

/// Runs the seeds again whose events are to be kept, now that it is known which these are.
pub(super) fn kept_seeds(
    args: &Args,
    plans: &[Plan],
    judged: &mut [Judged<'_>],
    control: &Control,
    jobs: usize,
) -> Option<i32> {
    let mut tasks = Vec::new();
    for (job, one) in judged.iter().enumerate() {
        let Some(folder) = &one.folder else { continue };
        for seed in args.events.of(&one.result) {
            let keep_in = folder.folder.join("seeds").join(seed.to_string());
            // Workers may stand elsewhere one day; a whole path means the same everywhere.
            let keep_in = std::path::absolute(&keep_in).unwrap_or(keep_in);
            tasks.push(Task {
                job,
                seed,
                keep_in: Some(keep_in),
            });
        }
    }
    if tasks.is_empty() || control.is_interrupted() {
        return None;
    }
    let work: Vec<Job> = plans.iter().map(|plan| plan.job.clone()).collect();
    match pool::run(&work, &tasks, jobs, &Control::default(), &|_, _| {}) {
        Ok(_) => None,
        Err(PoolError::Refused { seed, why, .. }) => {
            eprintln!("error: keep the events of seed {seed}: {why}");
            Some(exit::CANNOT_WRITE)
        }
        Err(error) => {
            eprintln!("error: {error}");
            Some(exit::INTERNAL)
        }
    }
}
