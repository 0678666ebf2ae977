//! Cuts a request in two between items, so that a refused batch can be halved down to the culprit.
//!
//! Envelopes (resource, scope, metric with its kind and temporality) are copied to both sides, items go to one: the two
//! halves together say exactly what the whole said. It allocates, and is used on refusal only. Next: `response`.

use super::{
    Signal, WalkError, count_items,
    schema::{Kind, Message},
    walk::{LENGTH_DELIMITED, Reader},
};

/// Splits an encoded request into its first `first` items and the rest.
///
/// # Errors
/// If it is not well formed.
pub fn split_items(
    signal: Signal,
    request: &[u8],
    first: u64,
) -> Result<(Vec<u8>, Vec<u8>), WalkError> {
    // Everything below may rely on well-formed input.
    count_items(signal, request)?;
    let mut cut = Cut { left: first };
    cut.message(request, signal.request())
}

struct Cut {
    /// Items that still go to the left side.
    left: u64,
}

impl Cut {
    fn message(
        &mut self,
        data: &[u8],
        message: &'static Message,
    ) -> Result<(Vec<u8>, Vec<u8>), WalkError> {
        let (mut left, mut right) = (Vec::with_capacity(data.len()), Vec::new());
        let mut reader = Reader::new(data);
        while reader.at < data.len() {
            let start = reader.at;
            let (tag, wire) = reader.key(data.len())?;
            let after_key = reader.at;
            reader.skip_field(tag, wire, data.len(), 101)?;
            let field = &data[start..reader.at];
            match message.field(tag) {
                Kind::Item(_) => {
                    if self.left > 0 {
                        self.left -= 1;
                        left.extend_from_slice(field);
                    } else {
                        right.extend_from_slice(field);
                    }
                }
                Kind::Envelope(inner) | Kind::OneOf(inner) => {
                    let mut body = Reader::new(field);
                    body.at = after_key - start;
                    let end = body.length(field.len())?;
                    let inner_data = &field[body.at..end];
                    let before = self.left;
                    let (inner_left, inner_right) = self.message(inner_data, inner)?;
                    let took = before - self.left;
                    // An envelope goes to the sides on which it holds items; one without items goes with the left.
                    let has_right = holds_items(&inner_right, inner)?;
                    if took > 0 || !has_right {
                        put(&mut left, tag, &inner_left);
                    }
                    if has_right {
                        put(&mut right, tag, &inner_right);
                    }
                }
                _ => {
                    left.extend_from_slice(field);
                    right.extend_from_slice(field);
                }
            }
        }
        Ok((left, right))
    }
}

/// Whether there is an item anywhere inside.
fn holds_items(data: &[u8], message: &'static Message) -> Result<bool, WalkError> {
    let mut reader = Reader::new(data);
    while reader.at < data.len() {
        let (tag, wire) = reader.key(data.len())?;
        let after_key = reader.at;
        reader.skip_field(tag, wire, data.len(), 101)?;
        match message.field(tag) {
            Kind::Item(_) => return Ok(true),
            Kind::Envelope(inner) | Kind::OneOf(inner) => {
                let field = &data[after_key..reader.at];
                let mut body = Reader::new(field);
                let end = body.length(field.len())?;
                if holds_items(&field[body.at..end], inner)? {
                    return Ok(true);
                }
            }
            _ => {}
        }
    }
    Ok(false)
}

fn put(out: &mut Vec<u8>, tag: u32, body: &[u8]) {
    put_varint(out, u64::from(tag << 3) | u64::from(LENGTH_DELIMITED));
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// Appends a LEB128 integer.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
