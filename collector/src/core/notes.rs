//! What a journal remembers about batches: which are finished, and how far each numbering has been sealed.
//!
//! Checkpoint payload: `n: u32`, n watermarks of (boot u64, class 16 bytes, sealed u64), `m: u32`, m finished batches of
//! (segment u64, offset u64), `k: u32`, k failed writes of (file u64, commit or offset u64), then the ledger.
//! Note payload: `n: u32`, n entries of (segment u64, offset u64, boot u64, class 16 bytes, end u64), then what changed in
//! the ledger. Little endian. An offset of all ones stands for the whole file; `end` is 0 where nothing was sealed.
//! Among the failed writes stand requests whose batch is lost, too ([`unsealed`]).
//! Next: `recovery`, which reads both.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    class::{ClassName, NAME_BYTES_MAX},
    frame::Place,
    range::ItemRange,
};

/// A numbering: the boot that made it, and its class.
pub type Numbering = (u64, ClassName);

/// A finished batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where its frame stands.
    pub place: Place,
    /// The numbering of its items.
    pub numbering: Numbering,
    /// One past its last item; 0 where that says nothing about what was sealed.
    pub end: u64,
}

impl Note {
    /// The note that a batch at `place` is finished.
    pub fn new(place: Place, range: &ItemRange) -> Self {
        Self {
            place,
            numbering: (range.boot, range.class),
            end: range.end(),
        }
    }

    /// The same for a batch of another store, which was imported: its numbering is boot 0, that nobody has.
    pub fn foreign(place: Place, range: &ItemRange) -> Self {
        Self {
            place,
            numbering: (0, range.class),
            end: 0,
        }
    }
}

impl Note {
    /// The note that what stands at a place, or in a [`whole`] file, is in the ledger of losses.
    pub fn of_place(place: Place, class: ClassName) -> Self {
        let numbering = (0, class);
        Self {
            place,
            numbering,
            end: 0,
        }
    }
}

/// The place that stands for a whole file.
pub fn whole(file: u64) -> Place {
    let offset = u64::MAX;
    Place { file, offset }
}

/// What says, among the failed writes, that a request in a journal has no batch though its numbering is sealed beyond it: the
/// batch rotted, or may be what cannot be read. Offsets have no such bit, and neither have commits.
pub fn unsealed(place: Place) -> (u64, u64) {
    (place.file, place.offset | 1 << 63)
}

/// What is known at the start of a journal segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// One past the last sealed item of each numbering that may still stand in a journal.
    pub sealed: BTreeMap<Numbering, u64>,
    /// Finished batches whose segment still exists.
    pub finished: BTreeSet<Place>,
    /// Writes whose sync failed: (journal, commit) was never acknowledged, and (segment, offset) is not a batch, for its
    /// items went to another one; or [`unsealed`].
    pub failed: BTreeSet<(u64, u64)>,
}

impl Checkpoint {
    /// Adds a note.
    pub fn add(&mut self, note: &Note) {
        if note.end > 0 {
            let sealed = self.sealed.entry(note.numbering).or_default();
            *sealed = note.end.max(*sealed);
        }
        self.finished.insert(note.place);
    }

    /// Adds what another journal segment knew.
    pub fn merge(&mut self, other: Self) {
        for (numbering, end) in other.sealed {
            let sealed = self.sealed.entry(numbering).or_default();
            *sealed = end.max(*sealed);
        }
        self.finished.extend(other.finished);
        self.failed.extend(other.failed);
    }

