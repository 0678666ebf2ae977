//! What a file takes on disk: its length, rounded up to whole blocks of the file system. Next: `room`, which compares the sum of all
//! with the quota.
//!
//! A file system gives room in blocks (`f_frsize`, mostly 4 KiB), so a buffer of many small files takes more than their lengths
//! come to, and `buffer.disk` is about what it takes. Files are written without holes, so length and block say it exactly, without a
//! question for each write. Where more was found at a start (room that was taken ahead, as XFS does for a file that grows), that
//! counts instead. A file system that compresses takes less than is counted. Not counted: inodes, and the directory's own blocks.

/// Length of a file, and what it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) struct Size {
    /// Its length.
    pub(in crate::core) bytes: u64,
    /// What it takes on disk.
    pub(in crate::core) disk_bytes: u64,
}

impl Size {
    /// Of a file of that length.
    pub(in crate::core) fn of(bytes: u64, block_bytes: u64) -> Self {
        Self::found(bytes, 0, block_bytes)
    }

    /// Of a file of that length that is said to take so much, by a file system that may not have made up its mind yet.
    pub(in crate::core) fn found(bytes: u64, disk_bytes: u64, block_bytes: u64) -> Self {
        Self {
            bytes,
            disk_bytes: disk_bytes.max(in_blocks(bytes, block_bytes)),
        }
    }

    /// It grows at its end; returns what it takes more.
    pub(in crate::core) fn grow(&mut self, bytes: u64, block_bytes: u64) -> u64 {
        let before = *self;
        *self = Self::found(before.bytes + bytes, before.disk_bytes, block_bytes);
        self.disk_bytes - before.disk_bytes
    }
}

/// Bytes in whole blocks.
pub fn in_blocks(bytes: u64, block_bytes: u64) -> u64 {
    bytes.div_ceil(block_bytes).saturating_mul(block_bytes)
}

/// Most that a file takes more when so many bytes are added at its end, wherever that is.
pub(super) fn growth_max(bytes: u64, block_bytes: u64) -> u64 {
    match bytes {
        0 => 0,
        _ => bytes.saturating_add(block_bytes - 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_takes_whole_blocks() {
        let check = |bytes, found, block, expect| {
            assert_eq!(Size::found(bytes, found, block).disk_bytes, expect);
        };
        check(0, 0, 4096, 0);
        check(1, 0, 4096, 4096);
        check(4096, 0, 4096, 4096);
        check(4097, 0, 4096, 8192);
        check(4097, 0, 1, 4097);
        check(4097, 65_536, 4096, 65_536);
        // A file system that writes later says 0 until then.
        check(9000, 512, 4096, 12_288);
    }

    proptest! {
        /// Whatever a file grows by, it takes what its length says, and no step more than was planned for it.
        #[test]
        fn growth_adds_up(steps in prop::collection::vec(0..20_000_u64, 0..30), block in prop::sample::select(vec![1, 512, 4096, 65_536_u64])) {
            let (mut size, mut sum) = (Size::default(), 0);
            for bytes in steps {
                let more = size.grow(bytes, block);
                prop_assert!(more <= growth_max(bytes, block));
                sum += more;
            }
            prop_assert_eq!(size, Size::of(size.bytes, block));
            prop_assert_eq!(sum, size.disk_bytes);
        }
    }
}
