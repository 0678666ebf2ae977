//! Fault kinds, one file each.

pub mod captive_portal;
pub mod hq_reject;
pub mod table;
