//! What a Backroom file says: quantities with units, a reader that keeps spans, diagnostics, and the configuration itself.
//!
//! The simulator reads its scenarios with the same parts, and a scenario's `[collector]` is this very [`Config`].

mod model;
mod quantity;

pub use model::*;
pub use quantity::*;
