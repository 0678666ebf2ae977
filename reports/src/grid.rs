//! The result of a sweep: a result for each point of its grid, and the table that people read.
//!
//! Like [`RunResult`] it holds no wall-clock time and nothing of the machine: equal sweeps give equal bytes, in any parts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    RunResult, SCHEMA_VERSION, Severity, SweepAxis, SweepCell, SweepMap, SweepMaps, Unit, Verdict,
    exit,
};

/// What a sweep found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepResult {
    /// Version of this type.
    pub schema_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// The question that it answers.
    pub description: String,
    /// The scenario's file, as it was named.
    pub file: String,
    /// What `--set` changed in all points.
    pub overrides: Vec<String>,
    /// What was varied, in file order.
    pub grid: Vec<Axis>,
    /// What the table shows.
    pub table: Shown,
    /// Points that were planned, those that are skipped left out.
    pub points_planned: usize,
    /// Points that were run to their end, in the order of the plan.
    pub points: Vec<Point>,
    /// The question of `[report] answer`, answered; `None` if there is none.
    pub answer: Option<String>,
    /// Why points, or files of the sweep, are missing; empty if none are.
    #[serde(default)]
    pub stopped: String,
    /// What it exits with.
    #[serde(default)]
    pub exit_code: i32,
}

/// One setting and its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Axis {
    /// Dotted path.
    pub path: String,
    /// As they are written, without quotes.
    pub values: Vec<String>,
}

/// What the table shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// The setting in rows.
    pub rows: Option<String>,
    /// The setting in columns.
    pub columns: Option<String>,
    /// The expectation of which cells show the value; `None`: how many expectations hold.
    pub cell: Option<String>,
}

/// One combination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Its place in the plan, from 0.
    pub number: usize,
    /// Its values, in the order of the grid.
    pub values: Vec<String>,
    /// What was found out.
    pub result: RunResult,
}

impl SweepResult {
    /// Version of this type.
    pub const VERSION: u32 = SCHEMA_VERSION;

    /// Whether its parts fit each other, as those that `sweep` writes do. For what was read from a file.
    ///
    /// # Errors
    /// The point with more or fewer values than the grid has settings.
    pub fn check(&self) -> Result<(), String> {
        let settings = self.grid.len();
        match self.points.iter().find(|p| p.values.len() != settings) {
            Some(point) => Err(format!(
                "point {} has {} values, and the grid {settings} settings; run the sweep again",
                point.number,
                point.values.len()
            )),
            None => Ok(()),
        }
    }

    /// Places in the grid of what is in rows, in columns, and in neither.
    fn layout(&self) -> (Option<usize>, Option<usize>, Vec<usize>) {
        let place = |path: &Option<String>| {
            let path = path.as_ref()?;
            self.grid.iter().position(|axis| axis.path == *path)
        };
        let rows = place(&self.table.rows).or((!self.grid.is_empty()).then_some(0));
        let columns = place(&self.table.columns)
            .or_else(|| (0..self.grid.len()).find(|i| Some(*i) != rows))
            .filter(|i| Some(*i) != rows);
        let others: Vec<usize> = (0..self.grid.len())
            .filter(|i| Some(*i) != rows && Some(*i) != columns)
            .collect();
        (rows, columns, others)
    }
}

/// JSON Schema (2020-12) of [`SweepResult`].
pub fn schema() -> String {
    crate::json::pretty(&schemars::schema_for!(SweepResult))
}

/// Pretty-printed, one newline at the end.
pub fn json(result: &SweepResult) -> String {
    crate::json::pretty(result)
}

/// What a cell says: `✓ 5m 3s`, or `✗ 6/8 hold`.
pub(crate) fn cell(point: &Point, shown: &Shown) -> String {
    let expectations = &point.result.expectations;
    let asked = shown
        .cell
        .as_ref()
        .and_then(|id| expectations.iter().find(|e| e.id == *id));
    if let Some(e) = asked {
        let value = match e.value {
            Some(value) if e.value_is_lower_bound => format!("> {}", e.unit.show(value)),
            Some(value) => e.unit.show(value),
            None => "–".into(),
        };
        return format!("{} {value}", sign(e.verdict));
    }
    format!(
        "{} {}/{} hold",
        sign(summed_up(point)),
        held(point),
        expectations.len()
    )
}

