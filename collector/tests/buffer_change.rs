//! `backroom-collector buffer` changes: the real binary on the buffer of a collector that runs and of one that does not.
//!
//! - what was taken out is in the file and is not sent; what was imported is there once
//! - a purge says what it does, asks, and is counted
//! - nobody changes a buffer who may not read it
//! - a replay delivers everything, and goes on where it was stopped
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use backroom_collector::{config::ByteSize, env::OsEnv};
use common::{
    Reply, Running, Sink, buffer, config, env,
    tools::{done, tool},
};

const SPANS: u32 = 110;

/// A collector that keeps 110 spans, some of them in its journal only.
async fn filled(env: &OsEnv, dir: &Path) -> Running {
    let mut config = config(dir, None);
    config.batch.bytes = ByteSize(4096);
    config.batch.delay = std::time::Duration::from_secs(3600);
    let running = Running::start(env, config).await;
    let mut client = running.client().await;
    for first in (0..SPANS).step_by(10) {
        let answer = client.post_spans(first..first + 10).await;
        assert_eq!(answer.unwrap().status, 200);
    }
    running
}

async fn items(env: &OsEnv, dir: &Path) -> u64 {
    let stat = done(&tool(env, dir, &["stat", "--json"]).await);
    let stat: serde_json::Value = serde_json::from_str(&stat).unwrap();
    stat["total"]["items"].as_u64().unwrap()
}

fn beside(dir: &Path, name: &str) -> (PathBuf, String) {
    let file = dir.with_file_name(name);
    let text = file.to_str().unwrap().to_owned();
    (file, text)
}

/// Taken out of a live collector, put into another buffer, delivered from there: each span once, with the same ranges.
#[tokio::test]
async fn a_stick_carries_each_item_once() {
    let env = env();
    let (_keep, dir) = buffer();
    let running = filled(&env, &dir).await;
    let (_, file) = beside(&dir, "stick.otlp.zst");
    done(&tool(&env, &dir, &["export", &file, "--take"]).await);
    assert_eq!(running.told.stored(), 0, "the collector let go of it");
    let accounting = *running.told.accounting.lock().unwrap();
    let traces = accounting.items(backroom_collector::otlp::Signal::Traces);
    let exported = backroom_collector::core::accounting::DropReason::Exported;
    assert_eq!(traces.dropped_for(exported), u64::from(SPANS));
    running.stop().await;
    assert_eq!(items(&env, &dir).await, 0, "after a restart too");

    let (other, _) = beside(&dir, "other");
    for (stored, known) in [(SPANS, 0), (0, SPANS)] {
        let told = done(&tool(&env, &other, &["import", &file, "--json"]).await);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["stored_items"], stored);
        assert_eq!(told["known_items"], known);
    }
    assert_eq!(items(&env, &other).await, u64::from(SPANS));
    // What was exported again is byte for byte what was imported.
    let (again, again_name) = beside(&dir, "again.otlp");
    done(&tool(&env, &other, &["export", &again_name]).await);
    let read = |path: &Path| {
        let mut reader =
            backroom_collector::archive::Reader::new(std::fs::File::open(path).unwrap()).unwrap();
        let mut batches = Vec::new();
        while let Some(batch) = reader.next().unwrap() {
            batches.push(batch);
        }
        batches.sort_by_key(|batch| batch.range);
        batches
    };
    assert_eq!(read(&again), read(Path::new(&file)));

    let sink = Sink::open(&env).await;
    let running = Running::start(&env, config(&other, Some(sink.url()))).await;
    sink.wait_for_spans(SPANS as usize).await;
    running
        .told
        .wait("all delivered", |told| told.stored() == 0)
        .await;
    let taken = sink.taken();
    assert_eq!(
        taken.keys().copied().collect::<BTreeSet<u32>>(),
        (0..SPANS).collect()
    );
    // Delivered meanwhile, and imported once more: it is known. The collector that runs is asked.
    let told = done(&tool(&env, &other, &["import", &file]).await);
    assert!(
        told.contains("0 items stored, 110 items known before"),
        "{told}"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_purge_asks_and_is_counted_live_and_dead() {
    let env = env();
    let (_keep, dir) = buffer();
    let running = filled(&env, &dir).await;
    let refused = tool(&env, &dir, &["purge", "--all"]).await;
    assert_eq!(refused.status.code(), Some(64), "nobody can be asked");
    let refused = tool(&env, &dir, &["purge", "--yes"]).await;
    assert_eq!(refused.status.code(), Some(64), "everything needs --all");
    let told = done(&tool(&env, &dir, &["purge", "--all", "--dry-run"]).await);
    assert!(
        told.contains("110 traces") && told.contains("110 items would be deleted"),
        "{told}"
    );
    let told = done(&tool(&env, &dir, &["purge", "--signal", "logs", "--yes"]).await);
    assert!(told.contains("0 items deleted"), "{told}");
    assert_eq!(running.told.stored(), u64::from(SPANS));
    // One batch of the live collector, then the rest of the dead one.
    let batches = done(&tool(&env, &dir, &["ls", "--batches", "--json"]).await);
    let first: serde_json::Value = serde_json::from_str(batches.lines().next().unwrap()).unwrap();
    let (name, count) = (
        first["batch"].as_str().unwrap(),
        first["items"].as_u64().unwrap(),
    );
    done(&tool(&env, &dir, &["purge", "--batch", name, "--yes"]).await);
    assert_eq!(running.told.stored(), u64::from(SPANS) - count);
    running.stop().await;
    assert_eq!(items(&env, &dir).await, u64::from(SPANS) - count);
    let told = done(&tool(&env, &dir, &["purge", "--all", "--yes", "--json"]).await);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["purged"]["items"]["traces"], u64::from(SPANS) - count);
    // The ledger says whose they were and why, over both starts; the account adds up.
    let stat = done(&tool(&env, &dir, &["stat", "--json"]).await);
    let stat: serde_json::Value = serde_json::from_str(&stat).unwrap();
    let losses = stat["losses"].as_array().unwrap();
    let lost: u64 = losses.iter().map(|l| l["items"].as_u64().unwrap()).sum();
    assert_eq!(lost, u64::from(SPANS), "{stat:#}");
    assert!(
        losses
            .iter()
            .all(|l| l["service"] == "pos" && l["reason"] == "purged"),
        "{stat:#}"
    );
    assert_eq!(stat["accounts"]["traces"]["accepted"], SPANS);
    assert_eq!(stat["accounts"]["traces"]["dropped"]["purged"], SPANS);
    assert_eq!(items(&env, &dir).await, 0);
}

