//! One run, many seeds, the determinism check.
//!
//! `one` runs a scenario with one seed to its end and gives its log; `faults` is the script of what goes wrong in it, `holds`
//! who may run meanwhile, `supervise` which programs their disk has ended; `settle` says when everything that is under way has arrived. `outcome` boils a log down to what crosses processes;
//! `pool` runs seeds in worker processes, whose pipe is `worker`'s; `merge` makes the result of all of them. `seeds` and `shard` say which
//! seeds, `outcome_log` keeps them in a file of `ndjson` lines. `keep` writes down what one seed did: its events (`tell`), its `timeline`. `cost` tells what it takes of the real machine.

pub mod cost;
mod faults;
mod holds;
pub mod keep;
pub mod merge;
pub mod ndjson;
pub mod one;
pub mod outcome;
pub mod outcome_log;
pub mod pool;
pub mod seeds;
mod settle;
pub mod shard;
#[cfg(test)]
mod spilling;
mod supervise;
pub mod tell;
mod timeline;
pub mod worker;
