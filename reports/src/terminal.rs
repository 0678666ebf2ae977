//! The screen after a run: what was asked, what was measured, what it should have been, and how to see it again.
//!
//! Decides the layout and nothing else. Symbols carry the verdict and colours repeat it, so that nothing is lost without
//! colour. The caller says whether there is colour and how wide the screen is.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    Expectation, Interval, Oracle, RunResult, Severity, Timing, Unit, Verdict, exit, human,
};

/// The styles of the parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Styles {
    /// What holds.
    pub good: Style,
    /// What does not.
    pub bad: Style,
    /// What is unsure, or only a warning.
    pub unsure: Style,
    /// What is beside the point.
    pub faint: Style,
    /// The scenario's name and the last word.
    pub strong: Style,
}

impl Styles {
    /// No colour at all.
    pub fn plain() -> Self {
        Self::default()
    }

    /// The terminal's own palette.
    pub fn colored() -> Self {
        Self {
            good: AnsiColor::Green.on_default().bold(),
            bad: AnsiColor::Red.on_default().bold(),
            unsure: AnsiColor::Yellow.on_default().bold(),
            faint: Style::new().dimmed(),
            strong: Style::new().bold(),
        }
    }
}

/// How to show a result.
#[derive(Clone, Copy, Debug)]
pub struct Screen<'a> {
    /// Colours.
    pub styles: Styles,
    /// Columns; 100 where nobody knows.
    pub width: usize,
    /// How fast it was; `None` leaves it out.
    pub timing: Option<&'a Timing>,
    /// Where the report stands; `None` if none was written.
    pub report: Option<&'a str>,
}

/// Shortest column for what was measured, before it is cut.
const MEASURE_MIN: usize = 24;

/// The whole screen, a newline at its end.
pub fn render(result: &RunResult, screen: &Screen<'_>) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(header(result, screen));
    timeline(result, screen).into_iter().for_each(&mut line);
    expectations(result, screen).into_iter().for_each(&mut line);
    for oracle in &result.oracles {
        oracle_lines(oracle, result, screen)
            .into_iter()
            .for_each(&mut line);
    }
    invariants(result, screen).into_iter().for_each(&mut line);
    failures(result, screen).into_iter().for_each(&mut line);
    for note in &result.notes {
        line(paint(screen.styles.faint, &format!("  note: {note}")));
    }
    line(footer(result, screen));
    out
}

fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn header(result: &RunResult, screen: &Screen<'_>) -> String {
    let seeds = result.seeds.len();
    let of = match result.seeds_planned > seeds {
        true => format!("{seeds} of {} seeds", result.seeds_planned),
        false => plural(seeds, "seed"),
    };
    let name = paint(screen.styles.strong, &result.scenario);
    let each = human::span(result.simulated_seconds);
    let left = format!("{name}  {of}  {each} simulated each");
    match screen.timing {
        None => left,
        Some(timing) => {
            let wall = human::seconds(timing.wall_seconds);
            let speed = human::ratio(timing.times_real_time());
            format!(
                "{left}  {}",
                paint(
                    screen.styles.faint,
                    &format!("in {wall} ({speed}× real time)")
                )
            )
        }
    }
}

/// As many moments on a line as fit.
fn timeline(result: &RunResult, screen: &Screen<'_>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for moment in &result.timeline {
        let parts = [&moment.clock, &moment.symbol, &moment.text];
        let mut text = parts
            .into_iter()
            .filter(|p| !p.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(" ");
        if let Some(seed) = moment.seed
            && result.seeds.len() > 1
        {
            text = format!("{text} (#{seed})");
        }
        match lines.last_mut() {
            Some(last) if last.width() + 6 + text.width() <= screen.width => {
                last.push_str("      ");
                last.push_str(&text);
            }
            _ => lines.push(format!("  {text}")),
        }
    }
    lines
        .into_iter()
        .map(|line| paint(screen.styles.faint, &line))
        .collect()
}

/// Cells of one row, without colour.
struct Row<'a> {
    expectation: &'a Expectation,
    measure: String,
    value: String,
    limit: String,
    seeds: String,
    worst: String,
}

