//! A run, from its folders to its exit code.
//!
//! Everything is begun before the first seed, so that a folder that cannot be made costs nothing; everything is judged after the last one.
//! Next: `seeds`, what runs in between; `outputs`, what is kept and shown; `signals`, what stops it.

use std::{num::NonZeroUsize, sync::Arc};

use backroom_reports::messages::{Message, Planned};

use super::{
    Args, Plan, again, judge,
    seeds::{self, Journal},
};
use crate::{
    cli::{
        Terminal,
        outputs::{self, Judged, MessageFormat},
        progress::Shown,
        run_dir::{RunDir, Unwritable, crc_of},
        signals::{self, Status},
    },
    plot::keep::{Kept, PART_FILE},
    run::{
        merge::Asked,
        ndjson::Log,
        outcome_log::{Header, Places},
        seeds as lists,
        shard::Shard,
    },
};

pub(super) fn play(
    args: &Args,
    terminal: Terminal,
    plans: &[Plan],
    shard: Option<Shard>,
) -> Result<i32, i32> {
    let (mut folders, mut journals) = (Vec::new(), Vec::new());
    for plan in plans {
        let (folder, log) = match args.outputs.no_save {
            true => (None, None),
            false => {
                let begun = begin(args, plan, shard);
                let (folder, log) = begun.map_err(|error| outputs::cannot_write(&error))?;
                (Some(folder), Some(log))
            }
        };
        folders.push(folder);
        journals.push(Journal::new((log, None)));
    }
    let jobs = args.jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        NonZeroUsize::get,
    );
    let names: Vec<String> = plans
        .iter()
        .map(|p| p.loaded.scenario.name.clone())
        .collect();
    let status = Arc::new(Status::new(names.clone()));
    // Without signals a run can still be run; it only cannot be stopped gently.
    let _ears = signals::listen(&status)
        .inspect_err(|error| eprintln!("note: Ctrl-C keeps nothing: {error}"))
        .ok();
    if args.outputs.message_format == MessageFormat::Json {
        outputs::say(&Message::RunStarted {
            schema_version: backroom_reports::SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").into(),
            scenarios: plans.iter().map(planned).collect(),
        });
    }
    let tasks: usize = plans.iter().map(|p| p.seeds.len()).sum();
    let times = if args.verify { 2 } else { 1 };
    let shown = Shown::new(args.progress, terminal, &names, tasks * times);
    let (mut ended, stopped) = seeds::all(args, plans, &status.control, jobs, &shown, &journals)?;
    shown.clear();

    let mut judged = Vec::new();
    let interrupted = status.control.is_interrupted();
    for (((plan, ended), folder), journal) in
        plans.iter().zip(&mut ended).zip(folders).zip(journals)
    {
        let asked = Asked {
            overrides: args.sets.clone(),
            inconclusive: args.outputs.inconclusive.into(),
            seeds_planned: plan.seeds.len(),
            verified: args.verify,
            stopped: stopped.clone().filter(|_| judge::is_partial(plan, ended)),
            interrupted,
        };
        let result = judge::judge(plan, ended, &asked, shard);
        let plots = std::mem::take(&mut ended.plots);
        let part = shard.filter(|s| s.count > 1);
        let mut folder = folder;
        let handed = match (part, &mut folder) {
            (Some(_), Some(folder)) => hand_on(&plots, folder),
            _ => Ok(()),
        };
        let mut one = Judged {
            series: Some(plots.finish(&plan.loaded.scenario, &result)),
            result,
            timing: judge::timing(plan, ended, &shown, jobs, times),
            loaded: &plan.loaded,
            folder,
            part: part.map(|s| s.to_string()),
            inconclusive: args.outputs.inconclusive.into(),
        };
        for error in [handed, close(journal)].into_iter().filter_map(Result::err) {
            one.not_written(&error);
        }
        one.save();
        judged.push(one);
    }
    again::kept_seeds(args, plans, &mut judged, &status.control, jobs);
    let list = outputs::is_list(&args.files);
    let code = outputs::show(&args.outputs, terminal, &mut judged, list);
    if args.outputs.message_format == MessageFormat::Json {
        outputs::say(&Message::RunFinished { exit_code: code });
    }
    Ok(code)
}

/// Writes what a merge makes plots of. Without it the verdict is merged all the same.
fn hand_on(plots: &Kept, folder: &mut RunDir) -> Result<(), Unwritable> {
    let path = folder.folder.join(PART_FILE);
    let bytes = plots.part().to_bytes().map_err(Unwritable::at(&path))?;
    folder.put(PART_FILE, &bytes)
}

fn planned(plan: &Plan) -> Planned {
    Planned {
        scenario: plan.loaded.scenario.name.clone(),
        file: plan.job.file.display().to_string(),
        seeds: plan.seeds.len(),
    }
}

fn begin(args: &Args, plan: &Plan, shard: Option<Shard>) -> Result<(RunDir, Log), Unwritable> {
    let scenario = &plan.loaded.scenario;
    let mut folder = RunDir::create(&args.outputs.runs, &scenario.name)?;
    let lock = plan.loaded.lock_toml();
    // Now, not at the end: a run whose process is killed can be judged by it and its log.
    folder.put("scenario.lock.toml", lock.as_bytes())?;
    let log = folder.log(Header {
        version: Header::VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        scenario: scenario.name.clone(),
        lock_crc32c: crc_of(&lock),
        sets: args.sets.clone(),
        mtu: args.mtu,
        hash_payloads: plan.job.options.hash_payloads,
        verified: args.verify,
        seeds: lists::show(&plan.all_seeds),
        shard,
        places: Places::of(scenario),
    })?;
    Ok((folder, log))
}

/// Ends a log.
fn close(journal: Journal) -> Result<(), Unwritable> {
    let (log, error) = journal.into_inner().expect("no panic while it was held");
    let Some(log) = log else { return Ok(()) };
    match error.or_else(|| log.sync().err()) {
        None => Ok(()),
        Some(error) => Err(Unwritable::at(log.path())(error)),
    }
}
