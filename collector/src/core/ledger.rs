//! What was lost, and the account over all starts: durable, and bounded.
//!
//! Whatever is dropped stands here by signal, class, service, reason and day, with the time range of the items. The rows that
//! changed are written with the note of what was dropped, in one frame, so both survive or neither does; each journal
//! segment begins with all of it. Sums over all starts are kept the same way.
//!
//! Bounds: [`Ledger::new`]'s rows, and one more for each signal and reason: what is the oldest is added to a row of day 0
//! and service `(other)` when there are more.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    accounting::{DropReason, Items},
    class::{ClassName, NAME_BYTES_MAX},
    losses::{self, Untold},
    notes::{put, take, take_u32},
};
use crate::otlp::Signal;

/// Longest service name that is kept, in bytes; longer ones are cut.
const SERVICE_BYTES_MAX: usize = 64;

/// Services that one segment tells apart; the rest is `(other)`.
const SERVICES_MAX: usize = 64;

/// The service of rows and counts that do not tell services apart any more.
pub const OTHER: &str = "(other)";

/// Whose losses, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LossKey {
    /// Day of the drop, counted from 1970-01-01; 0 for what is older than the rows that are kept.
    pub day: u32,
    /// What the items were.
    pub signal: Signal,
    /// Their class.
    pub class: ClassName,
    /// `service.name` of their resource; empty if it had none or is not known.
    pub service: String,
    /// Why they were dropped.
    pub reason: DropReason,
}

/// How much was lost, and when. Times in unix nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many items.
    pub items: u64,
    /// Birth of the oldest one.
    pub born_min: u64,
    /// Birth of the youngest one.
    pub born_max: u64,
    /// First drop.
    pub first_at: u64,
    /// Last drop.
    pub last_at: u64,
}

impl Loss {
    fn add(&mut self, other: &Self) {
        self.items += other.items;
        self.born_min = self.born_min.min(other.born_min);
        self.born_max = self.born_max.max(other.born_max);
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
    }
}

/// Items by service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services(Vec<(String, u64)>);

impl Services {
    /// Counts items of a service.
    pub fn add(&mut self, service: &str, items: u64) {
        let service = cut(service);
        if let Some((_, count)) = self.0.iter_mut().find(|(name, _)| name == service) {
            *count += items;
        } else if self.0.len() < SERVICES_MAX {
            self.0.push((service.to_owned(), items));
        } else {
            let last = self.0.last_mut().expect("the list is full");
            OTHER.clone_into(&mut last.0);
            last.1 += items;
        }
    }

    /// Counts all of another list.
    pub fn merge(&mut self, other: &Self) {
        for (service, items) in &other.0 {
            self.add(service, *items);
        }
    }

    /// `items` in the proportions of this list; all of one unknown service if the list is empty.
    fn split(&self, items: u64) -> Vec<(&str, u64)> {
        let total: u64 = self.0.iter().map(|(_, count)| count).sum();
        if total == 0 {
            return vec![("", items)];
        }
        let (mut seen, mut given) = (0, 0);
        let mut parts = Vec::new();
        for (service, count) in &self.0 {
            seen += count;
            let until = (u128::from(items) * u128::from(seen) / u128::from(total)) as u64;
            if until > given {
                parts.push((service.as_str(), until - given));
            }
            given = until;
        }
        parts
    }
}

fn cut(service: &str) -> &str {
    &service[..service.floor_char_boundary(SERVICE_BYTES_MAX)]
}

/// What is dropped at once: one signal of one class, for one reason.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Drop<'a> {
    pub(in crate::core) signal: Signal,
    pub(in crate::core) class: ClassName,
    pub(in crate::core) reason: DropReason,
    pub(in crate::core) items: u64,
    /// The services among which they are; the proportions count.
    pub(in crate::core) services: &'a Services,
    /// Birth of the oldest and the youngest item.
    pub(in crate::core) born: (u64, u64),
    /// Now, in unix nanoseconds.
    pub(in crate::core) at: u64,
}

