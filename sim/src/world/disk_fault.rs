//! Which operation of a disk fails, and at which the power goes. Sans-IO.
//!
//! Operations are counted when they take effect, so a plan names the same operation in every run of a seed. Whatever fails
//! or is cut is counted: a fault that met nothing must not pass for one that was survived. What a disk keeps of it all is
//! `disk_state`'s; who asks is `disk`.

use std::io;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskOp {
    /// Opens or lists what is there.
    Open,
    /// Makes a file or directories.
    Create,
    /// Reads a file.
    Read,
    /// Writes, cuts or extends a file.
    Write,
    /// Makes a file's content durable.
    Sync,
    /// Makes a directory's names durable.
    SyncDir,
    /// Moves a file.
    Rename,
    /// Removes a file.
    Remove,
}

impl DiskOp {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::Create,
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::SyncDir,
        Self::Rename,
        Self::Remove,
    ];

    /// What reads.
    pub const READS: &[Self] = &[Self::Read];
    /// What writes, data or names.
    pub const WRITES: &[Self] = &[Self::Create, Self::Write, Self::Rename, Self::Remove];
    /// What makes durable.
    pub const SYNCS: &[Self] = &[Self::Sync, Self::SyncDir];

    /// All that a dying disk refuses.
    pub const FALLIBLE: &[Self] = &[
        Self::Read,
        Self::Create,
        Self::Write,
        Self::Rename,
        Self::Remove,
        Self::Sync,
        Self::SyncDir,
    ];

    /// Whether it changes what the disk holds or keeps: a boundary at which a loss of power makes a difference.
    pub fn is_change(self) -> bool {
        !matches!(self, Self::Open | Self::Read)
    }
}

/// On which side of an operation the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before it has an effect.
    Before,
    /// After it took effect and before its caller hears of it.
    After,
}

/// What an operation meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meets {
    /// Nothing.
    Nothing,
    /// It has no effect but this error.
    Error(io::ErrorKind),
    /// The power is gone, or goes now: it has no effect and never returns.
    Darkness,
    /// It takes effect, then the power goes: it never returns.
    LastLight,
}

/// One disk's faults, and the count of its operations.
#[derive(Debug, Default)]
pub(super) struct Faults {
    counts: [u64; 8],
    changes: u64,
    /// While set, each such operation fails.
    failing: [Option<io::ErrorKind>; 8],
    /// Operations that fail once, by kind and count.
    once: Vec<(DiskOp, u64, io::ErrorKind)>,
    /// Of these, a share fails.
    shares: Vec<Share>,
    shares_begun: u64,
    cut: Option<(u64, Side)>,
    pub(super) is_dark: bool,
    bites: u64,
}

/// A share of operations that fails.
#[derive(Debug)]
struct Share {
    number: u64,
    ops: &'static [DiskOp],
    share: f64,
    /// Its own: others draw as if it were not there.
    rng: ChaCha8Rng,
}

impl Faults {
    /// An operation takes effect now, unless this says otherwise.
    pub(super) fn meet(&mut self, op: DiskOp) -> Meets {
        if self.is_dark {
            return Meets::Darkness;
        }
        let index = self.counts[op as usize];
        self.counts[op as usize] += 1;
        let change = self.changes;
        self.changes += u64::from(op.is_change());
        if op.is_change()
            && let Some((at, side)) = self.cut
            && at == change
        {
            self.cut = None;
            self.is_dark = true;
            self.bites += 1;
            return match side {
                Side::Before => Meets::Darkness,
                Side::After => Meets::LastLight,
            };
        }
        let once = self
            .once
            .iter()
            .position(|(o, at, _)| (*o, *at) == (op, index));
        let once = once.map(|place| self.once.swap_remove(place).2);
        let mut by_share = false;
        // Each draws for its own operations, whatever the others drew.
        for share in self.shares.iter_mut().filter(|s| s.ops.contains(&op)) {
            by_share |= share.rng.random::<f64>() < share.share;
        }
        let by_share = by_share.then_some(io::ErrorKind::Other);
        if let Some(kind) = once.or(self.failing[op as usize]).or(by_share) {
            self.bites += 1;
            return Meets::Error(kind);
        }
        Meets::Nothing
    }