/// The verdict that a cell shows.
pub(crate) fn asked(point: &Point, shown: &Shown) -> Verdict {
    let mut all = point.result.expectations.iter();
    let asked = shown.cell.as_ref().and_then(|id| all.find(|e| e.id == *id));
    asked.map_or_else(|| summed_up(point), |e| e.verdict)
}

/// Expectations that hold.
fn held(point: &Point) -> usize {
    let all = point.result.expectations.iter();
    all.filter(|e| e.verdict == Verdict::Pass).count()
}

/// One verdict for all expectations of a point.
fn summed_up(point: &Point) -> Verdict {
    let all = &point.result.expectations;
    let failed =
        |e: &crate::Expectation| e.verdict == Verdict::Fail && e.severity == Severity::Error;
    match (all.iter().any(failed), held(point) == all.len()) {
        (true, _) => Verdict::Fail,
        (_, true) => Verdict::Pass,
        _ => Verdict::Inconclusive,
    }
}

fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::Inconclusive => "?",
        Verdict::Skipped => "-",
    }
}

/// The maps of a sweep: one for each combination of what is neither in rows nor in columns.
pub fn maps(result: &SweepResult) -> SweepMaps {
    let (rows, columns, others) = result.layout();
    let axis = |axis: Option<usize>| SweepAxis {
        path: axis.map_or_else(String::new, |i| result.grid[i].path.clone()),
        values: axis.map_or_else(|| vec![String::new()], |i| result.grid[i].values.clone()),
    };
    let place = |point: &Point, of: Option<usize>| match of {
        Some(i) => result.grid[i]
            .values
            .iter()
            .position(|v| *v == point.values[i]),
        None => Some(0),
    };
    let mut maps: Vec<(Vec<String>, SweepMap)> = Vec::new();
    for point in &result.points {
        let of: Vec<String> = others.iter().map(|i| point.values[*i].clone()).collect();
        let all = &point.result.expectations;
        let asked = result.table.cell.as_ref();
        let asked = asked.and_then(|id| all.iter().find(|e| e.id == *id));
        let (verdict, value, unit, is_lower_bound) = match asked {
            Some(e) => (e.verdict, e.value, e.unit, e.value_is_lower_bound),
            None => (
                summed_up(point),
                Some(held(point) as f64),
                Unit::Count,
                false,
            ),
        };
        let at = match maps.iter().position(|(other, _)| *other == of) {
            Some(at) => at,
            None => {
                let settings = others.iter().zip(&of);
                let settings = settings.map(|(i, v)| format!("{} = {v}", result.grid[*i].path));
                let mut title = asked.map_or_else(
                    || "expectations that hold".to_owned(),
                    |e| format!("{}: {}", e.id, e.measure),
                );
                settings.for_each(|s| title.push_str(&format!(", {s}")));
                maps.push((
                    of,
                    SweepMap {
                        title,
                        unit,
                        rows: axis(rows),
                        columns: axis(columns),
                        cells: Vec::new(),
                    },
                ));
                maps.len() - 1
            }
        };
        if let (Some(row), Some(column)) = (place(point, rows), place(point, columns)) {
            maps[at].1.cells.push(SweepCell {
                row,
                column,
                verdict,
                value,
                is_lower_bound,
                seeds: point.result.seeds.len(),
            });
        }
    }
    SweepMaps {
        schema_version: SCHEMA_VERSION,
        scenario: result.scenario.clone(),
        answer: result.answer.clone(),
        theory: None,
        maps: maps.into_iter().map(|(_, map)| map).collect(),
    }
}

