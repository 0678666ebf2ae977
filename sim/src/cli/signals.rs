//! What users ask of a run that is under way: stop, or say what you are doing.
//!
//! SIGINT and SIGTERM stop the seeds under way; what is there by then is judged and kept. A second one ends the process at once.
//! SIGUSR1, and `t` with Enter on a terminal, ask what is running.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    sync::{Arc, Mutex, MutexGuard},
};

use backroom_reports::{exit, human};
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR1},
    iterator::{Handle, Signals},
};

use crate::run::pool::Control;

/// A run that is under way.
#[derive(Debug)]
pub(super) struct Status {
    /// The hand on its queue.
    pub(super) control: Control,
    /// Names of its jobs; the last one stands for all that have none.
    names: Mutex<Vec<String>>,
}

impl Status {
    /// Jobs of these names.
    pub(super) fn new(names: Vec<String>) -> Self {
        Self {
            control: Control::default(),
            names: Mutex::new(names),
        }
    }

    /// Its next jobs have these names.
    pub(super) fn rename(&self, names: Vec<String>) {
        *self.names() = names;
    }

    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.names.lock().expect("no panic while it is held")
    }

    /// On standard error, a line for each seed that is running.
    pub(super) fn tell(&self) {
        let running = self.control.running();
        let names = self.names();
        if running.is_empty() {
            eprintln!("nothing is running");
        }
        for running in running {
            let name = &names.get(running.job).or(names.last());
            let name = name.map_or("", String::as_str);
            let since = human::seconds(running.since.as_secs_f64());
            eprintln!("running: {name}, seed {}, for {since}", running.seed);
        }
    }
}

/// Listens until it is dropped; after an interruption for as long as the process lives, so that a second signal also ends what is written then.
pub(super) struct Ears {
    handle: Handle,
    of: Arc<Status>,
}

impl Drop for Ears {
    fn drop(&mut self) {
        if !self.of.control.is_interrupted() {
            self.handle.close();
        }
    }
}

/// Starts to listen.
///
/// # Errors
/// If the system does not let this process have signals.
pub(super) fn listen(status: &Arc<Status>) -> io::Result<Ears> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
    let handle = signals.handle();
    let heard = status.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                match signal {
                    SIGUSR1 => heard.tell(),
                    _ if heard.control.is_interrupted() => std::process::exit(exit::INTERRUPTED),
                    _ => {
                        eprintln!(
                            "interrupted: what is there is being written; once more ends at once"
                        );
                        heard.control.interrupt();
                    }
                }
            }
        })?;
    if may_read_keys() {
        let asked = status.clone();
        // It waits for a key as long as the process lives: nothing joins it.
        std::thread::Builder::new()
            .name("keys".into())
            .spawn(move || {
                for line in io::stdin().lock().lines() {
                    match line.as_deref().map(str::trim) {
                        Ok("t") => asked.tell(),
                        Ok(_) => {}
                        Err(_) => return,
                    }
                }
            })?;
    }
    Ok(Ears {
        handle,
        of: status.clone(),
    })
}

/// A process in the background of its terminal would be stopped by the attempt.
fn may_read_keys() -> bool {
    let stdin = io::stdin();
    stdin.is_terminal()
        && rustix::termios::tcgetpgrp(&stdin).is_ok_and(|at| at == rustix::process::getpgrp())
}
