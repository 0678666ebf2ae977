//! Protobuf to JSON. The bytes were walked before, so everything here may rely on their form.
//!
//! A field may stand anywhere in its message, and more than once: the last scalar counts, messages are merged, and of a
//! `oneof` only the member that was set last stays. So the fields of a message are collected first and written in the
//! order of the schema.

use std::io::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::otlp::{
    Signal, WalkError, count_items,
    schema::{Field, Label, Message, Ty},
    walk::{FIXED32, FIXED64, LENGTH_DELIMITED, Reader, VARINT},
};

/// Writes an encoded request as one line of OTLP/JSON, without a line break at its end.
///
/// # Errors
/// If it is not well formed.
pub fn to_json(signal: Signal, request: &[u8]) -> Result<String, WalkError> {
    count_items(signal, request)?;
    let mut out = Vec::with_capacity(request.len() * 2);
    write_message(&mut out, &[request], signal.request())?;
    Ok(String::from_utf8(out).expect("the walk has shown that all texts are UTF-8"))
}

/// What stands in a field, without its meaning.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Writes the message whose encoding is the concatenation of `parts`.
fn write_message(
    out: &mut Vec<u8>,
    parts: &[&[u8]],
    message: &'static Message,
) -> Result<(), WalkError> {
    let mut values = Vec::new();
    for part in parts {
        collect(&mut values, part, message)?;
    }
    // Stable: occurrences of one field keep their order.
    values.sort_by_key(|(index, _)| *index);
    out.push(b'{');
    let start = out.len();
    for group in values.chunk_by(|one, two| one.0 == two.0) {
        let before = out.len();
        if before > start {
            out.push(b',');
        }
        let field = &message.json[group[0].0];
        let _ = write!(out, "\"{}\":", field.name);
        if !write_field(out, field, group)? {
            out.truncate(before);
        }
    }
    out.push(b'}');
    Ok(())
}

/// Appends the known fields of one part, each with its index in the table.
fn collect<'a>(
    values: &mut Vec<(usize, Raw<'a>)>,
    part: &'a [u8],
    message: &'static Message,
) -> Result<(), WalkError> {
    let mut reader = Reader::new(part);
    while reader.at < part.len() {
        let (tag, wire) = reader.key(part.len())?;
        let Some(index) = message.json.iter().position(|field| field.tag == tag) else {
            reader.skip_field(tag, wire, part.len(), u32::MAX)?;
            continue;
        };
        let raw = match wire {
            VARINT => Raw::Number(reader.varint(part.len())?),
            LENGTH_DELIMITED => {
                let end = reader.length(part.len())?;
                let bytes = &part[reader.at..end];
                reader.at = end;
                Raw::Bytes(bytes)
            }
            _ => {
                let start = reader.at;
                reader.skip_field(tag, wire, part.len(), u32::MAX)?;
                Raw::Number(little_endian(&part[start..reader.at]))
            }
        };
        if message.json[index].label == Label::Either {
            let is_loser =
                |other: usize| other != index && message.json[other].label == Label::Either;
            values.retain(|(other, _)| !is_loser(*other));
        }
        values.push((index, raw));
    }
    Ok(())
}