/// The door is of no use without the token, and the token is in a file that only its user can read.
#[tokio::test]
async fn nobody_changes_a_buffer_who_may_not_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let env = env();
    let (_keep, dir) = buffer();
    let running = filled(&env, &dir).await;
    let door = dir.join("control");
    // The door may open a moment after the collector listens.
    items(&env, &dir).await;
    let mode = std::fs::metadata(&door).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&door).unwrap();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let address = told["address"].as_str().unwrap().parse().unwrap();
    let purge = br#"{"selection":{},"is_trial":false}"#;
    for token in ["Bearer 00", "Bearer ", "Basic x", ""] {
        let mut client = common::Client::connect(address).await;
        let headers = [("authorization", token)];
        let answer = client.request("POST", "/purge", &headers, purge).await;
        assert_eq!(answer.unwrap().status, 401, "{token:?}");
    }
    let token = format!("Bearer {}", told["token"].as_str().unwrap());
    for (path, body) in [
        ("/purge", &b"{"[..]),
        ("/import", b"\x0a\x01"),
        ("/places", b"0"),
        ("/x", b""),
    ] {
        let mut client = common::Client::connect(address).await;
        let headers = [("authorization", token.as_str())];
        let answer = client.request("POST", path, &headers, body).await;
        assert!((400..500).contains(&answer.unwrap().status), "{path}");
    }
    assert_eq!(running.told.stored(), u64::from(SPANS));
    running.stop().await;
}

