//! The other end of a load: a receiver of OTLP on real sockets that checks every item, and misbehaves on a schedule.
//!
//! - [`schedule`]: when it is down, slow or rude. Sans-IO, with a small language.
//! - `ledger`: which items came, twice, late, or not at all. Sans-IO; memory grows with holes, not with items.
//! - `receive`: one request: its coding, its items, its answer.
//! - `serve`: listeners and connections; [`Sink`] is the one entry.
//!
//! Items are those of [`crate::load`]: run, store and number stand in their ids. This is no simulation: it uses the operating
//! system by [`OsEnv`](backroom_collector::env::OsEnv). Next: `serve`.

mod ledger;
mod receive;
pub mod schedule;
mod serve;

pub use ledger::{Receipt, Tolerated};
pub use serve::{Bound, Options, Sink, Standing};
