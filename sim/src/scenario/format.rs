//! The one way to write a scenario: what `backroom fmt` makes of a file.
//!
//! The order of tables and of groups of keys is the author's story and stays. Decided here: within a group (lines with no blank and no
//! comment line between them) keys stand in the order of the language's tables, their `=` below each other, comments behind values in
//! their column where there is room; at most one blank line; spaces, quotes and units as `texts` has them. A value over several lines stays as
//! it was written. Works on what TOML allows, not on what a scenario may hold: a file with unknown keys is formatted too. Next: `lines`, how a
//! text is taken apart; `texts`, how a value is written.

mod lines;
mod order;
mod texts;

use std::{collections::BTreeMap, sync::Arc};

use backroom_collector::config::{Report, Sources, shape::Ty, tree};
use toml_edit::{Document, Item, Table};

use self::lines::{Entry, Line};

/// 4: a key this much longer than the next shorter one (`min_samples` beside `window`) does not move the others.
const OUTLIER: usize = 4;

/// 2 spaces between a value and its comment, as the shipped files have it at least.
const BEFORE_COMMENT: usize = 2;

/// The text in its canonical form. Formatting that again changes nothing.
///
/// # Errors
/// If it is not TOML.
///
/// # Panics
/// If a value or a comment would be lost: an error of ours, and better told than written over somebody's file.
pub fn format(name: &str, text: &str) -> Result<String, Report> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut sources = Sources::default();
    let file = sources.add(name, text.as_str());
    let parsed = tree::parse(&sources, file);
    let parsed = parsed.and_then(|_| Document::parse(text.as_str()).map_err(|_| unreachable(name)));
    let document = match parsed {
        Ok(document) => document,
        Err(finding) => {
            return Err(Report {
                sources: Arc::new(sources),
                list: vec![*finding],
                missing_input: false,
            });
        }
    };
    let mut values = Vec::new();
    spans(document.as_table(), &mut values);
    values.sort_by_key(|span| span.start);
    let mut lines = lines::of(&text, &values);
    sections(&mut lines);
    let out = write(&lines);
    let again = Document::parse(out.as_str())
        .unwrap_or_else(|error| panic!("{name} is no TOML once it is formatted: {error}"));
    assert_eq!(
        skeleton(document.as_table(), &text),
        skeleton(again.as_table(), &out),
        "{name} says something else once it is formatted"
    );
    Ok(out)
}

/// The tree's parser and the document's are the same.
fn unreachable(name: &str) -> Box<backroom_collector::config::Diagnostic> {
    panic!("{name} was TOML a moment ago")
}

/// The places of all values that stand behind a key of their own line.
fn spans(table: &Table, out: &mut Vec<std::ops::Range<usize>>) {
    for (_, item) in table.iter() {
        match item {
            Item::None => {}
            Item::Value(value) => out.extend(value.span()),
            Item::Table(table) => spans(table, out),
            Item::ArrayOfTables(all) => all.iter().for_each(|table| spans(table, out)),
        }
    }
}

/// Puts keys in order and writes their values, section by section: what a key means follows from the header above it.
fn sections(lines: &mut [Line]) {
    let starts: Vec<usize> = (0..lines.len())
        .filter(|i| *i == 0 || matches!(lines[*i], Line::Header { .. }))
        .chain([lines.len()])
        .collect();
    for pair in starts.windows(2) {
        let section = &mut lines[pair[0]..pair[1]];
        let path = match section.first() {
            Some(Line::Header { path, .. }) => path.clone(),
            _ => Vec::new(),
        };
        let kind = section.iter().find_map(|line| match line {
            Line::Entry(entry) if entry.key == "kind" => Some(texts::plain(&entry.value)),
            _ => None,
        });
        let keys = order::keys_at(&path, kind.as_deref());
        for line in section.iter_mut() {
            if let Line::Entry(entry) = line
                && !entry.is_long()
            {
                let ty = type_of(&path, kind.as_deref(), entry);
                entry.value = texts::value(&entry.value, ty);
            }
        }
        let place = |entry: &Entry| {
            let first = entry.path.first()?;
            keys.iter().position(|key| key.name == *first)
        };
        for group in groups(section) {
            // A comment above a key speaks of that key, or of the group: either way it must stay there.
            let pinned = group.start > 0 && matches!(section[group.start - 1], Line::Comment(_));
            let movable = group.start + usize::from(pinned)..group.end;
            section[movable].sort_by_key(|line| match line {
                Line::Entry(entry) => place(entry).unwrap_or(usize::MAX),
                _ => usize::MAX,
            });
        }
    }
}