fn expectations(result: &RunResult, screen: &Screen<'_>) -> Vec<String> {
    let rows: Vec<Row<'_>> = result.expectations.iter().map(row).collect();
    let widest = |width: fn(&Row<'_>) -> usize| rows.iter().map(width).max().unwrap_or(0);
    let id = widest(|r| r.expectation.id.width());
    let value = widest(|r| r.value.width());
    let limit = widest(|r| r.limit.width());
    let seeds = widest(|r| r.seeds.width());
    let worst = widest(|r| r.worst.width());
    let others = 4 + id + 2 + 2 + value + 2 + limit + 2 + seeds + 2 + worst;
    let room = screen.width.saturating_sub(others).max(MEASURE_MIN);
    let measure = widest(|r| r.measure.width()).min(room);

    let mut lines = Vec::new();
    for row in &rows {
        let e = row.expectation;
        let (sign, style) = sign(e.verdict, e.severity, screen.styles);
        lines.push(format!(
            "  {} {}  {}  {}  {}  {}  {}",
            paint(style, sign),
            pad(&e.id, id),
            pad(&cut(&row.measure, measure), measure),
            paint(style, &pad(&row.value, value)),
            pad(&row.limit, limit),
            pad(&row.seeds, seeds),
            paint(screen.styles.faint, &row.worst),
        ));
        if let Some(physics) = &e.physics {
            let text = format!("      {}", physics.text);
            lines.push(paint(screen.styles.faint, &text));
        }
        if e.verdict == Verdict::Pass {
            continue;
        }
        lines.extend(details(e, result));
    }
    lines
}

fn row(e: &Expectation) -> Row<'_> {
    let value = match e.value {
        Some(v) if e.value_is_lower_bound => format!("> {}", e.unit.show(v)),
        Some(v) => format!("= {}", e.unit.show(v)),
        None => "= –".into(),
    };
    let value = match &e.interval {
        Some(interval) => format!("{value} {}", between(interval, e.unit)),
        None => value,
    };
    let worst = match &e.worst {
        Some(worst) if e.seeds_total > 1 => {
            let value = worst
                .value
                .map_or_else(|| "never".into(), |v| e.unit.show(v));
            format!("worst {value} (#{})", worst.seed)
        }
        _ => String::new(),
    };
    Row {
        measure: e.measure.clone(),
        value,
        limit: format!("{} {}", e.op.sign(), e.limit_text),
        seeds: format!("{}/{} seeds", e.seeds_held, e.seeds_total),
        worst,
        expectation: e,
    }
}

/// `(0.002% … 0.007%)`; an end that is not bounded is a dash.
fn between(interval: &Interval, unit: Unit) -> String {
    let end = |value: Option<f64>| value.map_or_else(|| "–".into(), |v| unit.show(v));
    format!("({} … {})", end(interval.low), end(interval.high))
}

/// Where it stands in the file, why it is not a plain yes, and the command that shows it again.
fn details(e: &Expectation, result: &RunResult) -> Vec<String> {
    let place = format!("{}:{}", e.file, e.line);
    let mut lines = vec![format!("      {place}: {}", e.text)];
    if !e.window.is_empty() {
        lines[0].push_str(&format!(", {}", e.window));
    }
    lines.extend(e.notes.iter().map(|note| format!("      {note}")));
    if let (Verdict::Fail | Verdict::Inconclusive, Some(worst)) = (e.verdict, &e.worst) {
        lines.push(format!(
            "      reproduce: {}",
            reproduce(result, worst.seed)
        ));
    }
    lines
}

/// The one command that runs this seed again.
pub fn reproduce(result: &RunResult, seed: u64) -> String {
    let mut command = format!("backroom run {} --seed {seed}", shell_word(&result.file));
    for change in &result.overrides {
        command.push_str(&format!(" --set {}", shell_word(change)));
    }
    command
}

/// A word of a command line, quoted where a POSIX shell needs it.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn oracle_lines(oracle: &Oracle, result: &RunResult, screen: &Screen<'_>) -> Vec<String> {
    let (sign, style) = match oracle.verdict {
        Verdict::Pass => ("=", screen.styles.good),
        other => sign(other, Severity::Error, screen.styles),
    };
    let show = |value: f64| match oracle.unit {
        Unit::Seconds => human::seconds_fine(value),
        unit => unit.show(value),
    };
    let mut text = format!("  {} {}", paint(style, sign), oracle.id);
    match oracle.theory {
        Some(theory) => text.push_str(&format!(" (theory {})", show(theory))),
        None => text.push_str(&format!(" ({} refuses)", oracle.model)),
    }
    if let (Some(observed), Some(deviation)) = (oracle.observed, oracle.deviation) {
        let deviation = paint(style, &human::deviation(deviation));
        let half = oracle
            .deviation_half_width
            .map(|h| format!(" ± {}", human::fraction(h)))
            .unwrap_or_default();
        let band = human::fraction(oracle.tolerance);
        text.push_str(&format!(
            " observed {}, {deviation}{half}, band ±{band}",
            show(observed)
        ));
    }
    let mut lines = vec![text];
    let mut inputs: Vec<String> = oracle
        .inputs
        .iter()
        .map(|input| match input.unit {
            Unit::Seconds => format!("{} = {}", input.name, human::seconds_fine(input.value)),
            unit => format!("{} = {}", input.name, unit.show(input.value)),
        })
        .collect();
    if let Some(declared) = oracle.theory_declared {
        inputs.push(format!(
            "with the figures of the file alone {}",
            show(declared)
        ));
    }
    if !inputs.is_empty() {
        lines.push(paint(
            screen.styles.faint,
            &format!("      {}", inputs.join(", ")),
        ));
    }
    lines.extend(oracle.notes.iter().map(|note| format!("      {note}")));
    if oracle.verdict == Verdict::Fail {
        lines.push(format!(
            "      {}:{}: model {}",
            oracle.file, oracle.line, oracle.model
        ));
        let off = |s: &&crate::OracleSeed| match (s.theory, s.observed) {
            (Some(t), Some(o)) => (o / t - 1.0).abs(),
            _ => f64::INFINITY,
        };
        if let Some(worst) = oracle.seeds.iter().max_by(|a, b| off(a).total_cmp(&off(b))) {
            lines.push(format!(
                "      reproduce: {}",
                reproduce(result, worst.seed)
            ));
        }
    }
    lines
}

