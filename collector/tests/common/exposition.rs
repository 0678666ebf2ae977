//! A strict reader of metrics pages, Prometheus 0.0.4 and OpenMetrics 1.0: what a tolerant scraper would pass over is an
//! error here.

#![allow(unreachable_pub, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, BTreeSet};

/// A metric family of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    pub kind: String,
    pub unit: Option<String>,
    pub samples: Vec<Sample>,
}

/// One line of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    /// Name and labels, in one text.
    pub fn series(&self) -> String {
        format!("{}{:?}", self.name, self.labels)
    }
}

/// A page, by the name in its `TYPE` lines.
pub type Page = BTreeMap<String, Family>;

/// Reads a page.
pub fn read(page: &str, is_open_metrics: bool) -> Result<Page, String> {
    let mut families = Page::new();
    let mut current = String::new();
    let mut series = BTreeSet::new();
    let body = match is_open_metrics {
        true => page.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?,
        false => page,
    };
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("the last line is not ended".to_owned());
    }
    let mut lines = body.lines().peekable();
    while let Some(line) = lines.next() {
        let fail = |what: &str| Err(format!("{what}: {line:?}"));
        if let Some(comment) = line.strip_prefix("# HELP ") {
            let Some((name, help)) = comment.split_once(' ') else {
                return fail("HELP without a text");
            };
            if help.is_empty() || !is_name(name) {
                return fail("bad HELP");
            }
            let kind = lines
                .next()
                .and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
            let Some(kind) = kind else {
                return fail("no TYPE after");
            };
            let unit = lines
                .peek()
                .and_then(|line| line.strip_prefix(&format!("# UNIT {name} ")))
                .map(str::to_owned);
            if let Some(unit) = &unit {
                lines.next();
                if !is_open_metrics || !name.ends_with(&format!("_{unit}")) {
                    return fail("a unit that is not in the name");
                }
            }
            let family = Family {
                kind: kind.to_owned(),
                unit,
                samples: Vec::new(),
            };
            if families.insert(name.to_owned(), family).is_some() {
                return fail("a family comes twice");
            }
            name.clone_into(&mut current);
            continue;
        }
        if line.starts_with('#') {
            return fail("unknown comment");
        }
        let sample = sample(line)?;
        let Some(family) = families.get_mut(&current) else {
            return fail("a sample before its family");
        };
        let suffix = sample.name.strip_prefix(&current);
        let fits = match (family.kind.as_str(), is_open_metrics) {
            ("counter", true) => suffix == Some("_total"),
            ("counter", false) => suffix == Some("") && current.ends_with("_total"),
            ("gauge", _) => suffix == Some("") && !current.ends_with("_total"),
            ("info", true) => suffix == Some("_info"),
            ("histogram", _) => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
            _ => return fail("unknown kind"),
        };
        if !fits {
            return fail("a sample that does not belong to its family");
        }
        if !series.insert(sample.series()) {
            return fail("a series comes twice");
        }
        if family.kind == "counter" && !(sample.value.is_finite() && sample.value >= 0.0) {
            return fail("a counter that is no count");
        }
        family.samples.push(sample);
    }
    for (name, family) in &families {
        if family.samples.is_empty() {
            return Err(format!("{name} has no samples"));
        }
        if family.kind == "histogram" {
            histogram(name, family)?;
        }
    }
    Ok(families)
}

/// `name{label="text",…} value`
fn sample(line: &str) -> Result<Sample, String> {
    let fail = |what: &str| Err(format!("{what}: {line:?}"));
    let end = line.find(['{', ' ']).ok_or(format!("no value: {line:?}"))?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return fail("bad name");
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let Some((label, after)) = rest.split_once("=\"") else {
                return fail("bad label");
            };
            if !is_name(label) || label.contains(':') {
                return fail("bad label name");
            }
            let (text, after) = quoted(after).ok_or(format!("bad label value: {line:?}"))?;
            if labels.insert(label.to_owned(), text).is_some() {
                return fail("a label comes twice");
            }
            match after.chars().next() {
                Some(',') => rest = &after[1..],
                Some('}') => {
                    rest = &after[1..];
                    break;
                }
                _ => return fail("labels do not end"),
            }
        }
    }
    let Some(value) = rest.strip_prefix(' ') else {
        return fail("no space before the value");
    };
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number if number.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            number.parse().map_err(|_| format!("no number: {line:?}"))?
        }
        _ => return fail("no number"),
    };
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Reads up to the closing quote, and gives what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => out.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => out.push(c),
        }
    }
    None
}

