//! TOML as a tree in which every key, value and character knows where it was written.
//!
//! Documents of several files and `--set` arguments are merged into one tree, so a span names its file. Nothing here knows
//! what a key means: that is decided in `shape` and by the readers. Next: `fields`.

use std::ops::Range;

use indexmap::IndexMap;

use super::{
    codes,
    diagnostic::{Diagnostic, FileId, Sources, Span},
};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it is written; for tables their header or braces.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string, or a date or time as it was written.
    Text(Text),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// An array, also of tables.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

/// A string value.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Its content.
    pub value: String,
    offsets: Offsets,
}

/// How bytes of a string's content map to bytes of the file.
#[derive(Clone, Debug, PartialEq)]
enum Offsets {
    /// The content stands in the file as it is, from this byte on.
    Direct(usize),
    /// For each byte of the content, and one past its end, the byte in the file.
    Mapped(Vec<usize>),
    /// The content does not stand in the file (a variable was filled in).
    Unknown,
}

/// Keys and values in the order they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The entries.
    pub entries: IndexMap<String, Entry>,
}

/// One `key = value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where the key is written.
    pub key: Span,
    /// The value.
    pub node: Node,
}

impl Table {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|e| &e.node)
    }

    /// The string of a key, if it is one.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Node::as_text)
    }

    /// The tables of a key: one table, or an array of them.
    pub fn tables(&self, key: &str) -> impl Iterator<Item = &Node> {
        let list: Vec<&Node> = match self.get(key) {
            Some(node) => match &node.value {
                Value::Array(list) => list.iter().collect(),
                _ => vec![node],
            },
            None => Vec::new(),
        };
        list.into_iter()
            .filter(|n| matches!(n.value, Value::Table(_)))
    }
}

impl Node {
    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(&text.value),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// What it is, with an article.
    pub fn type_name(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The span of some bytes of a string's content; the whole value where those do not stand in the file.
    pub fn within(&self, bytes: Range<usize>) -> Span {
        let Value::Text(text) = &self.value else {
            return self.span;
        };
        let (start, end) = match &text.offsets {
            Offsets::Direct(from) => (from + bytes.start, from + bytes.end),
            Offsets::Mapped(map) => match (map.get(bytes.start), map.get(bytes.end).or(map.last()))
            {
                (Some(start), Some(end)) => (*start, *end),
                _ => return self.span,
            },
            Offsets::Unknown => return self.span,
        };
        // Never beyond the value: a caret one past the content falls on the closing quote.
        let end = end.clamp(self.span.start, self.span.end);
        Span {
            file: self.span.file,
            start: start.clamp(self.span.start, end),
            end,
        }
    }

    /// A string that stands nowhere in a file, at the place of another value.
    pub fn filled_in(span: Span, value: String) -> Self {
        Self {
            span,
            value: Value::Text(Text {
                value,
                offsets: Offsets::Unknown,
            }),
        }
    }

    /// A string whose content stands in the file as it is, all of `span`.
    pub fn bare_text(span: Span, value: String) -> Self {
        let offsets = Offsets::Direct(span.start);
        Self {
            span,
            value: Value::Text(Text { value, offsets }),
        }
    }
}

/// Reads a whole document.
///
/// # Errors
/// The first syntax error.
pub fn parse(sources: &Sources, file: FileId) -> Result<Table, Box<Diagnostic>> {
    let text = sources.get(file).text.clone();
    let document =
        toml_edit::Document::parse(text.as_ref()).map_err(|e| syntax(&e, file, &text))?;
    let reader = Reader {
        file,
        text: &text,
        shift: 0,
    };
    Ok(reader.table(document.as_table()))
}

/// Reads a whole document as a node, as readers of fields take it; it stands at the file's beginning.
///
/// # Errors
/// The first syntax error.
pub fn parse_node(sources: &Sources, file: FileId) -> Result<Node, Box<Diagnostic>> {
    let span = Span {
        file,
        start: 0,
        end: 0,
    };
    let value = Value::Table(parse(sources, file)?);
    Ok(Node { span, value })
}

/// Reads one value that stands at `at..` of a text, such as the right-hand side of `--set`; `None` if it is not one.
pub fn parse_value(sources: &Sources, file: FileId, at: usize) -> Option<Node> {
    const KEY: &str = "v=";
    let text = format!("{KEY}{}", &sources.get(file).text[at..]);
    let document = toml_edit::Document::parse(text.as_str()).ok()?;
    let (key, item) = document.as_table().iter().next()?;
    if key != "v" || document.as_table().len() != 1 || !item.is_value() {
        return None;
    }
    let reader = Reader {
        file,
        text: &text,
        shift: at as isize - KEY.len() as isize,
    };
    let whole = KEY.len()..text.len();
    Some(reader.item(item, whole))
}

/// The parser blames the byte after what it could not use; a caret belongs on the bracket that should have been two.
fn syntax(err: &toml_edit::TomlError, file: FileId, text: &str) -> Box<Diagnostic> {
    let span = err.span().unwrap_or(0..0);
    let (mut start, end) = (span.start.min(text.len()), span.end.min(text.len()));
    let message = err.message();
    let label = if message.starts_with("unclosed array table") {
        if start == end && text[..start].ends_with(']') {
            start -= 1;
        }
        String::from("expected ']]' at the end of an array declaration")
    } else if message.starts_with("unclosed table") {
        String::from("expected ']' at the end of a table declaration")
    } else {
        message.replace('`', "'")
    };
    let end = end.max(start);
    let found = Diagnostic::error(&codes::E0001, "this is not valid TOML");
    Box::new(found.at(Span { file, start, end }, label))
}

struct Reader<'t> {
    file: FileId,
    text: &'t str,
    shift: isize,
}