/// All rows, the sums before this start, and what the segments hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    rows_max: usize,
    rows: BTreeMap<LossKey, Loss>,
    /// Rows that changed since they were written.
    dirty: BTreeSet<LossKey>,
    /// Items of each row that were told to the back end, where there are any.
    told: BTreeMap<LossKey, u64>,
    dirty_told: BTreeSet<LossKey>,
    /// Sums of earlier starts, by signal; `stored` and `recovered` are 0.
    before: [Items; 3],
    /// Whose items each batch segment holds or held.
    segments: BTreeMap<u64, Services>,
    dirty_segments: BTreeSet<u64>,
}

impl Ledger {
    /// An empty ledger of so many rows.
    pub fn new(rows_max: usize) -> Self {
        Self {
            rows_max,
            ..Self::default()
        }
    }

    /// All rows, the oldest day first.
    pub fn losses(&self) -> impl Iterator<Item = (&LossKey, &Loss)> {
        self.rows.iter()
    }

    /// Sums of earlier starts.
    pub fn before(&self, signal: Signal) -> &Items {
        &self.before[signal.index()]
    }

    /// Takes up to `count` items out of the quarantine of earlier starts, and returns how many there were.
    pub(in crate::core) fn take_quarantined(&mut self, signal: Signal, count: u64) -> u64 {
        let before = &mut self.before[signal.index()];
        let count = count.min(before.quarantined);
        before.quarantined -= count;
        before.accepted -= count;
        count
    }

    /// Rows of which something was not told yet, the oldest first, and so many at most.
    pub fn untold(&self, rows_max: usize) -> Vec<Untold> {
        let rows = self.rows.iter().filter(|(key, _)| losses::is_told_of(key));
        let rows = rows.map(|(key, loss)| Untold {
            key: key.clone(),
            loss: *loss,
            told: self.told.get(key).copied().unwrap_or(0),
        });
        rows.filter(|row| row.told < row.loss.items)
            .take(rows_max)
            .collect()
    }

    /// These rows were told as they stand here.
    pub(in crate::core) fn tell(&mut self, rows: &[Untold]) {
        for Untold { key, loss, .. } in rows {
            // It may have been added to those of older days meanwhile: then its part is told again.
            if self.rows.contains_key(key) {
                self.told.insert(key.clone(), loss.items);
                self.dirty_told.insert(key.clone());
            }
        }
    }

