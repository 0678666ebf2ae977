//! One file's content, as it is read and as it survives a loss of power. Sans-IO.
//!
//! The content is held once. What a loss of power would bring back is kept apart: for a file that is appended to, that is
//! its synced length and nothing else, so that weeks of a buffer cost their bytes and no more. Names are `disk_state`'s.

use std::ops::Range;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::PowerLoss;

/// Blocks of which a torn write keeps a prefix: the page of common file systems and flash translation layers.
pub(super) const PAGE_BYTES: u64 = 4096;

/// What disks write whole: the smallest sector that is sold.
pub(super) const SECTOR_BYTES: u64 = 512;

/// A file, whatever its names.
#[derive(Debug, Default)]
pub(super) struct FileState {
    pub(super) data: Vec<u8>,
    /// Names and handles that hold it.
    pub(super) names: u32,
    pub(super) handles: u32,
    /// Ranges written since the last sync, in order of first write; neighbours are one.
    dirty: Vec<Range<u64>>,
    synced_len: u64,
    /// Synced bytes that were overwritten or cut off, in that order.
    undo: Vec<(u64, Vec<u8>)>,
    /// What survives, where a failed sync has made it more than an undo.
    platter: Option<Vec<u8>>,
}

impl FileState {
    /// An empty file with one name.
    pub(super) fn named() -> Self {
        Self {
            names: 1,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.data.len() as u64
    }

    /// What it takes on disk: whole blocks, also where it has a hole.
    pub(super) fn disk_bytes(&self) -> u64 {
        super::in_blocks(self.len())
    }

    /// Keeps what of `range` a loss of power would bring back.
    fn save(&mut self, range: Range<u64>) {
        if self.platter.is_some() {
            return;
        }
        let end = range.end.min(self.len()).min(self.synced_len);
        if range.start < end {
            let old = self.data[range.start as usize..end as usize].to_vec();
            self.undo.push((range.start, old));
        }
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        self.save(offset..end);
        // A hole is written too, with zeros.
        let start = offset.min(self.len());
        if self.len() < end {
            self.data.resize(end as usize, 0);
        }
        self.data[offset as usize..end as usize].copy_from_slice(data);
        self.mark(start..end);
    }

    pub(super) fn set_len(&mut self, bytes: u64) {
        let before = self.len();
        self.save(bytes..before);
        self.data.resize(bytes as usize, 0);
        self.mark(before.min(bytes)..bytes);
    }

    fn mark(&mut self, range: Range<u64>) {
        match self.dirty.last_mut() {
            Some(last) if last.start <= range.start && range.start <= last.end => {
                last.end = last.end.max(range.end);
            }
            _ => self.dirty.push(range),
        }
    }

    pub(super) fn synced(&mut self) {
        if let Some(platter) = &mut self.platter {
            platter.resize(self.data.len(), 0);
            for range in &self.dirty {
                copy(&self.data, platter, range);
            }
        }
        self.synced_len = self.len();
        self.undo.clear();
        self.dirty.clear();
    }

    pub(super) fn sync_failed(&mut self) {
        self.platter = Some(self.survives());
        self.undo.clear();
        self.dirty.clear();
    }

    /// The content after a loss of power that takes all it can.
    fn survives(&self) -> Vec<u8> {
        if let Some(platter) = &self.platter {
            return platter.clone();
        }
        let mut image = self.data[..self.data.len().min(self.synced_len as usize)].to_vec();
        for (offset, old) in self.undo.iter().rev() {
            let end = *offset as usize + old.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset as usize..end].copy_from_slice(old);
        }
        image.resize(self.synced_len as usize, 0);
        image
    }

    /// The power goes. Gives the bytes that were not synced.
    pub(super) fn lose_power(&mut self, loss: PowerLoss, rng: &mut ChaCha8Rng) -> u64 {
        let dirty = std::mem::take(&mut self.dirty);
        let unsynced = dirty.iter().map(|range| range.end - range.start).sum();
        let mut image = match loss {
            PowerLoss::Keep => std::mem::take(&mut self.data),
            _ => self.survives(),
        };
        for range in dirty.iter().filter(|range| !range.is_empty()) {
            // A later cut of the file may have taken the range's end.
            let range = range.start..range.end.min(self.len().max(range.start));
            match loss {
                PowerLoss::Unsynced | PowerLoss::Keep => {}
                PowerLoss::Tear => {
                    let pages = (range.end - range.start).div_ceil(PAGE_BYTES);
                    let end = range.start + rng.random_range(0..=pages) * PAGE_BYTES;
                    survive(&self.data, &mut image, range.start..end.min(range.end));
                }
                PowerLoss::Scatter => {
                    // The length is kept apart from the data.
                    if rng.random() && (image.len() as u64) < range.end {
                        image.resize(range.end as usize, 0);
                    }
                    let mut at = range.start;
                    while at < range.end {
                        let end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
                        if rng.random() {
                            survive(&self.data, &mut image, at..end.min(range.end));
                        }
                        at = end;
                    }
                }
            }
        }
        *self = Self {
            synced_len: image.len() as u64,
            data: image,
            ..Self::default()
        };
        unsynced
    }

    /// Flips the bits of `mask` in a synced byte; `false` if it is none.
    pub(super) fn rot(&mut self, offset: u64, mask: u8) -> bool {
        let is_dirty = self.dirty.iter().any(|range| range.contains(&offset));
        if is_dirty || offset >= self.len() {
            return false;
        }
        self.data[offset as usize] ^= mask;
        let platter = self.platter.as_mut();
        if let Some(byte) = platter.and_then(|platter| platter.get_mut(offset as usize)) {
            *byte ^= mask;
        }
        true
    }
}

fn copy(from: &[u8], to: &mut [u8], range: &Range<u64>) {
    let range = range.start as usize..(range.end as usize).min(from.len());
    to[range.clone()].copy_from_slice(&from[range]);
}

fn survive(data: &[u8], image: &mut Vec<u8>, range: Range<u64>) {
    if range.is_empty() {
        return;
    }
    if (image.len() as u64) < range.end {
        image.resize(range.end as usize, 0);
    }
    copy(data, image, &range);
}
