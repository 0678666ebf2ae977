//! The sweep of a scenario: every combination of its grid as overrides of the file.
//!
//! A point is what `--set` would say, so a point runs as its file with these overrides does. `resolve` has checked the paths; every point is
//! read as a scenario of its own before any is run. Decides the order of points, not who runs them (`cli::sweep`).

use backroom_collector::config::{
    Sources, quantity,
    tree::{Node, Table, Value},
};

use super::lock;

/// 10,000 points: more is a typing error, or weeks.
pub const POINTS_MAX: usize = 10_000;

/// What is varied, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// What is varied, in file order.
    pub grid: Vec<Axis>,
    /// Combinations to leave out: each by some of its settings.
    pub skip: Vec<Vec<Setting>>,
    /// Seeds of each point, 1 to this; `None` takes those of the scenario.
    pub seeds_per_point: Option<u64>,
    /// Whether corners come first.
    pub coarse_to_fine: bool,
    /// When a point has had enough seeds: half width of the confidence interval over the mean, and what is measured.
    pub stop_when: Option<(f64, String)>,
    /// What the table at the end shows.
    pub table: Shown,
}

/// `[report]`, as far as it is about sweeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The setting in rows.
    pub rows: Option<String>,
    /// The setting in columns.
    pub columns: Option<String>,
    /// What a cell shows.
    pub cell: Option<String>,
    /// The setting to make small, and the expectation that has to pass.
    pub answer: Option<(String, String)>,
}

/// One setting and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Dotted path.
    pub path: String,
    /// As TOML, in file order.
    pub values: Vec<String>,
}

/// One setting of a point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// Dotted path.
    pub path: String,
    /// As TOML.
    pub value: String,
}

impl Setting {
    /// As `--set` takes it.
    pub fn set(&self) -> String {
        format!("{}={}", self.path, self.value)
    }

    /// For people: without quotes.
    pub fn plain(&self) -> &str {
        plain(&self.value)
    }
}

/// A value without its quotes.
pub fn plain(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    inner.unwrap_or(value)
}

impl Sweep {
    /// All points in the order in which they are run; those that are skipped are not among them.
    ///
    /// # Errors
    /// If there are too many.
    pub fn points(&self) -> Result<Vec<Vec<Setting>>, String> {
        let count = self
            .grid
            .iter()
            .try_fold(1_usize, |n, axis| n.checked_mul(axis.values.len()));
        let count = count.filter(|n| *n <= POINTS_MAX);
        let count = count.ok_or_else(|| format!("the sweep has more than {POINTS_MAX} points"))?;
        let mut points: Vec<(u32, Vec<Setting>)> = Vec::with_capacity(count);
        for number in 0..count {
            let (mut rest, mut coarseness) = (number, 0);
            let mut settings = Vec::with_capacity(self.grid.len());
            // The last setting varies fastest, as one reads it.
            for axis in self.grid.iter().rev() {
                let at = rest % axis.values.len();
                rest /= axis.values.len();
                coarseness = coarseness.max(depth(at, axis.values.len()));
                settings.push(Setting {
                    path: axis.path.clone(),
                    value: axis.values[at].clone(),
                });
            }
            settings.reverse();
            if !self.is_skipped(&settings) {
                points.push((coarseness, settings));
            }
        }
        if self.coarse_to_fine {
            // Stable: within a level as written.
            points.sort_by_key(|(coarseness, _)| *coarseness);
        }
        Ok(points.into_iter().map(|(_, settings)| settings).collect())
    }

    fn is_skipped(&self, point: &[Setting]) -> bool {
        let matches =
            |skip: &Vec<Setting>| !skip.is_empty() && skip.iter().all(|s| point.contains(s));
        self.skip.iter().any(matches)
    }

    /// Seeds of each point.
    pub fn seeds(&self, of_scenario: &[u64]) -> Vec<u64> {
        match self.seeds_per_point {
            Some(count) => (1..=count).collect(),
            None => of_scenario.to_vec(),
        }
    }
}

/// How fine a grid must be before it has this place: 0 for the ends, 1 for the middle, and so on by halves.
fn depth(at: usize, count: usize) -> u32 {
    let last = count.saturating_sub(1);
    if at == 0 || at == last {
        return 0;
    }
    let (mut low, mut high, mut depth) = (0_usize, last, 1_u32);
    loop {
        let middle = low.midpoint(high);
        match at.cmp(&middle) {
            std::cmp::Ordering::Equal => return depth,
            std::cmp::Ordering::Less => high = middle,
            std::cmp::Ordering::Greater => low = middle,
        }
        depth += 1;
    }
}

/// A value as a number, so that the smallest of several can be told: sizes, rates, times, shares, plain numbers.
pub fn number(value: &str) -> Option<f64> {
    let text = plain(value);
    let bare = || text.parse::<f64>().ok();
    let size = || quantity::byte_size(text).ok().map(|size| size.0 as f64);
    let rate = || quantity::bit_rate(text).ok().map(|rate| rate.0 as f64);
    let time = || quantity::duration(text).ok().map(|time| time.as_secs_f64());
    let share = || quantity::proportion(text).ok();
    bare()
        .or_else(size)
        .or_else(rate)
        .or_else(time)
        .or_else(share)
}

