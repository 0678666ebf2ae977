//! The tables of a report. Every number that decides something is here as text; the plots only show it.

use std::fmt::Write as _;

use super::esc;
use crate::{
    Expectation, Manifest, Op, Oracle, RunResult, RunSeries, SeedSeries, Severity, Unit, Verdict,
    human, terminal,
};

/// A cell of a verdict: its sign and a word, so that neither colour nor shape stands alone.
fn verdict(verdict: Verdict, severity: Severity) -> (&'static str, &'static str) {
    match (verdict, severity) {
        (Verdict::Pass, _) => ("good", "✓ holds"),
        (Verdict::Fail, Severity::Error) => ("bad", "✗ fails"),
        (Verdict::Fail, Severity::Warn) => ("unsure", "! fails (warning)"),
        (Verdict::Inconclusive, _) => ("unsure", "? inconclusive"),
        (Verdict::Skipped, _) => ("faint", "– not asked"),
    }
}

fn open(out: &mut String, columns: &[&str]) {
    out.push_str("<div class=\"scroll\"><table><thead><tr>");
    for column in columns {
        let _ = write!(out, "<th>{}</th>", esc(column));
    }
    out.push_str("</tr></thead><tbody>\n");
}

fn close(out: &mut String) {
    out.push_str("</tbody></table></div>\n");
}

/// How far a value is on the right side of its limit, as a share of the limit; `None` where that means nothing.
pub(crate) fn margin(e: &Expectation) -> Option<f64> {
    let value = e.value.filter(|v| v.is_finite())?;
    if e.limit == 0.0 || !e.limit.is_finite() {
        return None;
    }
    match e.op {
        Op::Lt | Op::Le => Some((e.limit - value) / e.limit.abs()),
        Op::Gt | Op::Ge => Some((value - e.limit) / e.limit.abs()),
        Op::Eq | Op::Ne => None,
    }
}

/// What is possible at best, or what a closed form says of the very measure that an expectation asks for.
pub(crate) fn physics(result: &RunResult, e: &Expectation) -> Option<String> {
    if let Some(physics) = &e.physics {
        return Some(show(e.unit, physics.value));
    }
    let same = |o: &&Oracle| o.observe == e.measure && o.unit == e.unit;
    let oracle = result.oracles.iter().find(same)?;
    oracle.theory.map(|theory| show(oracle.unit, theory))
}

/// What was measured, as the terminal writes it.
pub(crate) fn value(e: &Expectation) -> String {
    match e.value {
        Some(v) if e.value_is_lower_bound => format!("> {}", e.unit.show(v)),
        Some(v) => e.unit.show(v),
        None => "–".into(),
    }
}