impl Reader<'_> {
    fn span(&self, range: Range<usize>) -> Span {
        let moved = |at: usize| at.saturating_add_signed(self.shift);
        Span {
            file: self.file,
            start: moved(range.start),
            end: moved(range.end),
        }
    }

    fn table(&self, table: &dyn toml_edit::TableLike) -> Table {
        let mut entries = IndexMap::new();
        for (name, item) in table.iter() {
            let key = table
                .get_key_value(name)
                .and_then(|(key, _)| key.span())
                .or(item.span())
                .unwrap_or(0..0);
            let node = self.item(item, key.clone());
            let key = self.span(key);
            entries.insert(name.to_owned(), Entry { key, node });
        }
        Table { entries }
    }

    /// `place` stands in for items without a span of their own: dotted tables.
    fn item(&self, item: &toml_edit::Item, place: Range<usize>) -> Node {
        let span = item.span().unwrap_or(place.clone());
        let value = match item {
            toml_edit::Item::Value(value) => return self.value(value, place),
            toml_edit::Item::Table(table) => Value::Table(self.table(table)),
            toml_edit::Item::ArrayOfTables(list) => Value::Array(
                list.iter()
                    .map(|table| Node {
                        span: self.span(table.span().unwrap_or(span.clone())),
                        value: Value::Table(self.table(table)),
                    })
                    .collect(),
            ),
            toml_edit::Item::None => Value::Table(Table::default()),
        };
        let span = self.span(span);
        Node { span, value }
    }

    fn value(&self, value: &toml_edit::Value, place: Range<usize>) -> Node {
        let range = value.span().unwrap_or(place);
        let span = self.span(range.clone());
        let raw = self.text.get(range).unwrap_or_default();
        let value = match value {
            toml_edit::Value::String(s) => Value::Text(Text {
                offsets: offsets(raw, s.value(), span.start),
                value: s.value().clone(),
            }),
            toml_edit::Value::Integer(n) => Value::Integer(*n.value()),
            toml_edit::Value::Float(n) => Value::Float(*n.value()),
            toml_edit::Value::Boolean(b) => Value::Bool(*b.value()),
            // Dates and times mean what they say: `at = 12:05` is `at = "12:05"`.
            toml_edit::Value::Datetime(_) => Value::Text(Text {
                value: raw.to_owned(),
                offsets: Offsets::Direct(span.start),
            }),
            toml_edit::Value::Array(list) => Value::Array(
                list.iter()
                    .map(|v| self.value(v, v.span().unwrap_or(0..0)))
                    .collect(),
            ),
            toml_edit::Value::InlineTable(table) => Value::Table(self.table(table)),
        };
        Node { span, value }
    }
}