    /// The power is back. What fails for good fails on.
    pub(super) fn power_lost(&mut self) {
        self.is_dark = false;
        self.cut = None;
    }

    pub(super) fn count(&self, op: DiskOp) -> u64 {
        self.counts[op as usize]
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn bites(&self) -> u64 {
        self.bites
    }

    pub(super) fn bit(&mut self) {
        self.bites += 1;
    }

    pub(super) fn fail(&mut self, op: DiskOp, kind: Option<io::ErrorKind>) {
        self.failing[op as usize] = kind;
    }

    pub(super) fn fail_once(&mut self, op: DiskOp, ahead: u64, kind: io::ErrorKind) {
        let at = self.count(op) + ahead;
        self.once.push((op, at, kind));
    }

    /// A share of these operations fails from now on; the number ends it.
    pub(super) fn fail_share(
        &mut self,
        ops: &'static [DiskOp],
        share: f64,
        rng: ChaCha8Rng,
    ) -> u64 {
        self.shares_begun += 1;
        self.shares.push(Share {
            number: self.shares_begun,
            ops,
            share,
            rng,
        });
        self.shares_begun
    }

    pub(super) fn heal_share(&mut self, number: u64) {
        self.shares.retain(|share| share.number != number);
    }

    pub(super) fn cut(&mut self, ahead: u64, side: Side) {
        self.cut = Some((self.changes + ahead, side));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IO: io::ErrorKind = io::ErrorKind::Other;

    fn meets(faults: &mut Faults, ops: &[DiskOp]) -> Vec<Meets> {
        ops.iter().map(|op| faults.meet(*op)).collect()
    }

    #[test]
    fn the_nth_operation_of_a_kind_fails_once() {
        let mut faults = Faults::default();
        faults.meet(DiskOp::Write);
        faults.fail_once(DiskOp::Write, 1, IO);
        let ops = [DiskOp::Write, DiskOp::Sync, DiskOp::Write, DiskOp::Write];
        let found = meets(&mut faults, &ops);
        let nothing = Meets::Nothing;
        assert_eq!(found, [nothing, nothing, Meets::Error(IO), nothing]);
        assert_eq!((faults.bites(), faults.count(DiskOp::Write)), (1, 4));
    }

    #[test]
    fn a_kind_fails_until_it_is_healed() {
        let mut faults = Faults::default();
        faults.fail(DiskOp::Sync, Some(IO));
        let found = meets(&mut faults, &[DiskOp::Sync, DiskOp::Write, DiskOp::Sync]);
        assert_eq!(found, [Meets::Error(IO), Meets::Nothing, Meets::Error(IO)]);
        faults.fail(DiskOp::Sync, None);
        assert_eq!(faults.meet(DiskOp::Sync), Meets::Nothing);
        assert_eq!(faults.bites(), 2);
    }

    #[test]
    fn a_share_of_some_operations_fails() {
        let mut faults = Faults::default();
        let rng = crate::world::seed::stream(1, &["test"]);
        let number = faults.fail_share(DiskOp::SYNCS, 0.25, rng);
        let fails = |faults: &mut Faults, op| {
            let met = (0..4_000).filter(|_| faults.meet(op) != Meets::Nothing);
            met.count()
        };
        let syncs = fails(&mut faults, DiskOp::Sync);
        assert!((900..1_100).contains(&syncs), "{syncs} of 4000");
        assert_eq!(fails(&mut faults, DiskOp::Write), 0);
        faults.heal_share(number);
        assert_eq!(fails(&mut faults, DiskOp::Sync), 0);
        assert_eq!(faults.bites(), syncs as u64);
    }

    #[test]
    fn the_power_goes_on_either_side_of_a_change() {
        for (side, last) in [
            (Side::Before, Meets::Darkness),
            (Side::After, Meets::LastLight),
        ] {
            let mut faults = Faults::default();
            faults.cut(1, side);
            let ops = [DiskOp::Write, DiskOp::Read, DiskOp::Sync, DiskOp::Read];
            let found = meets(&mut faults, &ops);
            let nothing = Meets::Nothing;
            assert_eq!(found, [nothing, nothing, last, Meets::Darkness]);
            faults.power_lost();
            assert_eq!(faults.meet(DiskOp::Write), Meets::Nothing);
            assert_eq!(faults.bites(), 1);
        }
    }
}
