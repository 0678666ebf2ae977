//! The quarantine: one item of a batch is refused; items are put back, kept and deleted, with crashes anywhere.

use super::*;
use crate::core::{ranges::Ranges, spool::quarantine::Returned};

/// What becomes of one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    /// A write fails: it is given up.
    Fails,
    /// The process dies before it counts.
    Crash,
}

/// What an operator wants for each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    PutBack,
    Delete,
    Keep,
}

impl World {
    /// The receiver takes a batch but for its first item.
    pub(super) fn refuse(&mut self, is_written: bool) {
        let Some(batch) = self.pick() else {
            return;
        };
        let Some(items) = self.items_of(&batch) else {
            return self.spool.damaged(&batch);
        };
        let (one, rest) = batch.header.range.split(1);
        let Some(place) = self.spool.place_quarantined(one, "no", &items[..16]) else {
            return self.spool.failed(&batch);
        };
        let at = (place.file, place.create, place.offset);
        let fits =
            self.disk
                .write_within((self.capacity, self.limits.block_bytes), at, &place.bytes);
        if !is_written || !fits {
            // It may be there all the same, and then nobody knows that it is not meant.
            self.has_ghosts |= !place.create;
            self.spool.quarantine_failed(&place);
            return self.spool.failed(&batch);
        }
        self.disk.sync(place.file, place.create);
        if rest.count > 0 {
            self.receive(rest, ids(&items[16..]));
        }
        self.spool.quarantined(&batch, 1, 0);
    }

    /// Items of batches that wait.
    fn waiting_items(&self) -> Ranges {
        let mut waiting = Ranges::default();
        for (file, _) in self.spool.segments() {
            for (offset, header) in self.disk.headers(file) {
                let file = file.number;
                if self.spool.is_waiting(Place { file, offset }) {
                    waiting.insert(&header.range);
                }
            }
        }
        let unsealed = self.spool.unsealed_batches();
        let unsealed = unsealed.iter().map(|unsealed| unsealed.header.range);
        unsealed.for_each(|range| waiting.insert(&range));
        waiting
    }

    /// Frames of a quarantine file, by range.
    fn aside(&self, file: FileId) -> Vec<(Header, Bytes)> {
        let data = &self.disk.0[&file].written;
        let found = frame::scan(file.number, data).into_iter();
        let mut frames: Vec<(Header, Bytes)> = found
            .filter_map(|found| match found {
                frame::Found::Frame {
                    offset,
                    header,
                    is_whole: true,
                } => {
                    let payload = frame::payload(data, offset, &header);
                    header
                        .is_intact(payload)
                        .then(|| (header, Bytes::copy_from_slice(payload)))
                }
                _ => None,
            })
            .collect();
        frames.sort_by_key(|(header, _)| header.range);
        frames
    }

    /// Releases all files; each is one more chance for `fate`.
    pub(super) fn release(&mut self, fate: Fate, wish: impl Fn(&mut ChaCha8Rng) -> Wish) {
        let files = self.spool.close_quarantine();
        let waiting = self.waiting_items();
        let mut gone = Ranges::default();
        for (file, _) in files {
            let Some(mut release) = self.spool.begin_release(file) else {
                continue;
            };
            let mut made = BTreeSet::new();
            let mut goes = Vec::new();
            let mut is_done = true;
            for (header, payload) in self.aside(file) {
                let is_busy = waiting.missing(&header.range).is_empty();
                let is_repeat = gone.missing(&header.range).is_empty();
                let wish = match wish(&mut self.rng) {
                    _ if is_repeat => continue,
                    _ if is_busy => Wish::Keep,
                    wish => wish,
                };
                let place = match wish {
                    Wish::Delete => {
                        release.delete(&header, &payload[6..]);
                        goes.push(header.range);
                        continue;
                    }
                    Wish::Keep => self.spool.keep_aside(&mut release, &header, &payload),
                    Wish::PutBack => {
                        goes.push(header.range);
                        let body = payload.slice(6..);
                        let returned = Returned::new(&header, body.clone(), self.unix);
                        let none = CodecId::None;
                        self.spool.put_back(&mut release, &returned, none, &body)
                    }
                };
                let Some(place) = place else {
                    is_done = false;
                    break;
                };
                let at = (place.file, place.create, place.offset);
                is_done &= self.disk.write_within(
                    (self.capacity, self.limits.block_bytes),
                    at,
                    &place.bytes,
                );
                made.insert(place.file);
            }
            for (file, offset, footer) in self.spool.release_footers(&mut release) {
                let at = (file, false, offset);
                is_done &= is_done
                    && self.disk.write_within(
                        (self.capacity, self.limits.block_bytes),
                        at,
                        &footer,
                    );
            }
            if !is_done || fate == Fate::Fails {
                self.spool.release_failed(&release);
                self.after_step();
                continue;
            }
            if fate == Fate::Crash && self.rng.random() {
                return self.step(&Step::PowerLoss);
            }
            made.iter().for_each(|file| self.disk.sync(*file, true));
            if fate == Fate::Crash {
                return self.step(&Step::Crash);
            }
            self.spool.released(release, self.unix);
            goes.iter().for_each(|range| gone.insert(range));
            self.after_step();
        }
    }

    /// What stands in the account as put aside.
    pub(super) fn quarantined_ever(&self) -> u64 {
        let quarantined = |signal| self.spool.lifetime(signal).quarantined;
        Signal::ALL.into_iter().map(quarantined).sum()
    }

    fn put_aside(&mut self, items: usize) {
        self.step(&Step::Append(Signal::Logs, items));
        self.step(&Step::Commit);
        self.step(&Step::Wait(5));
        self.step(&Step::Seal);
        self.step(&Step::Refuse(true));
    }

