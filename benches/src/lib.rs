//! What the suites share: the small scenario and the engines that run it, what is measured, and how big things are.
//!
//! - [`exchange`]: a few machines that ask head office; one program for every engine. [`ours`] and [`classic`] run it.
//! - [`backlog`]: a buffer that looks as if it held many GiB.
//! - [`requests`]: what a kind of store sends. [`export`] sends it, [`intake`] takes it: a collector on real sockets and a real disk.
//! - [`drain`]: a filled buffer on its way out to [`answers`], a receiver that acknowledges at once.
//! - [`whole`]: small stores that are simulated for the wall time of one of their machines.
//! - [`peers`]: the collector beside others, on real sockets. Kinds of stores are those of `backroom_sim::plan::stores`.
//! - [`virtual_time`]: recovery time as a criterion measurement. [`recovery`] measures it.
//! - [`published`]: the pages of `reports/published`.
//! - [`cpu`]: time that a thread has computed.
//!
//! Sizes that suites share stand here, so that figures of different suites can be laid side by side.

pub mod answers;
pub mod backlog;
pub mod classic;
pub mod cpu;
pub mod drain;
pub mod exchange;
pub mod export;
pub mod intake;
pub mod ours;
pub mod peers;
pub mod published;
pub mod recovery;
pub mod requests;
pub mod virtual_time;
pub mod whole;

use std::time::Duration;

/// Bytes of a small request: an export of one item with its resource, as the smallest machines send it.
pub const REQUEST_BYTES: usize = 250;

/// Bytes of the answer to a small request: an empty OTLP response with its HTTP headers.
pub const ANSWER_BYTES: usize = 40;

/// Machines of the small scenario.
pub const HOSTS: u16 = 12;

/// One-way delay of the line to head office in the small scenario.
pub const DELAY: Duration = Duration::from_millis(20);

/// Tick of classic turmoil: its default. Larger ones are faster and falsify round trips.
pub const TICK: Duration = Duration::from_millis(1);
