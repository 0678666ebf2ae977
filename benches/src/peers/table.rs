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

/// A column: its title, how its figure is written, and whether a ratio to the first row says something.
pub type Column = (&'static str, fn(f64) -> String, bool);

const COLUMNS: [(Column, Figure); 9] = [
    (("items/s", whole, true), |r| r.items_per_second),
    (("CPU-s per million", tenths, true), |r| {
        r.cpu_seconds_per_million
    }),
    (("peak MiB", mebibytes, true), |r| r.peak_bytes),
    (("peak MiB, outage", mebibytes, true), |r| {
        r.outage_peak_bytes
    }),
    (("disk B/item", whole, true), |r| r.disk_bytes_per_item),
    (("wire B/item", whole, true), |r| r.wire_bytes_per_item),
    (("lost after `kill -9`", percent, false), |r| r.lost_share),
    (("duplicates", percent, false), |r| r.duplicate_share),
    (("drain items/s", whole, true), |r| r.drain_items_per_second),
];

fn whole(value: f64) -> String {
    backroom_reports::human::count(value.round())
}

/// One decimal.
pub fn tenths(value: f64) -> String {
    format!("{value:.1}")
}

/// Bytes in MiB.
pub fn mebibytes(value: f64) -> String {
    format!("{:.0}", value / f64::from(1 << 20))
}

fn percent(value: f64) -> String {
    backroom_reports::human::fraction(value)
}

/// The median of finite values; `None` of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    all.sort_by(f64::total_cmp);
    match all.len() {
        0 => None,
        n if n % 2 == 1 => Some(all[n / 2]),
        n => Some((all[n / 2 - 1] + all[n / 2]) / 2.0),
    }
}

/// A row of the table: the median of each column's figure over the rounds.
#[derive(Clone, Debug)]
pub struct Medians {
    /// Its name, as Markdown.
    pub peer: String,
    /// What its buffer is, as Markdown.
    pub buffer: String,
    /// How many rounds there were.
    pub rounds: usize,
    /// One for each column; `None` was not measured.
    pub figures: Vec<Option<f64>>,
}

/// As Markdown: a row for each peer, each figure with its ratio to the first row's.
pub fn render(columns: &[Column], rows: &[Medians]) -> String {
    let mut out = String::from("| peer | buffer | rounds |");
    for (title, ..) in columns {
        out.push_str(&format!(" {title} |"));
    }
    out.push_str(&format!(
        "\n|---|---|---|{}\n",
        "---|".repeat(columns.len())
    ));
    for (index, row) in rows.iter().enumerate() {
        out.push_str(&format!(
            "| {} | {} | {} |",
            row.peer, row.buffer, row.rounds
        ));
        for (at, (_, write, has_ratio)) in columns.iter().enumerate() {
            let value = row.figures[at];
            let first = rows[0].figures[at].filter(|_| *has_ratio && index > 0);
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
    out
}

/// All rounds of all peers, and why some are missing.
pub fn markdown(rows: &[Row]) -> String {
    let medians = rows.iter().map(|row| Medians {
        peer: row.peer.clone(),
        buffer: row.buffer.clone(),
        rounds: row.rounds.len(),
        figures: COLUMNS
            .map(|(_, of)| median(row.rounds.iter().filter_map(of)))
            .to_vec(),
    });
    let medians: Vec<Medians> = medians.collect();
    let mut out = render(&COLUMNS.map(|(column, _)| column), &medians);
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