    /// The payload of a checkpoint frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend((self.sealed.len() as u32).to_le_bytes());
        for (numbering, end) in &self.sealed {
            put_numbering(&mut out, *numbering);
            put(&mut out, &[*end]);
        }
        out.extend((self.finished.len() as u32).to_le_bytes());
        for place in &self.finished {
            put(&mut out, &[place.file, place.offset]);
        }
        out.extend((self.failed.len() as u32).to_le_bytes());
        for (file, what) in &self.failed {
            put(&mut out, &[*file, *what]);
        }
        out
    }

    /// Reads a checkpoint, and returns it with the rest of the payload; `None` if it is not one.
    pub fn decode(payload: &[u8]) -> Option<(Self, &[u8])> {
        let mut at = payload;
        let mut checkpoint = Self::default();
        for _ in 0..take_u32(&mut at)? {
            let numbering = take_numbering(&mut at)?;
            let [end] = take(&mut at)?;
            checkpoint.sealed.insert(numbering, end);
        }
        for _ in 0..take_u32(&mut at)? {
            let [file, offset] = take(&mut at)?;
            checkpoint.finished.insert(Place { file, offset });
        }
        for _ in 0..take_u32(&mut at)? {
            let [file, what] = take(&mut at)?;
            checkpoint.failed.insert((file, what));
        }
        Some((checkpoint, at))
    }
}

const NOTE_BYTES: usize = 48;

/// The payload of a note frame.
pub fn encode_notes(notes: &[Note]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + notes.len() * NOTE_BYTES);
    out.extend((notes.len() as u32).to_le_bytes());
    for note in notes {
        let Place { file, offset } = note.place;
        put(&mut out, &[file, offset]);
        put_numbering(&mut out, note.numbering);
        put(&mut out, &[note.end]);
    }
    out
}

/// Reads notes, and returns them with the rest of the payload; `None` if they are none.
pub fn decode_notes(payload: &[u8]) -> Option<(Vec<Note>, &[u8])> {
    let mut at = payload;
    let mut notes = Vec::new();
    for _ in 0..take_u32(&mut at)? {
        let [file, offset] = take(&mut at)?;
        let numbering = take_numbering(&mut at)?;
        let [end] = take(&mut at)?;
        notes.push(Note {
            place: Place { file, offset },
            numbering,
            end,
        });
    }
    Some((notes, at))
}

fn put_numbering(out: &mut Vec<u8>, (boot, class): Numbering) {
    put(out, &[boot]);
    out.extend(class.to_bytes());
}

fn take_numbering(at: &mut &[u8]) -> Option<Numbering> {
    let [boot] = take(at)?;
    let (name, rest) = at.split_first_chunk::<NAME_BYTES_MAX>()?;
    *at = rest;
    Some((boot, ClassName::from_bytes(*name)?))
}

pub(super) fn put(out: &mut Vec<u8>, values: &[u64]) {
    for value in values {
        out.extend(value.to_le_bytes());
    }
}

pub(super) fn take_u32(at: &mut &[u8]) -> Option<u32> {
    let (head, rest) = at.split_first_chunk()?;
    *at = rest;
    Some(u32::from_le_bytes(*head))
}

pub(super) fn take<const N: usize>(at: &mut &[u8]) -> Option<[u64; N]> {
    let mut values = [0; N];
    for value in &mut values {
        let (head, rest) = at.split_first_chunk()?;
        *at = rest;
        *value = u64::from_le_bytes(*head);
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::Signal;

    #[test]
    fn are_read_as_written() {
        let note = |offset| Note {
            place: Place { file: 7, offset },
            numbering: (2, ClassName::from(Signal::Logs)),
            end: 100 + offset,
        };
        let notes = vec![note(32), note(640)];
        let payload = [&encode_notes(&notes)[..], b"rest"].concat();
        assert_eq!(decode_notes(&payload), Some((notes.clone(), &b"rest"[..])));
        let mut checkpoint = Checkpoint::default();
        for note in &notes {
            checkpoint.add(note);
        }
        checkpoint.failed.insert((8, 30));
        assert_eq!(checkpoint.sealed[&(2, Signal::Logs.into())], 740);
        let payload = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&payload), Some((checkpoint, &[][..])));
        for cut in 0..payload.len() {
            assert_eq!(Checkpoint::decode(&payload[..cut]), None);
        }
    }
}