fn is_name(name: &str) -> bool {
    let start = |c: char| c.is_ascii_alphabetic() || "_:".contains(c);
    name.starts_with(start) && name.chars().all(|c| start(c) || c.is_ascii_digit())
}

/// Buckets grow with their bounds, the last one is +Inf and is the count.
fn histogram(name: &str, family: &Family) -> Result<(), String> {
    let (mut bound, mut count) = (f64::NEG_INFINITY, 0.0);
    for sample in family
        .samples
        .iter()
        .filter(|s| s.name.ends_with("_bucket"))
    {
        let le = sample.labels.get("le").ok_or(format!("{name}: no le"))?;
        let le = match le.as_str() {
            "+Inf" => f64::INFINITY,
            le => le.parse().map_err(|_| format!("{name}: le {le:?}"))?,
        };
        if le <= bound || sample.value < count {
            return Err(format!("{name}: buckets do not grow at {le}"));
        }
        (bound, count) = (le, sample.value);
    }
    let one = |suffix: &str| {
        let name = format!("{name}_{suffix}");
        let found = family.samples.iter().find(|sample| sample.name == name);
        found.map(|sample| sample.value)
    };
    match (one("count"), one("sum")) {
        (Some(total), Some(_)) if bound == f64::INFINITY && total == count => Ok(()),
        _ => Err(format!(
            "{name}: no +Inf bucket that is the count, or no sum"
        )),
    }
}

#[test]
fn a_good_page_is_read() {
    let page = "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"c\\\"\\n\"} 1\na_total 2.5\n";
    let read = read(page, false).unwrap();
    let samples = &read["a_total"].samples;
    assert_eq!(samples[0].labels["b"], "c\"\n");
    assert_eq!(samples[1].value, 2.5);
}

#[test]
fn bad_pages_are_refused() {
    let check = |page: &str, why: &str| {
        let error = read(page, false).expect_err(page);
        assert!(error.contains(why), "{error} for {page:?}");
    };
    let head = "# HELP a x\n# TYPE a gauge\n";
    check("a 1\n", "before its family");
    check("# TYPE a gauge\na 1\n", "unknown comment");
    check("# HELP a x\na 1\n", "no TYPE");
    check(head, "no samples");
    check(&format!("{head}a 1"), "not ended");
    check(&format!("{head}a 1\na 2\n"), "a series comes twice");
    check(&format!("{head}b 1\n"), "does not belong");
    check(&format!("{head}a one\n"), "no number");
    check(&format!("{head}a inf\n"), "no number");
    check(&format!("{head}a{{b=\"c}} 1\n"), "bad label value");
    check(&format!("{head}a{{b=\"\\c\"}} 1\n"), "bad label value");
    check(&format!("{head}a{{1=\"c\"}} 1\n"), "bad label name");
    check(
        &format!("{head}a{{b=\"c\",b=\"d\"}} 1\n"),
        "a label comes twice",
    );
    check(
        &format!("{head}a 1\n{head}a{{b=\"c\"}} 1\n"),
        "a family comes twice",
    );
    check(
        "# HELP a_total x\n# TYPE a_total counter\na_total -1\n",
        "no count",
    );
    check("# HELP a x\n# TYPE a counter\na 1\n", "does not belong");
    let histogram = "# HELP a x\n# TYPE a histogram\n";
    check(
        &format!(
            "{histogram}a_bucket{{le=\"1.0\"}} 2\na_bucket{{le=\"+Inf\"}} 1\na_sum 1\na_count 1\n"
        ),
        "buckets do not grow",
    );
    check(
        &format!("{histogram}a_bucket{{le=\"+Inf\"}} 1\na_sum 1\na_count 2\n"),
        "that is the count",
    );
    assert!(
        read("# HELP a x\n# TYPE a gauge\na 1\n", true).is_err(),
        "no # EOF"
    );
}
