//! Every byte string on disk is a valid input: whatever happens to the files, the collector starts, serves, and delivers
//! what is left, each item unchanged.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{collections::BTreeSet, path::Path};

use backroom_collector::env::OsEnv;
use common::{Running, Sink, buffer, config, env};
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

/// Any damage: it starts, takes a request, delivers it and what is left; no item is invented; and with one byte damaged, at
/// most the frame around it is lost.
#[test]
fn any_bytes_are_a_valid_buffer() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (_keep, dir) = buffer();
    let env = env();
    let original = runtime.block_on(filled(&env, &dir));
    assert!(original.len() >= 2, "a journal and a segment: {original:?}");
    let config_of_test = ProptestConfig {
        cases: 60,
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
            std::fs::remove_dir_all(&dir).unwrap();
            std::fs::create_dir(&dir).unwrap();
            for (name, data) in &files {
                std::fs::write(dir.join(name), data).unwrap();
            }
            let taken = runtime.block_on(async {
                let sink = Sink::open(&env).await;
                let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
                let mut client = running.client().await;
                let answer = client.post_spans(1000..1010).await;
                assert_eq!(answer.unwrap().status, 200);
                running
                    .told
                    .wait("all delivered", |told| told.stored() == 0)
                    .await;
                running.stop().await;
                sink.taken()
            });
            let ids: BTreeSet<u32> = taken.keys().copied().collect();
            prop_assert!(ids.iter().all(|id| *id < 200 || (1000..1010).contains(id)));
            prop_assert!((1000..1010).all(|id| ids.contains(&id)));
            if let [Damage::Flip(..)] = damages[..] {
                let lost = 210 - ids.len();
                // A batch of 4 KiB holds 40 spans at most.
                prop_assert!(lost <= 40, "one bit cost {lost} spans");
            }
            Ok(())
        })
        .unwrap();
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
