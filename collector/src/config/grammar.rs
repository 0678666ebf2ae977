//! Small grammars inside string values, and what is wrong with a text that does not follow one.
//!
//! A [`Grammar`] is what the schema, `explain` and the messages know of a kind of text; the function that parses it returns
//! its value or a [`TextError`] with the exact bytes to blame. Next: `quantity`, the grammars of units; `tree`, which turns
//! a position in a text into one in the file.

use std::ops::Range;

use super::{codes, diagnostic::Code};

/// What is known of a kind of text.
#[derive(Debug)]
pub struct Grammar {
    /// What it is, with an article: "a duration".
    pub name: &'static str,
    /// How it is written, in a sentence.
    pub doc: &'static str,
    /// A regular expression for editors; checked loosely.
    pub pattern: &'static str,
    /// Values as they may be written.
    pub examples: &'static [&'static str],
    /// Units to suggest for a bare number; empty where no unit is expected.
    pub units: &'static [&'static str],
    /// Whether a text follows it.
    pub check: fn(&str) -> Result<(), TextError>,
}

/// What is wrong with a text. `{key}` in the title stands for the key whose value it is.
#[derive(Clone, Debug)]
pub struct TextError {
    /// Its class.
    pub code: &'static Code,
    /// Bytes of the text to blame.
    pub at: Range<usize>,
    /// What is wrong.
    pub title: String,
    /// A few words for the caret.
    pub label: String,
    /// A suggestion.
    pub help: Option<String>,
}

impl TextError {
    /// Of a class, at some bytes.
    pub fn new(
        code: &'static Code,
        at: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            code,
            at,
            title: title.into(),
            label: label.into(),
            help: None,
        }
    }

    /// A value that cannot be read.
    pub fn value(at: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(&codes::E0105, at, title, label)
    }

    /// With a suggestion.
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// Moved to the right by `by` bytes: for texts that are part of another.
    pub fn shift(mut self, by: usize) -> Self {
        self.at = self.at.start + by..self.at.end + by;
        self
    }
}

/// `help` for a bare number: "write "10s", "10m" or "10h"".
pub fn write_with_units(number: &str, units: &[&str]) -> Option<String> {
    let written: Vec<String> = units.iter().map(|u| format!("\"{number}{u}\"")).collect();
    match written.as_slice() {
        [] => None,
        [one] => Some(format!("write {one}")),
        [init @ .., last] => Some(format!("write {} or {last}", init.join(", "))),
    }
}

/// A part of a text, with its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'t> {
    /// The part, without surrounding space.
    pub text: &'t str,
    /// Its first byte in the whole text.
    pub at: usize,
}

impl<'t> Part<'t> {
    /// The whole of a text, without surrounding space.
    pub fn whole(text: &'t str) -> Self {
        Self { text, at: 0 }.trim()
    }

    /// Its bytes in the whole text; one byte at least, for a caret.
    pub fn range(self) -> Range<usize> {
        self.at..self.at + self.text.len().max(1)
    }

    /// Without surrounding space.
    pub fn trim(self) -> Self {
        let left = self.text.len() - self.text.trim_start().len();
        Self {
            text: self.text.trim(),
            at: self.at + left,
        }
    }

    /// Some of its bytes, trimmed.
    pub fn slice(self, range: Range<usize>) -> Self {
        Self {
            text: &self.text[range.start..range.end],
            at: self.at + range.start,
        }
        .trim()
    }

    /// Both sides of the first `separator`.
    pub fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let i = self.text.find(separator)?;
        Some((
            self.slice(0..i),
            self.slice(i + separator.len_utf8()..self.text.len()),
        ))
    }

    /// The parts between separators that stand outside parentheses and quotes.
    pub fn split_top(self, separator: char) -> Vec<Self> {
        let mut parts = Vec::new();
        let (mut depth, mut quote, mut start) = (0_i32, None, 0);
        for (i, c) in self.text.char_indices() {
            match (quote, c) {
                (Some(q), _) if q == c => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '(') => depth += 1,
                (None, ')') => depth -= 1,
                (None, _) if c == separator && depth == 0 => {
                    parts.push(self.slice(start..i));
                    start = i + c.len_utf8();
                }
                _ => {}
            }
        }
        parts.push(self.slice(start..self.text.len()));
        parts
    }

    /// Parses it with a function, and moves its error to where the part stands.
    pub fn parse<T>(
        self,
        parse: impl FnOnce(&str) -> Result<T, TextError>,
    ) -> Result<T, TextError> {
        parse(self.text).map_err(|e| e.shift(self.at))
    }
}

