//! Reads recorded throughput. Two formats; every error names the file, the line and the value.
//!
//! **Cooked** (Pensieve, Mao et al. 2017): lines of `seconds<TAB>throughput`, at irregular times. A line tells the mean
//! throughput over the interval that *ends* at its time, as Pensieve's simulator plays it; the first interval starts at
//! zero, so the value of a first line at `0.0` is not used. The unit is the caller's to know.
//!
//! **mahimahi** (Netravali et al. 2015): one number of milliseconds a line, never decreasing; each is one opportunity to
//! deliver 1,500 bytes. The last number is the length of the recording. Opportunities of one millisecond are spread
//! over it, so a packet that needs less than 1,500 bytes leaves the rest to the next one.

use std::{fmt, path::PathBuf};

use super::Trace;
use crate::scenario::{TraceFormat, TraceSpec};

/// 64 MiB: a month of one line a second is 50 MB.
pub const TRACE_BYTES_MAX: u64 = 64 << 20;

/// 400 days: recordings that are longer have a wrong unit of time.
pub(super) const SECONDS_MAX: f64 = 400.0 * 86_400.0;

/// 10 Tbit/s: values beyond it have a wrong unit.
const BITS_PER_SECOND_MAX: f64 = 1e13;

/// Units of throughput, in bit/s.
const UNITS: [(&str, f64); 7] = [
    ("bit/s", 1.0),
    ("kbit/s", 1e3),
    ("Mbit/s", 1e6),
    ("Gbit/s", 1e9),
    ("B/s", 8.0),
    ("kB/s", 8e3),
    ("MB/s", 8e6),
];

/// Units of throughput that recordings have, with their bits per second.
pub fn units() -> &'static [(&'static str, f64)] {
    &UNITS
}

/// Bits of one delivery opportunity of a mahimahi recording.
const OPPORTUNITY_BITS: f64 = 1500.0 * 8.0;

/// Why a recording cannot be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// The file.
    pub file: PathBuf,
    /// The 1-based line; `None` is the whole file.
    pub line: Option<usize>,
    /// What is wrong, with the value.
    pub message: String,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read trace {}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for TraceError {}

/// Reads a recording from its file.
///
/// # Errors
/// If the file cannot be read, is larger than [`TRACE_BYTES_MAX`], or is not such a recording.
pub fn load(spec: &TraceSpec) -> Result<Trace, TraceError> {
    let whole = |message: String| TraceError {
        file: spec.file.clone(),
        line: None,
        message,
    };
    let size = std::fs::metadata(&spec.file)
        .map_err(|e| whole(e.to_string()))?
        .len();
    if size > TRACE_BYTES_MAX {
        return Err(whole(format!(
            "has {size} bytes, at most {TRACE_BYTES_MAX} are read"
        )));
    }
    let bytes = std::fs::read(&spec.file).map_err(|e| whole(e.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|e| whole(format!("byte {} is not text", e.utf8_error().valid_up_to())))?;
    parse(spec, &text)
}

/// Reads a recording from text; the file is only named in errors. Blank lines are skipped.
///
/// # Errors
/// With the line, if one is not as the format says; for the whole file, if it is empty or carries nothing.
pub fn parse(spec: &TraceSpec, text: &str) -> Result<Trace, TraceError> {
    let error = |line: Option<usize>, message: String| TraceError {
        file: spec.file.clone(),
        line,
        message,
    };
    let steps = steps(spec.format, text, spec.unit_bits_per_second);
    let steps = steps.map_err(|(line, message)| error(Some(line), message))?;
    if steps.is_empty() {
        return Err(error(
            None,
            "has no interval: at least one line after time zero is needed".into(),
        ));
    }
    Trace::new(steps, spec.repeat)
        .ok_or_else(|| error(None, "carries nothing: every value is zero".into()))
}

/// (End in nanoseconds, bits per second); else the line, and what is wrong with it. Line 0 is the whole file.
pub(super) type Steps = Result<Vec<(u64, f64)>, (usize, String)>;

/// The steps of a recording; empty if it has no line after time zero.
pub(super) fn steps(format: TraceFormat, text: &str, unit: f64) -> Steps {
    let lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty());
    match format {
        TraceFormat::Cooked => cooked(lines, unit),
        TraceFormat::Mahimahi => mahimahi(lines),
    }
}

