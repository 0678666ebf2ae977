//! How findings are shown: for people, on one line each, as JSON, as annotations of a pull request.
//!
//! The layout for people is rustc's, drawn by `annotate-snippets`. Colours are written here and taken out where the
//! terminal does not want them (`anstream`); whether it wants them is decided by the command line.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::json;

use super::diagnostic::{Diagnostic, Label, Report, Severity, Sources};

/// Shapes of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Source lines with carets.
    #[default]
    Human,
    /// One line each: `file:line:column: error[E0102]: …`.
    Short,
    /// One JSON object a line.
    Json,
    /// GitHub workflow commands, which become annotations.
    Github,
}

impl Report {
    /// The findings in a shape; `colour` concerns [`Format::Human`] only. Ends with a line break unless it is empty.
    pub fn render(&self, format: Format, colour: bool) -> String {
        let mut out = String::new();
        for finding in &self.list {
            match format {
                Format::Human => out.push_str(&human(finding, &self.sources, colour)),
                Format::Short => short(finding, &self.sources, &mut out),
                Format::Json => {
                    let _ = writeln!(out, "{}", json(finding, &self.sources));
                }
                Format::Github => github(finding, &self.sources, &mut out),
            }
        }
        if let (Format::Human | Format::Short, Some(summary)) = (format, self.summary()) {
            let _ = writeln!(out, "{summary}");
        }
        out
    }

    /// `bad.toml: 16 errors`; `None` where there is one finding, which speaks for itself.
    fn summary(&self) -> Option<String> {
        let plural = |n: usize, what: &str| match n {
            0 => None,
            1 => Some(format!("1 {what}")),
            n => Some(format!("{n} {what}s")),
        };
        let counts: Vec<String> = [
            plural(self.error_count(), "error"),
            plural(self.warning_count(), "warning"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let main = self.sources.main().filter(|_| self.list.len() > 1)?;
        (!counts.is_empty()).then(|| format!("{}: {}", main.name, counts.join(", ")))
    }
}

fn human(finding: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(printable(&finding.title));
    let mut group = match finding.code {
        Some(code) => title.id(code.id),
        None => title,
    }
    .elements(snippets(finding, sources));
    for note in &finding.notes {
        group = group.element(Level::NOTE.message(printable(note)));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(printable(help)));
    }
    let renderer = if colour {
        Renderer::styled().hyperlink(false)
    } else {
        Renderer::plain()
    };
    // A blank line after each, as between rustc's.
    format!("{}\n\n", renderer.render(&[group]).trim_end())
}

/// One snippet a file, the primary one first.
fn snippets<'a>(
    finding: &'a Diagnostic,
    sources: &'a Sources,
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let mut files = Vec::new();
    for label in finding.primary.iter().chain(&finding.secondary) {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    let annotation = |kind: AnnotationKind, label: &'a Label| {
        let text = &sources.get(label.span.file).text;
        let start = super::diagnostic::floor_char(text, label.span.start);
        let end = super::diagnostic::floor_char(text, label.span.end).max(start);
        // A span of several lines shows its first.
        let end = text[start..end].find('\n').map_or(end, |i| start + i);
        kind.span(start..end)
            .label((!label.text.is_empty()).then_some(label.text.as_str()))
    };
    files
        .into_iter()
        .map(|file| {
            let source = sources.get(file);
            let here = |l: &&Label| l.span.file == file;
            Snippet::source(source.text.as_ref())
                .path(source.name.as_str())
                .annotations(
                    finding
                        .primary
                        .iter()
                        .filter(here)
                        .map(|l| annotation(AnnotationKind::Primary, l)),
                )
                .annotations(
                    finding
                        .secondary
                        .iter()
                        .filter(here)
                        .map(|l| annotation(AnnotationKind::Context, l)),
                )
        })
        .collect()
}