/// `name(key=value, value, …)`, or a bare `name`.
#[derive(Clone, Debug)]
pub struct Call<'t> {
    /// Its name.
    pub name: Part<'t>,
    /// Its arguments, the name of each where it has one.
    pub args: Vec<(Option<Part<'t>>, Part<'t>)>,
}

impl<'t> Call<'t> {
    /// Reads one.
    ///
    /// # Errors
    /// If parentheses do not match or the name is empty.
    pub fn parse(text: &'t str) -> Result<Self, TextError> {
        let whole = Part::whole(text);
        let Some(open) = whole.text.find('(') else {
            if let Some(i) = whole.text.find(')') {
                let at = whole.at + i;
                return Err(TextError::value(
                    at..at + 1,
                    "`{key}` has a `)` without `(`",
                    "no `(` before it",
                ));
            }
            return Ok(Self {
                name: whole,
                args: Vec::new(),
            });
        };
        let name = whole.slice(0..open);
        if !whole.text.ends_with(')') {
            let at = whole.at + whole.text.len();
            return Err(TextError::value(
                at.saturating_sub(1)..at,
                "`{key}` has a `(` without `)`",
                "expected `)` after this",
            ));
        }
        let inner = whole.slice(open + 1..whole.text.len() - 1);
        let mut args = Vec::new();
        if !inner.text.is_empty() {
            for part in inner.split_top(',') {
                args.push(match part.split_once('=') {
                    Some((key, value)) => (Some(key), value),
                    None => (None, part),
                });
            }
        }
        Ok(Self { name, args })
    }

    /// The arguments in the order of `names`, given by name or by position.
    ///
    /// # Errors
    /// If one is missing, unknown or given twice.
    pub fn named<const N: usize>(&self, names: [&str; N]) -> Result<[Part<'t>; N], TextError> {
        let mut found: [Option<Part<'t>>; N] = [None; N];
        for (i, (key, value)) in self.args.iter().enumerate() {
            let slot = match key {
                Some(key) => names.iter().position(|n| *n == key.text),
                None => Some(i).filter(|i| *i < N),
            };
            let Some(slot) = slot else {
                let at = key.unwrap_or(*value);
                return Err(TextError::value(
                    at.range(),
                    format!("`{}` has no argument `{}`", self.name.text, at.text),
                    "unknown argument",
                )
                .help(super::did_you_mean(at.text, names, "it takes")));
            };
            if found[slot].replace(*value).is_some() {
                let at = key.unwrap_or(*value);
                return Err(TextError::value(
                    at.range(),
                    format!("`{}` is given twice", names[slot]),
                    "given before",
                ));
            }
        }
        let mut all = [self.name; N];
        for (slot, value) in found.iter().enumerate() {
            let Some(value) = value else {
                return Err(TextError::value(
                    self.name.range(),
                    format!("`{}` needs `{}`", self.name.text, names[slot]),
                    "an argument is missing",
                )
                .help(format!(
                    "write {}({})",
                    self.name.text,
                    names
                        .iter()
                        .map(|n| format!("{n}=…"))
                        .collect::<Vec<_>>()
                        .join(", ")
                )));
            };
            all[slot] = *value;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_know_where_their_arguments_stand() {
        let call = Call::parse("full-jitter(base=1s, cap=60s)").expect("a call");
        let [base, cap] = call.named(["base", "cap"]).expect("both");
        assert_eq!((base.text, base.at), ("1s", 17));
        assert_eq!((cap.text, cap.at), ("60s", 25));
        assert!(Call::parse("x(1").is_err());
        assert!(Call::parse("x)").is_err());
        assert!(Call::parse("none").expect("bare").args.is_empty());
    }

    #[test]
    fn wrong_arguments_are_blamed_exactly() {
        let check = |text: &str, blamed: &str| {
            let call = Call::parse(text).expect("a call");
            let err = call.named(["base", "cap"]).expect_err(text);
            assert_eq!(&text[err.at], blamed, "{text}");
        };
        check("x(bse=1s, cap=2s)", "bse");
        check("x(base=1s)", "x");
        check("x(base=1s, base=2s)", "base");
        check("x(1s, 2s, 3s)", "3s");
    }

    #[test]
    fn bare_numbers_get_their_units() {
        assert_eq!(
            write_with_units("10", &["s", "m", "h"]).as_deref(),
            Some("write \"10s\", \"10m\" or \"10h\"")
        );
    }
}