/// A throughput in its unit, as bits per second.
pub(super) fn throughput(value: &str, unit: f64) -> Result<f64, String> {
    match value.parse::<f64>() {
        Ok(v) if (0.0..=BITS_PER_SECOND_MAX).contains(&(v * unit)) => Ok(v * unit),
        _ => Err(format!(
            "throughput `{value}` is not a number from 0 to 10 Tbit/s in its unit"
        )),
    }
}

fn cooked<'a>(lines: impl Iterator<Item = (usize, &'a str)>, unit: f64) -> Steps {
    let mut steps = Vec::new();
    let mut before: Option<(f64, u64)> = None;
    for (number, line) in lines {
        let fail = |message: String| Err((number, message));
        let mut words = line.split_ascii_whitespace();
        let (Some(time), Some(value), None) = (words.next(), words.next(), words.next()) else {
            return fail(format!("`{line}` is not `seconds<TAB>throughput`"));
        };
        let seconds = match time.parse::<f64>() {
            Ok(v) if (0.0..=SECONDS_MAX).contains(&v) => v,
            _ => {
                return fail(format!(
                    "time `{time}` is not a number of seconds from 0 to {SECONDS_MAX}"
                ));
            }
        };
        let bits = throughput(value, unit).map_err(|why| (number, why))?;
        let end_ns = (seconds * 1e9).round() as u64;
        if let Some((last, last_ns)) = before
            && end_ns <= last_ns
        {
            return fail(format!("time `{time}` does not come after {last}"));
        }
        before = Some((seconds, end_ns));
        if end_ns > 0 {
            steps.push((end_ns, bits));
        }
    }
    Ok(steps)
}