    fn account(&self) -> (u64, u64, u64, u64) {
        let items = self.spool.lifetime(Signal::Logs);
        let Items {
            accepted,
            delivered,
            stored,
            quarantined,
            ..
        } = items;
        (accepted, delivered, stored, quarantined)
    }
}

/// Scenario: an item is refused, put back and delivered, in one start or over three.
/// Guarantees: it travels with its own range, and at every instant the account says where it is.
#[test]
fn an_item_that_is_put_back_is_the_same_item() {
    for restarts in [false, true] {
        let mut world = World::new(1, limits(u64::MAX >> 1, OnFull::Refuse));
        let restart = |world: &mut World| {
            world.step(&Step::Commit);
            if restarts {
                world.step(&Step::PowerLoss);
            }
        };
        world.put_aside(12);
        assert_eq!(world.account(), (12, 11, 0, 1));
        restart(&mut world);
        assert_eq!(world.account(), (12, 11, 0, 1));
        world.release(Fate::Done, |_| Wish::PutBack);
        assert_eq!(world.account(), (12, 11, 1, 0));
        restart(&mut world);
        assert_eq!(world.account(), (12, 11, 1, 0));
        let batch = world.pick().expect("it is in its queue");
        let name = batch.header.range.to_string();
        assert_eq!(name, "000000000000004d-1-logs-0-1");
        world.spool.failed(&batch);
        world.step(&Step::Deliver);
        restart(&mut world);
        assert_eq!(world.account(), (12, 12, 0, 0));
        let mut files = world.spool.quarantined_files();
        assert_eq!(files.next(), None);
        assert_eq!(world.spool.quarantine_bytes(), 0);
    }
}

/// Scenario: power is lost after an item was put back, before that was noted.
/// Guarantees: it is in the quarantine and nowhere else, and its account adds up; the next try puts it back once.
#[test]
fn a_release_that_was_not_noted_did_not_happen() {
    let mut world = World::new(1, limits(u64::MAX >> 1, OnFull::Refuse));
    world.put_aside(12);
    world.step(&Step::Commit);
    world.release(Fate::Done, |_| Wish::PutBack);
    world.step(&Step::PowerLoss);
    assert_eq!(world.account(), (12, 11, 0, 1));
    assert!(world.pick().is_none());
    world.release(Fate::Done, |_| Wish::PutBack);
    world.drain();
    assert_eq!(world.account(), (12, 12, 0, 0));
}

/// Scenario: an item is put back, the note of it is written and not synced; the process dies, the next one reads the note, and
/// then power is lost.
/// Guarantees: the item is in the queue or in the quarantine, in the account as on disk. Regression: the second start
/// removed the quarantine file at once; the note was lost with the power, and the account had the item in both places for ever.
#[test]
fn a_note_that_was_only_read_removes_nothing() {
    for seed in 0..20 {
        let mut world = World::new(seed, limits(u64::MAX >> 1, OnFull::Refuse));
        world.put_aside(12);
        world.step(&Step::Commit);
        world.release(Fate::Done, |_| Wish::PutBack);
        world.step(&Step::CommitFails);
        world.step(&Step::Crash);
        assert_eq!(world.account(), (12, 11, 1, 0), "the note can be read");
        world.step(&Step::PowerLoss);
        let aside = world.spool.quarantined_files().count() as u64;
        assert_eq!(world.account(), (12, 11, 1 - aside, aside), "seed {seed}");
        world.drain();
        assert_eq!(world.account(), (12, 12, 0, 0), "seed {seed}");
    }
}

/// What is deleted is in the ledger of losses; what stays is there afterwards, once.
#[test]
fn a_purge_is_counted_and_spares_the_others() {
    let mut world = World::new(1, limits(u64::MAX >> 1, OnFull::Refuse));
    for _ in 0..6 {
        world.put_aside(3);
    }
    assert_eq!(world.account(), (18, 12, 0, 6));
    let mut wishes = [Wish::Delete, Wish::Keep].into_iter().cycle();
    let next = std::cell::RefCell::new(&mut wishes);
    world.release(Fate::Done, |_| next.borrow_mut().next().expect("endless"));
    world.step(&Step::Commit);
    assert_eq!(world.account(), (18, 12, 0, 3));
    let purged = |world: &World| {
        let items = world.spool.lifetime(Signal::Logs);
        items.dropped_for(DropReason::Purged)
    };
    assert_eq!(purged(&world), 3);
    let files: Vec<FileId> = world.spool.quarantined_files().map(|(f, _)| f).collect();
    let left: usize = files.iter().map(|file| world.aside(*file).len()).sum();
    assert_eq!((files.len(), left), (1, 3));
    world.step(&Step::PowerLoss);
    assert_eq!((world.account(), purged(&world)), ((18, 12, 0, 3), 3));
}

/// An item whose batch waits is in the buffer: it is not put back beside it.
#[test]
fn an_item_of_a_batch_under_way_stays() {
    let mut world = World::new(1, limits(u64::MAX >> 1, OnFull::Refuse));
    world.step(&Step::Append(Signal::Logs, 12));
    world.step(&Step::Commit);
    world.step(&Step::Wait(5));
    world.step(&Step::Seal);
    let batch = world.pick().expect("there is one");
    let (one, _) = batch.header.range.split(1);
    let place = world.spool.place_quarantined(one, "no", &[0; 16]).unwrap();
    world.disk.write(place.file, true, 0, &place.bytes);
    world.disk.sync(place.file, true);
    world.release(Fate::Done, |_| Wish::PutBack);
    assert_eq!(world.account(), (12, 0, 12, 0));
    assert_eq!(world.spool.segments().count(), 1);
}
