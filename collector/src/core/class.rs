//! The name of a class: which queue an item waits in.
//!
//! It stands in every frame's header, so frames explain themselves: a changed configuration never takes one class for another,
//! and a class that the configuration no longer knows is still found, shown and delivered. Next: `range`.

use crate::otlp::Signal;

/// Longest name, in bytes: what a frame's header has room for.
pub const NAME_BYTES_MAX: usize = 16;

/// A class's name: 1 to 16 of `a-z`, `0-9`, `-` and `_`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassName([u8; NAME_BYTES_MAX]);

impl ClassName {
    /// Reads a name; `None` if it is not one.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        Self::from_bytes(bytes)
    }

    /// The name that stands in a header, filled up with zeros; `None` if it is not one.
    pub fn from_bytes(bytes: [u8; NAME_BYTES_MAX]) -> Option<Self> {
        let is_letter = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let len = bytes.iter().take_while(|b| is_letter(b)).count();
        (len > 0 && bytes[len..].iter().all(|b| *b == 0)).then_some(Self(bytes))
    }

    /// As it stands in a header.
    pub fn to_bytes(self) -> [u8; NAME_BYTES_MAX] {
        self.0
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|b| *b == 0);
        std::str::from_utf8(&self.0[..len.unwrap_or(NAME_BYTES_MAX)])
            .expect("its letters are ASCII")
    }
}

/// A signal's own class, which exists without being declared.
impl From<Signal> for ClassName {
    fn from(signal: Signal) -> Self {
        Self::new(signal.name()).expect("a signal's name is a class's name")
    }
}

impl std::fmt::Display for ClassName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::fmt::Debug for ClassName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        for name in ["logs", "a", "0123456789abcdef", "store-logs_2"] {
            let class = ClassName::new(name).expect(name);
            assert_eq!(class.to_string(), name);
            assert_eq!(ClassName::from_bytes(class.to_bytes()), Some(class));
        }
        for name in ["", "Logs", "a b", "0123456789abcdefg", "ä", "a\0b"] {
            assert_eq!(ClassName::new(name), None, "{name:?}");
        }
        assert_eq!(ClassName::from(Signal::Metrics).as_str(), "metrics");
    }
}
