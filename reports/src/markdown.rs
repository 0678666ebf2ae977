//! The report as Markdown (GitHub's): for a pull request, a ticket, or a step summary. Tables only; plots need HTML.
//!
//! Text from a scenario is escaped: a name can neither end a cell nor become a link or a tag.

use std::fmt::Write as _;

use crate::{
    RunResult, Verdict,
    html::{Report, commands, limits_of, margin, physics, sentence, traces, value, word},
    human,
};

/// The whole report.
pub fn render(report: &Report<'_>) -> String {
    let result = report.result;
    let mut out = String::new();
    let _ = writeln!(out, "# {}\n", esc(&result.scenario));
    let _ = writeln!(out, "**{}** {}\n", word(result), esc(&sentence(result)));
    if !result.description.is_empty() {
        let _ = writeln!(out, "{}\n", esc(&result.description));
    }
    expectations(&mut out, result);
    oracles(&mut out, result);
    latencies(&mut out, report);
    links(&mut out, report);
    for invariant in result.violated() {
        let _ = writeln!(
            out,
            "**{}** is violated: {}\n",
            esc(&invariant.id),
            esc(&invariant.message)
        );
    }
    out.push_str("## What this run does not tell you\n\n");
    for line in limits_of(result) {
        let _ = writeln!(out, "- {}", esc(&line));
    }
    out.push_str("\n## Run it again\n\n```\n");
    for command in commands(result) {
        // A fence ends at three backticks at the start of a line; a command is one line and begins with its name.
        let _ = writeln!(out, "{}", command.replace(['\n', '\r'], " "));
    }
    out.push_str("```\n");
    for note in traces(result) {
        let _ = writeln!(out, "\n{}", esc(note));
    }
    if let Some(manifest) = report.manifest {
        out.push_str("\n| input | CRC32C |\n|---|---|\n");
        for input in &manifest.inputs {
            let _ = writeln!(out, "| {} | {} |", esc(&input.file), esc(&input.crc32c));
        }
    }
    out
}

fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::Inconclusive => "?",
        Verdict::Skipped => "–",
    }
}

fn expectations(out: &mut String, result: &RunResult) {
    if result.expectations.is_empty() {
        return;
    }
    out.push_str("| | expectation | measured | limit | margin | theory | seeds | worst |\n|---|---|---|---|---|---|---|---|\n");
    for e in &result.expectations {
        let theory = physics(result, e);
        let worst = e.worst.as_ref().map(|w| format!("seed {}", w.seed));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} {} | {} | {} | {}/{} | {} |",
            sign(e.verdict),
            esc(&e.id),
            esc(&value(e)),
            e.op.sign(),
            esc(&e.limit_text),
            margin(e).map_or("–".into(), human::deviation),
            theory.unwrap_or_else(|| "–".into()),
            e.seeds_held,
            e.seeds_total,
            worst.unwrap_or_else(|| "–".into()),
        );
    }
    out.push('\n');
    for e in result
        .expectations
        .iter()
        .filter(|e| e.verdict != Verdict::Pass)
    {
        let notes: String = e.notes.iter().map(|n| format!("; {}", esc(n))).collect();
        let _ = writeln!(
            out,
            "- {}: {} ({}:{}){notes}",
            esc(&e.id),
            esc(&e.text),
            esc(&e.file),
            e.line
        );
    }
    out.push('\n');
}

fn oracles(out: &mut String, result: &RunResult) {
    if result.oracles.is_empty() {
        return;
    }
    out.push_str(
        "| | oracle | theory | observed | deviation | band |\n|---|---|---|---|---|---|\n",
    );
    for o in &result.oracles {
        let show = |value: Option<f64>| value.map_or("–".into(), |v| o.unit.show(v));
        let _ = writeln!(
            out,
            "| {} | {} ({}) | {} | {} | {} | ±{} |",
            sign(o.verdict),
            esc(&o.id),
            esc(&o.model),
            show(o.theory),
            show(o.observed),
            o.deviation.map_or("–".into(), human::deviation),
            human::fraction(o.tolerance),
        );
    }
    out.push('\n');
}

fn latencies(out: &mut String, report: &Report<'_>) {
    let all = report
        .series
        .map(|s| s.latencies.as_slice())
        .unwrap_or_default();
    if all.is_empty() {
        return;
    }
    out.push_str(
        "| latency | phase | samples | p50 | p95 | p99 | max |\n|---|---|---|---|---|---|---|\n",
    );
    for l in all {
        let quantile = |q: f64| {
            let found = l.quantiles.iter().find(|(of, _)| *of == q);
            found.map_or("–".into(), |(_, v)| human::seconds(*v))
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            esc(&l.metric),
            l.phase.name(),
            human::count(l.samples as f64),
            quantile(0.5),
            quantile(0.95),
            quantile(0.99),
            l.max_seconds.map_or("–".into(), human::seconds),
        );
    }
    out.push('\n');
}

fn links(out: &mut String, report: &Report<'_>) {
    let all = report
        .series
        .map(|s| s.links.as_slice())
        .unwrap_or_default();
    if all.is_empty() {
        return;
    }
    out.push_str("| link | direction | class | bytes |\n|---|---|---|---|\n");
    for l in all {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            esc(&l.link),
            esc(&l.direction),
            esc(&l.class),
            human::bytes(l.bytes)
        );
    }
    out.push('\n');
}

/// Text for Markdown, on one line.
fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '@' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_cell() {
        assert_eq!(esc("a|b\n<script>"), "a\\|b \\<script\\>");
        assert_eq!(esc("[x](y)"), "\\[x\\](y)");
        assert_eq!(esc("caught-up-in-10-min"), "caught-up-in-10-min");
    }
}