fn mahimahi<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Steps {
    let mut steps: Vec<(u64, f64)> = Vec::new();
    // End of the millisecond that is being counted, and its opportunities.
    let (mut ms, mut count) = (1u64, 0.0);
    let mut close = |ms: u64, count: f64, next: u64| {
        steps.push((ms * 1_000_000, count * OPPORTUNITY_BITS * 1000.0));
        if next > ms + 1 {
            steps.push(((next - 1) * 1_000_000, 0.0));
        }
    };
    let mut any = false;
    for (number, line) in lines {
        let fail = |message: String| Err((number, message));
        let at = match line.parse::<u64>() {
            // An opportunity at 0 belongs to the first millisecond.
            Ok(v) if (v as f64) <= SECONDS_MAX * 1000.0 => v.max(1),
            _ => return fail(format!("`{line}` is not a number of milliseconds")),
        };
        if any && at < ms {
            return fail(format!("time `{line}` comes before {ms}"));
        }
        if at > ms {
            close(ms, count, at);
            (ms, count) = (at, 0.0);
        }
        (any, count) = (true, count + 1.0);
    }
    if any {
        close(ms, count, ms);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;

    fn spec(format: TraceFormat) -> TraceSpec {
        TraceSpec {
            file: "line.txt".into(),
            format,
            unit_bits_per_second: 1e6,
            repeat: true,
        }
    }

    fn at(trace: &Trace, ms: u64) -> f64 {
        trace.bits_per_second_at(Duration::from_millis(ms))
    }

    #[test]
    fn a_cooked_line_tells_the_interval_that_ends_there() {
        let trace = parse(&spec(TraceFormat::Cooked), "0.0\t9\n1.5\t2\n\n2.0\t0\n").expect("plays");
        assert_eq!(trace.period(), Duration::from_secs(2));
        assert_eq!(
            (at(&trace, 0), at(&trace, 1499), at(&trace, 1500)),
            (2e6, 2e6, 0.0)
        );
        assert_eq!(at(&trace, 2000), 2e6, "it starts over");
        let trace = parse(&spec(TraceFormat::Cooked), "0.5\t4\n1.5\t2\n").expect("plays");
        assert_eq!((at(&trace, 0), at(&trace, 600)), (4e6, 2e6));
    }

    #[test]
    fn a_mahimahi_line_is_an_opportunity() {
        let trace = parse(&spec(TraceFormat::Mahimahi), "1\n1\n3\n10\n").expect("plays");
        assert_eq!(trace.period(), Duration::from_millis(10));
        assert_eq!(
            (at(&trace, 0), at(&trace, 1), at(&trace, 2)),
            (24e6, 0.0, 12e6)
        );
        assert!((trace.mean_bits_per_second() - 4.8e6).abs() < 1.0);
        let trace = parse(&spec(TraceFormat::Mahimahi), "0\n").expect("plays");
        assert_eq!(trace.period(), Duration::from_millis(1));
    }

    #[test]
    fn errors_name_file_line_and_value() {
        let check = |format, text: &str, expect: &str| {
            let error = parse(&spec(format), text).expect_err("is refused");
            assert_eq!(error.to_string(), format!("read trace line.txt{expect}"));
        };
        use TraceFormat::{Cooked, Mahimahi};
        check(
            Cooked,
            "0 1\n1 x\n",
            ":2: throughput `x` is not a number from 0 to 10 Tbit/s in its unit",
        );
        check(
            Cooked,
            "0 1\n\n-1 1\n",
            ":3: time `-1` is not a number of seconds from 0 to 34560000",
        );
        check(
            Cooked,
            "0 1\n1 NaN\n",
            ":2: throughput `NaN` is not a number from 0 to 10 Tbit/s in its unit",
        );
        check(
            Cooked,
            "0 1\n1\n",
            ":2: `1` is not `seconds<TAB>throughput`",
        );
        check(
            Cooked,
            "1 1\n1.0 1\n",
            ":2: time `1.0` does not come after 1",
        );
        check(
            Cooked,
            "0 0\n1 0\n",
            ": carries nothing: every value is zero",
        );
        check(
            Cooked,
            "0 7\n",
            ": has no interval: at least one line after time zero is needed",
        );
        check(
            Cooked,
            "",
            ": has no interval: at least one line after time zero is needed",
        );
        check(
            Mahimahi,
            "1\n1.5\n",
            ":2: `1.5` is not a number of milliseconds",
        );
        check(Mahimahi, "5\n4\n", ":2: time `4` comes before 5");
        check(
            Mahimahi,
            "",
            ": has no interval: at least one line after time zero is needed",
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let mut spec = spec(TraceFormat::Cooked);
        spec.file = "no/such/file".into();
        let error = load(&spec).expect_err("is refused").to_string();
        assert!(error.starts_with("read trace no/such/file: "), "{error}");
    }

    /// Every recording under `BACKROOM_TRACES` plays, and its mean is one of a real line.
    #[test]
    fn recordings_of_real_lines_play() {
        let Some(root) = std::env::var_os("BACKROOM_TRACES") else {
            println!("skipped: BACKROOM_TRACES is not set");
            return;
        };
        let (mut files, mut folders) = (0, vec![Path::new(&root).join("confiwent-mit")]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("BACKROOM_TRACES holds confiwent-mit") {
                let path = entry.expect("can be listed").path();
                let name = folder
                    .file_name()
                    .and_then(|n| n.to_str())
                    .unwrap_or_default();
                if path.is_dir() {
                    folders.push(path);
                } else if name != "confiwent-mit" {
                    let unit = if name.starts_with("puffer") { 8e6 } else { 1e6 };
                    let spec = TraceSpec {
                        file: path,
                        format: TraceFormat::Cooked,
                        unit_bits_per_second: unit,
                        repeat: true,
                    };
                    let trace = load(&spec).expect("plays");
                    let mean = trace.mean_bits_per_second();
                    assert!(
                        (1e4..1e9).contains(&mean),
                        "{}: {mean} bit/s",
                        spec.file.display()
                    );
                    files += 1;
                }
            }
        }
        assert!(files > 0, "no recording below {}", root.display());
    }
}
