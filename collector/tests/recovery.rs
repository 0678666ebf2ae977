//! Every byte string on disk is a valid input: whatever happens to the files, the collector starts, serves, and delivers
//! what is left, each item unchanged.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{collections::BTreeSet, path::Path};

use backroom_collector::{
    core::accounting::DropReason,
    env::{Env as _, OsEnv},
    shell::{self, inspect},
};
use common::{Running, Sink, buffer, config, env, span_ids};
use proptest::{prelude::*, test_runner::TestRunner};

/// Fills a buffer: some batches sealed, some requests in the journal only. Returns its files.
async fn filled(env: &OsEnv, dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut config = config(dir, None);
    config.batch.bytes = backroom_collector::config::ByteSize(4096);
    config.batch.delay = std::time::Duration::from_secs(3600);
    let running = Running::start(env, config).await;
    let mut client = running.client().await;
    for first in (0..200).step_by(10) {
        let answer = client.post_spans(first..first + 10).await;
        assert_eq!(answer.unwrap().status, 200);
    }
    running.stop().await;
    files(dir)
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    // Nobody reads it, so damage to it is no damage.
    files.retain(|(name, _)| name != shell::RESERVE_FILE);
    files.sort();
    files
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    Zeros(prop::sample::Index, prop::sample::Index, usize),
    Noise(prop::sample::Index, Vec<u8>),
    Swap(prop::sample::Index, prop::sample::Index),
    Remove(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), index(), 0..8_u8).prop_map(|(f, at, bit)| Damage::Flip(f, at, bit)),
        (index(), index()).prop_map(|(f, at)| Damage::Cut(f, at)),
        (index(), index(), 1..5000_usize).prop_map(|(f, at, n)| Damage::Zeros(f, at, n)),
        (index(), prop::collection::vec(any::<u8>(), 0..500))
            .prop_map(|(f, n)| Damage::Noise(f, n)),
        (index(), index()).prop_map(|(f, g)| Damage::Swap(f, g)),
        index().prop_map(Damage::Remove),
    ]
}

impl Damage {
    fn apply(&self, files: &mut [(String, Vec<u8>)]) {
        let count = files.len();
        let file = |index: &prop::sample::Index| index.index(count);
        match self {
            Self::Flip(f, at, bit) => {
                let data = &mut files[file(f)].1;
                if !data.is_empty() {
                    let at = at.index(data.len());
                    data[at] ^= 1 << bit;
                }
            }
            Self::Cut(f, at) => {
                let data = &mut files[file(f)].1;
                data.truncate(at.index(data.len() + 1));
            }
            Self::Zeros(f, at, bytes) => {
                let data = &mut files[file(f)].1;
                let at = at.index(data.len() + 1);
                let end = (at + bytes).min(data.len());
                data[at..end].fill(0);
            }
            Self::Noise(f, noise) => files[file(f)].1.extend(noise),
            Self::Swap(f, g) => {
                let (f, g) = (file(f), file(g));
                let data = files[f].1.clone();
                files[f].1 = std::mem::replace(&mut files[g].1, data);
            }
            Self::Remove(f) => files[file(f)].1.clear(),
        }
    }
}

/// What became of a damaged buffer.
struct Outcome {
    /// Spans that were delivered, those of a last request too.
    ids: BTreeSet<u32>,
    /// Items counted as damaged, or as torn: in the last commit of a boot nobody can tell rot from a write that was cut short.
    damaged: u64,
    /// Bytes that are no frame.
    unknown_bytes: u64,
}

/// The last request of a run on a damaged buffer.
const LAST: std::ops::Range<u32> = 1000..1010;

/// A batch of 4 KiB holds 40 spans at most.
const FRAME_SPANS: usize = 40;

