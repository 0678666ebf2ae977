//! `backroom explain`: a scenario in words, a finding's code, the metrics, the faults.
//!
//! The story is told from the resolved scenario, so it is what a run would play; what theory predicts for it is computed from
//! declared figures. Next: `explain/story`, which tells it; `explain/cost`, its last pages.

mod cost;
mod entry;
mod story;

use std::{fmt::Write as _, path::PathBuf};

use backroom_collector::config::Format;
use clap::Parser;

use super::check::{print_report, put};
use crate::{
    fault::table::{FAULTS, Kind, Lasts},
    metric::catalogue::{METRICS, Metric},
    scenario::{self, Checked, codes, models},
};

pub use story::{Prediction, predict, story};

/// Explain a scenario, a code such as E0204, one fault, metric, closed form or table, or one of: metrics, faults, models, codes, keys.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// A file; a code; a name, such as link.down, order.to_kds, fluid_recovery, node or link.uplink.loss; or one of: metrics,
    /// faults, models, codes, keys.
    #[arg(value_name = "FILE|CODE|NAME|TOPIC")]
    pub what: String,
    /// Override a setting, as for `run`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<String>,
    /// Print what the files say, as one file: each value with the place where it was written.
    #[arg(long, conflicts_with = "resolved")]
    pub origin: bool,
    /// Like --origin, with the defaults that nobody wrote.
    #[arg(long)]
    pub resolved: bool,
}

/// Explains; 0, 64 for an unknown code, 65 or 66 for a bad or missing file.
pub fn run(args: &Args) -> u8 {
    let topic = match args.what.as_str() {
        "metrics" => Some(metrics()),
        "faults" => Some(faults()),
        "models" => Some(closed_forms()),
        "codes" => Some(all_codes()),
        "keys" => Some(entry::keys()),
        // A file of this name is meant rather than a name of the language.
        name if !std::path::Path::new(name).exists() => entry::entry(name),
        _ => None,
    };
    if let Some(text) = topic {
        put(&text);
        return 0;
    }
    if looks_like_a_code(&args.what) {
        return match code(&args.what) {
            Some(text) => {
                put(&text);
                0
            }
            None => {
                anstream::eprintln!(
                    "error: there is no code `{}`\n  = help: `backroom explain codes` lists them",
                    args.what
                );
                64
            }
        };
    }
    file(args)
}

fn file(args: &Args) -> u8 {
    let path = PathBuf::from(&args.what);
    if let Some(meant) = entry::meant(&args.what).filter(|_| !path.exists()) {
        anstream::eprintln!(
            "error: there is neither a file nor a name `{}`\n  = help: did you mean `{meant}`?",
            args.what
        );
        return 66;
    }
    match scenario::check(&path, &args.sets) {
        Err(report) => {
            print_report(&report, Format::Human);
            report.exit_code()
        }
        Ok(Checked::Template(warnings)) => {
            print_report(&warnings, Format::Human);
            put(&format!(
                "{} is a template: a store that scenarios use. Name a scenario to hear its story.
",
                path.display()
            ));
            0
        }
        Ok(Checked::Scenario(loaded)) => {
            print_report(&loaded.warnings, Format::Human);
            let text = match (args.origin, args.resolved) {
                (true, _) => loaded.resolved_toml(),
                (_, true) => loaded.lock_toml(),
                _ => story(&loaded),
            };
            put(&text);
            0
        }
    }
}

/// `E0204`, `w0601`: a letter and four digits.
fn looks_like_a_code(text: &str) -> bool {
    let mut chars = text.chars();
    matches!(chars.next(), Some('E' | 'e' | 'W' | 'w'))
        && text.len() == 5
        && chars.all(|c| c.is_ascii_digit())
}

/// What a code means; `None` if there is none of that number.
pub fn code(id: &str) -> Option<String> {
    let code = codes::find(id)?;
    Some(format!(
        "{}: {}\n\n{}\n",
        code.id,
        code.title,
        wrap(code.text, "", 80)
    ))
}

fn all_codes() -> String {
    let mut out = String::new();
    for code in codes::all() {
        let _ = writeln!(out, "{}  {}", code.id, code.title);
    }
    out
}

