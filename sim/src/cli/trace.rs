//! `backroom trace import`: a recording of a real line, made ready for a scenario.
//!
//! What is read and written is `link::import`'s; decided here: where files are, who says the unit, what is told.

use std::{
    io::{self, BufRead, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use backroom_reports::{exit, human};

use super::{kept::Wrong, outputs, run::parse_time, run_dir};
use crate::link::{
    TRACE_BYTES_MAX,
    import::{self, DOWN_BITS_PER_SECOND, Source, Summary},
    units,
};

/// Recordings of real lines.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check a recording, say what it is like, and write it as scenarios play it.
    Import(Import),
}

/// Check a recording, say what it is like, and write it as scenarios play it.
#[derive(Debug, clap::Args)]
struct Import {
    /// The recording.
    file: PathBuf,

    /// What it is written as.
    #[arg(long, value_name = "FORMAT")]
    format: Shape,

    /// Unit of its throughput, which cooked files and tables do not say: bit/s, kbit/s, Mbit/s, Gbit/s, B/s, kB/s, MB/s. Asked for on a terminal.
    #[arg(long, value_name = "UNIT", value_parser = parse_unit)]
    unit: Option<f64>,

    /// Of a table: the column of times, by its name in the first row or by number. Seconds, or timestamps such as 2025-03-14T11:30:00Z.
    #[arg(long, value_name = "COLUMN", default_value = "1")]
    time_column: String,

    /// Of a table: the column of throughput, the mean over the time that ends at the row's.
    #[arg(long, value_name = "COLUMN", default_value = "2")]
    value_column: String,

    /// Write steps of this length, each with its mean: a recording of every millisecond is large.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    every: Option<std::time::Duration>,

    /// Where to write it; nowhere without. `-` is standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write over a file that is there.
    #[arg(long)]
    force: bool,

    /// Print what it is like as JSON; times in seconds, rates in bit/s.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shape {
    /// Lines of `seconds<TAB>throughput`, as Pensieve and its successors have them.
    Cooked,
    /// Lines of milliseconds; each is an opportunity to deliver 1,500 bytes.
    Mahimahi,
    /// A table with a column of times and one of throughput; commas, semicolons or tabs.
    Csv,
    /// What `iperf3 --json` prints.
    Iperf3,
}

fn parse_unit(text: &str) -> Result<f64, String> {
    let found = units().iter().find(|(name, _)| *name == text);
    found.map(|(_, rate)| *rate).ok_or_else(|| {
        let known: Vec<&str> = units().iter().map(|(name, _)| *name).collect();
        format!("`{text}` is none of {}", known.join(", "))
    })
}

pub(super) fn run(args: &Args) -> i32 {
    let Verb::Import(import) = &args.verb;
    super::code(bring_in(import).map(|()| exit::OK))
}

fn bring_in(args: &Import) -> Result<(), Wrong> {
    let source = match args.format {
        Shape::Cooked => Source::Cooked,
        Shape::Mahimahi => Source::Mahimahi,
        Shape::Iperf3 => Source::Iperf3,
        Shape::Csv => Source::Csv {
            time: args.time_column.clone(),
            value: args.value_column.clone(),
        },
    };
    if args.unit.is_some() && !source.needs_unit() {
        let why = "--unit: a recording of this format says itself what it counts";
        return Err((why.into(), exit::USAGE));
    }
    let text = text_of(&args.file)?;
    let bad = |error: crate::link::TraceError| (error.to_string(), exit::BAD_SCENARIO);
    // In units of 1 bit/s: whatever it counts, its lines are right or wrong.
    let plain = import::read(&source, &args.file, &text, 1.0).map_err(bad)?;
    let unit = match args.unit {
        Some(unit) => unit,
        None if !source.needs_unit() => 1.0,
        None => unit_of(&args.file, plain.summary().mean)?,
    };
    let mut recording = import::read(&source, &args.file, &text, unit).map_err(bad)?;
    if let Some(every) = args.every {
        recording = recording.every(u64::try_from(every.as_nanos()).unwrap_or(u64::MAX));
    }
    let summary = recording.summary();
    let written = recording.cooked();
    if written.len() as u64 > TRACE_BYTES_MAX {
        let why = format!(
            "{} has {} steps, more than a run reads; make them longer with --every 1s",
            args.file.display(),
            summary.steps
        );
        return Err((why, exit::BAD_SCENARIO));
    }
    let name = match &args.output {
        Some(path) if path.as_os_str() == "-" => {
            outputs::print(&written);
            eprint!("{}", told(&args.file, &summary));
            return Ok(());
        }
        Some(path) => {
            put(path, &written, args.force)?;
            path
        }
        None => &args.file,
    };
    match args.json {
        true => outputs::print(&json(&summary)),
        false => outputs::print(&told(name, &summary)),
    }
    if let (Some(path), false) = (&args.output, args.json) {
        let path = path.display();
        outputs::print(&format!(
            "\nbackroom run scenarios/recorded-line.toml --set link.uplink.trace.file={path}\n"
        ));
    }
    Ok(())
}

fn text_of(file: &Path) -> Result<String, Wrong> {
    let missing = |e: io::Error| (format!("read {}: {e}", file.display()), exit::NO_INPUT);
    let size = std::fs::metadata(file).map_err(missing)?.len();
    if size > TRACE_BYTES_MAX {
        let why = format!(
            "{} has {size} bytes, at most {TRACE_BYTES_MAX} are read",
            file.display()
        );
        return Err((why, exit::BAD_SCENARIO));
    }
    let bytes = std::fs::read(file).map_err(missing)?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let why = format!("read {}: byte {at} is not text", file.display());
        (why, exit::BAD_SCENARIO)
    })
}

