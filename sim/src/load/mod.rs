//! Loads on real sockets: realistic OTLP of many stores, sent at a fixed rate to a real receiver.
//!
//! An *open* load: when a request is due follows from the rate alone, and never from how fast earlier ones were answered. So a target
//! that stalls meets what would really come, and a latency counts from the instant at which its request was due ("coordinated
//! omission", Tene 2013, is not possible). Nothing is tried again: a refusal is counted, and its items stay unacknowledged.
//!
//! - [`profile`]: what a kind of store sends, from the table that plans and benches use, too.
//! - [`pace`]: when requests are due. Sans-IO.
//! - [`endpoint`]: where they go.
//! - `client`: one connection, OTLP/HTTP or OTLP/gRPC.
//! - `drive`: the connections together; [`Load`] is the one entry.
//! - `tally`: what is counted, and the verdict.
//! - [`receipt`]: which items were acknowledged, for `sink` to check against.
//!
//! This is no simulation: it uses the operating system by [`OsEnv`](backroom_collector::env::OsEnv), real time and several threads.
//! Next: `drive`; the other end is [`crate::sink`].

mod client;
mod drive;
pub mod endpoint;
pub mod pace;
pub mod profile;
pub mod receipt;
mod tally;

pub use drive::{CONNECTIONS_MAX, Load, Options, Outcome, Unreachable};
pub use tally::{Latencies, Progress};
