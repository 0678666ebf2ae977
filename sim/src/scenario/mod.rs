//! The scenario language: types, parsing with spans, resolution, diagnostics, schema.
//!
//! [`load`] is the one way in, for `check`, `run` and `explain` alike. What a text means is decided in this order: `merge`
//! (one tree out of templates, file and overrides), `resolve` (names and units), `warn` (what can be known without a run, by `foresee`).
//! The tables that everything goes by are `shapes` (keys), `fault::table` (faults), `metric::catalogue` (metrics) and
//! `models` (closed forms).

pub mod codes;
pub(crate) mod columns;
pub mod expr;
mod files;
pub mod foresee;
pub mod format;
mod lock;
mod merge;
mod model;
pub mod models;
pub mod occur;
pub mod parse;
mod paths;
mod replay;
mod resolve;
mod schema;
pub mod shapes;
pub mod shop;
mod shop_shapes;
pub mod sweep;
pub mod time;
pub(crate) mod value;
mod warn;
pub mod words;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use backroom_collector::config::{
    Diagnostic, Report, Sink, Sources,
    codes::E0002,
    tree::{self, Table, Value},
};
use indexmap::IndexMap;

pub use model::*;
pub use schema::schema;

use crate::service::Services;

/// A scenario that was read without errors, with all that is known about where its values come from.
#[derive(Debug)]
pub struct Loaded {
    /// The scenario.
    pub scenario: Scenario,
    /// Warnings and notes; a run goes on with them.
    pub warnings: Report,
    /// Where each value was written, by dotted path: `lunch.toml:9`, or `--set fault.uplink-cut.for=40m`.
    pub origins: IndexMap<String, String>,
    /// The texts that were read.
    pub sources: Arc<Sources>,
    /// Points of the sweep; 1 without one. A run is of the file as it stands, without the sweep.
    pub sweep_points: usize,
    /// Stores of the fleet; 1 without one.
    pub stores: u64,
    tree: Table,
    refusals: Vec<Diagnostic>,
}

/// A file that was checked without errors.
#[derive(Debug)]
pub enum Checked {
    /// A scenario, which can be run.
    Scenario(Box<Loaded>),
    /// A template, which scenarios use, with what was noticed about it.
    Template(Report),
}

impl Loaded {
    /// How each title of [`Loaded::refusals`] begins.
    pub const REFUSAL: &'static str = "this version cannot run a scenario that ";

    /// What this version cannot run of the scenario; `None` if it can run all of it.
    ///
    /// `check` accepts such a file, `run` must not: it would play something else than what is written.
    pub fn refusals(&self) -> Option<Report> {
        if self.refusals.is_empty() {
            return None;
        }
        let list = self.refusals.iter().cloned().map(|mut finding| {
            finding.title = format!("{}{}", Self::REFUSAL, finding.title);
            finding
        });
        Some(Report {
            sources: self.sources.clone(),
            list: list.collect(),
            missing_input: false,
        })
    }

    /// The scenario as one file without templates, variables and overrides: every value with its origin, every default written.
    ///
    /// It is itself a scenario; paths in it are relative to where this process stands.
    pub fn lock_toml(&self) -> String {
        lock::write(&self.tree, &self.sources, true)
    }

    /// Like [`Loaded::lock_toml`], without the defaults that nobody wrote.
    pub fn resolved_toml(&self) -> String {
        lock::write(&self.tree, &self.sources, false)
    }

    /// The files that it stands on: itself, its templates, the recordings that it names.
    pub fn files(&self) -> std::collections::BTreeSet<std::path::PathBuf> {
        files::of(&self.tree, &self.sources)
    }

    /// Like [`Loaded::resolved_toml`], without a word of where a value comes from, and with whole paths: it reads back as the same
    /// scenario in any folder. With `defaults`, also what nobody wrote.
    pub fn plain_toml(&self, defaults: bool) -> String {
        lock::write_plain(&self.tree, &self.sources, defaults)
    }

    /// The sweep of the file; `None` if it has none.
    pub fn sweep(&self) -> Option<sweep::Sweep> {
        sweep::read(&self.tree, &self.sources)
    }

    /// Names of the `[[expect]]` entries, in file order.
    pub fn expect_ids(&self) -> impl Iterator<Item = &str> {
        self.scenario.expects.iter().map(|e| e.id.as_str())
    }
}