pub(super) fn expectations(out: &mut String, result: &RunResult, series: Option<&RunSeries>) {
    if result.expectations.is_empty() {
        out.push_str("<p class=\"missing\">The scenario expects nothing.</p>\n");
        return;
    }
    let columns = [
        "#",
        "expectation",
        "verdict",
        "measured",
        "limit",
        "margin",
        "theory",
        "seeds",
        "worst seed",
        "when",
    ];
    open(out, &columns);
    for (index, e) in result.expectations.iter().enumerate() {
        let (class, word) = verdict(e.verdict, e.severity);
        let theory = physics(result, e);
        let worst = e.worst.as_ref();
        let spot = worst.and_then(|w| {
            let seed = series?.seeds.iter().find(|s| s.seed == w.seed)?;
            let spot = seed.spots.iter().find(|s| s.expectation == e.id)?;
            Some(format!(
                "<a href=\"#s{}-e{}\">{}</a>",
                w.seed,
                index + 1,
                esc(&spot.clock)
            ))
        });
        let _ = writeln!(
            out,
            "<tr id=\"e{0}\"><td>{0}</td><th>{1}</th><td class=\"{class}\">{word}</td><td>{2}</td><td>{3} {4}</td><td>{5}</td>\
             <td>{6}</td><td>{7}/{8}</td><td>{9}</td><td>{10}</td></tr>",
            index + 1,
            esc(&e.id),
            esc(&value(e)),
            e.op.sign(),
            esc(&e.limit_text),
            margin(e).map_or("–".into(), human::deviation),
            theory.map_or("–".into(), |t| esc(&t)),
            e.seeds_held,
            e.seeds_total,
            worst.map_or("–".into(), |w| {
                let value = w.value.map_or("never".into(), |v| e.unit.show(v));
                format!("#{} ({})", w.seed, esc(&value))
            }),
            spot.unwrap_or_else(|| "–".into()),
        );
        let mut says = format!("<code>{}</code>", esc(&e.text));
        if !e.window.is_empty() {
            let _ = write!(says, ", {}", esc(&e.window));
        }
        if let Some(samples) = e.samples {
            let _ = write!(says, ", {} samples", human::count(samples as f64));
        }
        if let Some(interval) = &e.interval {
            let end = |v: Option<f64>| v.map_or("unbounded".into(), |v| e.unit.show(v));
            let _ = write!(
                says,
                ", {} to {} with a confidence of {}",
                esc(&end(interval.low)),
                esc(&end(interval.high)),
                human::fraction(interval.confidence)
            );
        }
        if let Some(physics) = &e.physics {
            let _ = write!(says, "; {}", esc(&physics.text));
        }
        for note in &e.notes {
            let _ = write!(says, "; {}", esc(note));
        }
        let _ = writeln!(
            out,
            "<tr class=\"says\"><td></td><td colspan=\"9\">{says} <span class=\"faint\">{}:{}</span></td></tr>",
            esc(&e.file),
            e.line
        );
    }
    close(out);
    out.push_str(
        "<p class=\"faint\">Margin: how far the value is on the right side of its limit, as a share of the limit. Theory: what is \
         possible at best, or what a closed form says of the same measure. Quantiles and shares are judged on the samples of all seeds together; everything else \
         must hold in each seed.</p>\n",
    );
}

/// Times with tenths of a second beside theory.
fn show(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds => human::seconds_fine(value),
        unit => unit.show(value),
    }
}

pub(super) fn oracles(out: &mut String, result: &RunResult) {
    if result.oracles.is_empty() {
        return;
    }
    open(
        out,
        &[
            "oracle",
            "verdict",
            "theory",
            "observed",
            "deviation",
            "band",
            "what went in",
        ],
    );
    for o in &result.oracles {
        let (class, word) = verdict(o.verdict, Severity::Error);
        let half = o
            .deviation_half_width
            .map(|h| format!(" ± {}", human::fraction(h)));
        let deviation = o.deviation.map(human::deviation);
        let mut inputs: Vec<String> = o
            .inputs
            .iter()
            .map(|i| format!("{} = {} ({})", i.name, show(i.unit, i.value), i.origin))
            .collect();
        if let Some(declared) = o.theory_declared {
            inputs.push(format!(
                "with the figures of the file alone {}",
                show(o.unit, declared)
            ));
        }
        inputs.extend(o.notes.iter().cloned());
        let _ = writeln!(
            out,
            "<tr><th>{}<br><span class=\"faint\">{}</span></th><td class=\"{class}\">{word}</td><td>{}</td><td>{}</td><td>{}{}</td>\
             <td>±{}</td><td class=\"text\">{}</td></tr>",
            esc(&o.id),
            esc(&o.model),
            o.theory.map_or("refuses".into(), |t| esc(&show(o.unit, t))),
            o.observed.map_or("–".into(), |t| esc(&show(o.unit, t))),
            deviation.unwrap_or_else(|| "–".into()),
            half.unwrap_or_default(),
            human::fraction(o.tolerance),
            esc(&inputs.join("; ")),
        );
    }
    close(out);
}

pub(super) fn invariants(out: &mut String, result: &RunResult) {
    if result.invariants.is_empty() {
        return;
    }
    open(out, &["invariant", "what it says", "verdict", "message"]);
    for i in &result.invariants {
        let (class, word) = verdict(i.verdict, Severity::Error);
        let seed = i
            .seed
            .map(|s| format!(" (seed {s}, {} seeds in all)", i.seeds_violated));
        let _ = writeln!(
            out,
            "<tr><th>{}</th><td class=\"text\">{}</td><td class=\"{class}\">{word}</td><td class=\"text\">{}{}</td></tr>",
            esc(&i.id),
            esc(&i.title),
            esc(&i.message),
            seed.unwrap_or_default(),
        );
    }
    close(out);
}