/// Puts these files in place of the buffer, starts on them, takes one more request, and delivers what is left.
async fn started_on(env: &OsEnv, dir: &Path, files: &[(String, Vec<u8>)]) -> Outcome {
    put(dir, files);
    let sink = Sink::open(env).await;
    let running = Running::start(env, config(dir, Some(sink.url()))).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(LAST).await.unwrap().status, 200);
    running
        .told
        .wait("all delivered", |told| told.stored() == 0)
        .await;
    let dropped = running.told.dropped.lock().unwrap().clone();
    let report = running.told.report.lock().unwrap().clone();
    running.stop().await;
    sink.close();
    Outcome {
        ids: sink.taken().into_keys().collect(),
        damaged: dropped
            .iter()
            .filter(|(_, reason)| *reason == DropReason::Damaged)
            .map(|(items, _)| items)
            .sum::<u64>()
            + report.torn_items,
        unknown_bytes: report.unknown_bytes,
    }
}

/// Puts these files in place of the buffer.
fn put(dir: &Path, files: &[(String, Vec<u8>)]) {
    std::fs::remove_dir_all(dir).unwrap();
    std::fs::create_dir(dir).unwrap();
    for (name, data) in files {
        std::fs::write(dir.join(name), data).unwrap();
    }
}

/// What a start would find, and what its batches hold: the same reading and the same recovery in a hundredth of the time, without a
/// receiver, a last request and a restart.
async fn looked_at(env: &OsEnv, dir: &Path) -> Outcome {
    let survey = inspect::survey(env, &config(dir, None)).await.unwrap();
    let report = &survey.report;
    let mut outcome = Outcome {
        ids: LAST.collect(),
        damaged: report.damaged_items.iter().sum::<u64>() + report.torn_items,
        unknown_bytes: report.unknown_bytes,
    };
    for stored in &survey.stored {
        match survey.body(env.disk(), stored).await {
            Ok(body) => outcome.ids.extend(span_ids(&body)),
            // A start finds it when its turn to be sent comes.
            Err(_) => outcome.damaged += stored.header.range.count,
        }
    }
    outcome
}

impl Outcome {
    /// What holds after any damage.
    fn check(&self, what: &dyn std::fmt::Debug) {
        let known = |id: &u32| *id < 200 || LAST.contains(id);
        assert!(
            self.ids.iter().all(known),
            "{what:?}: invented {:?}",
            self.ids
        );
        assert!(LAST.clone().all(|id| self.ids.contains(&id)), "{what:?}");
    }

