//! The collector beside its peers: the rounds that the `peers` example has written as JSON, as one table of medians and ratios.
//!
//! Pure: it reads text that another program wrote, and trusts nothing of it. What is done in a round is told in `benches/peers/README.md`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::peers::table::{Column, Medians, mebibytes, median, render, tenths};

/// Most rows, and rounds of a row, that are read: a file beyond them is not ours.
const ROWS_MAX: usize = 1000;

/// A figure of a round: its name in the file, and its column.
const FIGURES: [(&str, Column); 9] = [
    ("items_per_second", ("items/s", whole, true)),
    (
        "cpu_seconds_per_million",
        ("CPU-s per million", tenths, true),
    ),
    ("peak_bytes", ("peak MiB", mebibytes, true)),
    ("outage_peak_bytes", ("peak MiB, outage", mebibytes, true)),
    ("disk_bytes_per_item", ("disk B/item", whole, true)),
    ("wire_bytes_per_item", ("wire B/item", whole, true)),
    ("lost_share", ("lost after `kill -9`, %", hundredths, false)),
    ("duplicate_share", ("duplicates, %", hundredths, false)),
    ("drain_items_per_second", ("drain items/s", whole, true)),
];

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

/// A share in percent.
fn hundredths(value: f64) -> String {
    format!("{:.2}", value / 0.01)
}

/// The table, from the file's text: a list of `{"peer", "buffer", "rounds": [{figure: number or null}], "failures": [text]}`.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn tables(text: &str) -> Result<String, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("read the rounds: {error}"))?;
    let rows = value
        .as_array()
        .ok_or("read the rounds: the file is not a list of peers")?;
    if rows.is_empty() || rows.len() > ROWS_MAX {
        let n = rows.len();
        return Err(format!(
            "read the rounds: {n} peers, expected 1 to {ROWS_MAX}"
        ));
    }
    let (mut all, mut told) = (Vec::new(), String::new());
    for (n, row) in rows.iter().enumerate() {
        let name = |key: &str| {
            row.get(key)
                .and_then(Value::as_str)
                .ok_or_else(|| format!("read the rounds: peer {n} has no `{key}`"))
        };
        let rounds = row
            .get("rounds")
            .and_then(Value::as_array)
            .filter(|rounds| rounds.len() <= ROWS_MAX)
            .ok_or_else(|| format!("read the rounds: peer {n} has no list of `rounds`"))?;
        let (peer, buffer) = (super::cell(name("peer")?), super::cell(name("buffer")?));
        let failures = row.get("failures").and_then(Value::as_array);
        for failure in failures.into_iter().flatten().filter_map(Value::as_str) {
            let _ = writeln!(
                told,
                "- {}: a round is missing: {}",
                peer,
                super::cell(failure)
            );
        }
        all.push(Medians {
            peer,
            buffer,
            rounds: rounds.len(),
            figures: FIGURES
                .map(|(key, _)| median(rounds.iter().filter_map(|round| round.get(key)?.as_f64())))
                .to_vec(),
        });
    }
    let mut out = render(&FIGURES.map(|(_, column)| column), &all);
    out.push_str(
        "\nMedians over rounds; in brackets the ratio to the first row. A dash was not measured.\n",
    );
    if !told.is_empty() {
        let _ = write!(out, "\n{told}");
    }
    Ok(out)
}

/// What the page does not tell.
pub const LIMITS: &[&str] = &[
    "Load, receiver and peer shared the machine, and a loopback is no line: ratios tell, figures of another machine differ.",
    "Each peer ran with one configuration, which stands in `benches/peers`; another one may be faster, or lose less.",
    "What each acknowledges is a different promise: the column `buffer` says which.",
    "Only what was installed was measured.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_become_medians_and_ratios() {
        let text = r#"[
            {"peer": "a", "buffer": "disk", "failures": [],
             "rounds": [{"items_per_second": 300, "lost_share": 0, "peak_bytes": 10485760}, {"items_per_second": 100}]},
            {"peer": "b|<i>", "buffer": "memory", "failures": ["it\nended"], "rounds": [{"items_per_second": 50, "lost_share": 0.5}]}
        ]"#;
        let out = tables(text).expect("a table");
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(
            lines[2],
            "| a | disk | 2 | 200 | - | 10 | - | - | - | 0.00 | - | - |"
        );
        assert_eq!(
            lines[3],
            r"| b\|\<i> | memory | 1 | 50 (0.25) | - | - | - | - | - | 50.00 | - | - |"
        );
        assert!(
            out.contains(r"- b\|\<i>: a round is missing: it ended"),
            "{out}"
        );
    }

    #[test]
    fn what_is_no_list_of_rounds_is_refused() {
        let check = |text: &str, expect: &str| {
            let error = tables(text).expect_err("refused");
            assert!(error.contains(expect), "{error}");
        };
        check("", "read the rounds: EOF");
        check("{}", "the file is not a list of peers");
        check("[]", "0 peers, expected 1 to 1000");
        check("[1]", "peer 0 has no list of `rounds`");
        check(r#"[{"peer": "a", "rounds": []}]"#, "peer 0 has no `buffer`");
        check(
            r#"[{"buffer": "a", "rounds": 3}]"#,
            "peer 0 has no list of `rounds`",
        );
    }
}
