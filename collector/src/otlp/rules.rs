//! Whether an item is what a rule means: its severity, attributes of its resource, attributes of its own.
//!
//! Read from the encoded bytes, field by field; nothing is decoded that no rule asks for. Next: `sort`, which asks it for every
//! item of a request.

use super::{
    WalkError,
    schema::Message,
    walk::{LENGTH_DELIMITED, Reader, VARINT},
};

/// A kind of items: whatever passes all of its tests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Log records of this severity number (1 to 24) or above it. One without a severity does not pass.
    pub severity_min: Option<u8>,
    /// Attributes of the resource.
    pub resource: Vec<AttributeTest>,
    /// Attributes of the span, the data point or the log record.
    pub attributes: Vec<AttributeTest>,
}

/// An attribute that is there, with a value that is one of several.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeTest {
    /// Its key.
    pub key: String,
    /// Values it may have.
    pub one_of: Vec<Pattern>,
}

/// Values of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This text.
    Text(String),
    /// Texts that begin so.
    Prefix(String),
    /// This integer.
    Integer(i64),
    /// This truth value.
    Bool(bool),
}

/// A value of an attribute, as far as a pattern may be about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar<'a> {
    Text(&'a str),
    Integer(i64),
    Bool(bool),
    /// A double, bytes, a list, a map, or nothing.
    Other,
}

impl Pattern {
    fn takes(&self, value: Scalar<'_>) -> bool {
        match (self, value) {
            (Self::Text(text), Scalar::Text(value)) => text == value,
            (Self::Prefix(prefix), Scalar::Text(value)) => value.starts_with(prefix.as_str()),
            (Self::Integer(number), Scalar::Integer(value)) => *number == value,
            (Self::Bool(flag), Scalar::Bool(value)) => *flag == value,
            _ => false,
        }
    }
}

impl Rule {
    /// Whether a resource passes; `parts` are the encodings of it in the request, which a decoder would merge.
    pub(super) fn takes_resource(&self, parts: &[&[u8]]) -> Result<bool, WalkError> {
        has_all(&self.resource, || {
            let attributes = parts
                .iter()
                .map(|part| attributes(part, ATTRIBUTES_OF_RESOURCE));
            attributes
                .collect::<Result<Vec<_>, _>>()
                .map(|all| all.concat())
        })
    }

    /// Whether an item passes, whose resource does.
    pub(super) fn takes_item(&self, item: &[u8], message: &Message) -> Result<bool, WalkError> {
        if let Some(least) = self.severity_min
            && severity(item)? < u64::from(least)
        {
            return Ok(false);
        }
        has_all(&self.attributes, || {
            let field = message.json.iter().find(|field| field.name == "attributes");
            attributes(item, field.map_or(0, |field| field.tag))
        })
    }
}

const ATTRIBUTES_OF_RESOURCE: u32 = 1;

/// `LogRecord.severity_number`.
const SEVERITY: u32 = 2;

type Attribute<'a> = (&'a str, Scalar<'a>);

/// Whether all tests pass; the attributes are read where there is a test.
fn has_all<'a>(
    tests: &[AttributeTest],
    read: impl FnOnce() -> Result<Vec<Attribute<'a>>, WalkError>,
) -> Result<bool, WalkError> {
    if tests.is_empty() {
        return Ok(true);
    }
    let found = read()?;
    Ok(tests.iter().all(|test| {
        let mut values = found.iter().filter(|(key, _)| *key == test.key);
        values.any(|(_, value)| test.one_of.iter().any(|pattern| pattern.takes(*value)))
    }))
}

/// The attributes that stand in a field of a message.
fn attributes(data: &[u8], field: u32) -> Result<Vec<Attribute<'_>>, WalkError> {
    let mut found = Vec::new();
    each(data, |tag, value| {
        if let (true, Value::Blob(attribute)) = (tag == field, value) {
            let (mut key, mut scalar) = ("", Scalar::Other);
            each(attribute, |tag, value| {
                match (tag, value) {
                    (1, Value::Blob(text)) => key = std::str::from_utf8(text).unwrap_or(""),
                    (2, Value::Blob(any)) => scalar = scalar_of(any, scalar)?,
                    _ => {}
                }
                Ok(())
            })?;
            found.push((key, scalar));
        }
        Ok(())
    })?;
    Ok(found)
}

/// The value that an `AnyValue` has: of its members the last one counts, and if it has none that of an earlier encoding of it.
fn scalar_of<'a>(any: &'a [u8], before: Scalar<'a>) -> Result<Scalar<'a>, WalkError> {
    let mut scalar = before;
    each(any, |tag, value| {
        scalar = match (tag, value) {
            (1, Value::Blob(text)) => std::str::from_utf8(text).map_or(Scalar::Other, Scalar::Text),
            (2, Value::Varint(flag)) => Scalar::Bool(flag != 0),
            (3, Value::Varint(number)) => Scalar::Integer(number.cast_signed()),
            (4..=8, _) => Scalar::Other,
            _ => scalar,
        };
        Ok(())
    })?;
    Ok(scalar)
}

fn severity(record: &[u8]) -> Result<u64, WalkError> {
    let mut number = 0;
    each(record, |tag, value| {
        if let (SEVERITY, Value::Varint(value)) = (tag, value) {
            // An enum has 32 bits, and what is negative or unknown is no severity.
            number = u64::try_from(value as i32).unwrap_or(0);
        }
        Ok(())
    })?;
    Ok(number)
}

/// A field's value.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Varint(u64),
    Blob(&'a [u8]),
    Other,
}

/// Calls `take` for each field of a message.
fn each<'a>(
    data: &'a [u8],
    mut take: impl FnMut(u32, Value<'a>) -> Result<(), WalkError>,
) -> Result<(), WalkError> {
    let mut reader = Reader::new(data);
    while reader.at < data.len() {
        let (tag, wire) = reader.key(data.len())?;
        let value = match wire {
            VARINT => Value::Varint(reader.varint(data.len())?),
            LENGTH_DELIMITED => {
                let end = reader.length(data.len())?;
                let blob = &data[reader.at..end];
                reader.at = end;
                Value::Blob(blob)
            }
            _ => {
                reader.skip_field(tag, wire, data.len(), 101)?;
                Value::Other
            }
        };
        take(tag, value)?;
    }
    Ok(())
}