/// Only what does not hold: what holds is in the last line.
fn invariants(result: &RunResult, screen: &Screen<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for invariant in &result.invariants {
        if matches!(invariant.verdict, Verdict::Pass | Verdict::Skipped) {
            continue;
        }
        let (sign, style) = sign(invariant.verdict, Severity::Error, screen.styles);
        lines.push(format!(
            "  {} {} {}",
            paint(style, sign),
            invariant.id,
            invariant.title
        ));
        lines.push(format!("      {}", invariant.message));
        if let Some(seed) = invariant.seed {
            lines.push(format!("      reproduce: {}", reproduce(result, seed)));
        }
    }
    lines
}

/// 5 seeds that did not run to their end: a crash of one is mostly a crash of all.
const FAILURES_MAX: usize = 5;

fn failures(result: &RunResult, screen: &Screen<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for failure in result.failures.iter().take(FAILURES_MAX) {
        let what = failure.kind.as_str();
        lines.push(format!(
            "  {} seed {} {what}: {}",
            paint(screen.styles.bad, "✗"),
            failure.seed,
            failure.message
        ));
        lines.push(format!(
            "      reproduce: {}",
            reproduce(result, failure.seed)
        ));
    }
    let more = result.failures.len().saturating_sub(FAILURES_MAX);
    if more > 0 {
        lines.push(format!("      and {} more", plural(more, "seed")));
    }
    lines
}

fn footer(result: &RunResult, screen: &Screen<'_>) -> String {
    let (word, style) = match result.exit_code {
        exit::OK => ("PASS", screen.styles.good),
        exit::INCONCLUSIVE => ("INCONCLUSIVE", screen.styles.unsure),
        exit::UNFINISHED => ("UNFINISHED", screen.styles.unsure),
        exit::INTERRUPTED => ("INTERRUPTED", screen.styles.unsure),
        exit::SUSPECT => ("SUSPECT", screen.styles.bad),
        exit::CANNOT_WRITE => ("NOT WRITTEN", screen.styles.bad),
        _ => ("FAIL", screen.styles.bad),
    };
    let total = result.expectations.len();
    let held = result
        .expectations
        .iter()
        .filter(|e| e.verdict == Verdict::Pass)
        .count();
    let mut parts = Vec::new();
    match total {
        0 => parts.push("nothing expected".to_owned()),
        _ if held == total => parts.push(format!("{} hold", plural(total, "expectation"))),
        _ => parts.push(format!("{held} of {total} expectations hold")),
    }
    parts.extend(summary("oracle", result.oracles.iter().map(|o| o.verdict)));
    parts.extend(summary(
        "invariants",
        result.invariants.iter().map(|i| i.verdict),
    ));
    let mut text = format!("{}  {}", paint(style, word), parts.join(", "));
    if let Some(report) = screen.report {
        text.push_str(&format!("      report: {report}"));
    }
    text.push_str(&format!("      exit {}", result.exit_code));
    text
}

fn summary(name: &str, verdicts: impl Iterator<Item = Verdict>) -> Option<String> {
    let all: Vec<Verdict> = verdicts.collect();
    let has = |verdict| all.contains(&verdict);
    match () {
        () if all.is_empty() => None,
        () if has(Verdict::Fail) => Some(format!("{name} FAILED")),
        () if has(Verdict::Inconclusive) => Some(format!("{name} inconclusive")),
        () if all.iter().all(|v| *v == Verdict::Skipped) => Some(format!("{name} skipped")),
        () => Some(format!("{name} ok")),
    }
}

fn sign(verdict: Verdict, severity: Severity, styles: Styles) -> (&'static str, Style) {
    match (verdict, severity) {
        (Verdict::Pass, _) => ("✓", styles.good),
        (Verdict::Fail, Severity::Error) => ("✗", styles.bad),
        (Verdict::Fail, Severity::Warn) => ("!", styles.unsure),
        (Verdict::Inconclusive, _) => ("?", styles.unsure),
        (Verdict::Skipped, _) => ("-", styles.faint),
    }
}

/// `1 seed`, `20 seeds`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// Cuts the middle out: the function in front and the filter at the end both matter.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let keep = width.saturating_sub(1);
    let (head, tail) = (keep - keep / 2, keep / 2);
    chars[..head]
        .iter()
        .chain(['…'].iter())
        .chain(&chars[chars.len() - tail..])
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
