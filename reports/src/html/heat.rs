//! A sweep as a heat map: a table, so that it is read without colours; the verdict is a sign and a colour, the frontier has a frame.

use std::fmt::Write as _;

use super::{BYTES_MAX, esc};
use crate::{SweepMap, SweepMaps, Verdict, sweep::SIDE_MAX};

pub(super) fn maps(out: &mut String, sweep: &SweepMaps) {
    if let Some(answer) = &sweep.answer {
        let _ = writeln!(
            out,
            "<p class=\"verdict answer\"><strong>{}</strong></p>",
            esc(answer)
        );
    }
    if let Some(theory) = &sweep.theory {
        let _ = writeln!(out, "<p>{}</p>", esc(theory));
    }
    let mut left_out = 0;
    for map in &sweep.maps {
        let mut part = String::new();
        one(&mut part, map);
        // Two fifths of the page: the points have half of it.
        match out.len() + part.len() > BYTES_MAX / 5 * 2 {
            true => left_out += 1,
            false => out.push_str(&part),
        }
    }
    if left_out > 0 {
        let _ = writeln!(
            out,
            "<p class=\"missing\">{left_out} more maps would make this page too large for an e-mail; sweep.json has them.</p>"
        );
    }
    if sweep.maps.is_empty() {
        out.push_str("<p class=\"missing\">No point of the sweep was run to its end.</p>\n");
    }
}

fn one(out: &mut String, map: &SweepMap) {
    let (rows, columns) = (&map.rows.values, &map.columns.values);
    let _ = write!(
        out,
        "<figure><figcaption><strong>{}</strong></figcaption><div class=\"scroll\"><table class=\"heat\"><thead><tr><th>{}</th>",
        esc(&map.title),
        match map.columns.path.is_empty() {
            true => esc(&map.rows.path),
            false => format!(
                "{} ↓ &nbsp; {} →",
                esc(&map.rows.path),
                esc(&map.columns.path)
            ),
        }
    );
    for value in columns.iter().take(SIDE_MAX) {
        let _ = write!(out, "<th>{}</th>", esc(value));
    }
    out.push_str("</tr></thead><tbody>\n");
    for (row, name) in rows.iter().enumerate().take(SIDE_MAX) {
        let _ = write!(out, "<tr><th>{}</th>", esc(name));
        for column in 0..columns.len().min(SIDE_MAX) {
            let Some(cell) = map.cell(row, column) else {
                out.push_str("<td class=\"faint\">not run</td>");
                continue;
            };
            let (class, sign) = match cell.verdict {
                Verdict::Pass => ("pass", "✓"),
                Verdict::Fail => ("fail", "✗"),
                Verdict::Inconclusive => ("open", "?"),
                Verdict::Skipped => ("faint", "–"),
            };
            let edge = if map.is_frontier(row, column) {
                " edge"
            } else {
                ""
            };
            let than = if cell.is_lower_bound { " > " } else { " " };
            let value = cell.value.map(|v| format!("{than}{}", map.unit.show(v)));
            let _ = write!(
                out,
                "<td class=\"{class}{edge}\" title=\"{} seeds\">{sign}{}</td>",
                cell.seeds,
                esc(&value.unwrap_or_default())
            );
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>");
    let beyond = rows.len().saturating_sub(SIDE_MAX) + columns.len().saturating_sub(SIDE_MAX);
    if beyond > 0 {
        let _ = write!(
            out,
            "<p class=\"faint\">{beyond} more rows or columns are not shown.</p>"
        );
    }
    out.push_str(
        "<p class=\"faint\">✓ passes, ✗ fails, ? is inconclusive; &gt; where the run ended before the value did. Framed: the feasible frontier, where a point that passes has a neighbour that does not.</p></figure>\n",
    );
}