/// Tables as people read them: one for each combination of what is neither in rows nor in columns.
pub fn render(result: &SweepResult) -> String {
    let mut out = format!(
        "{}  {} of {} points\n",
        result.scenario,
        result.points.len(),
        result.points_planned
    );
    let (rows, columns, others) = result.layout();
    let mut seen: Vec<Vec<&str>> = Vec::new();
    for point in &result.points {
        let of: Vec<&str> = others.iter().map(|i| point.values[*i].as_str()).collect();
        if seen.contains(&of) {
            continue;
        }
        out.push('\n');
        for (i, value) in others.iter().zip(&of) {
            out.push_str(&format!("  {} = {value}\n", result.grid[*i].path));
        }
        let chosen: Vec<&Point> = result
            .points
            .iter()
            .filter(|p| others.iter().zip(&of).all(|(i, v)| p.values[*i] == *v))
            .collect();
        seen.push(of);
        table(result, rows, columns, &chosen, &mut out);
    }
    if let Some(answer) = &result.answer {
        out.push_str(&format!("\n{answer}\n"));
    }
    if result.exit_code != exit::OK {
        out.push_str(&format!(
            "\n{}      exit {}\n",
            ended(result),
            result.exit_code
        ));
    }
    out
}

/// Why it does not exit with 0.
pub(crate) fn ended(result: &SweepResult) -> String {
    let word = match result.exit_code {
        exit::INTERRUPTED => "INTERRUPTED",
        exit::CANNOT_WRITE => "NOT WRITTEN",
        exit::UNFINISHED => "UNFINISHED",
        _ => "FAIL",
    };
    if result.exit_code == exit::INTERRUPTED {
        let (here, all) = (result.points.len(), result.points_planned);
        return format!("{word}  {here} of {all} points are there");
    }
    if !result.stopped.is_empty() {
        return format!("{word}  {}", result.stopped);
    }
    let points = result.points.iter();
    let suspect = points.filter(|p| matches!(p.result.exit_code, exit::SUSPECT | exit::INTERNAL));
    let what = "an invariant or an oracle failed, or a seed did not end";
    format!(
        "{word}  {what}, in {} of {} points",
        suspect.count(),
        result.points.len()
    )
}

fn table(
    result: &SweepResult,
    rows: Option<usize>,
    columns: Option<usize>,
    points: &[&Point],
    out: &mut String,
) {
    let one = vec![String::new()];
    let values = |axis: Option<usize>| axis.map_or(&one, |i| &result.grid[i].values);
    let name = |axis: Option<usize>| axis.map_or("", |i| result.grid[i].path.as_str());
    let find = |row: &String, column: &String| {
        points.iter().find(|p| {
            rows.is_none_or(|i| p.values[i] == *row)
                && columns.is_none_or(|i| p.values[i] == *column)
        })
    };
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut head = vec![name(rows).to_owned()];
    head.extend(values(columns).iter().cloned());
    lines.push(head);
    for row in values(rows) {
        let mut line = vec![row.clone()];
        let cells = values(columns)
            .iter()
            .map(|column| match find(row, column) {
                Some(point) => cell(point, &result.table),
                None => "·".into(),
            });
        line.extend(cells);
        lines.push(line);
    }
    if columns.is_some() {
        out.push_str(&format!(
            "  {}, columns: {}\n",
            shown(&result.table),
            name(columns)
        ));
    } else {
        out.push_str(&format!("  {}\n", shown(&result.table)));
    }
    let width = |column: usize| lines.iter().map(|l| l[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| {
            format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width())))
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(&format!("  {}\n", line.trim_end()));
    }
}

