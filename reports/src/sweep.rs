//! What a sweep found out, as a map: two varied settings, and a verdict and a value for each pair.
//!
//! For the report; whoever runs sweeps fills it. A grid of more than two settings is a map for each combination of the others. Cells may
//! be missing: a sweep that is not finished has holes, and says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Unit, Verdict};

/// 64 by 64: larger ones nobody reads; what is beyond is left out, and the page says so.
pub const SIDE_MAX: usize = 64;

/// The maps of a sweep; `sweep.json` in its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepMaps {
    /// Version of this type: the result's.
    pub schema_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// The sentence that answers the question of the file, such as `smallest collector.buffer.disk where one-in-ten-thousand passes: 256MiB`.
    pub answer: Option<String>,
    /// What a closed form says of the same, in words.
    pub theory: Option<String>,
    /// The maps.
    pub maps: Vec<SweepMap>,
}

/// One map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepMap {
    /// What its cells show, such as an expectation's id and measure, and the settings that it is for.
    pub title: String,
    /// Unit of the values.
    pub unit: Unit,
    /// The setting that varies from row to row.
    pub rows: SweepAxis,
    /// The setting that varies from column to column.
    pub columns: SweepAxis,
    /// The cells, in any order.
    pub cells: Vec<SweepCell>,
}

/// A setting that is varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepAxis {
    /// Its dotted path.
    pub path: String,
    /// Its values, as they are written, in order.
    pub values: Vec<String>,
}

/// One point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepCell {
    /// Index into the values of `rows`.
    pub row: usize,
    /// Index into the values of `columns`.
    pub column: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// The value; `None` if there is none.
    pub value: Option<f64>,
    /// Whether the run ended before the value did, such as a recovery that was not seen: it is more than that.
    #[serde(default)]
    pub is_lower_bound: bool,
    /// Seeds that were run.
    pub seeds: usize,
}

impl SweepMap {
    /// The cell of a pair.
    pub fn cell(&self, row: usize, column: usize) -> Option<&SweepCell> {
        let mut cells = self.cells.iter();
        cells.find(|c| (c.row, c.column) == (row, column))
    }

    /// Whether a cell is on the feasible frontier: it passes, and a neighbour that was run does not.
    pub fn is_frontier(&self, row: usize, column: usize) -> bool {
        let passes = |c: &SweepCell| c.verdict == Verdict::Pass;
        let neighbours = [
            (row.checked_sub(1), Some(column)),
            (row.checked_add(1), Some(column)),
            (Some(row), column.checked_sub(1)),
            (Some(row), column.checked_add(1)),
        ];
        self.cell(row, column).is_some_and(passes)
            && neighbours
                .into_iter()
                .filter_map(|(row, column)| self.cell(row?, column?))
                .any(|c| !passes(c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frontier_is_where_a_pass_meets_something_else() {
        let verdicts = [
            [Verdict::Fail, Verdict::Pass, Verdict::Pass],
            [Verdict::Fail, Verdict::Inconclusive, Verdict::Pass],
        ];
        let axis = |n: usize| SweepAxis {
            path: "x".into(),
            values: (0..n).map(|v| v.to_string()).collect(),
        };
        let mut cells = Vec::new();
        for (row, all) in verdicts.iter().enumerate() {
            for (column, verdict) in all.iter().enumerate() {
                cells.push(SweepCell {
                    row,
                    column,
                    verdict: *verdict,
                    value: None,
                    is_lower_bound: false,
                    seeds: 1,
                });
            }
        }
        let map = SweepMap {
            title: "x".into(),
            unit: Unit::Count,
            rows: axis(2),
            columns: axis(3),
            cells,
        };
        let found: Vec<bool> = (0..2)
            .flat_map(|r| (0..3).map(move |c| (r, c)))
            .map(|(r, c)| map.is_frontier(r, c))
            .collect();
        assert_eq!(found, [false, true, false, false, false, true]);
        assert!(!map.is_frontier(7, usize::MAX));
    }
}
