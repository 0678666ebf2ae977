//! The collector beside its peers: the rounds that the `peers` example has written as JSON, as one table of medians and ratios.
//!
//! Pure: it reads text that another program wrote, and trusts nothing of it. What is done in a round is told in `benches/peers/README.md`.

use std::fmt::Write as _;

use serde_json::Value;

/// Most rows, and rounds of a row, that are read: a file beyond them is not ours.
const ROWS_MAX: usize = 1000;

/// A figure of a round: its name in the file, its title, what it is divided by, decimals, and whether a ratio to the first row says something.
const FIGURES: [(&str, &str, f64, usize, bool); 9] = [
    ("items_per_second", "items/s", 1.0, 0, true),
    ("cpu_seconds_per_million", "CPU-s per million", 1.0, 1, true),
    ("peak_bytes", "peak MiB", 1_048_576.0, 0, true),
    (
        "outage_peak_bytes",
        "peak MiB, outage",
        1_048_576.0,
        0,
        true,
    ),
    ("disk_bytes_per_item", "disk B/item", 1.0, 0, true),
    ("wire_bytes_per_item", "wire B/item", 1.0, 0, true),
    ("lost_share", "lost after `kill -9`, %", 0.01, 2, false),
    ("duplicate_share", "duplicates, %", 0.01, 2, false),
    ("drain_items_per_second", "drain items/s", 1.0, 0, true),
];

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
    let mut out = String::from("| peer | buffer | rounds |");
    for (_, title, ..) in FIGURES {
        let _ = write!(out, " {title} |");
    }
    let _ = writeln!(out, "\n|---|---|---|{}", "---|".repeat(FIGURES.len()));
    let mut first: Option<Vec<Option<f64>>> = None;
    let mut told = String::new();
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
        let medians: Vec<Option<f64>> = FIGURES
            .iter()
            .map(|(key, ..)| median(rounds.iter().filter_map(|round| round.get(key)?.as_f64())))
            .collect();
        let _ = write!(
            out,
            "| {} | {} | {} |",
            super::cell(name("peer")?),
            super::cell(name("buffer")?),
            rounds.len()
        );
        for (at, (_, _, by, decimals, has_ratio)) in FIGURES.iter().enumerate() {
            let Some(value) = medians[at] else {
                out.push_str(" - |");
                continue;
            };
            let _ = write!(out, " {:.*}", *decimals, value / by);
            let base = first.as_ref().and_then(|first| first[at]);
            if let Some(base) = base.filter(|base| *has_ratio && *base > 0.0) {
                let _ = write!(out, " ({:.2})", value / base);
            }
            out.push_str(" |");
        }
        out.push('\n');
        let failures = row.get("failures").and_then(Value::as_array);
        for failure in failures.into_iter().flatten().filter_map(Value::as_str) {
            let _ = writeln!(
                told,
                "- {}: a round is missing: {}",
                super::cell(name("peer")?),
                super::cell(failure)
            );
        }
        first.get_or_insert(medians);
    }
    out.push_str(
        "\nMedians over rounds; in brackets the ratio to the first row. A dash was not measured.\n",
    );
    if !told.is_empty() {
        let _ = write!(out, "\n{told}");
    }
    Ok(out)
}

/// The median of finite values; `None` of nothing.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    all.sort_by(f64::total_cmp);
    match all.len() {
        0 => None,
        n if n % 2 == 1 => Some(all[n / 2]),
        n => Some((all[n / 2 - 1] + all[n / 2]) / 2.0),
    }
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