/// What happened when, and the faults' stretches, as text.
pub(super) fn moments(out: &mut String, seed: &SeedSeries) {
    if seed.moments.is_empty() {
        return;
    }
    out.push_str("<details class=\"table\"><summary>What happened when</summary>\n");
    open(out, &["at", "", "what"]);
    for m in &seed.moments {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"text\">{}</td></tr>",
            esc(&m.clock),
            esc(&m.symbol),
            esc(&m.text)
        );
    }
    close(out);
    out.push_str("</details>\n");
}

/// The quantiles that have a column.
const COLUMNS: [(f64, &str); 5] = [
    (0.5, "p50"),
    (0.9, "p90"),
    (0.95, "p95"),
    (0.99, "p99"),
    (0.999, "p999"),
];

pub(super) fn latencies(out: &mut String, series: &RunSeries) {
    if series.latencies.is_empty() {
        return;
    }
    let mut columns = vec!["latency", "phase", "samples"];
    columns.extend(COLUMNS.iter().map(|(_, name)| *name));
    columns.push("max");
    open(out, &columns);
    for l in &series.latencies {
        let _ = write!(
            out,
            "<tr><th>{}</th><td>{}</td><td>{}</td>",
            esc(&l.metric),
            l.phase.name(),
            human::count(l.samples as f64)
        );
        for (q, _) in COLUMNS {
            let found = l.quantiles.iter().find(|(of, _)| *of == q);
            let _ = write!(
                out,
                "<td>{}</td>",
                found.map_or("–".into(), |(_, v)| human::seconds(*v))
            );
        }
        let max = l.max_seconds.map_or("–".into(), human::seconds);
        let _ = writeln!(out, "<td>{max}</td></tr>");
    }
    close(out);
    out.push_str(
        "<p class=\"faint\">Samples of all seeds, by the time at which they began, after the warm-up. After: for as long as the fault had \
         lasted, until the next one. Values are within 0.4 %; a quantile without enough samples has none.</p>\n",
    );
}

pub(super) fn links(out: &mut String, series: &RunSeries) {
    if series.links.is_empty() {
        return;
    }
    open(
        out,
        &["link", "direction", "class", "bytes", "packets lost"],
    );
    for l in &series.links {
        let _ = writeln!(
            out,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            esc(&l.link),
            esc(&l.direction),
            esc(&l.class),
            human::bytes(l.bytes),
            human::count(l.packets_lost.round()),
        );
    }
    close(out);
    out.push_str(
        "<p class=\"faint\">Wire bytes in one run, headers counted; mean of all seeds.</p>\n",
    );
    for a in &series.allowances {
        let share = match a.bytes > 0.0 {
            true => human::fraction(a.bytes_used / a.bytes),
            false => "–".into(),
        };
        let _ = writeln!(
            out,
            "<p>Allowance of <strong>{}</strong>: {} of {} in {} used ({share}), by seed {}, which used most.</p>",
            esc(&a.link),
            human::bytes(a.bytes_used),
            human::bytes(a.bytes),
            human::span(a.period_seconds),
            a.seed
        );
    }
}

/// What a reader must not conclude. From the run itself, then from the model.
pub(crate) fn limits_of(result: &RunResult) -> Vec<String> {
    let notes = result.notes.iter();
    let mut out: Vec<String> = notes
        .filter(|n| !n.starts_with("trace "))
        .cloned()
        .collect();
    let n = result.seeds.len();
    let ran = match n {
        1 => "1 seed was run".to_owned(),
        _ => format!("{} were run", terminal::plural(n, "seed")),
    };
    // 3/n is all of them for three seeds: it says nothing.
    if (1..=3).contains(&n) {
        out.push(format!(
            "{ran}, and so few bound nothing: what goes wrong in none of 30 may still go wrong in up to 10% of all days like this one (95 %, rule of three)."
        ));
    } else if n > 0 {
        // 3/n: the 95 % bound of a share of which nothing was seen in n trials (Hanley and Lippman-Hand, JAMA 1983).
        let bound = human::fraction((3.0 / n as f64).min(1.0));
        out.push(format!(
            "{ran}. What went wrong in none of them may still go wrong in up to {bound} of all days like this one (95 %, rule of three)."
        ));
    } else {
        out.push("No seed was run to its end: nothing above is a measurement.".into());
    }
    if result.oracles.is_empty() {
        out.push("No closed form was compared with it: `[[oracle]]` would say whether to believe the run.".into());
    }
    let skipped: Vec<&str> = result
        .expectations
        .iter()
        .filter(|e| e.verdict == Verdict::Skipped)
        .map(|e| e.id.as_str())
        .collect();
    if !skipped.is_empty() {
        out.push(format!(
            "Not asked, because their window never happened: {}.",
            skipped.join(", ")
        ));
    }
    out.push(
        "One store with head office to itself: nothing here says what a region of stores that come back together does to it."
            .into(),
    );
    out.push(
        "The simulated TCP has a fixed window of 64 KiB and no congestion control; encryption costs round trips and no time of a processor."
            .into(),
    );
    out
}

