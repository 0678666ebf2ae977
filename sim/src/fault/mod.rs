//! Fault kinds, one file each.

pub mod table;
