//! JSON to protobuf: serde_json reads tokens, the schema says what each one is, bytes are appended to the result.
//!
//! A message's length stands before it and is known after it. So one byte is kept for it, and what follows is moved by a
//! few bytes where one is not enough. Nesting is bounded by serde_json (128 deep), which is less than protobuf's 100
//! messages need in JSON, so whatever is read here can be walked.

use std::fmt;

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::write::wire_of;
use crate::otlp::{
    Signal,
    schema::{Field, Label, Message, Ty},
    split::put_varint,
    walk::{LENGTH_DELIMITED, VARINT},
};

/// Why a text is not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// As protobuf it would be longer than allowed.
    #[error("more than {limit} bytes as protobuf")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// It is not JSON, or not OTLP; the text says where.
    #[error("{0}")]
    Malformed(String),
}

/// Encodes an OTLP/JSON request as protobuf of at most `bytes_max` bytes.
///
/// # Errors
/// See [`JsonError`].
pub fn from_json(signal: Signal, json: &[u8], bytes_max: usize) -> Result<Vec<u8>, JsonError> {
    let mut out = Out {
        bytes: Vec::with_capacity(json.len().min(bytes_max) / 2),
        bytes_max,
        is_over: false,
    };
    let mut tokens = serde_json::Deserializer::from_slice(json);
    let request = Object {
        out: &mut out,
        message: signal.request(),
    };
    let result = request.deserialize(&mut tokens).and_then(|()| tokens.end());
    match result {
        Ok(()) => Ok(out.bytes),
        Err(_) if out.is_over => Err(JsonError::TooLarge { limit: bytes_max }),
        Err(error) => Err(JsonError::Malformed(error.to_string())),
    }
}

/// The protobuf written so far.
struct Out {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// Whether it grew beyond `bytes_max`: the reason of the error that ended the reading.
    is_over: bool,
}

impl Out {
    fn key(&mut self, field: &Field, wire: u8) {
        put_varint(&mut self.bytes, u64::from(field.tag << 3) | u64::from(wire));
    }

    /// Starts something whose length is not known yet; [`Out::end`] wants what this returns.
    fn begin(&mut self, field: &Field) -> usize {
        self.key(field, LENGTH_DELIMITED);
        self.bytes.push(0);
        self.bytes.len()
    }

    /// Writes the length of what was begun.
    fn end<E: Error>(&mut self, start: usize) -> Result<(), E> {
        let len = self.bytes.len() - start;
        let mut prefix = Vec::with_capacity(10);
        put_varint(&mut prefix, len as u64);
        let more = prefix.len() - 1;
        if more > 0 {
            self.bytes.resize(self.bytes.len() + more, 0);
            self.bytes.copy_within(start..start + len, start + more);
        }
        self.bytes[start - 1..start + more].copy_from_slice(&prefix);
        self.check()
    }

    fn check<E: Error>(&mut self) -> Result<(), E> {
        if self.bytes.len() > self.bytes_max {
            self.is_over = true;
            return Err(E::custom("too large"));
        }
        Ok(())
    }

    /// Writes a number: its bits for eight and four bytes, its encoded value for varints.
    fn number<E: Error>(&mut self, field: &Field, place: Place, number: u64) -> Result<(), E> {
        if number == 0 && field.label == Label::One {
            return Ok(());
        }
        let wire = wire_of(field.ty);
        if place != Place::Packed {
            self.key(field, wire);
        }
        match (wire, field.ty) {
            (VARINT, _) => put_varint(&mut self.bytes, number),
            (_, Ty::Fixed32) => self.bytes.extend((number as u32).to_le_bytes()),
            _ => self.bytes.extend(number.to_le_bytes()),
        }
        self.check()
    }

    fn blob<E: Error>(&mut self, field: &Field, blob: &[u8]) -> Result<(), E> {
        if blob.is_empty() && field.label == Label::One {
            return Ok(());
        }
        self.key(field, LENGTH_DELIMITED);
        put_varint(&mut self.bytes, blob.len() as u64);
        self.bytes.extend_from_slice(blob);
        self.check()
    }
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind its name.
    Field,
    /// In a list.
    Element,
    /// In a list of numbers, which share one key.
    Packed,
}

/// The object of a message.
struct Object<'a> {
    out: &'a mut Out,
    message: &'static Message,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Name(self.message))? {
            match field {
                Some(field) => map.next_value_seed(Content {
                    out: self.out,
                    field,
                    place: Place::Field,
                })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The name of a field; `None` if the schema does not know it.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.json.iter().find(|field| field.name == name))
    }
}

/// The value of a field, or one in its list.
struct Content<'a> {
    out: &'a mut Out,
    field: &'static Field,
    place: Place,
}