pub(super) fn limits(out: &mut String, result: &RunResult) {
    out.push_str("<ul>");
    for line in limits_of(result) {
        let _ = writeln!(out, "<li>{}</li>", esc(&line));
    }
    out.push_str("</ul>\n");
}

/// What the run says of its traces: that a seed gave the same one again belongs to its proofs, not to its limits.
pub(crate) fn traces(result: &RunResult) -> Vec<&str> {
    let notes = result.notes.iter().map(String::as_str);
    notes.filter(|note| note.starts_with("trace ")).collect()
}

/// The commands that show it again: the run, then the worst seed of each question that does not hold.
pub(crate) fn commands(result: &RunResult) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let seeds = result
        .expectations
        .iter()
        .filter(|e| matches!(e.verdict, Verdict::Fail | Verdict::Inconclusive));
    let seeds = seeds.filter_map(|e| e.worst.as_ref().map(|w| w.seed));
    let seeds = seeds.chain(result.invariants.iter().filter_map(|i| i.seed));
    for seed in seeds.chain(result.seeds.first().copied()) {
        let command = terminal::reproduce(result, seed);
        if !all.contains(&command) {
            all.push(command);
        }
    }
    all
}

pub(super) fn again(out: &mut String, result: &RunResult, manifest: Option<&Manifest>) {
    out.push_str("<pre>");
    for command in commands(result) {
        let _ = writeln!(out, "{}", esc(&command));
    }
    out.push_str("</pre>\n");
    for note in traces(result) {
        let _ = writeln!(out, "<p class=\"faint\">{}</p>", esc(note));
    }
    let Some(manifest) = manifest else {
        out.push_str("<p class=\"missing\">There is no manifest.json beside this result: its inputs have no checksums here.</p>\n");
        return;
    };
    let _ = writeln!(
        out,
        "<p>Backroom {}, {}, {}: {} simulated in {}, {} worker processes. <code>{}</code></p>",
        esc(&manifest.tool_version),
        esc(&manifest.platform),
        esc(&manifest.started_at),
        human::span(manifest.timing.simulated_seconds),
        human::seconds(manifest.timing.wall_seconds),
        manifest.timing.jobs,
        esc(&manifest.argv.join(" ")),
    );
    open(out, &["input", "CRC32C"]);
    for input in &manifest.inputs {
        let _ = writeln!(
            out,
            "<tr><th>{}</th><td><code>{}</code></td></tr>",
            esc(&input.file),
            esc(&input.crc32c)
        );
    }
    close(out);
    // 50: a run of ten thousand seeds has its traces in summary.json.
    const TRACES_MAX: usize = 50;
    if !result.traces.is_empty() {
        out.push_str("<details class=\"table\"><summary>Trace hashes</summary>\n");
        open(out, &["seed", "trace"]);
        for trace in result.traces.iter().take(TRACES_MAX) {
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td><code>{}</code></td></tr>",
                trace.seed,
                esc(&trace.hash)
            );
        }
        close(out);
        if result.traces.len() > TRACES_MAX {
            let _ = writeln!(
                out,
                "<p class=\"faint\">{} more stand in summary.json.</p>",
                result.traces.len() - TRACES_MAX
            );
        }
        out.push_str("</details>\n");
    }
}
