//! Metrics: one table, one file per family; and how an expectation is judged.

pub mod catalogue;
