//! The search for scenarios that fail, and for the smallest form of one.
//!
//! [`doc`] is a scenario that can be changed and printed; [`generate`] changes one at random, by a seed; [`trial`] runs what came of it;
//! [`check`] says what failed; [`shrink`] makes it smaller while it fails the same, with [`numbers`] for simpler values. All of it goes by the
//! tables of keys and of faults, so a new key or a new kind of fault is searched without a line here. Command lines stand in `cli::fuzz`
//! and `cli::shrink`.

pub mod check;
pub mod doc;
pub mod generate;
pub mod numbers;
pub mod shrink;
pub mod trial;
