//! `backroom worker`: a process that runs seeds for `backroom run`. Next: `run::worker`, both ends of its pipe.

use std::{path::PathBuf, sync::Arc};

use backroom_reports::exit;

use crate::{
    plant::Plant,
    run::{one::Options, worker},
    scenario,
    world::det,
};

/// What `run` starts a worker with.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    file: PathBuf,
    #[arg(long = "set")]
    sets: Vec<String>,
    #[arg(long)]
    mtu: u32,
    #[arg(long)]
    hash_payloads: bool,
    #[arg(long)]
    strict: bool,
    #[arg(long)]
    plant: Option<Plant>,
}

pub(super) fn run(args: &Args) -> i32 {
    // Without it runs are equal all the same, unless something orders by address: worth a word, not a failure.
    if let Err(why) = det::fix_addresses() {
        eprintln!("note: addresses stay random: {why}");
    }
    let loaded = match scenario::load(&args.file, &args.sets) {
        Ok(loaded) => loaded,
        Err(report) => return i32::from(report.exit_code()),
    };
    let options = Options {
        mtu: args.mtu,
        hash_payloads: args.hash_payloads,
        plant: args.plant,
    };
    match worker::work(&Arc::new(loaded.scenario), options, args.strict) {
        Ok(()) => exit::OK,
        Err(error) => {
            eprintln!("error: answer the run that started this worker: {error}");
            exit::CANNOT_WRITE
        }
    }
}