fn metric_of(metric: &Metric) -> String {
    let mut out = format!(
        "{}  ({}, {})\n",
        metric.name,
        metric.kind.as_str(),
        metric.unit.as_str()
    );
    let _ = writeln!(out, "{}", wrap(metric.doc, "    ", 80));
    let span = match metric.stops {
        "" => format!("when {}", metric.starts),
        stops => format!("from: {}; to: {stops}", metric.starts),
    };
    let _ = writeln!(out, "{}", wrap(&span, "    ", 80));
    if !metric.dimensions.is_empty() {
        let _ = writeln!(out, "    dimensions: {}", metric.dimensions.join(", "));
    }
    out
}

/// The table of metrics.
pub fn metrics() -> String {
    let mut out = String::new();
    for metric in METRICS {
        out.push_str(&metric_of(metric));
        out.push('\n');
    }
    out.push_str(
        "Functions: of samples count, sum, mean, min, max, last, delta, rate, share, gap,\n\
         recovery, time_to and percentiles; of a counter count, sum, last, delta, rate,\n\
         ratio, gap and time_to; of a level min, max, mean, last, delta, share,\n\
         recovery and time_to.\n\n",
    );
    out.push_str(
        "Every metric also has the dimensions region and stores, which matter in fleets.\n",
    );
    out
}

/// The table of fault kinds.
pub fn faults() -> String {
    let mut out = String::new();
    for kind in FAULTS {
        out.push_str(&fault(kind));
        out.push('\n');
    }
    out.push_str("Settings of every kind: id, kind, on, and\n");
    for key in crate::fault::table::COMMON.iter().skip(3) {
        setting(key, &mut out);
    }
    out
}

fn fault(kind: &Kind) -> String {
    let mut out = format!("{}  (on {})", kind.name, kind.on.as_str());
    out.push('\n');
    let _ = writeln!(out, "{}", wrap(kind.doc, "    ", 80));
    let needs = match kind.lasts {
        Lasts::Needed => "needs at and for, or mtbf and one of mttr and for",
        Lasts::Optional => "lasts the whole run without at and for",
        Lasts::Instant => "needs at or mtbf",
    };
    let _ = writeln!(out, "    {needs}");
    for key in kind.settings {
        setting(key, &mut out);
    }
    out
}

fn setting(key: &backroom_collector::config::shape::Key, out: &mut String) {
    let mark = match (key.required, key.default) {
        (true, _) => String::from(" (needed)"),
        (false, Some(default)) => format!(" (default {default})"),
        _ => String::new(),
    };
    let _ = writeln!(out, "    {} = {}{mark}", key.name, key.example);
    let _ = writeln!(out, "{}", wrap(key.doc, "        ", 80));
}

fn closed_form(model: &models::Model) -> String {
    let mark = match model.runs {
        true => "",
        false => "  [not in this version]",
    };
    let text = wrap(model.doc, "    ", 80);
    format!("{}{mark}\n{text}\n", model.name)
}

fn closed_forms() -> String {
    let mut out = String::new();
    for model in models::MODELS {
        out.push_str(&closed_form(model));
        out.push('\n');
    }
    out
}

/// A text in lines of at most `width` columns, each after `indent`.
fn wrap(text: &str, indent: &str, width: usize) -> String {
    let (mut out, mut column) = (String::from(indent), indent.len());
    for (i, word) in text.split_whitespace().enumerate() {
        let len = word.chars().count();
        if i > 0 && column + 1 + len > width {
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        } else if i > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_text() {
        for found in codes::all() {
            let text = code(&found.id.to_lowercase()).expect(found.id);
            assert!(text.starts_with(found.id));
            assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
        }
        assert!(looks_like_a_code("e0204") && !looks_like_a_code("lunch.toml"));
        assert_eq!(code("E9999"), None);
    }

    #[test]
    fn metrics_and_faults_are_all_listed() {
        let metrics = metrics();
        assert!(METRICS.iter().all(|m| metrics.contains(m.name)));
        let faults = faults();
        assert!(FAULTS.iter().all(|k| faults.contains(k.name)));
    }
}
