//! The result of a sweep: what its table shows, and the answer to the question that `[report]` asks.

use backroom_reports::{
    self as reports,
    grid::{self, Axis, Point, SweepResult},
};

use super::Args;
use crate::scenario::{
    self, Loaded, Scenario,
    sweep::{self, Sweep},
};

/// The expectation that measures something: a cell and `stop_when` show what an expectation asks.
pub(super) fn measured_by(scenario: &Scenario, measure: &str) -> Option<usize> {
    let plain = |text: &str| {
        text.chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>()
    };
    let asked = plain(measure);
    let measure_of = |e: &scenario::Expect| plain(&crate::metric::judge::split(&e.text).0);
    scenario.expects.iter().position(|e| measure_of(e) == asked)
}

pub(super) fn result(
    args: &Args,
    loaded: &Loaded,
    spec: &Sweep,
    points_planned: usize,
    points: Vec<Point>,
) -> SweepResult {
    let scenario = &loaded.scenario;
    let cell = spec.table.cell.as_ref().and_then(|cell| {
        let found = measured_by(scenario, cell);
        if found.is_none() {
            eprintln!(
                "note: no expectation measures `{cell}`: cells show how many expectations hold"
            );
        }
        found.map(|at| scenario.expects[at].id.clone())
    });
    let grid = spec.grid.iter().map(|axis| Axis {
        path: axis.path.clone(),
        values: axis
            .values
            .iter()
            .map(|v| sweep::plain(v).to_owned())
            .collect(),
    });
    SweepResult {
        schema_version: SweepResult::VERSION,
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        file: args.file.display().to_string(),
        overrides: args.sets.clone(),
        answer: spec
            .table
            .answer
            .as_ref()
            .map(|asked| answer(spec, asked, &points, points_planned)),
        grid: grid.collect(),
        table: grid::Shown {
            rows: spec.table.rows.clone(),
            columns: spec.table.columns.clone(),
            cell,
        },
        points_planned,
        points,
        // Whoever keeps it says how it ended.
        stopped: String::new(),
        exit_code: reports::exit::OK,
    }
}

/// `smallest PATH where EXPECT passes`, for each combination of the other settings.
fn answer(
    spec: &Sweep,
    (path, expect): &(String, String),
    points: &[Point],
    planned: usize,
) -> String {
    let question = format!("smallest {path} where {expect} passes");
    if points.len() < planned {
        return format!("{question}: not known before all points are there");
    }
    let Some(at) = spec.grid.iter().position(|axis| axis.path == *path) else {
        return format!("{question}: the sweep does not vary {path}");
    };
    let others = |p: &Point| -> Vec<String> {
        let rest = p.values.iter().enumerate().filter(|(i, _)| *i != at);
        rest.map(|(_, v)| v.clone()).collect()
    };
    let place = |p: &Point| {
        spec.grid[at]
            .values
            .iter()
            .position(|v| sweep::plain(v) == p.values[at])
    };
    let size = |p: &Point| sweep::number(&p.values[at]).unwrap_or(place(p).unwrap_or(0) as f64);
    let passes = |p: &&Point| {
        let mut all = p.result.expectations.iter();
        all.any(|e| e.id == *expect && e.verdict == reports::Verdict::Pass)
    };
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut lines = Vec::new();
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by_key(|p| {
        p.values
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let values = &spec.grid[i].values;
                values.iter().position(|w| sweep::plain(w) == v)
            })
            .collect::<Vec<_>>()
    });
    for point in &sorted {
        let group = others(point);
        if groups.contains(&group) {
            continue;
        }
        let of_group = sorted.iter().copied().filter(|p| others(p) == group);
        let best = of_group
            .filter(passes)
            .min_by(|a, b| size(a).total_cmp(&size(b)));
        let best = best.map_or("none of them", |p| p.values[at].as_str());
        match group.is_empty() {
            true => lines.push(format!(" {best}")),
            false => lines.push(format!("\n  {}: {best}", group.join(", "))),
        }
        groups.push(group);
    }
    format!("{question}:{}", lines.concat())
}
