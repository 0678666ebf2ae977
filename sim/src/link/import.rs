//! Recordings of other tools as recordings that a line plays.
//!
//! Four shapes come in: "cooked" and mahimahi as `recording` reads them, tables (`csv`), and what `iperf3 --json` prints. One goes out: cooked,
//! in Mbit/s. Every error names the file, the line and the value. Decides nothing about where files are; `cli::trace` does.

use std::{fmt::Write as _, path::Path};

use serde::Deserialize;

use super::recording::{self, SECONDS_MAX, Steps, TraceError};
use crate::scenario::{TraceFormat, columns};

/// What a recording is written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Lines of `seconds<TAB>throughput`.
    Cooked,
    /// Lines of milliseconds; each is an opportunity to deliver 1,500 bytes.
    Mahimahi,
    /// A table with a column of times and one of throughput, by name or by number from 1.
    Csv {
        /// Seconds, or RFC 3339 timestamps. Timestamps count from the first row.
        time: String,
        /// Mean throughput over the time that ends at the row's.
        value: String,
    },
    /// What `iperf3 --json` prints.
    Iperf3,
}

impl Source {
    /// Whether the file leaves open in which unit it counts.
    pub fn needs_unit(&self) -> bool {
        matches!(self, Self::Cooked | Self::Csv { .. })
    }
}

/// A recording: steps of constant capacity.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// (End in nanoseconds since the beginning, bits per second), ends strictly increasing; never empty.
    steps: Vec<(u64, f64)>,
}

/// 1 kbit/s: on a line with less a packet of 1,500 bytes takes more than 12 s, and no connection survives.
pub const DOWN_BITS_PER_SECOND: f64 = 1e3;

/// What a recording is like. Times in seconds, rates in bit/s.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its length.
    pub seconds: f64,
    /// Steps of which it consists.
    pub steps: usize,
    /// Capacity over the whole of it.
    pub mean: f64,
    /// (Fraction, capacity that the line has less than for that fraction of the time).
    pub quantiles: Vec<(f64, f64)>,
    /// The highest capacity.
    pub max: f64,
    /// Share of the time below [`DOWN_BITS_PER_SECOND`].
    pub down_share: f64,
    /// How often it went there.
    pub down_count: usize,
    /// The longest time there.
    pub down_seconds_max: f64,
}

/// Fractions that a summary tells.
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// Reads a recording from text; `file` is only named in errors. `unit` is in bit/s, and counts where [`Source::needs_unit`].
///
/// # Errors
/// With the line, if one is not what its format says; for the whole file, if it has no interval or carries nothing.
pub fn read(source: &Source, file: &Path, text: &str, unit: f64) -> Result<Recording, TraceError> {
    let error = |line: Option<usize>, message: String| TraceError {
        file: file.to_owned(),
        line,
        message,
    };
    let steps = match source {
        Source::Cooked => recording::steps(TraceFormat::Cooked, text, unit),
        Source::Mahimahi => recording::steps(TraceFormat::Mahimahi, text, unit),
        Source::Csv { time, value } => csv(text, time, value, unit),
        Source::Iperf3 => iperf3(text),
    };
    let steps = steps.map_err(|(line, why)| error((line > 0).then_some(line), why))?;
    let recording = Recording { steps };
    match recording.steps.iter().any(|(_, rate)| *rate > 0.0) {
        true => Ok(recording),
        false if recording.steps.is_empty() => Err(error(None, "has no interval".into())),
        false => Err(error(None, "carries nothing: every value is zero".into())),
    }
}

impl Recording {
    /// The same in steps of equal length, each with the mean of its time: for recordings with more lines than a reader needs. What it carries
    /// stays the same; the last step is shorter where the length is no multiple.
    pub fn every(&self, step_ns: u64) -> Self {
        let mut steps: Vec<(u64, f64)> = Vec::new();
        let (mut from, mut bits, mut next) = (0_u64, 0.0, step_ns.max(1));
        let last = self.steps.last().map_or(0, |(end, _)| *end);
        for (end, rate) in &self.steps {
            while from < *end {
                let to = next.min(*end);
                bits += rate * (to - from) as f64;
                from = to;
                if from == next || from == last {
                    let begin = steps.last().map_or(0, |(end, _): &(u64, f64)| *end);
                    steps.push((from, bits / (from - begin) as f64));
                    bits = 0.0;
                    next = next.saturating_add(step_ns.max(1));
                }
            }
        }
        Self { steps }
    }

    /// As a cooked file in Mbit/s, which `format` and `unit` of a scenario's recording mean where they are not written.
    pub fn cooked(&self) -> String {
        let mut out = String::new();
        for (end, rate) in &self.steps {
            // The shortest text that reads back as the same number.
            let _ = writeln!(out, "{}\t{}", *end as f64 / 1e9, rate / 1e6);
        }
        out
    }

