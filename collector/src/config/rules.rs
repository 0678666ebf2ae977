//! `match` of a class: tests of severity and attributes, as users write them.
//!
//! ```toml
//! [class.payments]
//! signal = "logs"
//! match  = { severity = "warn", resource = { "service.name" = ["pos-*", "payments"] }, attribute = { "order.paid" = true } }
//! ```
//!
//! A key that has no value that could ever pass is an error, and so is a table without a test, which would take everything. Next:
//! `otlp::rules`, which applies them.

use super::{
    Fields, codes,
    diagnostic::{Diagnostic, Sink},
    grammar::{Grammar, TextError},
    shape::{Key, Shape, Ty},
    tree::{Node, Value},
};
use crate::otlp::{AttributeTest, Pattern, Rule, Signal};

pub(super) static MATCH: Shape = Shape {
    doc: "Tests that an item has to pass, all of them.",
    keys: &[
        Key::may(
            "severity",
            Ty::Either(&[Ty::Word(&SEVERITY), Ty::Integer(1, 24)]),
            "\"error\"",
            "Logs only: records of this severity or above it, by name or by number.",
        ),
        Key::may(
            "resource",
            Ty::Map(&VALUE),
            "{ \"service.name\" = \"pos-*\" }",
            "Attributes of the resource, each with its value: a text, one that begins so (`pos-*`), an integer, true or false, or a list of which one is enough.",
        ),
        Key::may(
            "attribute",
            Ty::Map(&VALUE),
            "{ lane = [\"drive\", \"front\"] }",
            "The same of the span, the data point or the log record.",
        ),
    ],
};

static SCALAR: Ty = Ty::Either(&[Ty::Text, Ty::Integer(i64::MIN, i64::MAX), Ty::Bool]);
static VALUE: Ty = Ty::Either(&[
    Ty::Text,
    Ty::Integer(i64::MIN, i64::MAX),
    Ty::Bool,
    Ty::List(&SCALAR),
]);

static SEVERITY: Grammar = Grammar {
    name: "a severity",
    doc: "trace, debug, info, warn, error or fatal, or one of the four steps of each such as error2",
    pattern: "^(trace|debug|info|warn|error|fatal)[1-4]?$",
    examples: &["error", "warn"],
    units: &[],
    check: |text| severity(text).map(drop),
};

/// The names of severities; each has four numbers, from 1 on (`SeverityNumber` of opentelemetry-proto).
const SEVERITIES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];

fn severity(text: &str) -> Result<u8, TextError> {
    let name = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let step = match &text[name.len()..] {
        "" => Some(0),
        digits => digits
            .parse::<u8>()
            .ok()
            .filter(|n| (1..=4).contains(n))
            .map(|n| n - 1),
    };
    let index = SEVERITIES.iter().position(|known| *known == name);
    match (index, step) {
        (Some(index), Some(step)) => Ok(index as u8 * 4 + 1 + step),
        _ => Err(TextError::value(
            0..text.len().max(1),
            format!("`{{key}}` cannot be `{text}`"),
            "not a severity",
        )
        .help(format!(
            "one of {}, with a step from 1 to 4 if need be, or a number from 1 to 24",
            SEVERITIES.join(", ")
        ))),
    }
}

/// Reads `match` of a class; no rules where it is not written. What is wrong is reported.
pub(super) fn read(f: &Fields<'_>, signal: Option<Signal>) -> Vec<Rule> {
    let Some(node) = f.node("match") else {
        return Vec::new();
    };
    if f.checked("match", node).is_none() {
        // It takes something, so that nothing more is said of it.
        return vec![Rule::default()];
    }
    let place = format!("{}.match", f.place());
    let tables: Vec<&Node> = match &node.value {
        Value::Array(list) => list.iter().collect(),
        _ => vec![node],
    };
    if tables.is_empty() {
        empty(node, "it takes nothing", f.sink());
        return vec![Rule::default()];
    }
    let rules = tables.into_iter().filter_map(|table| {
        let fields = Fields::peek(table, &MATCH, place.clone(), f.sink())?;
        if fields.table().entries.is_empty() {
            empty(table, "it takes everything", f.sink());
        }
        Some(rule(&fields, signal))
    });
    rules.collect()
}

fn rule(f: &Fields<'_>, signal: Option<Signal>) -> Rule {
    if let Some(signal) = signal.filter(|signal| f.has("severity") && *signal != Signal::Logs) {
        f.sink().push(
            Diagnostic::error(&codes::E0107, format!("{signal} have no severity"))
                .at(f.key_span("severity"), "for logs only")
                .help(String::from("take it out, or use `signal = \"logs\"`")),
        );
    }
    let severity_min = f.node("severity").and_then(|node| match &node.value {
        Value::Integer(number) => u8::try_from(*number).ok(),
        _ => node.as_text().and_then(|text| severity(text).ok()),
    });
    Rule {
        severity_min,
        resource: tests(f, "resource"),
        attributes: tests(f, "attribute"),
    }
}

