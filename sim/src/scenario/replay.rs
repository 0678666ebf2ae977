//! Recorded arrivals: `replay(orders.csv, column=placed_at)`, one row for each.
//!
//! A column of times: seconds since the run's start, times of day, or timestamps with an offset. Rows before the start and after
//! the end of the run are left out. Who takes the orders is `store::arrivals`'s business.

use std::{path::Path, time::Duration};

use super::{
    columns,
    time::{self, Clock},
};

/// Largest file, bytes: a year of a busy store.
const BYTES_MAX: u64 = 64 << 20;

/// Most arrivals of one run; a machine plays one in some microseconds, and keeps eight bytes for each.
pub(super) const ARRIVALS_MAX: usize = 1_000_000;

/// Reads a column of times, sorted. `column` is its name in the first row, or its number from 1.
///
/// # Errors
/// What is wrong, with the line and the value: no such column, a value that is no time, too many rows, none within the run.
pub(super) fn read(
    path: &Path,
    column: &str,
    clock: &Clock,
    duration: Duration,
) -> Result<Vec<Duration>, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > BYTES_MAX {
        return Err(format!("it has {size} bytes, at most {BYTES_MAX} are read"));
    }
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|e| format!("it is not text: {e}"))?;
    parse(text, column, clock, duration)
}

fn parse(
    text: &str,
    column: &str,
    clock: &Clock,
    duration: Duration,
) -> Result<Vec<Duration>, String> {
    let mut reader = columns::rows(text);
    let (mut index, mut times, mut outside) = (None, Vec::new(), 0_usize);
    for record in reader.records() {
        let record = record.map_err(|e| e.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let Some(at) = index else {
            let Some(found) = columns::find(column, &record) else {
                let known = columns::known(&record);
                return Err(format!(
                    "it has no column `{column}`; its first row is {known}"
                ));
            };
            index = Some(found);
            // A file without names has a time in its first row already.
            let first = record.get(found).and_then(|cell| time_of(cell, clock));
            if record.get(found) != Some(column)
                && let Some(time) = first
            {
                keep(time, duration, &mut times, &mut outside);
            }
            continue;
        };
        let cell = record
            .get(at)
            .ok_or_else(|| format!("line {line} has no column `{column}`"))?;
        let time = time_of(cell, clock).ok_or_else(|| {
            format!("line {line}: `{cell}` is neither seconds, a time of day nor a timestamp")
        })?;
        keep(time, duration, &mut times, &mut outside);
        if times.len() > ARRIVALS_MAX {
            return Err(format!(
                "more than {ARRIVALS_MAX} arrivals fall into the run"
            ));
        }
    }
    if times.is_empty() {
        return Err(match outside {
            0 => "it has no rows".into(),
            n => format!("none of its {n} arrivals falls into the run"),
        });
    }
    times.sort_unstable();
    Ok(times)
}

fn keep(
    time: Option<Duration>,
    duration: Duration,
    times: &mut Vec<Duration>,
    outside: &mut usize,
) {
    match time.filter(|time| *time < duration) {
        Some(time) => times.push(time),
        None => *outside += 1,
    }
}

/// A virtual time; `Some(None)` is one before the start, `None` is no time.
fn time_of(cell: &str, clock: &Clock) -> Option<Option<Duration>> {
    if let Ok(seconds) = cell.parse::<f64>() {
        return seconds
            .is_finite()
            .then(|| Duration::try_from_secs_f64(seconds).ok());
    }
    if let Ok(second) = time::clock(cell) {
        return Some(Some(clock.first(second)));
    }
    let at: jiff::Timestamp = cell.parse().ok()?;
    let since = at.duration_since(clock.start.timestamp());
    Some(Duration::try_from(since).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scenario::words;

    fn clock() -> Clock {
        Clock {
            start: words::start("2025-03-14T11:30:00-05:00").expect("start"),
        }
    }

    fn seconds(text: &str, column: &str) -> Result<Vec<f64>, String> {
        let found = parse(text, column, &clock(), Duration::from_secs(3600))?;
        Ok(found.iter().map(Duration::as_secs_f64).collect())
    }

    #[test]
    fn times_are_read_in_three_shapes() {
        let check = |text: &str, column: &str, expect: &[f64]| {
            assert_eq!(seconds(text, column).as_deref(), Ok(expect), "{text}");
        };
        check("id,at\n7,30.5\n8,10\n", "at", &[10.0, 30.5]);
        check("id;at\n7;11:31\n8;11:30:20\n", "at", &[20.0, 60.0]);
        check(
            "2025-03-14T11:30:05-05:00\n2025-03-14T16:31:00Z\n2025-03-14T09:00:00Z\n",
            "1",
            &[5.0, 60.0],
        );
        check(
            "# recorded\na\tb\n1\t2\n3\t4\n99999\t5000\n",
            "a",
            &[1.0, 3.0],
        );
        check("\"at\",\"what, else\"\n\"5\",\"x, y\"\n", "at", &[5.0]);
    }

    #[test]
    fn garbage_is_told_with_its_line() {
        let check = |text: &str, column: &str, expect: &str| {
            let error = seconds(text, column).expect_err(text);
            assert!(error.contains(expect), "{error}");
        };
        check("id,at\n7,soon\n", "at", "line 2: `soon` is neither");
        check("id,at\n7\n", "at", "line 2 has no column `at`");
        check("id,at\n7,3\n", "time", "its first row is id, at");
        check("", "at", "no rows");
        check("at\n9999\n", "at", "none of its 1 arrivals");
        check("at\nNaN\n", "at", "`NaN` is neither");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in "[0-9a-z:,;\\t\\n\"#.T-]{0,80}") {
            let _ = seconds(&text, "at");
            let _ = seconds(&text, "1");
        }
    }
}
