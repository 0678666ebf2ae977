//! Who an item is: its place in a store's own numbering. A batch is a range of it and stays the same through every retry.

use crate::otlp::Signal;

/// Consecutive items of one signal, numbered by one start of one store's collector.
///
/// Two batches with the same range hold the same items, so a gateway may drop the second. Halves carry sub-ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemRange {
    /// The store's number: random, made once per buffer.
    pub store: u64,
    /// Counts the collector's starts on this buffer, from 1.
    pub boot: u64,
    /// Each signal is numbered by itself.
    pub signal: Signal,
    /// Number of the first item, from 0 in each boot.
    pub first: u64,
    /// How many items.
    pub count: u64,
}

impl ItemRange {
    /// One past the last number.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// The first `count` items, and the rest.
    ///
    /// # Panics
    /// If there are fewer than `count`.
    pub fn split(self, count: u64) -> (Self, Self) {
        assert!(count <= self.count, "split {self} after {count} items");
        let left = Self { count, ..self };
        let right = Self {
            first: self.first + count,
            count: self.count - count,
            ..self
        };
        (left, right)
    }
}

/// `store-boot-signal-first-count`, the store in 16 hex digits: the value of the header `x-backroom-batch`.
impl std::fmt::Display for ItemRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            store,
            boot,
            signal,
            first,
            count,
        } = self;
        write!(f, "{store:016x}-{boot}-{signal}-{first}-{count}")
    }
}

/// Reads what [`ItemRange`] displays.
impl std::str::FromStr for ItemRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('-').collect();
        let read = || {
            let [store, boot, signal, first, count] = parts[..] else {
                return None;
            };
            Some(Self {
                store: u64::from_str_radix(store, 16).ok()?,
                boot: boot.parse().ok()?,
                signal: Signal::ALL.into_iter().find(|s| s.name() == signal)?,
                first: first.parse().ok()?,
                count: count.parse().ok()?,
            })
        };
        read().ok_or_else(|| format!("{text:?} is not store-boot-signal-first-count"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_written() {
        let range = ItemRange {
            store: 0xabc,
            boot: 3,
            signal: Signal::Logs,
            first: 1200,
            count: 34,
        };
        assert_eq!(range.to_string(), "0000000000000abc-3-logs-1200-34");
        assert_eq!(range.to_string().parse(), Ok(range));
        assert!("1-2-logs-3".parse::<ItemRange>().is_err());
        let (left, right) = range.split(30);
        assert_eq!((left.count, right.first, right.count), (30, 1230, 4));
    }
}
