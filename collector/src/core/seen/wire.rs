//! How a record of what was seen stands in a journal.
//!
//! A *relayed* frame is a request with its origin, so that a torn write has both or neither:
//!
//! ```text
//!  0  store  8    8  boot  8   16  first  8   24  class  16    the count and the signal are the frame's own
//! 40  the request
//! ```
//! A *seen* frame follows the checkpoint of each journal with all that older ones said: `n: u32`, n stores of (store u64, heard u32,
//! `l: u32`, l tracks of (boot u64, class 16 bytes, signal u8, forgotten u64, `i: u32`, i intervals of (first u64, end u64, at u32))).
//! Times are unix seconds. Little endian. Frames only add up. Next: `core::recovery`, which reads both.

use super::{Interval, Seen};
use crate::{
    core::{
        class::{ClassName, NAME_BYTES_MAX},
        range::ItemRange,
    },
    otlp::Signal,
};

/// Bytes before the request in a relayed frame.
pub const ORIGIN_BYTES: usize = 40;

const STORE_BYTES: usize = 16;
const TRACK_BYTES: usize = 37;
const INTERVAL_BYTES: usize = 20;

/// Bytes of an interval with a track and a store of its own: what bounds a record by a size.
pub const INTERVAL_BYTES_MAX: usize = STORE_BYTES + TRACK_BYTES + INTERVAL_BYTES;

/// What stands before a relayed request.
pub fn origin(range: &ItemRange) -> [u8; ORIGIN_BYTES] {
    let mut out = [0; ORIGIN_BYTES];
    out[..8].copy_from_slice(&range.store.to_le_bytes());
    out[8..16].copy_from_slice(&range.boot.to_le_bytes());
    out[16..24].copy_from_slice(&range.first.to_le_bytes());
    out[24..].copy_from_slice(&range.class.to_bytes());
    out
}

/// The origin of a relayed frame's payload, and the request; `None` if it is not one. `own` is the frame's own range.
pub fn split_origin<'a>(own: &ItemRange, payload: &'a [u8]) -> Option<(ItemRange, &'a [u8])> {
    let (head, request) = payload.split_at_checked(ORIGIN_BYTES)?;
    let mut at = head;
    let range = ItemRange {
        store: u64::from_le_bytes(chunk(&mut at)?),
        boot: u64::from_le_bytes(chunk(&mut at)?),
        first: u64::from_le_bytes(chunk(&mut at)?),
        class: ClassName::from_bytes(chunk(&mut at)?)?,
        ..*own
    };
    Some((range, request))
}

impl Seen {
    /// Bytes of [`Seen::encode`].
    pub fn encoded_bytes(&self) -> usize {
        4 + self.stores.len() * STORE_BYTES
            + self.tracks * TRACK_BYTES
            + self.intervals * INTERVAL_BYTES
    }

    /// The payload of a seen frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_bytes());
        let count = |out: &mut Vec<u8>, n: usize| out.extend((n as u32).to_le_bytes());
        count(&mut out, self.stores.len());
        for (store, known) in &self.stores {
            out.extend(store.to_le_bytes());
            out.extend(known.heard_at.to_le_bytes());
            count(&mut out, known.tracks.len());
            for ((boot, class, signal), track) in &known.tracks {
                out.extend(boot.to_le_bytes());
                out.extend(class.to_bytes());
                out.push(signal.index() as u8);
                out.extend(track.forgotten.to_le_bytes());
                count(&mut out, track.intervals.len());
                for (first, interval) in &track.intervals {
                    out.extend(first.to_le_bytes());
                    out.extend(interval.end.to_le_bytes());
                    out.extend(interval.at.to_le_bytes());
                }
            }
        }
        debug_assert_eq!(out.len(), self.encoded_bytes(), "it is counted as it grows");
        out
    }

    /// Adds what a seen frame says; `None`, and perhaps a part of it, if it is not one.
    pub fn read(&mut self, payload: &[u8]) -> Option<()> {
        let mut at = payload;
        for _ in 0..u32::from_le_bytes(chunk(&mut at)?) {
            let store = u64::from_le_bytes(chunk(&mut at)?);
            let heard = u32::from_le_bytes(chunk(&mut at)?);
            self.heard(store, heard);
            for _ in 0..u32::from_le_bytes(chunk(&mut at)?) {
                let boot = u64::from_le_bytes(chunk(&mut at)?);
                let class = ClassName::from_bytes(chunk::<NAME_BYTES_MAX>(&mut at)?)?;
                let [signal] = chunk(&mut at)?;
                let line = (boot, class, Signal::from_index(signal.into())?);
                let forgotten = u64::from_le_bytes(chunk(&mut at)?);
                let track = self.track(store, line);
                track.forgotten = track.forgotten.max(forgotten);
                for _ in 0..u32::from_le_bytes(chunk(&mut at)?) {
                    let first = u64::from_le_bytes(chunk(&mut at)?);
                    let end = u64::from_le_bytes(chunk(&mut at)?);
                    let interval = Interval {
                        end,
                        at: u32::from_le_bytes(chunk(&mut at)?),
                    };
                    if first >= end {
                        return None;
                    }
                    self.add(store, line, first, interval);
                }
            }
        }
        at.is_empty().then_some(())
    }

    /// Whether a payload is one of a seen frame.
    pub fn is_one(payload: &[u8]) -> bool {
        Self::default().read(payload).is_some()
    }
}

fn chunk<const N: usize>(at: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = at.split_first_chunk::<N>()?;
    *at = rest;
    Some(*head)
}
