//! The report: one HTML file that opens from an e-mail, without a network, and is read without scripts.
//!
//! Decides what stands on the page and in which order; what is drawn is `plot`'s, what is tabulated `tables`'s. Everything that
//! comes from a scenario goes through `esc`: names are hostile until they are escaped. The page allows itself nothing but its own style and
//! script, by their hashes, so that a name that got through could still do nothing. The script adds a cursor that all
//! plots share, and decides nothing.
//!
//! Next to read: `tables`, `plot`, `axis`; `sweep`, the page of a sweep; `report.css`, `report.js`.

mod axis;
mod heat;
mod plot;
mod sweep;
mod tables;

use std::fmt::Write as _;

pub use sweep::render as render_sweep;
pub(crate) use tables::{commands, limits_of, margin, physics, traces, value};

use crate::{Manifest, RunResult, RunSeries, SeedSeries, Verdict, exit, human, terminal};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// SHA-256 of the files beside this one, for the page's policy; a test holds them to it.
const STYLE_SHA256: &str = "lEqJ1Pw4usXnFJ6MscmVNaYzZ+OrTN2rai+tVLGVTRk=";
const SCRIPT_SHA256: &str = "XqtbN647RntEQns3qwTnw616YSio1WHi9zXa0PYmQa0=";

/// 1.9 MB: what an e-mail takes without a word. Seeds that do not fit are left out, and the page says so.
pub const BYTES_MAX: usize = 1_900_000;

/// Everything a report is made of. What is `None` is missing, and the page says so.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The result.
    pub result: &'a RunResult,
    /// Series for the plots.
    pub series: Option<&'a RunSeries>,
    /// How it was run.
    pub manifest: Option<&'a Manifest>,
}

/// The whole page. Equal input gives equal bytes.
pub fn render(report: &Report<'_>) -> String {
    let result = report.result;
    let mut page = head(&format!("{}: {}", word(result), result.scenario));
    verdict(&mut page, report);
    section(&mut page, "expectations", "What was asked", |out| {
        tables::expectations(out, result, report.series);
    });
    section(&mut page, "theory", "What theory says", |out| {
        tables::oracles(out, result);
    });
    let tail = tail(report);
    let room = BYTES_MAX.saturating_sub(page.len() + tail.len());
    page.push_str(&seeds(report, room));
    page.push_str(&tail);
    page
}

/// Text for HTML, in elements and in quoted attributes. Control characters, which no browser shows, become `\u{fffd}`, and so do those
/// that turn the direction of writing: a name must not look like another one.
pub(crate) fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn section(page: &mut String, id: &str, title: &str, body: impl FnOnce(&mut String)) {
    let mut inner = String::new();
    body(&mut inner);
    if !inner.is_empty() {
        let _ = writeln!(page, "<section id=\"{id}\"><h2>{}</h2>", esc(title));
        page.push_str(&inner);
        page.push_str("</section>\n");
    }
}

fn head(title: &str) -> String {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{STYLE_SHA256}'; script-src 'sha256-{SCRIPT_SHA256}'; \
         base-uri 'none'; form-action 'none'"
    );
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
        esc(title),
    )
}

/// The verdict in one word.
pub(crate) fn word(result: &RunResult) -> &'static str {
    match result.exit_code {
        exit::OK => "PASS",
        exit::INCONCLUSIVE => "INCONCLUSIVE",
        exit::UNFINISHED => "UNFINISHED",
        exit::INTERRUPTED => "INTERRUPTED",
        exit::SUSPECT => "SUSPECT",
        _ => "FAIL",
    }
}

/// The verdict in one sentence: how many questions hold, and which do not.
pub(crate) fn sentence(result: &RunResult) -> String {
    let total = result.expectations.len();
    let of = |verdict: Verdict| {
        let found = result
            .expectations
            .iter()
            .filter(move |e| e.verdict == verdict);
        found.map(|e| e.id.clone()).collect::<Vec<_>>()
    };
    let held = of(Verdict::Pass).len();
    let mut text = match total {
        0 => "Nothing was expected of this run".to_owned(),
        1 if held == 1 => "The expectation holds".to_owned(),
        _ if held == total => format!("All {total} expectations hold"),
        _ => format!("{held} of {total} expectations hold"),
    };
    let seeds = result.seeds.len();
    let _ = write!(
        text,
        " over {} of {} simulated time each",
        terminal::plural(seeds, "seed"),
        human::span(result.simulated_seconds)
    );
    for (verdict, says) in [
        (Verdict::Fail, "does not hold"),
        (Verdict::Inconclusive, "could not be judged"),
        (Verdict::Skipped, "was not asked"),
    ] {
        let names = of(verdict);
        // 4: the table has all of them.
        let shown: Vec<&str> = names.iter().take(4).map(String::as_str).collect();
        match names.len() {
            0 => {}
            n if n > shown.len() => {
                let _ = write!(
                    text,
                    "; {} and {} more: {says}",
                    shown.join(", "),
                    n - shown.len()
                );
            }
            _ => {
                let _ = write!(text, "; {}: {says}", shown.join(", "));
            }
        }
    }
    let suspect = result.oracles.iter().map(|o| (&o.id, o.verdict));
    let suspect = suspect.chain(result.invariants.iter().map(|i| (&i.id, i.verdict)));
    for (id, verdict) in suspect {
        if verdict == Verdict::Fail {
            let _ = write!(
                text,
                "; {id} failed: suspect the model or the code, not the store"
            );
        }
    }
    text.push('.');
    text
}