/// What a key of the section at `path` takes, dotted ones too.
fn type_of(path: &[String], kind: Option<&str>, entry: &Entry) -> Option<Ty> {
    let (last, above) = entry.path.split_last()?;
    let path = [path, above].concat();
    let keys = order::keys_at(&path, kind);
    Some(keys.iter().find(|key| key.name == *last)?.ty)
}

/// The runs of keys.
fn groups(lines: &[Line]) -> Vec<std::ops::Range<usize>> {
    let mut all: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        if !matches!(line, Line::Entry(_)) {
            continue;
        }
        match all.last_mut() {
            Some(group) if group.end == i => group.end = i + 1,
            _ => all.push(i..i + 1),
        }
    }
    all
}

fn write(lines: &[Line]) -> String {
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    let groups = groups(lines);
    let mut groups = groups.iter().peekable();
    let mut width = 0;
    for (i, line) in lines.iter().enumerate() {
        if let Some(group) = groups.next_if(|group| group.start == i) {
            width = align(&lines[group.clone()]);
        }
        out.push(match line {
            Line::Blank if out.last().is_none_or(String::is_empty) => continue,
            Line::Blank => String::new(),
            Line::Comment(text) => text.clone(),
            Line::Header { text, comment, .. } => commented(text.clone(), comment.as_ref()),
            Line::Entry(entry) => {
                let text = format!("{:width$} = {}", entry.key, entry.value);
                commented(text, entry.comment.as_ref())
            }
        });
    }
    while out.last().is_some_and(String::is_empty) {
        out.pop();
    }
    out.iter().map(|line| format!("{line}\n")).collect()
}

/// The width of the keys of a group; longer ones stand out.
fn align(group: &[Line]) -> usize {
    let mut widths: Vec<usize> = group
        .iter()
        .filter_map(|line| match line {
            Line::Entry(entry) => Some(entry.key.chars().count()),
            _ => None,
        })
        .collect();
    widths.sort_unstable();
    while let [.., shorter, longest] = widths[..]
        && longest > shorter + OUTLIER
    {
        widths.pop();
    }
    widths.last().copied().unwrap_or(0)
}

/// A comment stays in its column if the value leaves room for it.
fn commented(text: String, comment: Option<&lines::Comment>) -> String {
    let Some(comment) = comment else { return text };
    // A value over several lines ends on its last one.
    let last = text.rsplit('\n').next().unwrap_or_default();
    let column = comment.column.max(last.chars().count() + BEFORE_COMMENT);
    let pad = column - last.chars().count();
    format!("{text}{:pad$}{}", "", comment.text)
}

/// Every value by its path, written canonically, and all comments: what formatting must not change.
fn skeleton(table: &Table, text: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let mut values = BTreeMap::new();
    fill("", table, text, &mut values);
    let mut spans_of = Vec::new();
    spans(table, &mut spans_of);
    spans_of.sort_by_key(|span| span.start);
    let comments = lines::of(text, &spans_of).into_iter();
    let mut comments: Vec<String> = comments
        .filter_map(|line| match line {
            Line::Comment(text) => Some(text),
            Line::Header { comment, .. } => Some(comment?.text),
            Line::Entry(entry) => Some(entry.comment?.text),
            Line::Blank => None,
        })
        .collect();
    comments.sort();
    (values, comments)
}

fn fill(path: &str, table: &Table, text: &str, out: &mut BTreeMap<String, String>) {
    for (name, item) in table.iter() {
        let path = format!("{path}.{name}");
        match item {
            Item::None => {}
            Item::Value(value) => {
                let raw = value.span().map_or("", |span| &text[span]);
                // Blanks and units are what may change; texts are compared letter by letter beside them.
                let written = texts::value(raw, None);
                let letters = written.replace("min", "m").replace("µs", "us");
                let letters = letters.replace(['\'', '"'], "");
                out.insert(path, letters.split_whitespace().collect());
            }
            Item::Table(table) => fill(&path, table, text, out),
            Item::ArrayOfTables(all) => {
                for (i, table) in all.iter().enumerate() {
                    fill(&format!("{path}[{i}]"), table, text, out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
