//! Rounds of all peers as a table: medians, and ratios to the first row.

use serde::Serialize;

use super::round::Round;

/// All rounds of one peer.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub peer: String,
    /// What its buffer is.
    pub buffer: String,
    /// Its rounds, as they were run.
    pub rounds: Vec<Round>,
    /// Why rounds are missing.
    pub failures: Vec<String>,
}

type Figure = fn(&Round) -> Option<f64>;

/// How a figure is written.
type Write = fn(f64) -> String;

/// A column: its title, its figure, how it is written, and whether a ratio says something.
type Column = (&'static str, Figure, Write, bool);

const COLUMNS: &[Column] = &[
    ("items/s", |r| r.items_per_second, whole, true),
    (
        "CPU-s per million",
        |r| r.cpu_seconds_per_million,
        tenths,
        true,
    ),
    ("peak MiB", |r| r.peak_bytes, mebibytes, true),
    ("peak MiB, outage", |r| r.outage_peak_bytes, mebibytes, true),
    ("disk B/item", |r| r.disk_bytes_per_item, whole, true),
    ("wire B/item", |r| r.wire_bytes_per_item, whole, true),
    ("lost after `kill -9`", |r| r.lost_share, percent, false),
    ("duplicates", |r| r.duplicate_share, percent, false),
    ("drain items/s", |r| r.drain_items_per_second, whole, true),
];

fn whole(value: f64) -> String {
    backroom_reports::human::count(value.round())
}

fn tenths(value: f64) -> String {
    format!("{value:.1}")
}

fn mebibytes(value: f64) -> String {
    format!("{:.0}", value / f64::from(1 << 20))
}

fn percent(value: f64) -> String {
    backroom_reports::human::fraction(value)
}

/// The median of what is there.
fn median(rounds: &[Round], of: Figure) -> Option<f64> {
    let mut values: Vec<f64> = rounds
        .iter()
        .filter_map(of)
        .filter(|v| v.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[n / 2]),
        n => Some((values[n / 2 - 1] + values[n / 2]) / 2.0),
    }
}

/// As Markdown: a row for each peer, each figure with its ratio to the first row's.
pub fn markdown(rows: &[Row]) -> String {
    let mut out = String::from("| peer | buffer | rounds |");
    for (title, ..) in COLUMNS {
        out.push_str(&format!(" {title} |"));
    }
    out.push_str(&format!(
        "\n|---|---|---|{}\n",
        "---|".repeat(COLUMNS.len())
    ));
    for (index, row) in rows.iter().enumerate() {
        let (peer, buffer) = (&row.peer, &row.buffer);
        out.push_str(&format!("| {peer} | {buffer} | {} |", row.rounds.len()));
        for (_, of, write, has_ratio) in COLUMNS {
            let value = median(&row.rounds, *of);
            let first = median(&rows[0].rounds, *of).filter(|_| *has_ratio && index > 0);
            let ratio = value
                .zip(first)
                .filter(|(_, first)| *first > 0.0)
                .map_or(String::new(), |(value, first)| {
                    format!(" ({:.2})", value / first)
                });
            let value = value.map_or("-".to_owned(), write);
            out.push_str(&format!(" {value}{ratio} |"));
        }
        out.push('\n');
    }
    for row in rows {
        for failure in &row.failures {
            let failure = failure.replace('\n', " ");
            out.push_str(&format!("\n{}: a round is missing: {failure}\n", row.peer));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: &str, rates: &[f64], lost: f64) -> Row {
        let rounds = rates.iter().map(|rate| Round {
            items_per_second: Some(*rate),
            peak_bytes: Some(f64::from(30 << 20)),
            lost_share: Some(lost),
            ..Round::default()
        });
        Row {
            peer: peer.into(),
            buffer: "disk".into(),
            rounds: rounds.collect(),
            failures: Vec::new(),
        }
    }

    /// Guarantees: medians, ratios to the first row, a dash for what was not measured, and failures are told.
    #[test]
    fn medians_and_ratios() {
        let mut slow = row("b", &[100.0, 50.0], 0.5);
        slow.failures.push("it\nended".into());
        let text = markdown(&[row("a", &[300.0, 100.0, 200.0], 0.0), slow]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2],
            "| a | disk | 3 | 200 | - | 30 | - | - | - | 0% | - | - |"
        );
        assert_eq!(
            lines[3],
            "| b | disk | 2 | 75 (0.38) | - | 30 (1.00) | - | - | - | 50% | - | - |"
        );
        assert_eq!(lines[5], "b: a round is missing: it ended");
        assert_eq!(markdown(&[]).lines().count(), 2);
    }
}