/// The sweep of a merged file; `None` if it has none.
pub(super) fn read(tree: &Table, sources: &Sources) -> Option<Sweep> {
    let sweep = tree.get("sweep")?.as_table()?;
    let mut grid = Vec::new();
    if let Some(node) = sweep.get("grid") {
        for (path, node) in settings("", node) {
            if let Value::Array(values) = &node.value {
                let values = values.iter().map(|v| lock::value_text(&path, v, sources));
                grid.push(Axis {
                    values: values.collect(),
                    path,
                });
            }
        }
    }
    let skip = sweep.tables("skip").map(|node| {
        let settings = settings("", node).into_iter();
        let settings = settings.map(|(path, node)| Setting {
            value: lock::value_text(&path, node, sources),
            path,
        });
        settings.collect()
    });
    let report = tree.get("report").and_then(Node::as_table);
    let text = |name: &str| Some(report?.text(name)?.to_owned());
    let answer = text("answer").and_then(|text| {
        // `smallest PATH where EXPECTATION passes`: checked when it was read.
        let rest = text.trim().strip_prefix("smallest")?;
        let (path, expect) = rest.split_once(" where ")?;
        let expect = expect.trim().strip_suffix("passes")?;
        Some((path.trim().to_owned(), expect.trim().to_owned()))
    });
    Some(Sweep {
        grid,
        skip: skip.collect(),
        seeds_per_point: match sweep.get("seeds_per_point").map(|n| &n.value) {
            Some(Value::Integer(count)) => u64::try_from(*count).ok(),
            _ => None,
        },
        coarse_to_fine: sweep.text("order") == Some("coarse-to-fine"),
        stop_when: sweep
            .get("stop_when")
            .and_then(Node::as_table)
            .and_then(|stop| {
                let half_width = quantity::proportion(stop.text("half_width")?).ok()?;
                Some((half_width, stop.text("of")?.to_owned()))
            }),
        table: Shown {
            rows: text("rows"),
            columns: text("columns"),
            cell: text("cell"),
            answer,
        },
    })
}

/// The settings of a table, by dotted path; tables within are part of the path.
fn settings<'n>(above: &str, node: &'n Node) -> Vec<(String, &'n Node)> {
    let mut list = Vec::new();
    for (name, entry) in node.as_table().into_iter().flat_map(|t| &t.entries) {
        let path = match above {
            "" => name.clone(),
            above => format!("{above}.{name}"),
        };
        match entry.node.value {
            Value::Table(_) => list.extend(settings(&path, &entry.node)),
            _ => list.push((path, &entry.node)),
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(counts: &[usize], coarse_to_fine: bool) -> Sweep {
        let axis = |(i, count): (usize, &usize)| Axis {
            path: format!("vars.v{i}"),
            values: (0..*count).map(|v| format!("\"{v}s\"")).collect(),
        };
        Sweep {
            grid: counts.iter().enumerate().map(axis).collect(),
            skip: vec![],
            seeds_per_point: None,
            coarse_to_fine,
            stop_when: None,
            table: Shown::default(),
        }
    }

    fn check(sweep: &Sweep, expect: &[&str]) {
        let points: Vec<String> = sweep
            .points()
            .expect("few")
            .iter()
            .map(|p| p.iter().map(Setting::plain).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(points, expect);
    }

    #[test]
    fn points_are_all_combinations_in_order() {
        check(
            &sweep(&[2, 2], false),
            &["0s 0s", "0s 1s", "1s 0s", "1s 1s"],
        );
        check(&sweep(&[5], true), &["0s", "4s", "2s", "1s", "3s"]);
        check(&sweep(&[], false), &[""]);
        let mut skipping = sweep(&[2, 2], false);
        let setting = |path: &str, value: &str| Setting {
            path: path.into(),
            value: value.into(),
        };
        skipping.skip = vec![vec![
            setting("vars.v0", "\"1s\""),
            setting("vars.v1", "\"0s\""),
        ]];
        check(&skipping, &["0s 0s", "0s 1s", "1s 1s"]);
        skipping.skip = vec![vec![setting("vars.v1", "\"0s\"")], vec![]];
        check(&skipping, &["0s 1s", "1s 1s"]);
        assert!(sweep(&[101, 100], false).points().is_err());
    }

    #[test]
    fn values_are_compared_by_what_they_stand_for() {
        let check = |value: &str, expect: Option<f64>| assert_eq!(number(value), expect, "{value}");
        check("\"128kbit/s\"", Some(128_000.0));
        check("\"64MiB\"", Some(64.0 * 1024.0 * 1024.0));
        check("\"2m\"", Some(120.0));
        check("3", Some(3.0));
        check("\"none\"", None);
    }
}
