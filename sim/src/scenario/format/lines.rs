//! A TOML text as lines: blanks, comments, headers, keys with their values. Nothing of it is lost.

use std::ops::Range;

use toml_edit::Key;

/// One line, or the lines of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Blank,
    /// A line that is a comment and nothing else.
    Comment(String),
    Header {
        /// `[link.uplink]`, `[[fault]]`.
        text: String,
        /// Without quotes.
        path: Vec<String>,
        comment: Option<Comment>,
    },
    Entry(Entry),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As it is written.
    pub(super) key: String,
    /// Its parts without quotes; more than one of a dotted key.
    pub(super) path: Vec<String>,
    /// As it is written; it may have several lines.
    pub(super) value: String,
    pub(super) comment: Option<Comment>,
}

impl Entry {
    /// Whether the value has several lines.
    pub(super) fn is_long(&self) -> bool {
        self.value.contains('\n')
    }
}

/// A comment behind something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment {
    /// Where it begins, in characters from the start of its line.
    pub(super) column: usize,
    /// With its `#`.
    pub(super) text: String,
}

/// Takes a text apart that is TOML, with the places of its values in order.
pub(super) fn of(text: &str, values: &[Range<usize>]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut values = values.iter().peekable();
    let mut at = 0;
    while at < text.len() {
        let mut end = end_of_line(text, at);
        let value = values.next_if(|value| (at..end).contains(&value.start));
        if let Some(value) = value {
            end = end_of_line(text, value.end);
            let key = text[at..value.start].trim().trim_end_matches('=');
            let line = text[..value.end].rfind('\n').map_or(0, |i| i + 1);
            let (key, path) = names(key);
            lines.push(Line::Entry(Entry {
                key,
                path,
                value: text[value.clone()].to_owned(),
                comment: comment(&text[line..end], &text[value.end..end]),
            }));
        } else {
            lines.push(other(&text[at..end]));
        }
        at = end + 1;
    }
    lines
}

fn end_of_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |i| at + i)
}

/// A line without a value.
fn other(line: &str) -> Line {
    let trimmed = line.trim();
    if !trimmed.starts_with('[') {
        return match trimmed {
            "" => Line::Blank,
            text => Line::Comment(text.to_owned()),
        };
    }
    let header = &line[..hash(line)];
    let inner = header.trim();
    let (open, close) = match inner.starts_with("[[") {
        true => ("[[", "]]"),
        false => ("[", "]"),
    };
    let inner = inner.trim_start_matches(open).trim_end_matches(close);
    let (shown, path) = names(inner);
    Line::Header {
        text: format!("{open}{shown}{close}"),
        path,
        comment: comment(line, &line[header.len()..]),
    }
}

/// Where the comment of a header begins; a `#` between quotes is none.
fn hash(line: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (i, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return i,
            (None, '"' | '\'') => quote = Some(c),
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(q), c) if c == q && !escaped => quote = None,
            _ => {}
        }
        escaped = false;
    }
    line.len()
}

/// A dotted key without spaces, and its parts without quotes.
fn names(key: &str) -> (String, Vec<String>) {
    let Ok(parts) = Key::parse(key) else {
        return (key.trim().to_owned(), Vec::new());
    };
    let shown: Vec<String> = parts
        .iter()
        .map(|part| part.display_repr().into_owned())
        .collect();
    let path = parts.iter().map(|part| part.get().to_owned()).collect();
    (shown.join("."), path)
}

/// The comment in the rest of a line.
fn comment(line: &str, rest: &str) -> Option<Comment> {
    let text = rest.trim();
    text.starts_with('#').then(|| Comment {
        column: line[..line.len() - rest.trim_start().len()].chars().count(),
        text: text.to_owned(),
    })
}
