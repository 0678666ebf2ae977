//! One pass over an encoded request: proves that a decoder will take it, and counts its items. No allocation, no decode.
//!
//! The verdict is prost's, byte for byte (test `agrees_with_prost`): wire types must match the schema, strings must be
//! UTF-8, messages nest at most 100 deep, unknown fields and groups are skipped by the same rules. A looser check would
//! let one bad request into a batch, and the receiver would refuse the whole batch for it. Next: `attribute`, `split`.

use super::{
    Signal,
    attribute::{is_plain_attribute, is_text},
    schema::{KEY_VALUE, Kind, Message},
};

/// Nesting that prost and protobuf allow.
const RECURSION_MAX: u32 = 100;

/// Why bytes are not a request, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct WalkError {
    /// Offset from the start of the request.
    pub at: usize,
    /// What is wrong.
    pub what: Malformed,
}

/// What is wrong with an encoded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// An integer longer than ten bytes, or cut off.
    #[error("invalid varint")]
    Varint,
    /// A key with tag 0, an unknown wire type, or more than 32 bits.
    #[error("invalid field key")]
    Key,
    /// A known field with another wire type than the schema's.
    #[error("wire type differs from the schema")]
    WireType,
    /// A length that reaches beyond its message.
    #[error("length beyond the end")]
    Length,
    /// A string that is not UTF-8.
    #[error("string is not UTF-8")]
    Utf8,
    /// An end of a group that was not begun.
    #[error("unexpected end of group")]
    Group,
    /// More than 100 messages inside each other.
    #[error("nested deeper than 100 messages")]
    Depth,
}

/// Counts the items (spans, data points or log records) of an encoded request.
///
/// # Errors
/// If prost would not decode it.
pub fn count_items(signal: Signal, request: &[u8]) -> Result<u64, WalkError> {
    let mut reader = Reader::new(request);
    reader.message(request.len(), signal.request(), RECURSION_MAX)
}

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const LENGTH_DELIMITED: u8 = 2;
pub(super) const START_GROUP: u8 = 3;
pub(super) const END_GROUP: u8 = 4;
pub(super) const FIXED32: u8 = 5;