    /// What holds where one frame was hit: no more than its items are lost, and the loss is counted.
    fn check_one_frame(&self, what: &dyn std::fmt::Debug) {
        self.check(what);
        let lost = 210 - self.ids.len();
        assert!(lost <= FRAME_SPANS, "{what:?}: lost {lost} spans");
        // Nobody can say how many items a damaged header stood for: its bytes are counted.
        let is_counted = self.damaged >= lost as u64 || self.unknown_bytes > 0;
        assert!(
            is_counted,
            "{what:?}: {lost} spans lost, {} counted",
            self.damaged
        );
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Any damage: it starts, takes a request, delivers it and what is left; no item is invented.
#[test]
fn any_bytes_are_a_valid_buffer() {
    let runtime = runtime();
    let (_keep, dir) = buffer();
    let env = env();
    let original = runtime.block_on(filled(&env, &dir));
    assert!(original.len() >= 2, "a journal and a segment: {original:?}");
    let config_of_test = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config_of_test);
    let strategy = prop::collection::vec(damage(), 1..4);
    runner
        .run(&strategy, |damages| {
            let mut files = original.clone();
            for damage in &damages {
                damage.apply(&mut files);
            }
            runtime
                .block_on(started_on(&env, &dir, &files))
                .check(&damages);
            Ok(())
        })
        .unwrap();
}

/// Every how many bytes a file is damaged and started on: a prime, so that headers, payloads and padding are met.
const STARTED: usize = 619;

/// Every how many bytes it is damaged and looked at; `BACKROOM_EVERY_BYTE=1` makes it each byte.
fn stride() -> usize {
    match std::env::var_os("BACKROOM_EVERY_BYTE") {
        Some(_) => 1,
        None => 61,
    }
}

/// A flipped bit anywhere in any file costs at most its frame, and is counted.
#[test]
fn a_flipped_byte_costs_at_most_its_frame() {
    let runtime = runtime();
    let (_keep, dir) = buffer();
    let env = env();
    let original = runtime.block_on(filled(&env, &dir));
    for file in 0..original.len() {
        for at in (0..original[file].1.len()).step_by(STARTED) {
            let mut files = original.clone();
            files[file].1[at] ^= 1 << (at % 8);
            let outcome = runtime.block_on(started_on(&env, &dir, &files));
            outcome.check_one_frame(&(&files[file].0, at));
        }
        put(&dir, &original);
        let (name, mut data) = original[file].clone();
        for at in (0..data.len()).step_by(stride()) {
            data[at] ^= 1 << (at % 8);
            std::fs::write(dir.join(&name), &data).unwrap();
            data[at] ^= 1 << (at % 8);
            let outcome = runtime.block_on(looked_at(&env, &dir));
            outcome.check_one_frame(&(&name, at));
        }
    }
}

/// A file that is cut anywhere, with zeros behind the cut or without, costs what was behind the cut, and nothing of other files.
#[test]
fn a_cut_file_costs_its_tail() {
    let runtime = runtime();
    let (_keep, dir) = buffer();
    let env = env();
    let original = runtime.block_on(filled(&env, &dir));
    for file in 0..original.len() {
        let (name, data) = &original[file];
        let whole = data.len();
        let mut before = None;
        let (started, looked) = (4 * STARTED, 4 * stride());
        let is_met = |at: &usize| at.is_multiple_of(started) || at.is_multiple_of(looked);
        for at in (0..whole).filter(is_met).chain([whole]) {
            for zeros in [0, 5000] {
                let mut files = original.clone();
                files[file].1.truncate(at);
                files[file].1.resize(at + zeros, 0);
                let outcome = if at % started == 0 || at == whole {
                    runtime.block_on(started_on(&env, &dir, &files))
                } else {
                    put(&dir, &files);
                    runtime.block_on(looked_at(&env, &dir))
                };
                let what = (name, at, zeros);
                outcome.check(&what);
                let kept = outcome.ids.len();
                assert!(
                    before.is_none_or(|before| before <= kept),
                    "{what:?} kept {kept}"
                );
                before = Some(kept);
            }
        }
        assert_eq!(
            before,
            Some(210),
            "a whole file with zeros behind it is whole"
        );
    }
}

/// Files under each other's names, under numbers of their own, and twice: nothing is taken for what it is not.
#[tokio::test]
async fn names_are_not_believed() {
    let env = env();
    let (_keep, dir) = buffer();
    let original = filled(&env, &dir).await;
    let far = |name: &str| format!("00000000000000f0.{}", name.split_once('.').unwrap().1);
    for file in 0..original.len() {
        let (name, data) = original[file].clone();
        if !name.contains('.') {
            continue;
        }
        let mut renamed = original.clone();
        renamed[file].0 = far(&name);
        started_on(&env, &dir, &renamed)
            .await
            .check(&("renamed", &name));

        let mut twice = original.clone();
        twice.push((far(&name), data.clone()));
        let outcome = started_on(&env, &dir, &twice).await;
        outcome.check(&("twice", &name));
        assert_eq!(outcome.ids.len(), 210, "the original is whole: {name}");

        for other in ["journal", "batches", "quarantine"] {
            let mut as_other = original.clone();
            as_other[file].0 = format!("{}.{other}", name.split_once('.').unwrap().0);
            started_on(&env, &dir, &as_other)
                .await
                .check(&(&name, other));
        }
    }
}

/// What cannot be read is set aside: a file without permission, a link that leads nowhere, a link to itself, a pipe.
#[tokio::test]
async fn what_cannot_be_read_is_set_aside() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let env = env();
    let (_keep, dir) = buffer();
    filled(&env, &dir).await;
    let ours = |number: u32, kind: &str| dir.join(format!("{number:016x}.{kind}"));
    for (kind, first) in [("journal", 0x100), ("batches", 0x200)] {
        symlink("/nowhere/at/all", ours(first, kind)).unwrap();
        symlink(ours(first + 1, kind), ours(first + 1, kind)).unwrap();
        let pipe = ours(first + 2, kind);
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        // Root reads it all the same: then it is an empty file.
        std::fs::write(ours(first + 3, kind), "").unwrap();
        let none = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(ours(first + 3, kind), none).unwrap();
    }
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    sink.wait_for_spans(200).await;
    let unreadable = running.told.report.lock().unwrap().unreadable.clone();
    assert!(
        unreadable.len() >= 2,
        "links in a circle are told: {unreadable:?}"
    );
    running.stop().await;
    assert!(ours(0x101, "journal").is_symlink(), "it is left alone");
}