impl Content<'_> {
    fn is_list(&self) -> bool {
        self.field.label == Label::Many && self.place == Place::Field
    }

    /// An integer that JSON wrote as a number or in a text.
    fn integer<E: Error>(self, number: i128) -> Result<(), E> {
        let (min, max) = match self.field.ty {
            Ty::Int32 | Ty::Sint32 | Ty::Enum => (i32::MIN.into(), i32::MAX.into()),
            Ty::Uint32 | Ty::Fixed32 => (0, u32::MAX.into()),
            Ty::Int64 | Ty::Sfixed64 => (i64::MIN.into(), i64::MAX.into()),
            _ => (0_i128, u64::MAX.into()),
        };
        if !(min..=max).contains(&number) {
            let name = self.field.name;
            return Err(E::custom(format_args!(
                "`{name}`: {number} is not within {min} and {max}"
            )));
        }
        let encoded = match self.field.ty {
            Ty::Sint32 => {
                let number = number as i32;
                u64::from(((number << 1) ^ (number >> 31)) as u32)
            }
            // Negative varints are those of 64 bits.
            _ => number as i64 as u64,
        };
        self.out.number(self.field, self.place, encoded)
    }

    fn wants_integer(&self) -> bool {
        !matches!(self.field.ty, Ty::Double | Ty::Bool)
            && wire_of(self.field.ty) != LENGTH_DELIMITED
            && !self.is_list()
    }

    fn wants_double(&self) -> bool {
        matches!(self.field.ty, Ty::Double) && !self.is_list()
    }

    fn double<E: Error>(self, number: f64) -> Result<(), E> {
        self.out.number(self.field, self.place, number.to_bits())
    }

    fn unfit<E: Error>(&self, what: serde::de::Unexpected<'_>) -> E {
        E::invalid_type(what, self)
    }
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.ty {
            _ if self.is_list() => "a list",
            Ty::Text => "a text",
            Ty::Hex => "hex digits in a text",
            Ty::Base64 => "base64 in a text",
            Ty::Bool => "true or false",
            Ty::Enum => "the number of an enumeration's value",
            Ty::Double => "a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
            Ty::Message(_) | Ty::Envelope(_) | Ty::Item(_) => "an object",
            _ => "an integer, or one in a text",
        };
        write!(f, "{what} for `{}`", self.field.name)
    }

    /// `null`: absent, but in a list there is nothing that it could mean.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.place == Place::Field {
            return Ok(());
        }
        Err(self.unfit(serde::de::Unexpected::Unit))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if matches!(self.field.ty, Ty::Bool) && !self.is_list() {
            return self.out.number(self.field, self.place, value.into());
        }
        Err(self.unfit(serde::de::Unexpected::Bool(value)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        if self.wants_integer() {
            return self.integer(number.into());
        }
        if self.wants_double() {
            return self.double(number as f64);
        }
        Err(self.unfit(serde::de::Unexpected::Unsigned(number)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        if self.wants_integer() {
            return self.integer(number.into());
        }
        if self.wants_double() {
            return self.double(number as f64);
        }
        Err(self.unfit(serde::de::Unexpected::Signed(number)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        // 1.0 and 1e3 are integers in JSON; beyond 2^64 the range check below refuses.
        if self.wants_integer() && number.fract() == 0.0 && number.abs() < 1e20 {
            return self.integer(number as i128);
        }
        if self.wants_double() {
            return self.double(number);
        }
        Err(self.unfit(serde::de::Unexpected::Float(number)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let unfit = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
        if self.is_list() {
            return Err(self.unfit(serde::de::Unexpected::Str(text)));
        }
        match self.field.ty {
            Ty::Text => self.out.blob(self.field, text.as_bytes()),
            Ty::Hex => {
                let bytes = from_hex(text).ok_or_else(unfit)?;
                self.out.blob(self.field, &bytes)
            }
            Ty::Base64 => {
                let bytes = from_base64(text).ok_or_else(unfit)?;
                self.out.blob(self.field, &bytes)
            }
            Ty::Double => {
                let number = match text {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    _ => {
                        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
                        number.ok_or_else(unfit)?
                    }
                };
                self.double(number)
            }
            // Names of enumerations' values are not part of OTLP, and quoted numbers of theirs are not either.
            Ty::Bool | Ty::Enum | Ty::Message(_) | Ty::Envelope(_) | Ty::Item(_) => {
                Err(self.unfit(serde::de::Unexpected::Str(text)))
            }
            _ => {
                let number = text.parse().map_err(|_| unfit())?;
                self.integer(number)
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.is_list() {
            return Err(self.unfit(serde::de::Unexpected::Seq));
        }
        let is_packed = wire_of(self.field.ty) != LENGTH_DELIMITED;
        let (place, begun) = if is_packed {
            let before = self.out.bytes.len();
            (Place::Packed, Some((before, self.out.begin(self.field))))
        } else {
            (Place::Element, None)
        };
        loop {
            let element = Content {
                out: self.out,
                field: self.field,
                place,
            };
            if list.next_element_seed(element)?.is_none() {
                break;
            }
        }
        match begun {
            Some((before, start)) if self.out.bytes.len() == start => {
                self.out.bytes.truncate(before);
                Ok(())
            }
            Some((_, start)) => self.out.end(start),
            None => Ok(()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let (Ty::Message(message) | Ty::Envelope(message) | Ty::Item(message)) = self.field.ty
        else {
            return Err(self.unfit(serde::de::Unexpected::Map));
        };
        if self.is_list() {
            return Err(self.unfit(serde::de::Unexpected::Map));
        }
        let start = self.out.begin(self.field);
        Object {
            out: self.out,
            message,
        }
        .visit_map(map)?;
        self.out.end(start)
    }
}

/// Bytes from hex digits of any case; `None` if it is something else.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect()
}

/// Bytes from base64 in either alphabet, padded or not, as protobuf's JSON mapping demands of readers.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .ok()
}