/// A position in an encoded message.
pub(super) struct Reader<'a> {
    data: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    fn error<T>(&self, what: Malformed) -> Result<T, WalkError> {
        Err(WalkError { at: self.at, what })
    }

    /// Walks the fields up to `end` and returns the items in them. `left` is how many messages may still nest.
    fn message(
        &mut self,
        end: usize,
        message: &'static Message,
        left: u32,
    ) -> Result<u64, WalkError> {
        let mut items = 0;
        // A `oneof`: setting another member discards the one before it, setting the same one merges.
        let (mut member, mut member_items) = (0, 0);
        while self.at < end {
            let (tag, wire) = self.key(end)?;
            match message.field(tag) {
                Kind::Text => {
                    let text = self.blob(wire, end)?;
                    if !is_text(text) {
                        return self.error(Malformed::Utf8);
                    }
                }
                Kind::Message(inner) => {
                    let inner_end = self.enter(wire, end, left)?;
                    // Two messages deep, as the long way would count.
                    if left > 1
                        && std::ptr::eq(inner, &KEY_VALUE)
                        && is_plain_attribute(&self.data[self.at..inner_end])
                    {
                        self.at = inner_end;
                    } else {
                        self.message(inner_end, inner, left - 1)?;
                    }
                }
                Kind::Varint => {
                    self.expect(VARINT, wire)?;
                    self.varint(end)?;
                }
                Kind::Fixed64 => {
                    self.expect(FIXED64, wire)?;
                    self.skip(8, end)?;
                }
                Kind::Fixed32 => {
                    self.expect(FIXED32, wire)?;
                    self.skip(4, end)?;
                }
                Kind::Blob => {
                    self.blob(wire, end)?;
                }
                Kind::Item(inner) => {
                    let inner_end = self.enter(wire, end, left)?;
                    self.message(inner_end, inner, left - 1)?;
                    items += 1;
                }
                Kind::Envelope(inner) => {
                    let inner_end = self.enter(wire, end, left)?;
                    items += self.message(inner_end, inner, left - 1)?;
                }
                Kind::OneOf(inner) => {
                    let inner_end = self.enter(wire, end, left)?;
                    if member != tag {
                        (member, member_items) = (tag, 0);
                    }
                    member_items += self.message(inner_end, inner, left - 1)?;
                }
                Kind::Fixed64s if wire == LENGTH_DELIMITED => {
                    let packed = self.blob(wire, end)?;
                    if packed.len() % 8 != 0 {
                        return self.error(Malformed::Length);
                    }
                }
                Kind::Fixed64s => {
                    self.expect(FIXED64, wire)?;
                    self.skip(8, end)?;
                }
                Kind::Varints if wire == LENGTH_DELIMITED => {
                    let packed_end = self.length(end)?;
                    while self.at < packed_end {
                        self.varint(packed_end)?;
                    }
                }
                Kind::Varints => {
                    self.expect(VARINT, wire)?;
                    self.varint(end)?;
                }
                Kind::Unknown => self.skip_field(tag, wire, end, left)?,
            }
        }
        Ok(items + member_items)
    }

    /// Reads a field's tag and wire type.
    #[inline]
    pub(super) fn key(&mut self, end: usize) -> Result<(u32, u8), WalkError> {
        let key = self.varint(end)?;
        let wire = (key & 7) as u8;
        if key > u64::from(u32::MAX) || wire > FIXED32 || key < 8 {
            return self.error(Malformed::Key);
        }
        Ok(((key >> 3) as u32, wire))
    }

    /// Reads a LEB128 integer of at most ten bytes.
    #[inline]
    pub(super) fn varint(&mut self, end: usize) -> Result<u64, WalkError> {
        if let Some(&byte) = self.data[..end].get(self.at)
            && byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        let mut value = 0;
        for (index, &byte) in self.data[self.at..end].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if index == 9 && byte > 1 {
                    break;
                }
                self.at += index + 1;
                return Ok(value);
            }
        }
        self.error(Malformed::Varint)
    }

    /// Reads a length and returns where it ends.
    #[inline]
    pub(super) fn length(&mut self, end: usize) -> Result<usize, WalkError> {
        let length = self.varint(end)?;
        if length > (end - self.at) as u64 {
            return self.error(Malformed::Length);
        }
        Ok(self.at + length as usize)
    }

    fn enter(&mut self, wire: u8, end: usize, left: u32) -> Result<usize, WalkError> {
        self.expect(LENGTH_DELIMITED, wire)?;
        if left == 0 {
            return self.error(Malformed::Depth);
        }
        self.length(end)
    }

    #[inline]
    fn blob(&mut self, wire: u8, end: usize) -> Result<&'a [u8], WalkError> {
        self.expect(LENGTH_DELIMITED, wire)?;
        let blob_end = self.length(end)?;
        let blob = &self.data[self.at..blob_end];
        self.at = blob_end;
        Ok(blob)
    }

    #[inline]
    fn expect(&self, expected: u8, wire: u8) -> Result<(), WalkError> {
        if wire == expected {
            Ok(())
        } else {
            self.error(Malformed::WireType)
        }
    }

    #[inline]
    fn skip(&mut self, bytes: usize, end: usize) -> Result<(), WalkError> {
        if end - self.at < bytes {
            return self.error(Malformed::Length);
        }
        self.at += bytes;
        Ok(())
    }

    /// Skips a field that is not in the schema, groups included.
    pub(super) fn skip_field(
        &mut self,
        tag: u32,
        wire: u8,
        end: usize,
        left: u32,
    ) -> Result<(), WalkError> {
        if left == 0 {
            return self.error(Malformed::Depth);
        }
        match wire {
            VARINT => self.varint(end).map(|_| ()),
            FIXED64 => self.skip(8, end),
            FIXED32 => self.skip(4, end),
            LENGTH_DELIMITED => self.blob(wire, end).map(|_| ()),
            START_GROUP => loop {
                let (inner_tag, inner_wire) = self.key(end)?;
                if inner_wire != END_GROUP {
                    self.skip_field(inner_tag, inner_wire, end, left - 1)?;
                } else if inner_tag == tag {
                    return Ok(());
                } else {
                    return self.error(Malformed::Group);
                }
            },
            _ => self.error(Malformed::Group),
        }
    }
}