/// How the content of a string maps to its raw text, which starts at byte `at` of the file.
fn offsets(raw: &str, content: &str, at: usize) -> Offsets {
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") {
        3
    } else {
        1
    };
    let mut start = quotes;
    if quotes == 3 {
        // A line break right after the opening quotes is not content.
        for newline in ["\r\n", "\n"] {
            if raw.get(start..).is_some_and(|r| r.starts_with(newline)) {
                start += newline.len();
                break;
            }
        }
    }
    let inner = raw
        .len()
        .checked_sub(quotes)
        .and_then(|end| raw.get(start..end))
        .unwrap_or_default();
    if inner == content {
        return Offsets::Direct(at + start);
    }
    // With escapes: walk both side by side.
    let mut map = Vec::with_capacity(content.len() + 1);
    let mut rest = inner;
    for c in content.chars() {
        // A backslash at the end of a line swallows the space that follows.
        while rest.starts_with('\\') && rest[1..].starts_with([' ', '\t', '\r', '\n']) {
            rest = rest[1..].trim_start();
        }
        map.extend(std::iter::repeat_n(
            at + start + inner.len() - rest.len(),
            c.len_utf8(),
        ));
        let step = match rest.strip_prefix('\\') {
            Some(escape) => match escape.chars().next() {
                Some('x') => 4,
                Some('u') => 6,
                Some('U') => 10,
                _ => 2,
            },
            None => rest.chars().next().map_or(0, char::len_utf8),
        };
        rest = rest.get(step..).unwrap_or_default();
    }
    map.push(at + start + inner.len() - rest.len());
    Offsets::Mapped(map)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Sources, Result<Table, Box<Diagnostic>>) {
        let mut sources = Sources::default();
        let file = sources.add("x.toml", text);
        let table = parse(&sources, file);
        (sources, table)
    }

    #[test]
    fn positions_inside_strings_are_exact() {
        let check = |text: &str, part: &str, blamed: &str| {
            let (sources, table) = read(text);
            let table = table.expect("valid");
            let node = table.get("a").expect("a");
            let at = node
                .as_text()
                .expect("text")
                .find(part)
                .expect("part of the content");
            let span = node.within(at..at + part.len());
            assert_eq!(sources.text(span), blamed, "{text}");
        };
        check("a = \"p99(x) < 2s\"", "x", "x");
        check("a = 'p99(x)'", "99", "99");
        check("a = \"\"\"\nfirst\nlast\"\"\"", "last", "last");
        check("a = \"tab\\tthen \\u00e9x\"", "then", "then");
        check("a = \"tab\\tthen \\u00e9x\"", "éx", "\\u00e9x");
        check("a = \"\"\"one \\\n   two\"\"\"", "two", "two");
        check("a = 12:05:00", "05", "05");
    }

    #[test]
    fn keys_and_tables_know_where_they_are() {
        let (sources, table) = read("[x.y]\nz = 1\n[[f]]\nid = \"a\"\n[[f]]\nid = \"b\"\n");
        let table = table.expect("valid");
        let y = table.get("x").and_then(Node::as_table).expect("x");
        assert_eq!(sources.text(y.entries["y"].key), "y");
        assert_eq!(sources.text(y.entries["y"].node.span), "[x.y]");
        assert_eq!(table.tables("f").count(), 2);
        let second = table.tables("f").nth(1).expect("second");
        assert_eq!(sources.place(second.span).line, 5);
    }

    #[test]
    fn an_unclosed_header_is_blamed_at_its_end() {
        let (sources, table) = read("schema = 1\n[[fault]\nid = \"x\"\n");
        let err = table.expect_err("invalid");
        let label = err.primary.expect("a place");
        let place = sources.place(label.span);
        assert_eq!((place.line, place.column), (2, 8));
        assert_eq!(
            label.text,
            "expected ']]' at the end of an array declaration"
        );
    }

    #[test]
    fn a_value_of_an_argument_keeps_its_place() {
        let mut sources = Sources::default();
        let file = sources.add_argument("--set", "a.b={ file = \"x\", n = 3 }");
        let node = parse_value(&sources, file, 4).expect("a table");
        let table = node.as_table().expect("a table");
        assert_eq!(sources.text(table.entries["file"].key), "file");
        assert_eq!(sources.text(table.entries["file"].node.within(0..1)), "x");
        let file = sources.add_argument("--set", "a=40m");
        assert!(parse_value(&sources, file, 2).is_none());
        let file = sources.add_argument("--set", "a=1\nb=2");
        assert!(parse_value(&sources, file, 2).is_none());
    }

    fn spans_inside(node: &Node, len: usize) -> bool {
        let inside = |s: Span| s.start <= s.end && s.end <= len;
        inside(node.span)
            && match &node.value {
                Value::Array(list) => list.iter().all(|n| spans_inside(n, len)),
                Value::Table(table) => table
                    .entries
                    .values()
                    .all(|e| inside(e.key) && spans_inside(&e.node, len)),
                Value::Text(text) => {
                    (0..=text.value.len()).all(|i| inside(node.within(i..text.value.len())))
                }
                _ => true,
            }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_with_a_span_inside_it(text in "[a-z\\[\\]{}=\\.,\"'\\\\u0-9 \n#é]{0,60}") {
            let (_, table) = read(&text);
            match table {
                Ok(table) => for entry in table.entries.values() {
                    prop_assert!(spans_inside(&entry.node, text.len()));
                },
                Err(err) => {
                    let span = err.primary.expect("a place").span;
                    prop_assert!(span.start <= span.end && span.end <= text.len());
                }
            }
        }
    }
}
