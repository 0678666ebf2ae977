//! The attribute as every SDK writes it, recognised in one look: most bytes of a request are attributes, and taking them
//! field by field through the tables is two thirds of a walk.
//!
//! It only ever says yes to what the long way would take (test `agrees_with_the_long_way`); for anything else it says no,
//! and the long way decides.

use super::walk::{FIXED64, LENGTH_DELIMITED, VARINT};

/// Fields of `KeyValue`, and of its `AnyValue`, as their keys are encoded.
const KEY: u8 = key(1, LENGTH_DELIMITED);
const VALUE: u8 = key(2, LENGTH_DELIMITED);
const STRING: u8 = key(1, LENGTH_DELIMITED);
const INTEGER: u8 = key(3, VARINT);
const DOUBLE: u8 = key(4, FIXED64);

const fn key(tag: u8, wire: u8) -> u8 {
    tag << 3 | wire
}

/// Whether this is a `KeyValue` of a key in ASCII and of a string in ASCII, an integer or a double, nothing missing, nothing else,
/// and no length above 127. The key may come last: the Go collector's exporter writes the fields of each message last to first.
#[inline]
pub(super) fn is_plain_attribute(attribute: &[u8]) -> bool {
    let Some((first, one, rest)) = short_field(attribute) else {
        return false;
    };
    let Some((second, other, [])) = short_field(rest) else {
        return false;
    };
    let (name, value) = match (first, second) {
        (KEY, VALUE) => (one, other),
        (VALUE, KEY) => (other, one),
        _ => return false,
    };
    let is_plain = match value {
        [STRING, length @ 0..0x80, text @ ..] => {
            text.len() == usize::from(*length) && text.is_ascii()
        }
        [INTEGER, integer @ ..] => is_short_varint(integer),
        [DOUBLE, double @ ..] => double.len() == 8,
        _ => false,
    };
    is_plain && name.is_ascii()
}

/// A field's encoded key, what its length of one byte covers, and what follows.
#[inline]
fn short_field(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [key, length @ 0..0x80, rest @ ..] = data else {
        return None;
    };
    let (field, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((*key, field, rest))
}

/// Whether this is one varint, of at most nine bytes: a tenth may hold one bit only.
#[inline]
fn is_short_varint(varint: &[u8]) -> bool {
    let Some((last, more)) = varint.split_last() else {
        return false;
    };
    *last < 0x80 && more.len() < 9 && more.iter().all(|byte| *byte >= 0x80)
}

/// Whether this is UTF-8. Nearly all of it is short and ASCII, which is seen at once.
#[inline]
pub(super) fn is_text(text: &[u8]) -> bool {
    text.is_ascii() || std::str::from_utf8(text).is_ok()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::KeyValue;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    /// With the key first, and with the key last.
    fn attributes(value: &[u8]) -> [Vec<u8>; 2] {
        let name = [KEY, 2, b'i', b'd'];
        let value = [&[VALUE, value.len() as u8][..], value].concat();
        [[&name[..], &value].concat(), [&value[..], &name].concat()]
    }

    #[test]
    fn usual_values_are_plain() {
        let check = |value: &[u8], expect| {
            for attribute in attributes(value) {
                assert_eq!(is_plain_attribute(&attribute), expect, "{attribute:?}");
            }
        };
        check(&[STRING, 3, b'p', b'o', b's'], true);
        check(&[STRING, 0], true);
        check(&[INTEGER, 0], true);
        check(&[INTEGER, 0x80, 0x01], true);
        check(&[DOUBLE, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f], true);
        // All of these are left to the long way.
        check(&[STRING, 2, 0xc3, 0xa9], false);
        check(&[STRING, 4, b'p', b'o', b's'], false);
        check(&[STRING, 1, b'p', b'o', b's'], false);
        check(&[INTEGER, 0x80], false);
        check(&[INTEGER], false);
        check(&[INTEGER, 1, 1], false);
        check(&[DOUBLE, 0], false);
        check(&[], false);
        let ten = [&[INTEGER][..], &[0xff; 9], &[0x01]].concat();
        check(&ten, false);
        for not_both in [
            &[KEY, 0, KEY, 0][..],
            &[VALUE, 2, INTEGER, 7, VALUE, 2, INTEGER, 7],
            &[KEY, 0],
            &[VALUE, 2, INTEGER, 7],
            &[KEY, 0, VALUE, 2, INTEGER, 7, KEY, 0],
        ] {
            assert!(!is_plain_attribute(not_both), "{not_both:?}");
        }
    }

    proptest! {
        /// What is plain decodes, however it was made or damaged.
        #[test]
        fn agrees_with_the_long_way(
            value in prop_oneof![
                "[ -~]{0,20}".prop_map(|text| [vec![STRING, text.len() as u8], text.into_bytes()].concat()),
                proptest::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| [vec![INTEGER], bytes].concat()),
                proptest::collection::vec(any::<u8>(), 6..10).prop_map(|bytes| [vec![DOUBLE], bytes].concat()),
            ],
            at in any::<prop::sample::Index>(),
            byte in any::<Option<u8>>(),
            order in 0..2_usize,
        ) {
            let mut attribute = attributes(&value)[order].clone();
            if let Some(byte) = byte {
                let at = at.index(attribute.len());
                attribute[at] = byte;
            }
            if is_plain_attribute(&attribute) {
                prop_assert!(KeyValue::decode(&attribute[..]).is_ok());
            }
        }
    }
}
