//! Invariants over recorded events, one file each.