/// The unit that nobody has named: asked for where somebody can answer.
fn unit_of(file: &Path, mean: f64) -> Result<f64, Wrong> {
    let no_answer = || {
        let why = format!(
            "{} does not say its unit; name it with --unit:\n{}",
            file.display(),
            choices(mean)
        );
        (why.trim_end().to_owned(), exit::USAGE)
    };
    match io::stdin().is_terminal() && io::stderr().is_terminal() {
        true => ask(mean, &mut io::stdin().lock(), &mut io::stderr()).ok_or_else(no_answer),
        false => Err(no_answer()),
    }
}

/// What the mean would be in each unit: nobody takes a store's line for one of 25 Gbit/s.
fn choices(mean: f64) -> String {
    units()
        .iter()
        .map(|(name, rate)| format!("  {name:7} a mean of {}\n", human::bit_rate(mean * rate)))
        .collect()
}

/// 3 times: then whoever answers does not know.
const ASKED_MAX: usize = 3;

fn ask(mean: f64, answers: &mut impl BufRead, out: &mut impl Write) -> Option<f64> {
    let _ = write!(
        out,
        "The recording does not say its unit:\n{}",
        choices(mean)
    );
    for _ in 0..ASKED_MAX {
        let _ = write!(out, "unit: ").and_then(|()| out.flush());
        let mut line = String::new();
        if answers.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match parse_unit(line.trim()) {
            Ok(unit) => return Some(unit),
            Err(why) => {
                let _ = writeln!(out, "{why}");
            }
        }
    }
    None
}

fn put(path: &Path, text: &str, force: bool) -> Result<(), Wrong> {
    let differs = std::fs::read(path).is_ok_and(|old| old != text.as_bytes());
    if differs && !force {
        let why = format!(
            "{} is there and is another recording; write over it with --force",
            path.display()
        );
        return Err((why, exit::CANNOT_WRITE));
    }
    let written = run_dir::write_whole(path, text.as_bytes());
    Ok(written?)
}

fn told(name: &Path, summary: &Summary) -> String {
    let quantiles: Vec<String> = summary
        .quantiles
        .iter()
        .map(|(q, rate)| format!("p{} {}", q * 100.0, human::bit_rate(*rate)))
        .collect();
    let down = match summary.down_count {
        0 => format!("never below {}", human::bit_rate(DOWN_BITS_PER_SECOND)),
        n => format!(
            "below {} for {} of the time, {}, {} at most",
            human::bit_rate(DOWN_BITS_PER_SECOND),
            human::fraction(summary.down_share),
            match n {
                1 => "once".to_owned(),
                n => format!("{n} times"),
            },
            human::seconds(summary.down_seconds_max)
        ),
    };
    format!(
        "{}: {} in {} steps, mean {}\n  {}, max {}\n  {down}\n",
        name.display(),
        human::seconds(summary.seconds),
        summary.steps,
        human::bit_rate(summary.mean),
        quantiles.join(", "),
        human::bit_rate(summary.max),
    )
}

fn json(summary: &Summary) -> String {
    let quantiles: Vec<_> = summary
        .quantiles
        .iter()
        .map(|(q, rate)| [*q, *rate])
        .collect();
    let value = serde_json::json!({
        "seconds": summary.seconds,
        "steps": summary.steps,
        "mean": summary.mean,
        "quantiles": quantiles,
        "max": summary.max,
        "down_share": summary.down_share,
        "down_count": summary.down_count,
        "down_seconds_max": summary.down_seconds_max,
    });
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_asked_may_mistype_twice() {
        let check = |answers: &str, expect: Option<f64>, said: &str| {
            let mut out = Vec::new();
            assert_eq!(
                ask(3.2, &mut answers.as_bytes(), &mut out),
                expect,
                "{answers:?}"
            );
            let out = String::from_utf8(out).expect("text");
            assert!(out.contains(said), "{out}");
        };
        check("Mbit/s\n", Some(1e6), "Mbit/s  a mean of 3.2Mbit/s");
        check(
            "mbit\nMB\nMB/s\n",
            Some(8e6),
            "`mbit` is none of bit/s, kbit/s",
        );
        check("a\nb\nc\nMB/s\n", None, "unit: ");
        check("", None, "unit: ");
    }
}