    /// Whether a loss, or what was told of one, is not written yet.
    pub(in crate::core) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.dirty_told.is_empty()
    }

    /// Whether anything is not written yet; what segments hold can wait for another reason to write.
    pub(in crate::core) fn has_changes(&self) -> bool {
        self.is_dirty() || !self.dirty_segments.is_empty()
    }

    /// Enters a loss.
    pub(in crate::core) fn record(&mut self, drop: &Drop<'_>) {
        const DAY: u64 = 86_400 * 1_000_000_000;
        for (service, items) in drop.services.split(drop.items) {
            let key = LossKey {
                day: (drop.at / DAY) as u32,
                signal: drop.signal,
                class: drop.class,
                service: service.to_owned(),
                reason: drop.reason,
            };
            let loss = Loss {
                items,
                born_min: drop.born.0,
                born_max: drop.born.1,
                first_at: drop.at,
                last_at: drop.at,
            };
            self.enter(key, loss);
        }
        while self.rows.len() > self.rows_max {
            let oldest = self
                .rows
                .keys()
                .find(|key| key.service != OTHER || key.day > 0);
            let Some(key) = oldest.cloned() else {
                return;
            };
            let loss = self.rows.remove(&key).expect("found above");
            self.dirty.insert(key.clone());
            let rest = LossKey {
                day: 0,
                class: match losses::is_told_of(&key) {
                    true => key.signal.into(),
                    false => key.class,
                },
                service: OTHER.to_owned(),
                ..key.clone()
            };
            if let Some(told) = self.told.remove(&key) {
                self.dirty_told.extend([key.clone(), rest.clone()]);
                *self.told.entry(rest.clone()).or_default() += told;
            }
            self.enter(rest, loss);
        }
    }

    fn enter(&mut self, key: LossKey, loss: Loss) {
        self.dirty.insert(key.clone());
        self.rows
            .entry(key)
            .and_modify(|row| row.add(&loss))
            .or_insert(loss);
    }

    /// A batch of these services went to a segment.
    pub(in crate::core) fn sealed(&mut self, segment: u64, services: &Services) {
        self.segments.entry(segment).or_default().merge(services);
        self.dirty_segments.insert(segment);
    }

    /// Whose items a segment holds.
    pub(in crate::core) fn services_of(&self, segment: u64) -> Services {
        self.segments.get(&segment).cloned().unwrap_or_default()
    }

    /// A segment is gone.
    pub(in crate::core) fn forget(&mut self, segment: u64) {
        self.segments.remove(&segment);
        self.dirty_segments.remove(&segment);
    }

    /// Only these segments are left.
    pub(in crate::core) fn retain(&mut self, is_left: impl Fn(u64) -> bool) {
        self.segments.retain(|segment, _| is_left(*segment));
    }

    /// A ledger that was read goes on with other bounds.
    pub(in crate::core) fn with_rows_max(self, rows_max: usize) -> Self {
        Self { rows_max, ..self }
    }

    /// What a checkpoint holds of it: everything. Nothing is dirty afterwards.
    pub(in crate::core) fn encode(&mut self, sums: [Items; 3]) -> Vec<u8> {
        self.dirty = self.rows.keys().cloned().collect();
        self.dirty_segments = self.segments.keys().copied().collect();
        self.dirty_told = self.told.keys().cloned().collect();
        self.encode_changes(sums)
    }

    /// What a note holds of it: the sums over all starts, and what has changed.
    pub(in crate::core) fn encode_changes(&mut self, sums: [Items; 3]) -> Vec<u8> {
        let mut out = Vec::new();
        for items in sums {
            put(&mut out, &[items.delivered, items.quarantined]);
            out.extend((items.dropped.len() as u32).to_le_bytes());
            put(&mut out, &items.dropped);
        }
        let dirty = std::mem::take(&mut self.dirty);
        out.extend((dirty.len() as u32).to_le_bytes());
        for key in dirty {
            let gone = Loss {
                items: 0,
                born_min: 0,
                born_max: 0,
                first_at: 0,
                last_at: 0,
            };
            let loss = self.rows.get(&key).unwrap_or(&gone);
            put_key(&mut out, &key);
            let Loss {
                items,
                born_min,
                born_max,
                first_at,
                last_at,
            } = *loss;
            put(&mut out, &[items, born_min, born_max, first_at, last_at]);
        }
        let dirty = std::mem::take(&mut self.dirty_segments);
        out.extend((dirty.len() as u32).to_le_bytes());
        for segment in dirty {
            let services = self.services_of(segment);
            put(&mut out, &[segment]);
            out.extend((services.0.len() as u32).to_le_bytes());
            for (service, items) in services.0 {
                put_text(&mut out, &service);
                put(&mut out, &[items]);
            }
        }
        // Left out where there is none, as before there was such a list.
        let dirty = std::mem::take(&mut self.dirty_told);
        if !dirty.is_empty() {
            out.extend((dirty.len() as u32).to_le_bytes());
            for key in dirty {
                put_key(&mut out, &key);
                put(&mut out, &[self.told.get(&key).copied().unwrap_or(0)]);
            }
        }
        out
    }

    /// Takes over what [`Ledger::encode`] wrote, in place of all that older journals say; `None`, and nothing of it, if it is not
    /// that.
    ///
    /// A row of an older journal may have become a part of another one since, and the note of that may be gone.
    pub(in crate::core) fn read_all(&mut self, payload: &[u8]) -> Option<()> {
        let mut all = Self::new(self.rows_max);
        all.read_changes(payload)?;
        *self = all;
        Some(())
    }

    /// Takes over what [`Ledger::encode_changes`] wrote; `None`, and nothing of it, if it is not that.
    pub(in crate::core) fn read_changes(&mut self, payload: &[u8]) -> Option<()> {
        let mut at = payload;
        let mut before = [Items::default(); 3];
        for items in &mut before {
            [items.delivered, items.quarantined] = take(&mut at)?;
            for index in 0..take_u32(&mut at)? {
                let [count] = take(&mut at)?;
                *items.dropped.get_mut(index as usize)? = count;
            }
            items.accepted = items.delivered + items.quarantined + items.dropped_total();
        }
        let mut rows = Vec::new();
        for _ in 0..take_u32(&mut at)? {
            let key = take_key(&mut at)?;
            let [items, born_min, born_max, first_at, last_at] = take(&mut at)?;
            let loss = Loss {
                items,
                born_min,
                born_max,
                first_at,
                last_at,
            };
            rows.push((key, loss));
        }
        let mut segments = Vec::new();
        for _ in 0..take_u32(&mut at)? {
            let [segment] = take(&mut at)?;
            let mut services = Services::default();
            for _ in 0..take_u32(&mut at)? {
                let service = take_text(&mut at)?;
                let [items] = take(&mut at)?;
                services.add(&service, items);
            }
            segments.push((segment, services));
        }
        let mut told = Vec::new();
        if !at.is_empty() {
            for _ in 0..take_u32(&mut at)? {
                let key = take_key(&mut at)?;
                let [items] = take(&mut at)?;
                told.push((key, items));
            }
        }
        if !at.is_empty() {
            return None;
        }
        for (key, items) in told {
            match items {
                0 => self.told.remove(&key),
                items => self.told.insert(key, items),
            };
        }
        self.before = before;
        for (key, loss) in rows {
            if loss.items == 0 {
                self.rows.remove(&key);
            } else {
                self.rows.insert(key, loss);
            }
        }
        self.segments.extend(segments);
        Some(())
    }
}

