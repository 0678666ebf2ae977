//! One run, many seeds, the determinism check.
//!
//! `one` runs a scenario with one seed to its end and gives its log; `faults` is the script of what goes wrong in it, `holds`
//! who may run meanwhile, `supervise` which programs their disk has ended; `settle` says when everything that is under way has arrived. `outcome` boils a log down to what crosses processes;
//! `pool` runs seeds in worker processes; `merge` makes the result of all of them.

mod faults;
mod holds;
pub mod merge;
pub mod one;
pub mod outcome;
pub mod pool;
mod settle;
mod supervise;
