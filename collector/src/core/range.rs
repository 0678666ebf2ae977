//! Who an item is: its place in a store's own numbering. A batch is a range of it and stays the same through every retry.

use super::class::ClassName;
use crate::otlp::Signal;

/// Consecutive items of one class and signal, numbered by one start of one store's collector.
///
/// Two batches with the same range hold the same items, so a gateway may drop the second. Halves carry sub-ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemRange {
    /// The store's number: random, made once per buffer.
    pub store: u64,
    /// Counts the collector's starts on this buffer, from 1.
    pub boot: u64,
    /// Each class is numbered by itself.
    pub class: ClassName,
    /// What the items are.
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

    /// Whether all of `other` is in here.
    pub fn contains(&self, other: &Self) -> bool {
        let of = |range: &Self| (range.store, range.boot, range.class, range.signal);
        of(self) == of(other) && self.first <= other.first && other.end() <= self.end()
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

/// `store-boot-class-first-count`, the store in 16 hex digits: the value of the header `x-backroom-batch`.
impl std::fmt::Display for ItemRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            store,
            boot,
            class,
            first,
            count,
            ..
        } = self;
        write!(f, "{store:016x}-{boot}-{class}-{first}-{count}")
    }
}

impl ItemRange {
    /// Reads what it displays; the signal does not stand there, but is known from the request that carries it.
    ///
    /// # Errors
    /// If it is not such a text.
    pub fn parse(signal: Signal, text: &str) -> Result<Self, String> {
        let read = || {
            let (store, rest) = text.split_once('-')?;
            let (boot, rest) = rest.split_once('-')?;
            // A class's name may have hyphens of its own.
            let (rest, count) = rest.rsplit_once('-')?;
            let (class, first) = rest.rsplit_once('-')?;
            Some(Self {
                store: u64::from_str_radix(store, 16).ok()?,
                boot: boot.parse().ok()?,
                class: ClassName::new(class)?,
                signal,
                first: first.parse().ok()?,
                count: count.parse().ok()?,
            })
        };
        read().ok_or_else(|| format!("{text:?} is not store-boot-class-first-count"))
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
            class: ClassName::new("audit-logs").unwrap(),
            signal: Signal::Logs,
            first: 1200,
            count: 34,
        };
        assert_eq!(range.to_string(), "0000000000000abc-3-audit-logs-1200-34");
        let parse = |text: &str| ItemRange::parse(Signal::Logs, text);
        assert_eq!(parse(&range.to_string()), Ok(range));
        assert!(parse("1-2-logs-3").is_err());
        assert!(parse("1-2-LOGS-3-4").is_err());
        let (left, right) = range.split(30);
        assert_eq!((left.count, right.first, right.count), (30, 1230, 4));
    }
}
