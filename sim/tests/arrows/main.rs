//! The arrows between the parts: who may depend on whom, and which names may stand where.
//!
//! Why a test: one wrong line in a manifest puts a simulated network into the binary that stores run, and nothing else would
//! show it. Declared dependencies come from `cargo metadata`; what a crate reaches comes from `Cargo.lock`, which knows
//! all platforms and needs no network; names come from the sources. Each checker is also fed what it must refuse.
//! The rules in words: `ARCHITECTURE.md`.
//!
//! - [`manifests`]: declared dependencies, pinned versions, no features.
//! - [`reach`]: what the collector must not reach, by any path.
//! - [`sources`]: names in the code, without comments.

mod manifests;
mod reach;
mod sources;

use std::path::{Path, PathBuf};

/// Our crates, with those of ours that each may use.
const CRATES: &[(&str, &[&str])] = &[
    ("backroom-reports", &[]),
    ("backroom-collector", &[]),
    ("backroom-sim", &["backroom-collector", "backroom-reports"]),
    (
        "backroom-benches",
        &["backroom-collector", "backroom-reports", "backroom-sim"],
    ),
];

/// Crates of the simulated world, with the only one of ours that may declare each.
const WORLDS: &[(&str, &str)] = &[
    ("turmoil-net", "backroom-sim"),
    ("turmoil-fs", "backroom-sim"),
    ("turmoil", "backroom-benches"),
];

/// The whole workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_path_buf()
}