/// Reads a scenario with its templates, and overrides of the form `PATH=VALUE`.
///
/// # Errors
/// Everything that is wrong, in one go. A template is refused: it cannot be run.
pub fn load(path: &Path, sets: &[String]) -> Result<Loaded, Report> {
    load_with(path, sets, &Services::installed())
}

/// As [`load`], with these custom services and no others.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, sets: &[String], services: &Services) -> Result<Loaded, Report> {
    scenario_of(path, check_with(path, sets, services)?)
}

/// Reads what [`Loaded::lock_toml`] has written, wherever it lies: paths in it are relative to where this process stands.
///
/// # Errors
/// As [`load`].
pub fn load_lock(path: &Path) -> Result<Loaded, Report> {
    let name = path.file_name().map_or(path, Path::new);
    scenario_of(path, check_as(path, name, &[], &Services::installed())?)
}

fn scenario_of(path: &Path, checked: Checked) -> Result<Loaded, Report> {
    match checked {
        Checked::Scenario(loaded) => Ok(*loaded),
        Checked::Template(report) => Err(Report {
            list: vec![
                Diagnostic::error(&codes::E0114, format!("`{}` is a template", path.display()))
                    .help(String::from("name a scenario that uses it")),
            ],
            ..report
        }),
    }
}

/// Reads a scenario or a template.
///
/// # Errors
/// Everything that is wrong, in one go.
pub fn check(path: &Path, sets: &[String]) -> Result<Checked, Report> {
    check_with(path, sets, &Services::installed())
}

/// As [`check`], with these custom services and no others.
///
/// # Errors
/// As [`check`].
pub fn check_with(path: &Path, sets: &[String], services: &Services) -> Result<Checked, Report> {
    check_as(path, path, sets, services)
}

/// As [`check_with`], by another name: paths in it are relative to the folder of that.
fn check_as(
    path: &Path,
    named: &Path,
    sets: &[String],
    services: &Services,
) -> Result<Checked, Report> {
    let mut sources = Sources::default();
    let sink = Sink::default();
    let merged = merge::load(path, named, sets, &mut sources, &sink)
        .map_err(|err| Report::unreadable(path, &E0002, &err.0))?;
    // A file that is not TOML has nothing more to tell: all that it declares would be missing.
    let resolved = match sink.error_count() > 0 && merged.table.entries.is_empty() {
        true => None,
        false => resolve::resolve(&merged, path, &sources, &sink, services),
    };
    if sink.error_count() == 0
        && let Some(resolved) = &resolved
    {
        warn::warn(&resolved.scenario, &merged.table, &sink);
    }
    let failed = sink.error_count() > 0;
    let sources = Arc::new(sources);
    let report = Report {
        sources: sources.clone(),
        list: sink.into_list(),
        missing_input: false,
    };
    let Some(resolved) = resolved.filter(|_| !failed) else {
        // What is merely suspicious waits until what is wrong is put right.
        let mut report = report;
        report
            .list
            .retain(|d| d.severity == backroom_collector::config::Severity::Error);
        return Err(report);
    };
    if merged.is_template {
        return Ok(Checked::Template(report));
    }
    let mut origins = IndexMap::new();
    origins_of("", &merged.table, &sources, &mut origins);
    Ok(Checked::Scenario(Box::new(Loaded {
        scenario: resolved.scenario,
        warnings: report,
        origins,
        sources,
        sweep_points: resolved.sweep_points,
        stores: resolved.stores,
        tree: merged.table,
        refusals: resolved.refusals,
    })))
}

/// Where each value below a table was written.
fn origins_of(above: &str, table: &Table, sources: &Sources, out: &mut IndexMap<String, String>) {
    for (name, entry) in &table.entries {
        let path = match above {
            "" => name.clone(),
            above => format!("{above}.{name}"),
        };
        origin_of(path, &entry.node, above.is_empty(), sources, out);
    }
}

fn origin_of(
    path: String,
    node: &tree::Node,
    top: bool,
    sources: &Sources,
    out: &mut IndexMap<String, String>,
) {
    match &node.value {
        Value::Table(table) => origins_of(&path, table, sources, out),
        Value::Array(list) if top && merge::BY_ID.contains(&path.as_str()) => {
            for entry in list {
                let Some(table) = entry.as_table() else {
                    continue;
                };
                let id = table.text("id").unwrap_or_default();
                origins_of(&format!("{path}.{id}"), table, sources, out);
            }
        }
        _ => {
            out.insert(path, sources.origin(node.span));
        }
    }
}
