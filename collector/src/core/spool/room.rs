//! What the disk leaves of the quota: others may have filled it; and the reserve, which they cannot have. Next: `queue`, which
//! shares the room out.
//!
//! While nothing fails the quota is `buffer.disk`, and nobody asks the file system. A write that finds no space lowers it to what
//! the buffer has and what is free; then the policies for a full buffer apply as they always do. The shell asks again
//! while that is so ([`Spool::is_short`]), and the quota rises with what is free, up to `buffer.disk`.
//!
//! # The reserve
//! A part of the quota is for notes, checkpoints and footers alone: without them a full buffer could not be emptied. That others
//! do not take it either, a file holds it. Requests are let in as if the file were always there. A write that would exceed the
//! quota, or has found no space, takes the file's room; it is taken again when there is more room than that, or the next note
//! would have it again.

use super::{RESERVE_BYTES, Segment, Spool, in_blocks, size::growth_max};
use crate::{
    config::OnFull,
    core::{class::ClassName, frame::frame_bytes},
};

impl Spool {
    /// A write of so many bytes found no space in the file system, which says that so much is free. What was given up of the
    /// reserve since counts among the bytes of the write.
    ///
    /// The write knows better: free space that is not for this user is no space.
    pub fn disk_full(&mut self, free_bytes: u64, write_bytes: u64) {
        self.disk_free(free_bytes.min(write_bytes.saturating_sub(1)));
    }

    /// So much is free in the file system.
    pub fn disk_free(&mut self, free_bytes: u64) {
        let room = self.disk_bytes().saturating_add(free_bytes);
        self.room_bytes = (room < self.limits.disk_bytes).then_some(room);
    }

    /// Whether the disk has less than the quota, as far as was noticed.
    pub fn is_short(&self) -> bool {
        self.quota_bytes() < self.limits.disk_bytes
    }

    /// Bytes that all files together may take at present.
    pub fn quota_bytes(&self) -> u64 {
        let quota = self.limits.disk_bytes;
        self.room_bytes.map_or(quota, |room| room.min(quota))
    }

    /// Whether a request of so many bytes of a class would be taken in without dropping anything.
    pub fn fits(&self, class: ClassName, bytes: u64) -> bool {
        self.queues.contains_key(&class) && self.lack(class, bytes).is_none()
    }

    /// Makes room for what waits to be sealed, as the policy of a class allows, where the disk has none: while batches
    /// cannot be written, memory is full, and no request gets as far as to make room for itself.
    pub fn make_room_to_seal(&mut self, class: ClassName) {
        if self.is_short() {
            self.make_way(class, 0);
        }
    }

    /// Whether a class that has no room for a request will have none in a moment either: it drops nothing, or there is nothing
    /// that waits to be sealed, or to come back from a destination, and can be dropped then, and no journal that goes.
    pub fn is_full_for_good(&self, class: ClassName) -> bool {
        let is_leaving = |segment: &Segment| segment.doomed.is_some();
        let waits = self.unsealed().next().is_some()
            || self.segments.values().any(is_leaving)
            || self.committing.is_some()
            || self.wants_commit();
        !(waits && self.drops_oldest(class))
    }

    /// Whether a full class drops what is oldest.
    pub fn drops_oldest(&self, class: ClassName) -> bool {
        let queue = self.queues.get(&class);
        queue.is_some_and(|queue| queue.limits.on_full == OnFull::DropOldest)
    }

    /// An eighth of what there is: no file may be so large that its going empties the buffer.
    pub(super) fn file_bytes_max(&self) -> u64 {
        (self.quota_bytes() / 8).max(1)
    }

    /// Size at which a journal segment is followed by another.
    pub(super) fn journal_bytes(&self) -> u64 {
        let most = self.file_bytes_max().max(RESERVE_BYTES);
        self.limits.journal_bytes.min(most)
    }

    /// Bytes that only notes, checkpoints and footers may take.
    pub(super) fn reserve_bytes(&self) -> u64 {
        self.reserve_wish().max(self.reserve_held)
    }

    /// What the reserve should be: notes, and a checkpoint with all of the ledger and of what was seen.
    fn reserve_wish(&self) -> u64 {
        let seen = match self.limits.gateway {
            Some(_) => frame_bytes(self.seen.encoded_bytes()),
            None => 0,
        };
        // Notes and footers are small, and may begin a block in a journal and in a segment of each signal.
        let block = self.limits.block_bytes;
        let notes = RESERVE_BYTES.max(4 * block);
        in_blocks(
            notes + (self.journal_bytes() / 4).min(1 << 20) + seen,
            block,
        )
    }

    /// Bytes of the reserve's file.
    pub fn reserve_held(&self) -> u64 {
        self.reserve_held
    }

    /// The reserve's file takes so many bytes from now on.
    pub fn hold_reserve(&mut self, bytes: u64) {
        self.reserve_held = bytes;
    }

    /// How large the reserve's file should be made; `None` if it is well as it is, or there is no room for it.
    pub fn reserve_wanted(&self) -> Option<u64> {
        let (wish, held) = (self.reserve_wish(), self.reserve_held);
        // Half of it does: on a disk that fills and empties, the wish goes up and down with what is free.
        if held > wish {
            return Some(wish);
        }
        let needed = self.disk_bytes() - held + wish + RESERVE_BYTES;
        (held < wish / 2 && needed <= self.quota_bytes()).then_some(wish)
    }

    /// Whether what is being written needs the room of the reserve.
    pub fn needs_reserve(&self) -> bool {
        let block = self.limits.block_bytes;
        let commit = self.committing.as_ref().map_or(0, |commit| commit.bytes);
        let seal = self.sealing.as_ref().map_or(0, |seal| seal.placed_bytes());
        let needed = growth_max(commit, block) + growth_max(seal, block);
        self.reserve_held > 0 && self.disk_bytes() + needed > self.quota_bytes()
    }
}