/// Files that are not ours are left alone; a directory in the way is no trouble.
#[tokio::test]
async fn foreign_files_are_left_alone() {
    let env = env();
    let (_keep, dir) = buffer();
    filled(&env, &dir).await;
    std::fs::write(dir.join("README"), "do not delete").unwrap();
    std::fs::write(dir.join("7.journal"), "not a name of ours").unwrap();
    std::fs::create_dir(dir.join("00000000000000ff.journal")).unwrap();
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    sink.wait_for_spans(200).await;
    running.stop().await;
    assert_eq!(std::fs::read(dir.join("README")).unwrap(), b"do not delete");
    assert!(dir.join("7.journal").exists());
}

/// The reserve may be anything, and be missing: it starts, and makes it where that can be done.
#[tokio::test]
async fn the_reserve_may_be_anything() {
    let env = env();
    let (_keep, dir) = buffer();
    let path = dir.join(shell::RESERVE_FILE);
    let run = async || {
        let running = Running::start(&env, config(&dir, None)).await;
        let mut client = running.client().await;
        assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
        running.stop().await;
    };
    run().await;
    let whole = std::fs::metadata(&path).unwrap().len();
    for bytes in [0, 1, whole / 3, whole, 3 * whole] {
        std::fs::write(&path, vec![7; bytes as usize]).unwrap();
        run().await;
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole);
    }
    std::fs::remove_file(&path).unwrap();
    // A copy with a hole in its place takes no room.
    std::fs::File::create(&path)
        .unwrap()
        .set_len(whole)
        .unwrap();
    run().await;
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(&path).unwrap();
    assert!(metadata.blocks() * 512 >= whole, "{metadata:?}");

    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let running = Running::start(&env, config(&dir, None)).await;
    let told = running.told.clone();
    told.wait("it says so", |told| told.has_notice("take a reserve"))
        .await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    running.stop().await;
}

/// A buffer has one process; when that has ended, in whatever way, another one may have it.
#[tokio::test]
async fn a_buffer_has_one_process() {
    let env = env();
    let (_keep, dir) = buffer();
    let first = Running::start(&env, config(&dir, None)).await;
    let told = std::sync::Arc::new(common::Recorder::default());
    let second = backroom_collector::shell::run(
        env.clone(),
        config(&dir, None),
        told,
        std::future::pending(),
    );
    let error = second.await.expect_err("the buffer is in use");
    assert!(error.to_string().contains("another process"), "{error}");
    first.stop().await;
    Running::start(&env, config(&dir, None)).await.stop().await;

    let (_keep, dir) = buffer();
    let mut process = common::Process::start(&dir, "http://127.0.0.1:9");
    process.kill();
    Running::start(&env, config(&dir, None)).await.stop().await;
}
