//! Fault kinds, one file each: what it models and what it does not, typical values, how it begins and how its end heals.
//!
//! [`table`] is what the language knows of them, `stage` what a kind has to act with, and what faults that overlap share. A
//! kind's `play` begins it, waits for its end, heals, and tells whether it bit: packets refused, tasks killed, writes failed. One
//! that never does would make a run falsely green. When each of them is played is decided in `run::faults`, from times that
//! [`occur`](crate::scenario::occur) has settled. Not here: what a machine, a line or a disk then does (`world`, `link`).

pub(crate) mod cap_reached;
pub mod captive_portal;
pub(crate) mod clock_skew;
pub(crate) mod clock_step;
pub mod cut_answers;
pub(crate) mod disk_corrupt;
pub(crate) mod disk_full;
pub mod disk_io_error;
pub(crate) mod disk_slow;
pub(crate) mod dns_fail;
pub(crate) mod hq_gateway_crash;
pub mod hq_reject;
pub mod hq_slow;
pub(crate) mod link_degrade;
pub(crate) mod link_down;
pub(crate) mod link_flap;
pub(crate) mod link_trace;
pub(crate) mod node_crash;
pub(crate) mod node_pause;
pub(crate) mod node_reboot;
pub(crate) mod power_cut;
pub(crate) mod region_outage;
pub(crate) mod stage;
pub mod table;
pub mod told;