fn put_key(out: &mut Vec<u8>, key: &LossKey) {
    out.extend([key.signal.index() as u8, key.reason as u8]);
    out.extend(key.day.to_le_bytes());
    out.extend(key.class.to_bytes());
    put_text(out, &key.service);
}

fn take_key(at: &mut &[u8]) -> Option<LossKey> {
    let ([signal, reason], rest) = at.split_first_chunk()?;
    *at = rest;
    let (signal, reason) = (usize::from(*signal), usize::from(*reason));
    let day = take_u32(at)?;
    let (class, rest) = at.split_first_chunk::<NAME_BYTES_MAX>()?;
    *at = rest;
    Some(LossKey {
        day,
        signal: Signal::from_index(signal)?,
        class: ClassName::from_bytes(*class)?,
        service: take_text(at)?,
        reason: *DropReason::ALL.get(reason)?,
    })
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
}

fn take_text(at: &mut &[u8]) -> Option<String> {
    let (length, rest) = at.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    *at = rest;
    Some(std::str::from_utf8(text).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lose(ledger: &mut Ledger, service: &str, day: u64, items: u64) {
        let mut services = Services::default();
        services.add(service, 3);
        ledger.record(&Drop {
            signal: Signal::Logs,
            class: Signal::Logs.into(),
            reason: DropReason::TooOld,
            items,
            services: &services,
            born: (day + 5, day + 9),
            at: day * 86_400_000_000_000,
        });
    }

    #[test]
    fn what_is_written_is_read() {
        let mut ledger = Ledger::new(100);
        let mut copy = Ledger::new(100);
        let mut sums = [Items::default(); 3];
        sums[2].dropped[DropReason::TooOld as usize] = 12;
        for (service, day) in [("pos", 20_000), ("kds", 20_000), ("pos", 20_001)] {
            lose(&mut ledger, service, day, 4);
            let mut services = Services::default();
            services.add(service, 4);
            ledger.sealed(day, &services);
            assert!(ledger.is_dirty());
            let changes = ledger.encode_changes(sums);
            copy.read_changes(&changes).expect("it is one");
        }
        let total: u64 = copy.losses().map(|(_, loss)| loss.items).sum();
        assert_eq!((total, copy.losses().count()), (12, 3));
        assert_eq!(copy.before(Signal::Logs).dropped_total(), 12);
        let payload = ledger.encode(sums);
        let mut whole = Ledger::new(100);
        whole.read_all(&payload).expect("it is one");
        assert_eq!(whole, copy);
        for end in 0..payload.len() {
            assert_eq!(Ledger::new(100).read_all(&payload[..end]), None);
        }
    }

    #[test]
    fn rows_are_bounded_and_nothing_is_forgotten() {
        let mut ledger = Ledger::new(10);
        let mut copy = Ledger::new(10);
        for day in 0..200 {
            lose(
                &mut ledger,
                &format!("service-{}", day % 7),
                20_000 + day,
                3,
            );
            copy.read_changes(&ledger.encode_changes([Items::default(); 3]));
        }
        assert!(ledger.losses().count() <= 10);
        let total: u64 = ledger.losses().map(|(_, loss)| loss.items).sum();
        assert_eq!(total, 600);
        let (key, rest) = ledger.losses().next().expect("the oldest");
        assert_eq!((key.day, key.service.as_str()), (0, OTHER));
        assert_eq!(rest.born_min, 20_005, "its range covers all of it");
        assert_eq!(copy.rows, ledger.rows);
    }

    /// Scenario: a journal that stays has a row; the next one, which said that the row became a part of `(other)`, is gone.
    /// Regression: the row was there twice, by itself and in `(other)`.
    #[test]
    fn a_row_of_an_old_journal_counts_once() {
        let mut ledger = Ledger::new(2);
        let mut copy = Ledger::new(2);
        lose(&mut ledger, "pos", 20_000, 3);
        let old = ledger.encode_changes([Items::default(); 3]);
        for day in 20_001..20_004 {
            lose(&mut ledger, "pos", day, 3);
            ledger.encode_changes([Items::default(); 3]);
        }
        copy.read_changes(&old).expect("it is one");
        let all = ledger.encode([Items::default(); 3]);
        copy.read_all(&all).expect("it is one");
        assert_eq!(copy.rows, ledger.rows);
        assert_eq!(copy.losses().map(|(_, loss)| loss.items).sum::<u64>(), 12);
    }

    #[test]
    fn what_was_told_is_known_by_the_next_start() {
        let mut ledger = Ledger::new(10);
        let mut copy = Ledger::new(10);
        lose(&mut ledger, "pos", 20_000, 4);
        let rows = ledger.untold(10);
        assert_eq!((rows.len(), rows[0].loss.items, rows[0].told), (1, 4, 0));
        ledger.encode_changes([Items::default(); 3]);
        ledger.tell(&rows);
        assert!(ledger.is_dirty() && ledger.untold(10).is_empty());
        lose(&mut ledger, "pos", 20_000, 3);
        let payload = ledger.encode([Items::default(); 3]);
        for end in 0..payload.len() {
            // Shorter by exactly the list, it is one of before there was such a list.
            let whole = Ledger::new(10).read_all(&payload[..end]);
            assert!(whole.is_none() || end < payload.len() - 32, "{end}");
        }
        copy.read_all(&payload).expect("it is one");
        let rows = copy.untold(10);
        assert_eq!((rows.len(), rows[0].loss.items, rows[0].told), (1, 7, 4));
        assert_eq!(copy, ledger);
        // Rows of older days keep what was told of them.
        for day in 0..40 {
            lose(&mut copy, &format!("service-{day}"), 20_001 + day, 1);
        }
        let untold: u64 = copy
            .untold(100)
            .iter()
            .map(|row| row.loss.items - row.told)
            .sum();
        assert_eq!(untold, 43);
        assert_eq!(copy.untold(2).len(), 2);
        let mut own = Ledger::new(10);
        let services = Services::default();
        own.record(&Drop {
            signal: Signal::Logs,
            class: losses::class(),
            reason: DropReason::Refused,
            items: 1,
            services: &services,
            born: (1, 1),
            at: 1,
        });
        assert_eq!(own.untold(10), [], "of its own records nothing is told");
    }

    #[test]
    fn parts_add_up_and_services_are_bounded() {
        let mut services = Services::default();
        for number in 0..200 {
            services.add(&format!("{number}-{}", "x".repeat(100)), 1);
        }
        assert_eq!(services.0.len(), SERVICES_MAX);
        assert_eq!(services.0.iter().map(|(_, count)| count).sum::<u64>(), 200);
        for items in [0, 1, 7, 199, 200, 1000] {
            let parts = services.split(items);
            assert_eq!(parts.iter().map(|(_, part)| part).sum::<u64>(), items);
        }
        assert_eq!(Services::default().split(5), [("", 5)]);
    }
}
