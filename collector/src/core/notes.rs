//! What a journal remembers about batches: which are finished, and how far each numbering has been sealed.
//!
//! Checkpoint payload: `n: u32`, n watermarks of (boot u64, signal u64, sealed u64), `m: u32`, m finished batches of
//! (segment u64, offset u64), `k: u32`, k failed writes of (file u64, commit or
//! offset u64). Note payload: entries of (segment, offset, boot, signal, end: 5 x u64). Little endian.
//! Next: `recovery`, which reads both.

use std::collections::{BTreeMap, BTreeSet};

use super::{frame::Place, range::ItemRange};
use crate::otlp::Signal;

/// A numbering: the boot that made it, and its signal.
pub type Numbering = (u64, Signal);

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
            numbering: (range.boot, range.signal),
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
        for ((boot, signal), end) in &self.sealed {
            put(&mut out, &[*boot, signal.index() as u64, *end]);
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
            let [boot, signal, end] = take(&mut at)?;
            checkpoint.sealed.insert((boot, signal_at(signal)?), end);
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

/// The payload of a note frame.
pub fn encode_notes(notes: &[Note]) -> Vec<u8> {
    let mut out = Vec::with_capacity(notes.len() * 40);
    for note in notes {
        let (boot, signal) = note.numbering;
        let Place { file, offset } = note.place;
        put(
            &mut out,
            &[file, offset, boot, signal.index() as u64, note.end],
        );
    }
    out
}

/// Reads a note frame's payload; `None` if it is not one.
pub fn decode_notes(payload: &[u8]) -> Option<Vec<Note>> {
    let mut at = payload;
    let mut notes = Vec::new();
    while !at.is_empty() {
        let [file, offset, boot, signal, end] = take(&mut at)?;
        notes.push(Note {
            place: Place { file, offset },
            numbering: (boot, signal_at(signal)?),
            end,
        });
    }
    Some(notes)
}

fn signal_at(index: u64) -> Option<Signal> {
    Signal::from_index(usize::try_from(index).ok()?)
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

    #[test]
    fn are_read_as_written() {
        let note = |offset| Note {
            place: Place { file: 7, offset },
            numbering: (2, Signal::Logs),
            end: 100 + offset,
        };
        let notes = vec![note(32), note(640)];
        assert_eq!(decode_notes(&encode_notes(&notes)), Some(notes.clone()));
        let mut checkpoint = Checkpoint::default();
        for note in &notes {
            checkpoint.add(note);
        }
        checkpoint.failed.insert((8, 30));
        assert_eq!(checkpoint.sealed[&(2, Signal::Logs)], 740);
        let payload = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&payload), Some(checkpoint));
        for cut in 0..payload.len() {
            assert_eq!(Checkpoint::decode(&payload[..cut]), None);
        }
    }
}
