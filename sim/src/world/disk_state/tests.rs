//! Each rule of the head, and a property: where turmoil-fs defines an outcome, it is the same.

use proptest::prelude::*;
use rand::SeedableRng as _;
use turmoil_fs::{Fs, shim::std::fs as peer};

use super::{
    file::{PAGE_BYTES, SECTOR_BYTES},
    *,
};

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

/// A disk of 1 MiB with a folder `/d`.
fn disk() -> DiskState {
    let mut disk = DiskState::new(1 << 20);
    disk.make_dirs(Path::new("/d")).unwrap();
    disk
}

fn path(name: &str) -> PathBuf {
    Path::new("/d").join(name)
}

fn content(disk: &mut DiskState, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(&path(name), Open::Read).ok()?;
    let data = disk.read(file, 0, usize::MAX).to_vec();
    disk.close(file);
    Some(data)
}

/// Writes and syncs a file, its name too.
fn durable(disk: &mut DiskState, name: &str, data: &[u8]) -> FileNo {
    let file = disk.open(&path(name), Open::CreateNew).unwrap();
    disk.write(file, 0, data).unwrap();
    disk.sync(file);
    disk.sync_dir(Path::new("/d")).unwrap();
    file
}

#[test]
fn overwritten_and_cut_bytes_come_back() {
    let mut disk = disk();
    let file = durable(&mut disk, "a", b"0123456789");
    disk.write(file, 2, b"xx").unwrap();
    disk.set_len(file, 6).unwrap();
    disk.write(file, 5, b"yyyyyyyy").unwrap();
    disk.write(file, 3, b"z").unwrap();
    assert_eq!(content(&mut disk, "a").unwrap(), b"01xz4yyyyyyyy");
    disk.lose_power(PowerLoss::Unsynced, &mut rng());
    assert_eq!(content(&mut disk, "a").unwrap(), b"0123456789");
}

#[test]
fn names_need_their_directory() {
    let mut disk = disk();
    let file = disk.open(&path("new"), Open::CreateNew).unwrap();
    disk.write(file, 0, b"data").unwrap();
    disk.sync(file);
    durable(&mut disk, "removed", b"back");
    let late = disk.open(&path("late"), Open::CreateNew).unwrap();
    disk.sync(late);
    disk.remove(&path("removed")).unwrap();
    assert_eq!(content(&mut disk, "removed"), None);
    disk.lose_power(PowerLoss::Unsynced, &mut rng());
    assert_eq!(
        content(&mut disk, "new").unwrap(),
        b"data",
        "synced with `removed`"
    );
    assert_eq!(content(&mut disk, "late"), None);
    assert_eq!(content(&mut disk, "removed").unwrap(), b"back");
    // A move is whole or not at all, whatever survives.
    for seed in 0..20 {
        disk.rename(&path("new"), &path("moved")).unwrap();
        disk.lose_power(PowerLoss::Scatter, &mut ChaCha8Rng::seed_from_u64(seed));
        let (old, new) = (content(&mut disk, "new"), content(&mut disk, "moved"));
        assert_eq!(old.is_some(), new.is_none());
        if new.is_some() {
            disk.rename(&path("moved"), &path("new")).unwrap();
            disk.sync_dir(Path::new("/d")).unwrap();
        }
    }
}

#[test]
fn an_open_file_outlives_its_name() {
    let mut disk = disk();
    let file = durable(&mut disk, "a", b"data");
    disk.remove(&path("a")).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(&disk.read(file, 1, 2)[..], b"at");
    assert_eq!(disk.free_bytes(), (1 << 20) - BLOCK_BYTES);
    disk.close(file);
    assert_eq!(disk.free_bytes(), 1 << 20);
}

