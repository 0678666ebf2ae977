//! The page of a sweep: its answer, its maps, and a row for each point. Made of the result alone, so equal sweeps give equal bytes.
//!
//! A point that fails is an answer and no fault of the sweep: the colour of the verdict on top says whether all points are there and can
//! be believed. What is drawn of a map is `heat`'s; plots over time belong to runs (`super::render`).

use std::fmt::Write as _;

use super::{BYTES_MAX, esc, head, heat, section, tables};
use crate::{
    RunResult, Verdict, exit,
    grid::{self, Point, SweepResult},
    terminal,
};

/// 20: whoever wants a further point sees how it is done.
const COMMANDS_MAX: usize = 20;

/// The whole page, below [`BYTES_MAX`] and a little: what does not fit is counted.
///
/// # Panics
/// If a point has fewer values than the grid has settings: [`SweepResult::check`] tells so of what was read from a file.
pub fn render(result: &SweepResult) -> String {
    let title = format!("sweep: {}", result.scenario);
    let mut page = head(&title);
    verdict(&mut page, result);
    let maps = grid::maps(result);
    section(&mut page, "sweep", "The answer", |out| {
        heat::maps(out, &maps);
    });
    section(&mut page, "points", "Every point", |out| {
        points(out, result);
    });
    section(
        &mut page,
        "limits",
        "What this sweep does not tell you",
        |out| {
            limits(out, result);
        },
    );
    section(&mut page, "again", "Run it again", |out| again(out, result));
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn verdict(page: &mut String, result: &SweepResult) {
    let of = |verdict: Verdict| {
        let points = result.points.iter();
        points
            .filter(|p| grid::asked(p, &result.table) == verdict)
            .count()
    };
    let (class, word) = match result.exit_code {
        exit::OK if result.points.len() < result.points_planned => ("unsure", "PART".to_owned()),
        exit::OK => ("good", "COMPLETE".to_owned()),
        exit::UNFINISHED | exit::INTERRUPTED => ("unsure", grid::ended(result)),
        _ => ("bad", grid::ended(result)),
    };
    let _ = writeln!(
        page,
        "<header><h1>{}</h1>\n<p class=\"verdict {class}\"><strong>{}</strong> {} of {} points were run: {} pass, {} fail, {} inconclusive.</p>",
        esc(&result.scenario),
        esc(&word),
        result.points.len(),
        result.points_planned,
        of(Verdict::Pass),
        of(Verdict::Fail),
        of(Verdict::Inconclusive) + of(Verdict::Skipped),
    );
    if !result.description.is_empty() {
        let _ = writeln!(page, "<p class=\"lead\">{}</p>", esc(&result.description));
    }
    let _ = writeln!(
        page,
        "<p class=\"faint\">exit code {}</p></header>",
        result.exit_code
    );
}

fn points(out: &mut String, result: &SweepResult) {
    out.push_str("<div class=\"scroll\"><table><thead><tr><th>#</th>");
    for axis in &result.grid {
        let _ = write!(out, "<th>{}</th>", esc(&axis.path));
    }
    let _ = writeln!(
        out,
        "<th>{}</th><th>seeds</th><th>worst seed</th><th>does not hold</th></tr></thead><tbody>",
        esc(result.table.cell.as_deref().unwrap_or("expectations"))
    );
    let mut left_out = 0;
    for point in &result.points {
        // Half of the page: the maps have the other one.
        if out.len() > BYTES_MAX / 2 {
            left_out += 1;
            continue;
        }
        let _ = write!(out, "<tr><th>{}</th>", point.number);
        for value in &point.values {
            let _ = write!(out, "<td>{}</td>", esc(value));
        }
        let _ = writeln!(
            out,
            "<td>{}</td><td>{}</td><td>{}</td><td class=\"text\">{}</td></tr>",
            esc(&grid::cell(point, &result.table)),
            point.result.seeds.len(),
            worst(point, result).map_or("–".into(), |seed| format!("#{seed}")),
            esc(&not_held(&point.result)),
        );
    }
    out.push_str("</tbody></table></div>\n");
    if left_out > 0 {
        let _ = writeln!(
            out,
            "<p class=\"faint\">{left_out} more points would make this page too large for an e-mail; points.json has them.</p>"
        );
    }
}

/// The worst seed of what the table shows, or else of the first expectation that does not hold.
fn worst(point: &Point, result: &SweepResult) -> Option<u64> {
    let all = &point.result.expectations;
    let shown = all
        .iter()
        .find(|e| Some(&e.id) == result.table.cell.as_ref());
    let failed = all.iter().find(|e| e.verdict != Verdict::Pass);
    shown.or(failed)?.worst.as_ref().map(|w| w.seed)
}

/// What a point does not hold: at most 4 names.
fn not_held(result: &RunResult) -> String {
    let all = result.expectations.iter();
    let failed = all.filter(|e| matches!(e.verdict, Verdict::Fail | Verdict::Inconclusive));
    let mut names: Vec<String> = failed.map(|e| e.id.clone()).collect();
    let broken = result
        .invariants
        .iter()
        .filter(|i| i.verdict == Verdict::Fail);
    names.extend(broken.map(|i| i.id.clone()));
    let broken = result.oracles.iter().filter(|o| o.verdict == Verdict::Fail);
    names.extend(broken.map(|o| o.id.clone()));
    let more = names.len().saturating_sub(4);
    names.truncate(4);
    match more {
        0 => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    }
}

fn limits(out: &mut String, result: &SweepResult) {
    out.push_str(
        "<ul><li>Between two neighbouring values nothing was run: the edge lies somewhere between a point that passes and its \
         neighbour that does not.</li>",
    );
    let missing = result.points_planned.saturating_sub(result.points.len());
    if missing > 0 {
        let _ = writeln!(
            out,
            "<li>{} not run: the answer is that of the others.</li>",
            match missing {
                1 => "1 point was".to_owned(),
                n => format!("{n} points were"),
            }
        );
    }
    // The point with the fewest seeds is the least certain one.
    let least = result.points.iter().min_by_key(|p| p.result.seeds.len());
    for line in least
        .map(|p| tables::limits_of(&p.result))
        .unwrap_or_default()
    {
        let _ = writeln!(out, "<li>{}</li>", esc(&line));
    }
    out.push_str("</ul>\n");
}

fn again(out: &mut String, result: &SweepResult) {
    out.push_str("<pre>");
    let mut sweep = format!("backroom sweep {}", terminal::shell_word(&result.file));
    for set in &result.overrides {
        let _ = write!(sweep, " --set {}", terminal::shell_word(set));
    }
    let _ = writeln!(out, "{}", esc(&sweep));
    let failed = result
        .points
        .iter()
        .filter(|p| grid::asked(p, &result.table) != Verdict::Pass);
    for point in failed.take(COMMANDS_MAX) {
        let seed = worst(point, result).or(point.result.seeds.first().copied());
        if let Some(seed) = seed {
            let _ = writeln!(out, "{}", esc(&terminal::reproduce(&point.result, seed)));
        }
    }
    out.push_str("</pre>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{Axis, Shown};

    fn sweep(name: &str, rows: usize, columns: usize) -> SweepResult {
        let axis = |path: &str, n: usize| Axis {
            path: path.into(),
            values: (0..n).map(|v| format!("{v}{name}")).collect(),
        };
        let grid = vec![axis("fault.cut.for", rows), axis("vars.x", columns)];
        let points = (0..rows * columns).map(|number| {
            let mut result = crate::html::tests::result(name);
            result.overrides = vec![format!("vars.x={number}")];
            result.expectations[0].value_is_lower_bound = number == 0;
            if number % 2 == 1 {
                result.expectations[0].verdict = Verdict::Pass;
            }
            let values = [number / columns, number % columns];
            Point {
                number,
                values: values.map(|v| format!("{v}{name}")).to_vec(),
                result,
            }
        });
        SweepResult {
            schema_version: SweepResult::VERSION,
            scenario: name.into(),
            description: "how long".into(),
            file: "x.toml".into(),
            overrides: vec!["vars.y=it's".into()],
            points: points.collect(),
            points_planned: rows * columns,
            grid,
            table: Shown {
                cell: Some(name.into()),
                ..Shown::default()
            },
            answer: Some(format!("smallest vars.x where {name} passes:\n  5m: 1")),
            stopped: String::new(),
            exit_code: exit::OK,
        }
    }

    #[test]
    fn a_sweep_has_a_page_with_its_answer_map_and_points() {
        let mut all = sweep("<i>", 2, 2);
        let page = render(&all);
        for expect in [
            "<strong>COMPLETE</strong> 4 of 4 points were run: 2 pass, 2 fail, 0 inconclusive.",
            "smallest vars.x where &lt;i&gt; passes:\n  5m: 1",
            "<td class=\"fail\" title=\"2 seeds\">✗ &gt; 10m 12s</td><td class=\"pass edge\"",
            "<td>✗ &gt; 10m 12s</td><td>2</td><td>#7</td><td class=\"text\">&lt;i&gt;</td>",
            "backroom sweep x.toml --set &#39;vars.y=it&#39;\\&#39;&#39;s&#39;\n",
            "--seed 7 --set vars.x=2\n",
            "the edge lies somewhere between",
        ] {
            assert!(page.contains(expect), "{expect}\n{page}");
        }
        assert!(!page.contains("<i>"), "{page}");

        all.points.pop();
        assert!(render(&all).contains("class=\"verdict unsure\"><strong>PART</strong> 3 of 4"));
        assert!(render(&all).contains("<li>1 point was not run"));
        all.exit_code = exit::UNFINISHED;
        all.stopped = "the <budget> is spent".into();
        let page = render(&all);
        assert!(
            page.contains("UNFINISHED  the &lt;budget&gt; is spent"),
            "{page}"
        );
        all.points.clear();
        assert!(render(&all).contains("No point of the sweep was run"));
    }

    #[test]
    fn a_page_of_many_points_fits_an_email() {
        let page = render(&sweep(&"a-name-that-goes-on-".repeat(10), 40, 50));
        assert!(page.len() < 2_000_000, "{} bytes", page.len());
        assert!(page.contains("more points would make this page too large"));
    }

    #[test]
    fn points_that_do_not_fit_their_grid_are_told() {
        let mut odd = sweep("x", 2, 2);
        assert_eq!(odd.check(), Ok(()));
        odd.points[3].values.pop();
        let why = odd.check().expect_err("a value is missing");
        assert_eq!(
            why,
            "point 3 has 1 values, and the grid 2 settings; run the sweep again"
        );
    }
}