    /// What it is like.
    pub fn summary(&self) -> Summary {
        let mut by_rate: Vec<(f64, f64)> = Vec::with_capacity(self.steps.len());
        let (mut from, mut bits, mut down) = (0, 0.0, 0.0);
        let (mut down_count, mut down_now, mut down_seconds_max) = (0, 0.0, 0.0_f64);
        for (end, rate) in &self.steps {
            let seconds = (end - from) as f64 / 1e9;
            from = *end;
            bits += rate * seconds;
            by_rate.push((*rate, seconds));
            if *rate < DOWN_BITS_PER_SECOND {
                down_count += usize::from(down_now == 0.0);
                down_now += seconds;
                down += seconds;
                down_seconds_max = down_seconds_max.max(down_now);
            } else {
                down_now = 0.0;
            }
        }
        by_rate.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = from as f64 / 1e9;
        let quantile = |q: f64| {
            let mut so_far = 0.0;
            let mut rates = by_rate.iter();
            let found = rates.find(|(_, seconds)| {
                so_far += seconds;
                so_far >= q * all
            });
            found.or(by_rate.last()).map_or(0.0, |(rate, _)| *rate)
        };
        Summary {
            seconds: all,
            steps: self.steps.len(),
            mean: bits / all,
            quantiles: QUANTILES.iter().map(|q| (*q, quantile(*q))).collect(),
            max: by_rate.last().map_or(0.0, |(rate, _)| *rate),
            down_share: down / all,
            down_count,
            down_seconds_max,
        }
    }
}

/// Adds a step that ends at `seconds`; what is wrong with it otherwise.
fn push(steps: &mut Vec<(u64, f64)>, seconds: f64, shown: &str, rate: f64) -> Result<(), String> {
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err(format!(
            "time `{shown}` is not within {SECONDS_MAX} seconds of the beginning; timestamps are written as 2025-03-14T11:30:00Z"
        ));
    }
    let end = (seconds * 1e9).round() as u64;
    let last = steps.last().map_or(0, |(end, _)| *end);
    if end <= last {
        return Err(format!(
            "time `{shown}` does not come after the one before it"
        ));
    }
    steps.push((end, rate));
    Ok(())
}

fn csv(text: &str, time: &str, value: &str, unit: f64) -> Steps {
    let mut reader = columns::rows(text);
    let mut both: Option<(usize, usize)> = None;
    let mut origin: Option<jiff::Timestamp> = None;
    let mut steps = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| (0, e.to_string()))?;
        let line = record.position().map_or(0, |p| p.line() as usize);
        let (at_time, at_value) = match both {
            Some(both) => both,
            None => {
                let found = |asked: &str| {
                    let known = columns::known(&record);
                    let why = format!("has no column `{asked}`; the first row is {known}");
                    let at = columns::find(asked, &record);
                    at.filter(|at| *at < record.len()).ok_or((line, why))
                };
                let here = (found(time)?, found(value)?);
                both = Some(here);
                let is_number = record[here.1].parse::<f64>().is_ok();
                if !is_number {
                    // Names.
                    continue;
                }
                here
            }
        };
        let cell = |at: usize, what: &str| {
            let why = || (line, format!("has no column {} for {what}", at + 1));
            record
                .get(at)
                .filter(|cell| !cell.is_empty())
                .ok_or_else(why)
        };
        let (time, value) = (
            cell(at_time, "the time")?,
            cell(at_value, "the throughput")?,
        );
        let rate = recording::throughput(value, unit).map_err(|why| (line, why))?;
        let pushed = match (time.parse::<f64>(), time.parse::<jiff::Timestamp>()) {
            // As in a cooked file: a value at the very beginning tells of no time at all.
            (Ok(seconds), _) if seconds == 0.0 && steps.is_empty() => Ok(()),
            (Ok(seconds), _) => push(&mut steps, seconds, time, rate),
            (_, Ok(stamp)) => match origin {
                None => {
                    origin = Some(stamp);
                    Ok(())
                }
                Some(origin) => {
                    let since = stamp.duration_since(origin).as_secs_f64();
                    push(&mut steps, since, time, rate)
                }
            },
            _ => Err(format!(
                "time `{time}` is no number of seconds and no timestamp such as 2025-03-14T11:30:00Z"
            )),
        };
        pushed.map_err(|why| (line, why))?;
    }
    Ok(steps)
}

/// The parts of `iperf3 --json` that tell of throughput over time.
#[derive(Deserialize)]
struct Iperf3 {
    #[serde(default)]
    intervals: Vec<Interval>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Interval {
    sum: Sum,
}

#[derive(Deserialize)]
struct Sum {
    end: f64,
    bits_per_second: f64,
    #[serde(default)]
    omitted: bool,
}

fn iperf3(text: &str) -> Steps {
    let read: Iperf3 = serde_json::from_str(text)
        .map_err(|e| (e.line(), format!("is not what `iperf3 --json` prints: {e}")))?;
    if let Some(error) = read.error
        && read.intervals.is_empty()
    {
        return Err((0, format!("iperf3 has measured nothing: {error}")));
    }
    let mut steps = Vec::new();
    for interval in read.intervals.iter().filter(|i| !i.sum.omitted) {
        let Sum {
            end,
            bits_per_second,
            ..
        } = interval.sum;
        let rate = recording::throughput(&bits_per_second.to_string(), 1.0);
        let pushed = rate.and_then(|rate| push(&mut steps, end, &end.to_string(), rate));
        pushed.map_err(|why| (0, why))?;
    }
    Ok(steps)
}

#[cfg(test)]
#[path = "import/tests.rs"]
mod tests;
