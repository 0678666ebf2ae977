//! A capacity plan: answers with their closed forms, and what a simulation says of the same; and how a page of them is shown.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Unit, human};

/// A plan for one kind of store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Version of this type: the result's.
    pub schema_version: u32,
    /// Name of the kind of store.
    pub store: String,
    /// What it is.
    pub description: String,
    /// What went in.
    pub inputs: Vec<PlanInput>,
    /// The answers, in the order in which they are shown.
    pub answers: Vec<PlanAnswer>,
    /// What a reader should know beside them.
    pub notes: Vec<String>,
}

/// A figure that went in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanInput {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
    /// Where it comes from.
    pub origin: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanAnswer {
    /// A name for machines, such as `buffer-disk`.
    pub id: String,
    /// The question, for people.
    pub title: String,
    /// Unit of the values.
    pub unit: Unit,
    /// What the closed form says; `None` if it refuses, and `note` says why.
    pub value: Option<f64>,
    /// The closed form with its numbers.
    pub form: String,
    /// How much more there is than is needed, as a share of what is needed; of a time, what is left of the target. By the worse of form and
    /// simulation. `None` where nothing is given to compare.
    pub margin: Option<f64>,
    /// What a simulation says; `None` if there was none.
    pub simulated: Option<f64>,
    /// What was simulated, or why not.
    pub simulated_how: String,
    /// Why there is no answer.
    pub note: String,
}

/// As people write a planned value. A share below one in a million is a power of ten: how far below is the answer.
fn show(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Fraction if value != 0.0 && value.abs() < 1e-6 => format!("{value:.0e}"),
        unit => unit.show(value),
    }
}

/// A margin as a percentage; from ten times of what is needed as a multiple of it, because `+469,830%` says no more.
fn margin(value: f64) -> String {
    match value {
        v if v >= 9.0 => format!("{}x", human::count((v + 1.0).round())),
        v => human::deviation(v),
    }
}

/// One page for a terminal, plain text, a newline at its end.
pub fn render(plan: &Plan) -> String {
    let mut out = format!("{}: {}\n\n", plan.store, plan.description);
    let cells: Vec<[String; 4]> = plan
        .answers
        .iter()
        .map(|a| {
            [
                a.title.clone(),
                a.value.map_or("–".into(), |v| show(a.unit, v)),
                a.simulated.map_or("–".into(), |v| show(a.unit, v)),
                a.margin.map_or("–".into(), margin),
            ]
        })
        .collect();
    let heads = ["", "closed form", "simulated", "margin"];
    let width = |column: usize| {
        let widest = cells.iter().map(|row| row[column].chars().count()).max();
        widest.unwrap_or(0).max(heads[column].len())
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let mut line = |row: [&str; 4]| {
        let mut text = format!("  {:<w$}", row[0], w = widths[0]);
        for column in 1..4 {
            let _ = write!(text, "  {:>w$}", row[column], w = widths[column]);
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(heads);
    for row in &cells {
        line([&row[0], &row[1], &row[2], &row[3]]);
    }
    out.push_str("\n  margin: what there is over what is needed, by the worse of both; 12x is twelve times of it\n\n");
    for answer in &plan.answers {
        let _ = writeln!(out, "  {}: {}", answer.title, answer.form);
        if !answer.note.is_empty() {
            let _ = writeln!(out, "      no answer: {}", answer.note);
        }
        if !answer.simulated_how.is_empty() {
            let label = match answer.simulated {
                Some(_) => "simulated: ",
                // It says why not.
                None => "",
            };
            let _ = writeln!(out, "      {label}{}", answer.simulated_how);
        }
    }
    out.push('\n');
    for input in &plan.inputs {
        let _ = writeln!(
            out,
            "  {} = {} ({})",
            input.name,
            show(input.unit, input.value),
            input.origin
        );
    }
    for note in &plan.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    out
}
