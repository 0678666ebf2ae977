//! What is wrong with a file: codes, spans, labels, help; and the files themselves.
//!
//! Knows nothing of what a file means. Findings are collected in a [`Sink`], so that one reading reports them all;
//! with their [`Sources`] they are a [`Report`]. Next: `render`, which shows one.

use std::{cell::RefCell, fmt, path::Path, sync::Arc};

/// A class of findings, such as `E0103`, with the text that `explain E0103` prints.
#[derive(Debug)]
pub struct Code {
    /// `E0103`; warnings begin with `W`.
    pub id: &'static str,
    /// A few words that name the class: "missing unit".
    pub title: &'static str,
    /// What it means and what to do, in a few sentences.
    pub text: &'static str,
}

/// Which file of a [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// Bytes of one file, `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which file.
    pub file: FileId,
    /// First byte.
    pub start: usize,
    /// First byte after it.
    pub end: usize,
}

/// What kind of source a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File,
    /// An argument of `--set`.
    Argument,
}

/// One text that was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, as it is shown.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
    /// What it is.
    pub origin: Origin,
}

/// The texts that were read; the first is the one that was asked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    list: Vec<Source>,
}

/// A place in a text, 1-based, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Sources {
    /// Adds a file.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        self.push(name.into(), text.into(), Origin::File)
    }

    /// Adds a command line argument.
    pub fn add_argument(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        self.push(name.into(), text.into(), Origin::Argument)
    }

    fn push(&mut self, name: String, text: Arc<str>, origin: Origin) -> FileId {
        self.list.push(Source { name, text, origin });
        FileId(self.list.len() as u32 - 1)
    }

    /// A text.
    ///
    /// # Panics
    /// If `file` is of other sources.
    pub fn get(&self, file: FileId) -> &Source {
        &self.list[file.0 as usize]
    }

    /// The one that was asked for; `None` before anything was read.
    pub fn main(&self) -> Option<&Source> {
        self.list.first()
    }

    /// All of them, in the order they were read.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.list.iter()
    }

    /// Where a span starts.
    pub fn place(&self, span: Span) -> Place {
        self.place_of(span.file, span.start)
    }

    /// Where a span ends (first column after it).
    pub fn end_place(&self, span: Span) -> Place {
        self.place_of(span.file, span.end.max(span.start))
    }

    fn place_of(&self, file: FileId, at: usize) -> Place {
        let text = &self.get(file).text;
        let before = &text[..floor_char(text, at)];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The text of a span.
    pub fn text(&self, span: Span) -> &str {
        let text = &self.get(span.file).text;
        let start = floor_char(text, span.start);
        &text[start..floor_char(text, span.end).max(start)]
    }

    /// `file:line`, or `--set` for arguments.
    pub fn origin(&self, span: Span) -> String {
        let source = self.get(span.file);
        match source.origin {
            Origin::File => format!("{}:{}", source.name, self.place(span).line),
            Origin::Argument => format!("--set {}", source.text),
        }
    }
}

/// The nearest character boundary at or before `at`.
pub(super) fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A span with a few words.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// The words; may be empty.
    pub text: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For information.
    Note,
    /// Probably not what was meant.
    Warning,
    /// The file cannot be used.
    Error,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Its class; notes have none.
    pub code: Option<&'static Code>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line, names in backticks.
    pub title: String,
    /// Where; `None` where no file is to blame.
    pub primary: Option<Label>,
    /// Other places that explain it.
    pub secondary: Vec<Label>,
    /// More facts, a line each.
    pub notes: Vec<String>,
    /// One suggestion.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error of a class.
    pub fn error(code: &'static Code, title: impl Into<String>) -> Self {
        Self::new(Some(code), Severity::Error, title.into())
    }

    /// A warning of a class.
    pub fn warning(code: &'static Code, title: impl Into<String>) -> Self {
        Self::new(Some(code), Severity::Warning, title.into())
    }

    /// A note.
    pub fn note(title: impl Into<String>) -> Self {
        Self::new(None, Severity::Note, title.into())
    }

    fn new(code: Option<&'static Code>, severity: Severity, title: String) -> Self {
        Self {
            code,
            severity,
            title,
            primary: None,
            secondary: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// With the place to blame.
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some(Label {
            span,
            text: label.into(),
        });
        self
    }

    /// With a place that explains it.
    pub fn see(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push(Label {
            span,
            text: label.into(),
        });
        self
    }

    /// With one more fact.
    pub fn fact(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// With a suggestion; `None` and empty ones are left out.
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into().filter(|h| !h.is_empty());
        self
    }
}

/// Collects findings while a file is read.
#[derive(Debug, Default)]
pub struct Sink {
    list: RefCell<Vec<Diagnostic>>,
}

impl Sink {
    /// Adds one.
    pub fn push(&self, diagnostic: Diagnostic) {
        self.list.borrow_mut().push(diagnostic);
    }

    /// How many errors there are so far.
    pub fn error_count(&self) -> usize {
        let list = self.list.borrow();
        list.iter()
            .filter(|d| d.severity == Severity::Error)
            .count()
    }

    /// All findings.
    pub fn into_list(self) -> Vec<Diagnostic> {
        self.list.into_inner()
    }
}

/// Findings about one file, with all texts that they point into.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The texts.
    pub sources: Arc<Sources>,
    /// The findings, in the order they are told.
    pub list: Vec<Diagnostic>,
    /// Whether a file could not be read at all (exit code 66 instead of 65).
    pub missing_input: bool,
}

impl Report {
    /// A report of one finding about a file that could not be read.
    pub fn unreadable(path: &Path, code: &'static Code, err: &std::io::Error) -> Self {
        let finding = Diagnostic::error(code, format!("cannot read `{}`: {err}", path.display()));
        Self {
            sources: Arc::default(),
            list: vec![finding],
            missing_input: true,
        }
    }

    /// A report of one finding that stands in no file.
    pub fn of(finding: Diagnostic) -> Self {
        Self {
            sources: Arc::default(),
            list: vec![finding],
            missing_input: false,
        }
    }

    /// How many errors there are.
    pub fn error_count(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings there are.
    pub fn warning_count(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|d| d.severity == severity).count()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The exit code that errors deserve: 66 for a file that cannot be read, else 65 (sysexits).
    pub fn exit_code(&self) -> u8 {
        if self.missing_input { 66 } else { 65 }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(super::Format::Human, false))
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_not_bytes() {
        let mut sources = Sources::default();
        let file = sources.add("x.toml", "a = 1\nb = \"é\" # ü\n");
        let place = |start| {
            let span = Span {
                file,
                start,
                end: start,
            };
            let Place { line, column } = sources.place(span);
            (line, column)
        };
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(6), (2, 1));
        assert_eq!(place(13), (2, 7));
        assert_eq!(place(999), (3, 1));
    }

    #[test]
    fn an_argument_is_its_own_origin() {
        let mut sources = Sources::default();
        let file = sources.add_argument("--set", "seed=7");
        let span = Span {
            file,
            start: 5,
            end: 6,
        };
        assert_eq!(sources.origin(span), "--set seed=7");
        assert_eq!(sources.text(span), "7");
    }
}
