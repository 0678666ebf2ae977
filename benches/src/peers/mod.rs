//! The collector beside its peers: the same load against whichever is installed, side by side in one run.
//!
//! - [`peer`]: who there is, how each is configured and started. The configurations stand in `benches/peers/`.
//! - [`process`]: one of them running: started, measured, killed.
//! - [`round`]: what is done to each, and what is measured.
//! - [`table`]: medians and ratios, as Markdown and JSON.
//!
//! Load and receiver are `backroom_sim`'s `load` and `sink`, in this process. How to run it: `benches/peers/README.md`.

pub mod peer;
pub mod process;
pub mod round;
pub mod table;
