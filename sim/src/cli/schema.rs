//! `backroom schema`: the JSON Schema of files, for editors.

use backroom_collector::config::{COLLECTOR, schema};
use clap::{Parser, ValueEnum};
use serde_json::json;

use crate::scenario;

/// Print the JSON Schema of a kind of file.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// The kind of file.
    #[arg(value_enum, default_value_t)]
    pub of: Of,
}

/// Kinds of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// Scenarios and templates.
    #[default]
    Scenario,
    /// The configuration of a deployed collector.
    Collector,
    /// What `run --json` prints, and `summary.json`.
    Result,
    /// `manifest.json` of a run.
    Manifest,
    /// `series.json` of a run.
    Series,
    /// `sweep.json`: the maps of a sweep.
    Sweep,
    /// What `plan --json` prints.
    Plan,
    /// The lines of `run --message-format json`.
    Messages,
    /// What `sweep --json` prints, and `points.json` of a sweep.
    Points,
    /// What `diff --json` prints.
    Diff,
    /// What `load --json` prints.
    Load,
    /// What `load --receipt` writes.
    Receipt,
    /// What `sink --json` prints.
    Sink,
    /// What `fuzz --json` prints, and `fuzz.json` of a search.
    Fuzz,
}

/// Prints the schema; always 0.
pub fn run(args: &Args) -> u8 {
    super::check::put(&text(args.of));
    0
}

/// The schema as it is shipped.
pub fn text(of: Of) -> String {
    let schema = match of {
        Of::Result => return backroom_reports::json::schema() + "\n",
        Of::Messages => return backroom_reports::messages::schema() + "\n",
        Of::Points => return backroom_reports::grid::schema() + "\n",
        Of::Diff => return backroom_reports::diff::schema() + "\n",
        Of::Load => return backroom_reports::load::load_schema() + "\n",
        Of::Receipt => return backroom_reports::load::receipt_schema() + "\n",
        Of::Sink => return backroom_reports::load::sink_schema() + "\n",
        Of::Fuzz => return backroom_reports::fuzz::schema() + "\n",
        Of::Manifest => return backroom_reports::json::manifest_schema() + "\n",
        Of::Series => return backroom_reports::json::series_schema() + "\n",
        Of::Sweep => return backroom_reports::json::sweep_schema() + "\n",
        Of::Plan => return backroom_reports::json::plan_schema() + "\n",
        Of::Scenario => scenario::schema(),
        Of::Collector => {
            let mut schema = schema::object(&COLLECTOR);
            schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
            schema["title"] = json!("Backroom collector");
            schema
        }
    };
    format!("{schema:#}\n")
}