fn shown(table: &Shown) -> String {
    match &table.cell {
        Some(id) => format!("cells: {id}"),
        None => "cells: expectations that hold".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn result() -> SweepResult {
        let axis = |path: &str, values: &[&str]| Axis {
            path: path.into(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        let point = |number: usize, values: &[&str], minutes: f64| {
            let mut result = fixture::passing();
            let last = result.expectations.len() - 1;
            let e = &mut result.expectations[last];
            e.value = Some(minutes * 60.0);
            if minutes >= 10.0 {
                e.verdict = Verdict::Fail;
            }
            Point {
                number,
                values: values.iter().map(|v| (*v).to_owned()).collect(),
                result,
            }
        };
        SweepResult {
            schema_version: SweepResult::VERSION,
            scenario: "outage-by-line-rate".into(),
            description: "how long".into(),
            file: "x.toml".into(),
            overrides: vec![],
            grid: vec![
                axis("fault.cut.for", &["5m", "10m"]),
                axis("collector.send.max_rate", &["128kbit/s", "256kbit/s"]),
            ],
            table: Shown {
                rows: Some("fault.cut.for".into()),
                columns: Some("collector.send.max_rate".into()),
                cell: Some("caught-up-in-10-min".into()),
            },
            points_planned: 4,
            points: vec![
                point(0, &["5m", "128kbit/s"], 5.0),
                point(1, &["5m", "256kbit/s"], 1.5),
                point(2, &["10m", "128kbit/s"], 12.0),
            ],
            answer: Some(
                "smallest collector.send.max_rate where caught-up-in-10-min passes: 256kbit/s"
                    .into(),
            ),
            stopped: String::new(),
            exit_code: exit::OK,
        }
    }

    #[test]
    fn a_table_of_rows_and_columns() {
        insta::assert_snapshot!(render(&result()));
    }

    #[test]
    fn other_shapes_are_tables_too() {
        let mut one = result();
        one.grid.truncate(1);
        one.points.iter_mut().for_each(|p| p.values.truncate(1));
        one.points.remove(1);
        one.table = Shown::default();
        let text = render(&one);
        assert!(text.contains("5m             ✓ 4/4 hold"), "{text}");
        let mut three = result();
        three.grid.push(Axis {
            path: "vars.x".into(),
            values: vec!["1".into(), "2".into()],
        });
        let mut more = three.points.clone();
        three
            .points
            .iter_mut()
            .for_each(|p| p.values.push("1".into()));
        more.iter_mut().for_each(|p| p.values.push("2".into()));
        three.points.extend(more);
        let text = render(&three);
        assert_eq!(text.matches("vars.x = ").count(), 2, "{text}");
        let none = SweepResult {
            grid: vec![],
            points: vec![],
            ..result()
        };
        assert!(render(&none).contains("0 of 4 points"));
    }

    #[test]
    fn the_end_says_what_the_process_says() {
        let check = |stopped: &str, exit_code, expect: &str| {
            let result = SweepResult {
                stopped: stopped.into(),
                exit_code,
                ..result()
            };
            let text = render(&result);
            assert!(text.ends_with(expect), "{text}");
        };
        check("", exit::OK, "passes: 256kbit/s\n");
        let full = "write runs/x/points.ndjson: No space left on device";
        check(
            full,
            exit::CANNOT_WRITE,
            "\nNOT WRITTEN  write runs/x/points.ndjson: No space left on device      exit 73\n",
        );
        check(
            "interrupted",
            exit::INTERRUPTED,
            "\nINTERRUPTED  3 of 4 points are there      exit 130\n",
        );
        check(
            "the budget is spent",
            exit::UNFINISHED,
            "\nUNFINISHED  the budget is spent      exit 75\n",
        );
        check(
            "",
            exit::SUSPECT,
            "\nFAIL  an invariant or an oracle failed, or a seed did not end, in 0 of 3 points      exit 3\n",
        );
    }

    #[test]
    fn maps_have_a_cell_for_each_point() {
        let maps = maps(&result());
        assert_eq!(maps.maps.len(), 1);
        let map = &maps.maps[0];
        assert_eq!(map.cells.len(), 3);
        assert_eq!(map.cell(1, 0).map(|c| c.verdict), Some(Verdict::Fail));
        assert_eq!(map.cell(0, 1).and_then(|c| c.value), Some(90.0));
        assert!(map.is_frontier(0, 0));
        let mut counted = result();
        counted.table = Shown::default();
        counted.grid.truncate(1);
        counted.points.iter_mut().for_each(|p| p.values.truncate(1));
        assert_eq!(super::maps(&counted).maps[0].unit, Unit::Count);
    }

    #[test]
    fn json_follows_its_schema() {
        let schema: serde_json::Value = serde_json::from_str(&schema()).expect("JSON");
        let value = serde_json::from_str(&json(&result())).expect("JSON");
        jsonschema::validate(&schema, &value).expect("it follows its schema");
    }
}
