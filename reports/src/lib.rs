//! What a run says, and how it is shown.
//!
//! One result type, many shapes: [`RunResult`] is what a run found out, without wall-clock or host data, so that merged
//! shards equal the unsharded run byte for byte; [`Manifest`] is how and where it was run. A renderer takes them and
//! decides nothing. Nothing here knows how a result is computed.
//!
//! Next to read: `result`, the types; `series`, what plots are made of; `grid`, `sweep`, `diff` and `fuzz`, results of several runs; `load`, loads on real sockets; `exit`, what the
//! process says; `terminal`, `json`, `html`, `markdown`, `csv`, `junit`, `github`, `messages`, `openmetrics`, `perfetto` and `hlog`, the
//! shapes; `human`, how numbers are written for people.

pub mod csv;
pub mod diff;
pub mod exit;
pub mod fuzz;
pub mod github;
pub mod grid;
pub mod hlog;
pub mod html;
pub mod human;
pub mod json;
pub mod junit;
pub mod load;
mod lttb;
mod manifest;
pub mod markdown;
pub mod messages;
pub mod openmetrics;
pub mod perfetto;
pub mod plan;
mod result;
pub mod series;
pub mod sweep;
pub mod terminal;

pub use manifest::{Input, Manifest, Timing};
pub use plan::{Plan, PlanAnswer, PlanInput};
pub use result::{
    Expectation, Interval, Invariant, Moment, Op, Oracle, OracleInput, OracleSeed, Physics,
    RunResult, SCHEMA_VERSION, SeedFailure, SeedFailureKind, SeedTrace, Severity, Unit, Verdict,
    Worst,
};
pub use series::{
    Allowance, Band, Clock, Latency, LinkUse, Phase, Plot, RunSeries, SeedSeries, Shape, Spot,
    Track,
};
pub use sweep::{SweepAxis, SweepCell, SweepMap, SweepMaps};

/// Results for the tests of all shapes.
#[cfg(test)]
mod fixture {
    pub(crate) use crate::terminal::tests::{failing, passing};
}
