//! Which batches an operator means: by signal, by the time at which their items came in, or by name.
//!
//! A batch is kept, taken and dropped as a whole, so there are two questions: whether it has anything to do with the
//! selection ([`Selection::touches`], for looking), and whether all of it is meant ([`Selection::covers`], for what cannot be
//! undone). Next: `spool::handling`, which acts on it.

use super::{class::ClassName, frame::Header, range::ItemRange};
use crate::otlp::Signal;

/// Which batches are meant; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Names of classes; empty is all.
    pub classes: Vec<String>,
    /// Names of signals; empty is all.
    pub signals: Vec<String>,
    /// Items that came in at or after this, unix nanoseconds.
    pub since: Option<u64>,
    /// Items that came in before this, unix nanoseconds.
    pub until: Option<u64>,
    /// Item ranges as [`ItemRange`] displays them; empty is all. A batch is meant if it lies inside one of them.
    pub batches: Vec<String>,
}

impl Selection {
    /// Whether everything is meant.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with its words; `None` if they can be understood.
    pub fn error(&self) -> Option<String> {
        let known = |name: &String| Signal::ALL.iter().any(|signal| signal.name() == name);
        if let Some(name) = self.signals.iter().find(|name| !known(name)) {
            return Some(format!("{name:?} is not one of traces, metrics, logs"));
        }
        let mut classes = self.classes.iter();
        if let Some(name) = classes.find(|name| ClassName::new(name).is_none()) {
            return Some(format!("{name:?} cannot be the name of a class"));
        }
        // The signal does not stand in it, so any one will do.
        let parse = |text: &String| ItemRange::parse(Signal::Logs, text).err();
        self.batches.iter().find_map(parse)
    }

    /// Whether a batch holds, or may hold, an item that is meant.
    pub fn touches(&self, header: &Header) -> bool {
        self.names(header)
            && self.since.is_none_or(|since| header.born_max >= since)
            && self.until.is_none_or(|until| header.born_min < until)
    }

    /// Whether every item of a batch is meant.
    pub fn covers(&self, header: &Header) -> bool {
        self.names(header)
            && self.since.is_none_or(|since| header.born_min >= since)
            && self.until.is_none_or(|until| header.born_max < until)
    }

    fn names(&self, header: &Header) -> bool {
        let range = &header.range;
        let has =
            |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
        let is_inside = |text: &String| {
            ItemRange::parse(range.signal, text).is_ok_and(|outer| outer.contains(range))
        };
        has(&self.signals, range.signal.name())
            && has(&self.classes, range.class.as_str())
            && (self.batches.is_empty() || self.batches.iter().any(is_inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{codec::CodecId, frame::Kind};

    fn header(born_min: u64, born_max: u64) -> Header {
        Header {
            kind: Kind::Batch,
            codec: CodecId::None,
            payload_bytes: 0,
            payload_crc: 0,
            raw_bytes: 0,
            range: ItemRange {
                store: 7,
                boot: 1,
                class: ClassName::new("audit").expect("a name"),
                signal: Signal::Logs,
                first: 100,
                count: 10,
            },
            born_min,
            born_max,
            commit: 0,
        }
    }

    /// What a selection says of logs 100 to 109 that came in from 50 to 60.
    fn check(selection: &Selection, touches: bool, covers: bool) {
        let header = header(50, 60);
        let found = (selection.touches(&header), selection.covers(&header));
        assert_eq!(found, (touches, covers), "{selection:?}");
    }

    #[test]
    fn a_batch_is_touched_or_covered() {
        let of = |since, until| Selection {
            since,
            until,
            ..Selection::default()
        };
        check(&of(None, None), true, true);
        check(&of(Some(50), Some(61)), true, true);
        check(&of(Some(51), None), true, false);
        check(&of(None, Some(60)), true, false);
        check(&of(Some(61), None), false, false);
        check(&of(None, Some(50)), false, false);
    }

    #[test]
    fn names_and_ranges_narrow_it() {
        let signals = |name: &str| Selection {
            signals: vec![name.to_owned()],
            ..Selection::default()
        };
        check(&signals("logs"), true, true);
        check(&signals("traces"), false, false);
        let batch = |text: &str| Selection {
            batches: vec![text.to_owned()],
            ..Selection::default()
        };
        check(&batch("0000000000000007-1-audit-100-10"), true, true);
        check(&batch("0000000000000007-1-audit-0-1000"), true, true);
        check(&batch("0000000000000007-1-audit-100-9"), false, false);
        check(&batch("0000000000000008-1-audit-100-10"), false, false);
        assert!(batch("7-logs").error().is_some());
        assert!(
            signals("log")
                .error()
                .is_some_and(|e| e.contains("\"log\""))
        );
        assert_eq!(signals("logs").error(), None);
    }
}
