//! Protobuf, as far as needed to find things without decoding: fields of a message, varints.
//!
//! Next: `items` finds item ids with it, `pool` finds what it patches.

/// Bytes that are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf message")]
pub struct Malformed;

/// One field: its number, and its value as a range of the buffer. For varints and fixed-width values the range is the
/// encoded value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

/// Walks the fields of the message in `buffer[at..end]`.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    buffer: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(buffer: &'a [u8], at: usize, end: usize) -> Self {
        Self { buffer, at, end }
    }

    /// The next field, or `None` at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Field>, Malformed> {
        if self.at >= self.end {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
        let start;
        let kind = match tag & 7 {
            0 => {
                start = self.at;
                self.varint()?;
                Kind::Varint
            }
            1 => {
                start = self.at;
                self.skip(8)?;
                Kind::Fixed64
            }
            2 => {
                let length = self.varint()?;
                start = self.at;
                self.skip(usize::try_from(length).map_err(|_| Malformed)?)?;
                Kind::Bytes
            }
            5 => {
                start = self.at;
                self.skip(4)?;
                Kind::Fixed32
            }
            _ => return Err(Malformed),
        };
        Ok(Some(Field {
            number,
            kind,
            start,
            end: self.at,
        }))
    }

    #[inline]
    fn skip(&mut self, bytes: usize) -> Result<(), Malformed> {
        if bytes > self.end - self.at {
            return Err(Malformed);
        }
        self.at += bytes;
        Ok(())
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        let (value, bytes) = varint(&self.buffer[self.at..self.end])?;
        self.at += bytes;
        Ok(value)
    }
}

/// A varint at the start of `bytes`, and its length.
#[inline]
pub(super) fn varint(bytes: &[u8]) -> Result<(u64, usize), Malformed> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, index + 1));
        }
    }
    Err(Malformed)
}

/// Length of `value` as a varint.
pub(super) fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends the key of a length-delimited field and its length.
pub(super) fn put_key(out: &mut Vec<u8>, number: u32, bytes: usize) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes as u64);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