fn verdict(page: &mut String, report: &Report<'_>) {
    let result = report.result;
    let class = match result.exit_code {
        exit::OK => "good",
        exit::INCONCLUSIVE | exit::UNFINISHED | exit::INTERRUPTED => "unsure",
        _ => "bad",
    };
    let _ = writeln!(
        page,
        "<header><h1>{}</h1>\n<p class=\"verdict {class}\"><strong>{}</strong> {}</p>",
        esc(&result.scenario),
        word(result),
        esc(&sentence(result)),
    );
    if !result.description.is_empty() {
        let _ = writeln!(page, "<p class=\"lead\">{}</p>", esc(&result.description));
    }
    let mut facts = vec![format!("exit code {}", result.exit_code)];
    if result.seeds_planned > result.seeds.len() {
        facts.push(format!(
            "{} of {} seeds were run",
            result.seeds.len(),
            result.seeds_planned
        ));
    }
    if let Some(series) = report.series {
        facts.push(format!("the run begins at {}", series.clock.start));
        if series.clock.warmup_seconds > 0.0 {
            facts.push(format!(
                "the first {} are not judged",
                human::span(series.clock.warmup_seconds)
            ));
        }
    }
    let _ = writeln!(
        page,
        "<p class=\"faint\">{}</p></header>",
        esc(&facts.join("; "))
    );
}

/// A part for each seed that is kept, as long as they fit into `room` bytes.
fn seeds(report: &Report<'_>, room: usize) -> String {
    let mut out = String::new();
    let Some(series) = report.series else {
        out.push_str(
            "<section id=\"seeds\"><h2>Over time</h2><p class=\"missing\">There is no series.json beside this result, so there \
             are no plots. Run the scenario again, without <code>--no-save</code>, to have them.</p></section>\n",
        );
        return out;
    };
    out.push_str("<section id=\"seeds\"><h2>Over time</h2>\n");
    if series.seeds.is_empty() {
        out.push_str(
            "<p class=\"missing\">No seed was run to its end: there is nothing to draw.</p>\n",
        );
    }
    let mut left_out = series.seeds_left_out;
    for (index, seed) in series.seeds.iter().enumerate() {
        // The first one stands with as many of its plots as fit.
        match one_seed(
            report.result,
            series,
            seed,
            room.saturating_sub(out.len()),
            index == 0,
        ) {
            Some(part) => out.push_str(&part),
            None => left_out += 1,
        }
    }
    if left_out > 0 {
        let _ = writeln!(
            out,
            "<p class=\"faint\">{} not drawn. <code>backroom run … --seed N</code> draws any of them.</p>",
            match left_out {
                1 => "1 more seed is".to_owned(),
                n => format!("{n} more seeds are"),
            }
        );
    }
    out.push_str("</section>\n");
    out
}

/// A seed's part of at most `room` bytes, or a little more for the first: it is cut down to what fits. `None` if another one does not fit.
fn one_seed(
    result: &RunResult,
    series: &RunSeries,
    seed: &SeedSeries,
    room: usize,
    is_first: bool,
) -> Option<String> {
    let mut out = String::new();
    let why = match seed.why.is_empty() {
        true => String::new(),
        false => format!(
            " <span class=\"faint\">({})</span>",
            esc(&seed.why.join(", "))
        ),
    };
    let _ = writeln!(
        out,
        "<details class=\"seed\" id=\"s{0}\"{1}><summary>Seed {0}{why}</summary>",
        seed.seed,
        if is_first { " open" } else { "" },
    );
    out.push_str("<p class=\"readout\" aria-live=\"off\"></p>\n");
    let axis = axis::Time::new(&series.clock);
    plot::timeline(&mut out, result, seed, &axis);
    let mut drawn = 0;
    for (index, plot) in seed.plots.iter().enumerate() {
        let mut part = String::new();
        plot::draw(&mut part, seed, plot, index, &axis);
        match out.len() + part.len() <= room {
            true => out.push_str(&part),
            false if is_first => break,
            false => return None,
        }
        drawn += 1;
    }
    if seed.plots.is_empty() {
        out.push_str("<p class=\"missing\">Nothing was recorded that could be drawn.</p>\n");
    }
    if drawn < seed.plots.len() {
        let _ = writeln!(
            out,
            "<p class=\"missing\">{} more plots would make this page too large for an e-mail; series.json has them.</p>",
            seed.plots.len() - drawn
        );
    }
    tables::moments(&mut out, seed);
    out.push_str("</details>\n");
    Some(out)
}

/// What comes after the plots.
fn tail(report: &Report<'_>) -> String {
    let result = report.result;
    let mut out = String::new();
    if let Some(series) = report.series {
        section(
            &mut out,
            "latency",
            "Latency during, after and outside faults",
            |out| {
                tables::latencies(out, series);
            },
        );
        section(&mut out, "links", "Bytes by link and class", |out| {
            tables::links(out, series);
        });
    }
    section(&mut out, "invariants", "What must always be true", |out| {
        tables::invariants(out, result);
    });
    section(
        &mut out,
        "limits",
        "What this run does not tell you",
        |out| {
            tables::limits(out, result);
        },
    );
    section(&mut out, "again", "Run it again", |out| {
        tables::again(out, result, report.manifest);
    });
    let _ = write!(
        out,
        "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    );
    out
}

#[cfg(test)]
mod tests;
