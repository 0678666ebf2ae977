//! What a gateway knows of each store beside what came: what the store says of itself, and when it was heard.
//!
//! A store says it in a header of a few bytes with each request, once it knows that a gateway answers. None of it is durable: the
//! next request says it again. What came, and what is missing of it, is `Seen`'s. Next: `shell::stores`, which shows both.

use std::collections::BTreeMap;

use super::{Gaps, Seen};

/// Longest name of a store, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// What a store says of itself: the value of the header `x-backroom-store`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Items that wait there, beside those that are on their way.
    pub backlog_items: u64,
    /// The same in bytes after compression.
    pub backlog_bytes: u64,
    /// Items that are on their way and not acknowledged: those of this request, and of others at the same time.
    pub under_way_items: u64,
    /// Time until they are delivered, at the rate of the last ten seconds; `None` if nothing moved.
    pub drain_seconds: Option<u64>,
    /// Items that it dropped, over all starts.
    pub dropped_items: u64,
    /// Items in its quarantine.
    pub quarantined_items: u64,
    /// How people call it.
    pub name: Option<String>,
}

impl Report {
    /// Reads what it displays. A key that is not known here is of a younger store, and is left out.
    ///
    /// # Errors
    /// If it is not such a text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut report = Self::default();
        for part in text.split(',') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("{part:?} is not key=value"));
            };
            let number = || {
                let number = value.parse::<u64>();
                number.map_err(|_| format!("{key}: {value:?} is not a whole number"))
            };
            match key.trim() {
                "items" => report.backlog_items = number()?,
                "bytes" => report.backlog_bytes = number()?,
                "under_way" => report.under_way_items = number()?,
                "drain" => report.drain_seconds = Some(number()?),
                "dropped" => report.dropped_items = number()?,
                "quarantined" => report.quarantined_items = number()?,
                "name" => report.name = name(value),
                _ => {}
            }
        }
        Ok(report)
    }
}

/// A name as it can stand in the header: printable ASCII without commas, cut to [`NAME_BYTES_MAX`]; `None` if nothing is left.
pub fn name(text: &str) -> Option<String> {
    let fits = |c: &char| (' '..='~').contains(c) && *c != ',';
    let name: String = text.chars().filter(fits).take(NAME_BYTES_MAX).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// `items=..,bytes=..,under_way=..[,drain=..],dropped=..,quarantined=..[,name=..]`
impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "items={},bytes={},under_way={}",
            self.backlog_items, self.backlog_bytes, self.under_way_items
        )?;
        if let Some(seconds) = self.drain_seconds {
            write!(f, ",drain={seconds}")?;
        }
        let (dropped, quarantined) = (self.dropped_items, self.quarantined_items);
        write!(f, ",dropped={dropped},quarantined={quarantined}")?;
        match &self.name {
            Some(name) => write!(f, ",name={name}"),
            None => Ok(()),
        }
    }
}

/// What came of one store since the start of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Heard {
    at: u64,
    taken_items: u64,
    repeated_items: u64,
    report: Option<Report>,
}

/// All stores that were heard since the start.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    heard: BTreeMap<u64, Heard>,
}

/// Everything known of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The number of its buffer.
    pub store: u64,
    /// When it was heard last, unix seconds.
    pub heard_at: u64,
    /// Whether that is longer ago than it should be.
    pub is_stale: bool,
    /// What it said last; `None` if it has not said anything since the start.
    pub report: Option<Report>,
    /// Items taken since the start.
    pub taken_items: u64,
    /// Items dropped as repeats since the start.
    pub repeated_items: u64,
    /// What is missing of its numbers.
    pub gaps: Gaps,
}

impl Stat {
    /// Missing items that are neither in its backlog nor on their way, dropped or in quarantine there, as far as it says; `None` if it
    /// has said nothing. What was dropped before its first number that is known here counts as well, so this is rather too small.
    pub fn unexplained_items(&self) -> Option<u64> {
        let report = self.report.as_ref()?;
        let known = [
            report.backlog_items,
            report.under_way_items,
            report.dropped_items,
            report.quarantined_items,
        ];
        let known = known.into_iter().fold(0, u64::saturating_add);
        Some(self.gaps.missing_items.saturating_sub(known))
    }
}