/// Writes the value of a field; false if it says no more than its absence.
fn write_field(
    out: &mut Vec<u8>,
    field: &Field,
    group: &[(usize, Raw<'_>)],
) -> Result<bool, WalkError> {
    let (Ty::Message(inner) | Ty::Envelope(inner) | Ty::Item(inner)) = field.ty else {
        if field.label == Label::Many {
            return write_list(out, field.ty, group);
        }
        let Some(&(_, last)) = group.last() else {
            return Ok(false);
        };
        let is_zero = matches!(last, Raw::Number(0) | Raw::Bytes([]));
        if is_zero && field.label == Label::One {
            return Ok(false);
        }
        write_scalar(out, field.ty, last);
        return Ok(true);
    };
    let parts = group.iter().filter_map(|(_, raw)| match raw {
        Raw::Bytes(part) => Some(*part),
        Raw::Number(_) => None,
    });
    if field.label == Label::Many {
        out.push(b'[');
        for (index, part) in parts.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_message(out, &[part], inner)?;
        }
        out.push(b']');
    } else {
        write_message(out, &parts.collect::<Vec<_>>(), inner)?;
    }
    Ok(true)
}

/// Writes repeated scalars; numbers may be packed or not.
fn write_list(out: &mut Vec<u8>, ty: Ty, group: &[(usize, Raw<'_>)]) -> Result<bool, WalkError> {
    out.push(b'[');
    let start = out.len();
    for (_, raw) in group {
        let packed = match (raw, wire_of(ty)) {
            (Raw::Bytes(packed), wire) if wire != LENGTH_DELIMITED => packed,
            _ => {
                write_scalar(out, ty, *raw);
                out.push(b',');
                continue;
            }
        };
        let mut reader = Reader::new(packed);
        while reader.at < packed.len() {
            let number = match wire_of(ty) {
                VARINT => reader.varint(packed.len())?,
                wire => {
                    let from = reader.at;
                    reader.at += if wire == FIXED64 { 8 } else { 4 };
                    little_endian(&packed[from..reader.at])
                }
            };
            write_scalar(out, ty, Raw::Number(number));
            out.push(b',');
        }
    }
    if out.len() == start {
        return Ok(false);
    }
    out.pop();
    out.push(b']');
    Ok(true)
}

/// The wire type of a single scalar.
pub(super) fn wire_of(ty: Ty) -> u8 {
    match ty {
        Ty::Bool | Ty::Int32 | Ty::Uint32 | Ty::Sint32 | Ty::Enum | Ty::Int64 | Ty::Uint64 => {
            VARINT
        }
        Ty::Fixed32 => FIXED32,
        Ty::Fixed64 | Ty::Sfixed64 | Ty::Double => FIXED64,
        Ty::Text | Ty::Hex | Ty::Base64 | Ty::Message(_) | Ty::Envelope(_) | Ty::Item(_) => {
            LENGTH_DELIMITED
        }
    }
}

fn write_scalar(out: &mut Vec<u8>, ty: Ty, raw: Raw<'_>) {
    const IN_MEMORY: &str = "writing to memory does not fail";
    let result = match (ty, raw) {
        (Ty::Text, Raw::Bytes(text)) => {
            let text = std::str::from_utf8(text).expect("the walk has shown that it is UTF-8");
            serde_json::to_writer(&mut *out, text).expect(IN_MEMORY);
            Ok(())
        }
        (Ty::Hex, Raw::Bytes(bytes)) => {
            out.push(b'"');
            for byte in bytes {
                write!(out, "{byte:02x}").expect(IN_MEMORY);
            }
            write!(out, "\"")
        }
        (_, Raw::Bytes(bytes)) => write!(out, "\"{}\"", STANDARD.encode(bytes)),
        (Ty::Bool, Raw::Number(number)) => write!(out, "{}", number != 0),
        (Ty::Int32 | Ty::Enum, Raw::Number(number)) => write!(out, "{}", number as i32),
        (Ty::Sint32, Raw::Number(number)) => {
            let zigzag = number as u32;
            write!(out, "{}", (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
        }
        (Ty::Int64 | Ty::Sfixed64, Raw::Number(number)) => write!(out, "\"{}\"", number as i64),
        (Ty::Uint64 | Ty::Fixed64, Raw::Number(number)) => write!(out, "\"{number}\""),
        (Ty::Double, Raw::Number(bits)) => match f64::from_bits(bits) {
            number if number.is_finite() => {
                serde_json::to_writer(&mut *out, &number).expect(IN_MEMORY);
                Ok(())
            }
            number if number.is_nan() => write!(out, "\"NaN\""),
            number if number > 0.0 => write!(out, "\"Infinity\""),
            _ => write!(out, "\"-Infinity\""),
        },
        (_, Raw::Number(number)) => write!(out, "{}", number as u32),
    };
    result.expect(IN_MEMORY);
}

/// The number in four or eight bytes.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
