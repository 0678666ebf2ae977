//! One run, many seeds, the determinism check.