impl Stores {
    /// A request of a store came: so many of its items were taken, so many dropped as repeats. `at` in unix nanoseconds.
    ///
    /// Beyond `stores_max` the one that has been quiet for longest is forgotten.
    pub fn heard(
        &mut self,
        store: u64,
        at: u64,
        (taken, repeated): (u64, u64),
        report: Option<Report>,
        stores_max: usize,
    ) {
        let heard = self.heard.entry(store).or_default();
        heard.at = heard.at.max(at);
        heard.taken_items += taken;
        heard.repeated_items += repeated;
        if report.is_some() {
            heard.report = report;
        }
        if self.heard.len() > stores_max.max(1) {
            let quietest = self.heard.iter().min_by_key(|(_, heard)| heard.at);
            let store = quietest.map(|(store, _)| *store).expect("it has some");
            self.heard.remove(&store);
        }
    }

    /// All that is known, by store; `now` and `stale_after` in seconds.
    pub fn stats(&self, seen: &Seen, now: u64, stale_after: u64) -> Vec<Stat> {
        let mut stats: BTreeMap<u64, Stat> = BTreeMap::new();
        let known = seen.gaps();
        let known = known.map(|(store, at, gaps)| (store, u64::from(at), gaps, Heard::default()));
        let heard = self.heard.iter().map(|(store, heard)| {
            let at = heard.at / 1_000_000_000;
            (*store, at, Gaps::default(), heard.clone())
        });
        for (store, at, gaps, heard) in known.chain(heard) {
            let stat = stats.entry(store).or_insert(Stat {
                store,
                heard_at: at,
                is_stale: false,
                report: None,
                taken_items: 0,
                repeated_items: 0,
                gaps,
            });
            stat.heard_at = stat.heard_at.max(at);
            stat.is_stale = now.saturating_sub(stat.heard_at) > stale_after;
            stat.report = heard.report;
            stat.taken_items = heard.taken_items;
            stat.repeated_items = heard.repeated_items;
        }
        stats.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::range::ItemRange, otlp::Signal};

    #[test]
    fn is_read_as_written() {
        let report = Report {
            backlog_items: 5,
            backlog_bytes: 600,
            under_way_items: 4,
            drain_seconds: Some(7),
            dropped_items: 8,
            quarantined_items: 9,
            name: Some("0412 Graz".to_owned()),
        };
        let text = report.to_string();
        assert_eq!(
            text,
            "items=5,bytes=600,under_way=4,drain=7,dropped=8,quarantined=9,name=0412 Graz"
        );
        assert_eq!(Report::parse(&text), Ok(report));
        let default = Report::default();
        assert_eq!(Report::parse(&default.to_string()), Ok(default));
        assert_eq!(
            Report::parse("items=5,colour=red").unwrap().backlog_items,
            5
        );
        for text in ["", "items", "items=-1", "items=5,bytes=many"] {
            assert!(Report::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(name("a,b\u{e4}\n c"), Some("ab c".to_owned()));
        assert_eq!(name(" , "), None);
        assert_eq!(name(&"x".repeat(100)).unwrap().len(), NAME_BYTES_MAX);
    }

    #[test]
    fn gaps_are_explained_by_what_the_store_says() {
        let range = |first, count| ItemRange {
            store: 7,
            boot: 1,
            class: Signal::Logs.into(),
            signal: Signal::Logs,
            first,
            count,
        };
        let (mut seen, mut stores) = (Seen::default(), Stores::default());
        for (first, count) in [(100, 10), (150, 10)] {
            seen.insert(&range(first, count), 5_000_000_000);
            stores.heard(7, 5_000_000_000, (count, 0), None, 10);
        }
        let stat = |stores: &Stores, now| stores.stats(&seen, now, 60).remove(0);
        let quiet = stat(&stores, 65);
        assert_eq!((quiet.gaps.missing_items, quiet.gaps.holes), (40, 1));
        assert_eq!((quiet.heard_at, quiet.is_stale), (5, false));
        assert_eq!(quiet.unexplained_items(), None);
        assert!(stat(&stores, 66).is_stale);
        let report = Report::parse("items=20,under_way=10,dropped=4").ok();
        stores.heard(7, 6_000_000_000, (0, 0), report, 10);
        assert_eq!(stat(&stores, 66).unexplained_items(), Some(6));
        // A store of before the restart is known, and one beyond the bound is forgotten.
        assert_eq!(Stores::default().stats(&seen, 66, 60).len(), 1);
        stores.heard(8, 7_000_000_000, (1, 0), None, 1);
        let known: Vec<u64> = stores.heard.keys().copied().collect();
        assert_eq!(known, [8]);
    }
}