fn tests(f: &Fields<'_>, key: &str) -> Vec<AttributeTest> {
    let Some(node) = f.node(key) else {
        return Vec::new();
    };
    let table = node.as_table();
    if table.is_some_and(|table| table.entries.is_empty()) {
        empty(node, "no attribute is named", f.sink());
    }
    let entries = table.into_iter().flat_map(|table| &table.entries);
    let tests = entries.map(|(name, entry)| {
        let values: Vec<&Node> = match &entry.node.value {
            Value::Array(list) => list.iter().collect(),
            _ => vec![&entry.node],
        };
        if values.is_empty() {
            empty(&entry.node, "no value passes", f.sink());
        }
        AttributeTest {
            key: name.clone(),
            one_of: values.into_iter().filter_map(pattern).collect(),
        }
    });
    tests.collect()
}

fn pattern(node: &Node) -> Option<Pattern> {
    Some(match &node.value {
        Value::Integer(number) => Pattern::Integer(*number),
        Value::Bool(flag) => Pattern::Bool(*flag),
        _ => {
            let text = node.as_text()?;
            match (text.strip_suffix("\\*"), text.strip_suffix('*')) {
                (Some(text), _) => Pattern::Text(format!("{text}*")),
                (None, Some(prefix)) => Pattern::Prefix(prefix.to_owned()),
                (None, None) => Pattern::Text(text.to_owned()),
            }
        }
    })
}

fn empty(node: &Node, label: &str, sink: &Sink) {
    sink.push(
        Diagnostic::error(&codes::E0107, "a `match` without a test")
            .at(node.span, label.to_owned())
            .help(String::from(
                "add a test such as `severity = \"error\"`, or take `match` out",
            )),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn load(text: &str) -> Result<Vec<Rule>, String> {
        let text = format!("[class.x]\nsignal = \"logs\"\n{text}\n");
        match load_text("x.toml", &text) {
            Ok(config) => Ok(config.classes[0].rules.clone()),
            Err(report) => Err(report.render(crate::config::Format::Short, false)),
        }
    }

    #[test]
    fn rules_are_read() {
        let check =
            |text: &str, expect: &[Rule]| assert_eq!(load(text).as_deref(), Ok(expect), "{text}");
        let severity = |number: u8| Rule {
            severity_min: Some(number),
            ..Rule::default()
        };
        check("", &[]);
        check("match = { severity = \"error\" }", &[severity(17)]);
        check("match = { severity = \"trace4\" }", &[severity(4)]);
        check(
            "match = [{ severity = 9 }, { severity = \"fatal\" }]",
            &[severity(9), severity(21)],
        );
        let attribute = |key: &str, one_of: &[Pattern]| AttributeTest {
            key: key.to_owned(),
            one_of: one_of.to_vec(),
        };
        let text = |text: &str| Pattern::Text(text.to_owned());
        check(
            "match.resource.\"service.name\" = [\"pos-*\", \"a\\\\*\", 3, true]\nmatch.attribute = { lane = \"x\", n = -1 }",
            &[Rule {
                severity_min: None,
                resource: vec![attribute(
                    "service.name",
                    &[
                        Pattern::Prefix("pos-".to_owned()),
                        text("a*"),
                        Pattern::Integer(3),
                        Pattern::Bool(true),
                    ],
                )],
                attributes: vec![
                    attribute("lane", &[text("x")]),
                    attribute("n", &[Pattern::Integer(-1)]),
                ],
            }],
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let check = |text: &str, expect: &str| {
            let told = load(text).expect_err(text);
            assert!(told.contains(expect), "{text}: {told}");
        };
        check(
            "match = {}",
            "x.toml:3:9: error[E0107]: a `match` without a test",
        );
        check("match = []", "a `match` without a test");
        check("match = { resource = {} }", "a `match` without a test");
        check(
            "match = { attribute = { lane = [] } }",
            "a `match` without a test",
        );
        check(
            "match = { severity = \"errr\" }",
            "`severity` cannot be `errr`",
        );
        check(
            "match = { severity = \"error5\" }",
            "`severity` cannot be `error5`",
        );
        check("match = { severity = 25 }", "`severity` is out of range");
        check("match = { severities = 1 }", "unknown key `severities`");
        check("match = { attribute = { lane = 1.5 } }", "E0104");
        check("match = \"error\"", "E0104");
        check(
            "match = { severity = \"error\" }\n[class.y]\nsignal = \"traces\"\nmatch = { severity = 1 }",
            "traces have no severity",
        );
        check(
            "[class.logs]\nmatch = { severity = 1 }",
            "class `logs` cannot have `match`",
        );
        check(
            "[class.y]\nsignal = \"logs\"\nmatch = { severity = 1 }",
            "class `y` never gets anything",
        );
        check("[class.y]\nsignal = \"logs\"", "two classes take logs");
    }
}