#[tokio::test]
async fn a_replay_delivers_all_and_goes_on_where_it_stopped() {
    let env = env();
    let (_keep, dir) = buffer();
    filled(&env, &dir).await.stop().await;
    let (_, file) = beside(&dir, "carried.jsonl");
    done(&tool(&env, &dir, &["export", &file]).await);
    let sink = Sink::open(&env).await;
    let url = sink.url();
    let replay = ["replay", "--to", &url, "--patience", "1s"];
    // It takes one batch and then nothing any more.
    sink.decide(|index, _| match index {
        0 => Reply::Take,
        _ => Reply::Raw("503 Service Unavailable".to_owned(), Vec::new()),
    });
    let stopped = tool(&env, &dir, &replay).await;
    let told = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert_eq!(stopped.status.code(), Some(75), "{told}");
    assert!(told.contains("the same command goes on"), "{told}");
    let first = sink.taken().len();
    assert!(first > 0 && first < SPANS as usize, "{first}");
    sink.decide(|_, _| Reply::Take);
    done(&tool(&env, &dir, &replay).await);
    let taken = sink.taken();
    assert_eq!(taken.len(), SPANS as usize);
    assert_eq!(items(&env, &dir).await, 0);

    let sink = Sink::open(&env).await;
    let url = sink.url();
    let told = done(&tool(&env, &dir, &["replay", &file, "--to", &url]).await);
    assert!(told.contains("110 items delivered"), "{told}");
    assert_eq!(sink.taken().len(), SPANS as usize);
    assert!(
        !Path::new(&format!("{file}.replay")).exists(),
        "nothing is left of it"
    );
}

#[tokio::test]
async fn bad_files_are_refused_whole() {
    let env = env();
    let (_keep, dir) = buffer();
    filled(&env, &dir).await.stop().await;
    let (path, file) = beside(&dir, "cut.otlp");
    done(&tool(&env, &dir, &["export", &file]).await);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let (other, _) = beside(&dir, "other");
    let refused = tool(&env, &other, &["import", &file]).await;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(65), "{told}");
    assert!(
        told.contains("byte ") && told.contains("nothing was imported"),
        "{told}"
    );
    assert!(!other.exists());
    let missing = tool(&env, &other, &["import", "/no/such/file"]).await;
    assert_eq!(missing.status.code(), Some(66));
}

/// Scenario: an export goes into an empty buffer, and a collector starts on it.
/// Guarantees: it does not go on as the store that the export is of: both would number items alike, and a receiver that drops
/// what it has seen would drop the other's.
#[tokio::test]
async fn an_import_into_an_empty_buffer_does_not_make_it_the_others() {
    let env = env();
    let (_keep, dir) = buffer();
    filled(&env, &dir).await.stop().await;
    let (_, file) = beside(&dir, "foreign.otlp");
    let (other, _) = beside(&dir, "other");
    done(&tool(&env, &dir, &["export", &file]).await);
    done(&tool(&env, &other, &["import", &file]).await);
    let mut stores = BTreeSet::new();
    for _ in 0..2 {
        for dir in [&dir, &other] {
            let told = done(&tool(&env, dir, &["stat", "--json"]).await);
            let told: serde_json::Value = serde_json::from_str(&told).unwrap();
            stores.insert(told["store"].as_str().unwrap().to_owned());
        }
        let running = Running::start(&env, config(&other, None)).await;
        let answer = running.client().await.post_spans(1000..1010).await;
        assert_eq!(answer.unwrap().status, 200);
        running.stop().await;
    }
    assert_eq!(stores.len(), 2, "{stores:?}");
}

/// Scenario: another store's batch with the same start and the same numbers as ours is imported and delivered, while ours stand
/// in the journal only; then a restart.
/// Guarantees: what is noted of the other's batch does not make ours look sealed.
#[tokio::test]
async fn an_imported_batch_says_nothing_about_our_own_numbers() {
    let env = env();
    let (_keep, dir) = buffer();
    filled(&env, &dir).await.stop().await;
    let (_, file) = beside(&dir, "foreign.otlp");
    done(&tool(&env, &dir, &["export", &file]).await);
    let (ours, _) = beside(&dir, "ours");
    let sink = Sink::open(&env).await;
    let mut settings = config(&ours, Some(sink.url()));
    settings.batch.delay = std::time::Duration::from_secs(3600);
    let running = Running::start(&env, settings.clone()).await;
    let answer = running.client().await.post_spans(1000..1050).await;
    assert_eq!(answer.unwrap().status, 200);
    done(&tool(&env, &ours, &["import", &file]).await);
    sink.wait_for_spans(SPANS as usize).await;
    let only_ours = |told: &common::Recorder| told.stored() == 50;
    running.told.wait("only ours are left", only_ours).await;
    running.stop().await;
    settings.endpoint = None;
    let running = Running::start(&env, settings).await;
    assert_eq!(running.told.stored(), 50);
    running.stop().await;
}
