//! JSON: the result as machines read it, and its schema.

use crate::{Manifest, Plan, RunResult, RunSeries, SweepMaps};

/// Pretty-printed, fields in a fixed order, one newline at the end. Equal results give equal bytes.
pub fn render(result: &RunResult) -> String {
    pretty(result)
}

/// The manifest, likewise.
pub fn render_manifest(manifest: &Manifest) -> String {
    pretty(manifest)
}

/// The series, on one line: they are large, and nobody reads them.
pub fn render_series(series: &RunSeries) -> String {
    let mut text = serde_json::to_string(series).expect("plain data has no key that is not text");
    text.push('\n');
    text
}

/// JSON Schema (2020-12) of [`RunSeries`].
pub fn series_schema() -> String {
    pretty(&schemars::schema_for!(RunSeries))
}

/// A plan, likewise.
pub fn render_plan(plan: &Plan) -> String {
    pretty(plan)
}

/// JSON Schema (2020-12) of [`Plan`].
pub fn plan_schema() -> String {
    pretty(&schemars::schema_for!(Plan))
}

/// The maps of a sweep, likewise.
pub fn render_sweep(sweep: &SweepMaps) -> String {
    pretty(sweep)
}

/// JSON Schema (2020-12) of [`SweepMaps`].
pub fn sweep_schema() -> String {
    pretty(&schemars::schema_for!(SweepMaps))
}

/// JSON Schema (2020-12) of [`RunResult`].
pub fn schema() -> String {
    pretty(&schemars::schema_for!(RunResult))
}

/// JSON Schema (2020-12) of [`Manifest`].
pub fn manifest_schema() -> String {
    pretty(&schemars::schema_for!(Manifest))
}

pub(crate) fn pretty(value: &impl serde::Serialize) -> String {
    let mut text =
        serde_json::to_string_pretty(value).expect("plain data has no key that is not text");
    text.push('\n');
    text
}