#[test]
fn room_is_what_files_have() {
    let mut disk = disk();
    let file = durable(&mut disk, "a", &[1; 1 << 19]);
    for offset in [0, 10, 20] {
        disk.write(file, offset, &[2; 100]).unwrap();
    }
    assert_eq!(disk.free_bytes(), 1 << 19, "overwriting takes no room");
    let other = disk.open(&path("b"), Open::Create).unwrap();
    let error = disk.write(other, 0, &[3; (1 << 19) + 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.len(other), 1 << 19, "what fits is written");
    assert_eq!(disk.free_bytes(), 0);
    disk.set_len(other, 0).unwrap();
    disk.hold(1 << 19);
    assert_eq!(
        disk.write(other, 0, b"x").unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    disk.hold(0);
    // Removed and not synced: the room is there, and taking it makes the removal durable.
    disk.close(file);
    disk.remove(&path("a")).unwrap();
    assert_eq!(disk.free_bytes(), 1 << 20);
    disk.write(other, 0, &[4; 1 << 20]).unwrap();
    disk.lose_power(PowerLoss::Unsynced, &mut rng());
    assert!(content(&mut disk, "a").is_none());
}

#[test]
fn a_file_takes_whole_blocks() {
    let mut disk = disk();
    let check = |disk: &DiskState, blocks: u64| {
        assert_eq!(disk.free_bytes(), (1 << 20) - blocks * BLOCK_BYTES);
    };
    let file = durable(&mut disk, "a", b"x");
    check(&disk, 1);
    disk.write(file, BLOCK_BYTES, b"x").unwrap();
    check(&disk, 2);
    assert_eq!(
        disk.list(Path::new("/d")).unwrap()[0].disk_bytes,
        2 * BLOCK_BYTES
    );
    disk.set_len(file, 3 * BLOCK_BYTES).unwrap();
    check(&disk, 3);
    disk.set_len(file, 1).unwrap();
    check(&disk, 1);
    // What is left of a block is no room for another file, and is room for this one.
    disk.hold((1 << 20) - BLOCK_BYTES - 100);
    assert_eq!(disk.free_bytes(), 100);
    let other = disk.open(&path("b"), Open::Create).unwrap();
    disk.write(other, 0, b"y").unwrap_err();
    assert_eq!(disk.len(other), 0);
    disk.write(file, 1, &[2; 4095]).unwrap();
    disk.write(file, 4096, b"z").unwrap_err();
    disk.hold(0);
    disk.lose_power(PowerLoss::Unsynced, &mut rng());
    check(&disk, 1);
}

/// Linux marks pages clean when their write fails: a later sync says yes and writes nothing.
#[test]
fn a_failed_sync_is_never_made_good() {
    let mut disk = disk();
    let file = durable(&mut disk, "a", b"good ");
    disk.write(file, 5, b"bad ").unwrap();
    disk.sync_failed(file);
    disk.write(file, 9, b"good").unwrap();
    disk.sync(file);
    assert_eq!(content(&mut disk, "a").unwrap(), b"good bad good");
    disk.lose_power(PowerLoss::Unsynced, &mut rng());
    assert_eq!(content(&mut disk, "a").unwrap(), b"good \0\0\0\0good");
}

#[test]
fn torn_writes_keep_whole_pages_and_sectors() {
    for (loss, block) in [
        (PowerLoss::Tear, PAGE_BYTES),
        (PowerLoss::Scatter, SECTOR_BYTES),
    ] {
        let mut kept = BTreeSet::new();
        for seed in 0..50 {
            let mut disk = disk();
            let file = durable(&mut disk, "a", &[1; 100]);
            disk.write(file, 100, &[2; 20_000]).unwrap();
            let lost = disk.lose_power(loss, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(lost, 20_000);
            let data = content(&mut disk, "a").unwrap();
            assert_eq!(data[..100], [1; 100], "what was synced stays");
            let written: Vec<bool> = data[100..].iter().map(|byte| *byte == 2).collect();
            for (at, pair) in written.windows(2).enumerate() {
                let end = if loss == PowerLoss::Tear {
                    at as u64 + 1
                } else {
                    at as u64 + 101
                };
                assert!(pair[0] == pair[1] || end % block == 0, "torn at {at}");
            }
            let has_hole = written.windows(2).any(|pair| !pair[0] && pair[1]);
            kept.insert((data.len(), has_hole));
        }
        assert!(kept.len() > 3, "{loss:?} differs with the seed: {kept:?}");
        let holes = kept.iter().any(|(_, has_hole)| *has_hole);
        assert_eq!(holes, loss == PowerLoss::Scatter);
    }
}

#[test]
fn only_synced_bytes_rot() {
    let mut disk = disk();
    let file = durable(&mut disk, "a", b"data");
    disk.write(file, 4, b"more").unwrap();
    assert!(disk.rot(&path("a"), 1, 1));
    assert!(!disk.rot(&path("a"), 5, 1), "not synced");
    assert!(!disk.rot(&path("a"), 8, 1), "behind the end");
    assert!(!disk.rot(&path("b"), 0, 1));
    disk.lose_power(PowerLoss::Unsynced, &mut rng());
    assert_eq!(content(&mut disk, "a").unwrap(), b"d`ta");
}

#[derive(Clone, Debug)]
enum Step {
    Make,
    Append(prop::sample::Index, usize),
    Sync(prop::sample::Index),
    SyncDir,
    Remove(prop::sample::Index),
    PowerLoss,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        2 => Just(Step::Make),
        4 => (index(), 1..3000_usize).prop_map(|(file, bytes)| Step::Append(file, bytes)),
        3 => index().prop_map(Step::Sync),
        2 => Just(Step::SyncDir),
        1 => index().prop_map(Step::Remove),
        1 => Just(Step::PowerLoss),
    ];
    prop::collection::vec(step, 0..60)
}

/// A file in both worlds.
struct Pair {
    ours: FileNo,
    theirs: peer::File,
    name: String,
    bytes: u64,
}

proptest! {
    /// New names only, files that are appended to, losses that take all: what a buffer does, and what turmoil-fs defines.
    #[test]
    fn turmoil_fs_keeps_the_same(steps in steps()) {
        let fs = Fs::builder().seed(1).build();
        let _current = fs.enter();
        peer::create_dir("/d").unwrap();
        peer::sync_dir("/d").unwrap();
        let mut disk = disk();
        let mut open: Vec<Pair> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Make => {
                    let name = format!("f{number}");
                    let ours = disk.open(&path(&name), Open::CreateNew).unwrap();
                    let options = peer::OpenOptions::new().read(true).write(true).create(true).clone();
                    let theirs = options.open(path(&name)).unwrap();
                    open.push(Pair { ours, theirs, name, bytes: 0 });
                }
                Step::SyncDir => {
                    disk.sync_dir(Path::new("/d")).unwrap();
                    peer::sync_dir("/d").unwrap();
                }
                Step::PowerLoss => {
                    open.clear();
                    disk.lose_power(PowerLoss::Unsynced, &mut rng());
                    fs.crash();
                    let listed = disk.list(Path::new("/d")).unwrap();
                    for entry in &listed {
                        let theirs = peer::read(path(&entry.name)).unwrap();
                        prop_assert_eq!(content(&mut disk, &entry.name).unwrap(), theirs);
                    }
                    prop_assert_eq!(peer::read_dir("/d").unwrap().count(), listed.len());
                }
                _ if open.is_empty() => {}
                Step::Append(file, bytes) => {
                    let at = file.index(open.len());
                    let file = &mut open[at];
                    let data = vec![number as u8; bytes];
                    disk.write(file.ours, file.bytes, &data).unwrap();
                    std::os::unix::fs::FileExt::write_all_at(&file.theirs, &data, file.bytes).unwrap();
                    file.bytes += bytes as u64;
                }
                Step::Sync(file) => {
                    let file = &open[file.index(open.len())];
                    disk.sync(file.ours);
                    file.theirs.sync_all().unwrap();
                }
                Step::Remove(file) => {
                    let file = open.remove(file.index(open.len()));
                    disk.remove(&path(&file.name)).unwrap();
                    disk.close(file.ours);
                    peer::remove_file(path(&file.name)).unwrap();
                }
            }
        }
    }
}
