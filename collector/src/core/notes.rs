//! What a journal remembers about batches: which are finished, and how far each numbering has been sealed.
//!
//! Checkpoint payload: `n: u32`, n watermarks of (boot u64, class 16 bytes, sealed u64), `m: u32`, m finished batches of
//! (segment u64, offset u64), `k: u32`, k failed writes of (file u64, commit or offset u64).
//! Note payload: entries of (segment u64, offset u64, boot u64, class 16 bytes, end u64). Little endian.
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
    /// One past its last item.
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
}

/// What is known at the start of a journal segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// One past the last sealed item of each numbering that may still stand in a journal.
    pub sealed: BTreeMap<Numbering, u64>,
    /// Finished batches whose segment still exists.
    pub finished: BTreeSet<Place>,
    /// Writes whose sync failed: (journal, commit) was never acknowledged, and (segment, offset) is not a batch, for its
    /// items went to another one.
    pub failed: BTreeSet<(u64, u64)>,
}

impl Checkpoint {
    /// Adds a note.
    pub fn add(&mut self, note: &Note) {
        let sealed = self.sealed.entry(note.numbering).or_default();
        *sealed = note.end.max(*sealed);
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

    /// Reads a checkpoint's payload; `None` if it is not one.
    pub fn decode(payload: &[u8]) -> Option<Self> {
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
        at.is_empty().then_some(checkpoint)
    }
}

const NOTE_BYTES: usize = 48;

/// The payload of a note frame.
pub fn encode_notes(notes: &[Note]) -> Vec<u8> {
    let mut out = Vec::with_capacity(notes.len() * NOTE_BYTES);
    for note in notes {
        let Place { file, offset } = note.place;
        put(&mut out, &[file, offset]);
        put_numbering(&mut out, note.numbering);
        put(&mut out, &[note.end]);
    }
    out
}

/// Reads a note frame's payload; `None` if it is not one.
pub fn decode_notes(payload: &[u8]) -> Option<Vec<Note>> {
    let mut at = payload;
    let mut notes = Vec::new();
    while !at.is_empty() {
        let [file, offset] = take(&mut at)?;
        let numbering = take_numbering(&mut at)?;
        let [end] = take(&mut at)?;
        notes.push(Note {
            place: Place { file, offset },
            numbering,
            end,
        });
    }
    Some(notes)
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

fn put(out: &mut Vec<u8>, values: &[u64]) {
    for value in values {
        out.extend(value.to_le_bytes());
    }
}

fn take_u32(at: &mut &[u8]) -> Option<u32> {
    let (head, rest) = at.split_first_chunk()?;
    *at = rest;
    Some(u32::from_le_bytes(*head))
}

fn take<const N: usize>(at: &mut &[u8]) -> Option<[u64; N]> {
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
        assert_eq!(decode_notes(&encode_notes(&notes)), Some(notes.clone()));
        let mut checkpoint = Checkpoint::default();
        for note in &notes {
            checkpoint.add(note);
        }
        checkpoint.failed.insert((8, 30));
        assert_eq!(checkpoint.sealed[&(2, Signal::Logs.into())], 740);
        let payload = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&payload), Some(checkpoint));
        for cut in 0..payload.len() {
            assert_eq!(Checkpoint::decode(&payload[..cut]), None);
        }
    }
}
