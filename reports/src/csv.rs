//! The series as CSV (RFC 4180): one point a row, for a spreadsheet or a plotting program.
//!
//! Long form, because tracks have points at different times: `seed,plot,track,unit,at_seconds,value`, in base units. A name that a
//! spreadsheet would take for a formula gets a quote in front (OWASP, *CSV Injection*).

use std::fmt::Write as _;

use crate::{RunSeries, Unit};

/// All tracks of all seeds that are kept; the header alone if there is none. Lines end with CR and LF.
pub fn render(series: &RunSeries) -> String {
    let mut out = String::from("seed,plot,track,unit,at_seconds,value\r\n");
    for seed in &series.seeds {
        for plot in &seed.plots {
            for track in &plot.tracks {
                let name = match track.is_theory {
                    true => format!("{} (theory)", track.name),
                    false => track.name.clone(),
                };
                let (id, name, unit) = (field(&plot.id), field(&name), unit(plot.unit));
                for (at, value) in &track.points {
                    let _ = write!(out, "{},{id},{name},{unit},{at},{value}\r\n", seed.seed);
                }
            }
        }
    }
    out
}

/// As in the JSON.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "seconds",
        Unit::Bytes => "bytes",
        Unit::Fraction => "fraction",
        Unit::Count => "count",
        Unit::PerSecond => "per_second",
        Unit::BytesPerSecond => "bytes_per_second",
        Unit::BitsPerSecond => "bits_per_second",
    }
}

fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_formulas_disarmed() {
        let check = |text: &str, expect: &str| assert_eq!(field(text), expect, "{text}");
        check("backlog", "backlog");
        check("a,b", "\"a,b\"");
        check("say \"x\"", "\"say \"\"x\"\"\"");
        check("=1+1", "'=1+1");
        check("@cmd", "'@cmd");
        check("", "");
    }
}