/// Control characters from a file must not reach a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn short(finding: &Diagnostic, sources: &Sources, out: &mut String) {
    if let Some(label) = &finding.primary {
        let place = sources.place(label.span);
        let name = &sources.get(label.span.file).name;
        let _ = write!(out, "{name}:{}:{}: ", place.line, place.column);
    }
    out.push_str(finding.severity.as_str());
    if let Some(code) = finding.code {
        let _ = write!(out, "[{}]", code.id);
    }
    let _ = write!(out, ": {}", one_line(&finding.title));
    if let Some(help) = &finding.help {
        let _ = write!(out, " ({})", one_line(help));
    }
    out.push('\n');
}

fn one_line(text: &str) -> String {
    printable(&text.replace('\n', " "))
}

fn json(finding: &Diagnostic, sources: &Sources) -> serde_json::Value {
    let label = |label: &Label| {
        let (start, end) = (sources.place(label.span), sources.end_place(label.span));
        json!({
            "file": sources.get(label.span.file).name,
            "line": start.line,
            "column": start.column,
            "end_line": end.line,
            "end_column": end.column,
            "label": label.text,
        })
    };
    json!({
        "code": finding.code.map(|c| c.id),
        "severity": finding.severity.as_str(),
        "title": finding.code.map(|c| c.title),
        "message": finding.title,
        "primary": finding.primary.as_ref().map(label),
        "secondary": finding.secondary.iter().map(label).collect::<Vec<_>>(),
        "notes": finding.notes,
        "help": finding.help,
    })
}

/// `::error file=…,line=…,col=…,endColumn=…,title=…::message`.
fn github(finding: &Diagnostic, sources: &Sources, out: &mut String) {
    let command = match finding.severity {
        Severity::Note => "notice",
        other => other.as_str(),
    };
    let mut properties = Vec::new();
    if let Some(label) = &finding.primary {
        let (start, end) = (sources.place(label.span), sources.end_place(label.span));
        let name = &sources.get(label.span.file).name;
        properties.push(format!("file={}", escape_property(name)));
        properties.push(format!("line={}", start.line));
        properties.push(format!("col={}", start.column));
        if end.line == start.line {
            properties.push(format!("endColumn={}", end.column.max(start.column + 1)));
        }
    }
    if let Some(code) = finding.code {
        let title = format!("{} {}", code.id, code.title);
        properties.push(format!("title={}", escape_property(&title)));
    }
    let mut message = finding.title.replace('`', "'");
    if let Some(help) = &finding.help {
        let _ = write!(message, " — {}", help.replace('`', "'"));
    }
    let properties = if properties.is_empty() {
        String::new()
    } else {
        format!(" {}", properties.join(","))
    };
    let _ = writeln!(out, "::{command}{properties}::{}", escape_data(&message));
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Span, codes};

    fn report() -> Report {
        let mut sources = Sources::default();
        let file = sources.add(
            "bad.toml",
            "warmup   = 10\ndurration = \"3h\"\n# ü\nb = \"x, y\"\n",
        );
        let span = |start, end| Span { file, start, end };
        Report {
            list: vec![
                Diagnostic::error(&codes::E0103, "`warmup` needs a unit")
                    .at(span(11, 13), "a bare number")
                    .help(String::from("write \"10s\", \"10m\" or \"10h\"")),
                Diagnostic::warning(&codes::E0105, "100% odd\x1b[31m")
                    .at(span(40, 44), "")
                    .see(span(14, 23), "because of this"),
                Diagnostic::note("no file is to blame"),
            ],
            sources: Arc::new(sources),
            missing_input: false,
        }
    }

    #[test]
    fn each_shape_shows_the_same_findings() {
        insta::assert_snapshot!("human", report().render(Format::Human, false));
        insta::assert_snapshot!("short", report().render(Format::Short, false));
        insta::assert_snapshot!("json", report().render(Format::Json, false));
        insta::assert_snapshot!("github", report().render(Format::Github, false));
    }

    #[test]
    fn colours_are_written_only_when_asked_for() {
        assert!(report().render(Format::Human, true).contains("\x1b["));
        assert!(!report().render(Format::Human, false).contains('\x1b'));
    }
}
