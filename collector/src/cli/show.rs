//! How tools show what they found: tables, counts, times. Machines read the JSON instead.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::config::quantity;

/// A table with a head; columns that hold numbers are right-aligned.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one. A head that begins with `>` is right-aligned.
    pub(super) fn new(heads: &[&'static str]) -> Self {
        Self {
            heads: heads.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, of as many cells as there are heads.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = |index: usize| self.heads[index].trim_start_matches('>');
        let width = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let cells = cells.map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(head(index).len())
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut out = String::new();
            for (index, cell) in cells.enumerate() {
                let pad = " ".repeat(widths[index].saturating_sub(cell.chars().count()));
                let gap = if index == 0 { "" } else { "  " };
                let _ = match self.heads[index].starts_with('>') {
                    true => write!(out, "{gap}{pad}{cell}"),
                    false => write!(out, "{gap}{cell}{pad}"),
                };
            }
            writeln!(f, "{}", out.trim_end())
        };
        line(&mut (0..self.heads.len()).map(head))?;
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

/// `12 items`, `1 item`.
pub(super) fn count(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n if what.ends_with("tch") => format!("{} {what}es", number(n)),
        n => format!("{} {what}s", number(n)),
    }
}

/// Counts of items by signal: `20 traces, 3 logs`.
pub(super) fn by_signal(items: &BTreeMap<String, u64>) -> String {
    let items = items.iter();
    let items: Vec<String> = items
        .map(|(signal, items)| format!("{} {signal}", number(*items)))
        .collect();
    match items.is_empty() {
        true => "nothing".to_owned(),
        false => items.join(", "),
    }
}

/// `1,234,567`.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `512B`, `3.4MiB`: as sizes are configured.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (n as f64, 0);
    // 1023.96 would be shown as 1024.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n}B"),
        _ if value < 9.995 => format!("{value:.2}{}", UNITS[unit]),
        _ => format!("{value:.1}{}", UNITS[unit]),
    }
}

/// The time since `then`, both unix nanoseconds: `4m 12s`; `-` for what has no birth, `ahead` where the clock went back.
pub(super) fn age(now: u64, then: u64) -> String {
    match then {
        0 | u64::MAX => "-".to_owned(),
        then if then > now => "ahead".to_owned(),
        then => duration(Duration::from_nanos(now - then)),
    }
}

/// Seconds below a minute to a tenth, longer ones to the second or minute.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => quantity::show_duration(Duration::from_secs(seconds)),
        3600..172_800 => quantity::show_duration(Duration::from_secs(seconds / 60 * 60)),
        _ => quantity::show_duration(Duration::from_secs(seconds / 3600 * 3600)),
    }
}

/// An instant as RFC 3339; `None` if it is out of any calendar.
pub(super) fn instant(unix_nanos: u64) -> Option<String> {
    let at = jiff::Timestamp::from_nanosecond(i128::from(unix_nanos)).ok()?;
    Some(format!("{at:.3}"))
}

/// A text from outside, without control characters: it must not move the cursor of whoever reads it.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let check = |n, expect: &str| assert_eq!(bytes(n), expect);
        check(0, "0B");
        check(1023, "1023B");
        check(1024, "1.00KiB");
        check(10 * 1024 * 1024 - 1, "10.0MiB");
        check(1 << 30, "1.00GiB");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(number(999), "999");
        assert_eq!(count(1, "batch"), "1 batch");
        assert_eq!(count(2000, "batch"), "2,000 batches");
        assert_eq!(count(0, "item"), "0 items");
    }

    #[test]
    fn ages_are_told_of_the_past_only() {
        let second = 1_000_000_000;
        assert_eq!(age(10 * second, 8 * second), "2.0s");
        assert_eq!(age(8 * second, 10 * second), "ahead");
        assert_eq!(age(8 * second, 0), "-");
    }

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(&["FILE", ">ITEMS"]);
        table.row(["a".to_owned(), "12".to_owned()]);
        table.row(["longer".to_owned(), "3".to_owned()]);
        assert_eq!(
            table.to_string(),
            "FILE    ITEMS\na          12\nlonger      3\n"
        );
    }
}
