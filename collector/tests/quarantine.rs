//! `backroom-collector buffer quarantine`: the real binary on what a receiver refused, live and dead.
//!
//! - items are shown with the server's words
//! - what is put back is sent once more with its own range, alone or joined, over restarts, and the account says where it is
//! - what is refused again is there again, once
//! - a purge asks, is counted, and spares the others
//! - what is under way, too old, or damaged stays, and is told
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use backroom_collector::{core::accounting::Items, env::OsEnv, otlp::Signal};
use common::{
    Reply, Running, Sink, buffer, config, env, span_ids,
    tools::{done, told, tool},
};
use serde_json::Value;

/// A collector, and a receiver that refuses the spans in `cursed`.
struct Store {
    env: OsEnv,
    _keep: tempfile::TempDir,
    dir: PathBuf,
    sink: Sink,
    cursed: Arc<Mutex<BTreeSet<u32>>>,
    running: Running,
}

impl Store {
    async fn open(count: u32, cursed: impl IntoIterator<Item = u32>) -> Self {
        let env = env();
        let (keep, dir) = buffer();
        let sink = Sink::open(&env).await;
        let cursed = Arc::new(Mutex::new(cursed.into_iter().collect::<BTreeSet<_>>()));
        let refuses = cursed.clone();
        sink.decide(move |_, request| {
            let refuses = refuses.lock().unwrap();
            match span_ids(&request.body)
                .iter()
                .any(|id| refuses.contains(id))
            {
                true => Reply::Refuse(400, "the \"lane\" is too long\u{1b}[2J"),
                false => Reply::Take,
            }
        });
        let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
        let answer = running.client().await.post_spans(0..count).await;
        assert_eq!(answer.unwrap().status, 200);
        let store = Self {
            env,
            _keep: keep,
            dir,
            sink,
            cursed,
            running,
        };
        store.settled().await;
        store
    }

    /// Waits until nothing is stored any more.
    async fn settled(&self) {
        let settled = |told: &common::Recorder| told.stored() == 0;
        self.running.told.wait("all settled", settled).await;
    }

    fn items(&self) -> Items {
        *self
            .running
            .told
            .accounting
            .lock()
            .unwrap()
            .items(Signal::Traces)
    }

    /// The receiver is mended.
    fn mend(&self) {
        self.cursed.lock().unwrap().clear();
    }

    async fn told(&self, args: &[&str]) -> Value {
        told(&self.env, &self.dir, args).await
    }

    async fn done(&self, args: &[&str]) -> String {
        done(&tool(&self.env, &self.dir, args).await)
    }

    /// Items in the quarantine, as the account has it and as the files have it.
    async fn quarantined(&self) -> (u64, u64) {
        let stat = self.told(&["stat", "--json"]).await;
        let account = &stat["accounts"]["traces"];
        let number = |value: &Value| value.as_u64().unwrap();
        let parts = ["delivered", "stored", "quarantined"].map(|part| number(&account[part]));
        let dropped = account["dropped"].as_object().unwrap().values();
        let dropped: u64 = dropped.map(number).sum();
        let sum = parts.iter().sum::<u64>() + dropped;
        assert_eq!(number(&account["accepted"]), sum, "{account:#}");
        (
            number(&account["quarantined"]),
            number(&stat["quarantined_items"]),
        )
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn refused_items_are_shown_with_the_servers_words() {
    let store = Store::open(70, [33, 40]).await;
    let text = store.done(&["quarantine", "ls"]).await;
    assert!(text.contains("traces-33-1") && text.contains("traces-40-1"));
    assert!(
        text.contains("the \"lane\" is too long\\u{1b}[2J"),
        "{text}"
    );
    assert!(text.ends_with("2 items\n"), "{text}");
    let listed = lines(&store.done(&["quarantine", "ls", "--json"]).await);
    assert_eq!(
        listed[0]["words"],
        "status 400: the \"lane\" is too long\u{1b}[2J"
    );
    let batch = listed[1]["batch"].as_str().unwrap();
    let shown = store
        .done(&["quarantine", "cat", "--json", "--batch", batch])
        .await;
    let shown = lines(&shown);
    assert_eq!((shown.len(), &shown[0]["span"]["name"]), (1, &"40".into()));
    assert_eq!(shown[0]["batch"], batch);
    let text = store.done(&["quarantine", "cat", "--limit", "1"]).await;
    assert!(text.contains("traces-33-1: status 400: the") && text.contains(" pos 33 "));
    assert!(!text.contains('\u{1b}'));
    store.running.stop().await;
}

#[tokio::test]
async fn what_is_put_back_is_delivered_with_its_own_range() {
    let store = Store::open(70, [33, 40, 41, 42]).await;
    assert_eq!(store.quarantined().await, (4, 4));
    store.mend();
    let told = store
        .told(&["quarantine", "redrive", "--dry-run", "--json"])
        .await;
    assert_eq!(told["put_back"]["items"]["traces"], 4);
    assert_eq!(store.quarantined().await, (4, 4));
    let before = store.sink.take_received().len();
    assert!(before > 1);
    let text = store.done(&["quarantine", "redrive"]).await;
    assert!(text.contains("4 items put back"), "{text}");
    store.sink.wait_for_spans(4).await;
    let mut ranges: Vec<_> = store.sink.received().iter().map(|r| r.range).collect();
    ranges.sort();
    let ranges: Vec<_> = ranges.iter().map(|r| (r.first, r.count)).collect();
    // What follows one another is joined.
    assert_eq!(ranges, [(33, 1), (40, 3)]);
    store.settled().await;
    let items = store.items();
    assert_eq!((items.delivered, items.quarantined), (70, 0));
    assert_eq!(store.quarantined().await, (0, 0));
    assert!(files(&store.dir).is_empty(), "the file is gone");
    store.running.stop().await;
}

/// A thousand items that were refused together are not a thousand requests.
#[tokio::test]
async fn many_are_put_back_in_few_requests() {
    let store = Store::open(200, 0..200).await;
    assert_eq!(store.quarantined().await, (200, 200));
    store.mend();
    store.sink.take_received();
    store.done(&["quarantine", "redrive"]).await;
    store.sink.wait_for_spans(200).await;
    assert_eq!(store.sink.received().len(), 1);
    store.running.stop().await;
}

/// Scenario: the collector is stopped; items are put back on the dead disk; a collector starts, with a receiver that is mended.
/// Guarantees: the account holds over all starts; each item is sent once.
#[tokio::test]
async fn a_dead_disk_is_handled_as_a_live_one() {
    let store = Store::open(70, [7, 33]).await;
    store.mend();
    store.running.stop().await;
    let (env, dir) = (store.env, &store.dir);
    let stat = told(&env, dir, &["stat", "--json"]).await;
    assert_eq!(stat["quarantined_items"], 2);
    let listed = done(&tool(&env, dir, &["quarantine", "ls", "--json"]).await);
    let batch = lines(&listed)[0]["batch"].as_str().unwrap().to_owned();
    let text = done(&tool(&env, dir, &["quarantine", "redrive", "--batch", &batch]).await);
    assert!(text.contains("1 item put back"), "{text}");
    let stat = told(&env, dir, &["stat", "--json"]).await;
    let account = &stat["accounts"]["traces"];
    assert_eq!(account["accepted"], 70);
    assert_eq!(account["stored"], 1);
    assert_eq!(
        (&account["quarantined"], &stat["quarantined_items"]),
        (&1.into(), &1.into())
    );
    store.sink.take_received();
    let running = Running::start(&env, config(dir, Some(store.sink.url()))).await;
    store.sink.wait_for_spans(1).await;
    assert_eq!(store.sink.received()[0].range.to_string(), batch);
    let text = done(&tool(&env, dir, &["quarantine", "redrive"]).await);
    assert!(text.contains("1 item put back"), "{text}");
    store.sink.wait_for_spans(2).await;
    running.stop().await;
    let stat = told(&env, dir, &["stat", "--json"]).await;
    let account = &stat["accounts"]["traces"];
    assert_eq!(
        (&account["accepted"], &account["delivered"]),
        (&70.into(), &70.into())
    );
    assert_eq!(stat["quarantined_items"], 0);
}

#[tokio::test]
async fn what_is_refused_again_is_there_again_once() {
    let store = Store::open(20, [7]).await;
    store.done(&["quarantine", "redrive"]).await;
    store.settled().await;
    assert_eq!(store.quarantined().await, (1, 1));
    let items = store.items();
    assert_eq!(
        (items.delivered, items.quarantined, items.released),
        (19, 1, 1)
    );
    store.running.stop().await;
}

#[tokio::test]
async fn a_purge_of_the_quarantine_asks_and_is_counted() {
    let store = Store::open(20, [7, 8, 12]).await;
    for (args, code) in [
        (&["quarantine", "purge", "--all"][..], 64),
        (&["quarantine", "purge", "--yes"], 64),
        (&["quarantine", "redrive", "--signal", "log"], 64),
    ] {
        let refused = tool(&store.env, &store.dir, args).await;
        assert_eq!(refused.status.code(), Some(code), "{args:?}");
    }
    let text = store
        .done(&["quarantine", "purge", "--all", "--dry-run"])
        .await;
    assert!(text.contains("3 items would be deleted"), "{text}");
    let listed = lines(&store.done(&["quarantine", "ls", "--json"]).await);
    let batch = listed[2]["batch"].as_str().unwrap();
    let one = ["quarantine", "purge", "--batch", batch, "--yes"];
    assert!(store.done(&one).await.contains("1 item deleted"));
    assert_eq!(store.quarantined().await, (2, 2));
    let all = ["quarantine", "purge", "--all", "--yes", "--json"];
    let told = store.told(&all).await;
    assert_eq!(told["deleted"]["items"]["traces"], 2);
    assert_eq!(store.quarantined().await, (0, 0));
    let stat = store.told(&["stat", "--json"]).await;
    assert_eq!(stat["accounts"]["traces"]["dropped"]["purged"], 3);
    let losses = stat["losses"].as_array().unwrap();
    let lost: u64 = losses.iter().map(|l| l["items"].as_u64().unwrap()).sum();
    assert_eq!((lost, &losses[0]["service"]), (3, &"pos".into()));
    store.running.stop().await;
}

/// Scenario: one item of a batch was refused; then the line went down before the rest was taken.
/// Guarantees: the item is in the buffer still; to put it back would be to have it twice.
#[tokio::test]
async fn an_item_of_a_batch_under_way_stays_and_is_told() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    sink.decide(|_, request| match &span_ids(&request.body)[..] {
        [0] => Reply::Refuse(400, "no"),
        ids if ids.contains(&0) => Reply::Refuse(400, "no"),
        _ => Reply::Refuse(503, "down"),
    });
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    let answer = running.client().await.post_spans(0..20).await;
    assert_eq!(answer.unwrap().status, 200);
    let is_down = |all: &[common::Received]| all.iter().any(|r| r.range.first > 0);
    sink.wait("the rest is tried", is_down).await;
    let text = done(&tool(&env, &dir, &["quarantine", "redrive"]).await);
    assert!(
        text.contains("1 item kept: of a batch that is still on its way")
            && text.contains("0 items"),
        "{text}"
    );
    let text = done(&tool(&env, &dir, &["quarantine", "ls"]).await);
    assert!(text.contains("1 item, 1 of a batch"), "{text}");
    assert_eq!(running.told.stored(), 20);
    running.stop().await;
}

#[tokio::test]
async fn what_would_be_dropped_for_its_age_stays() {
    let store = Store::open(20, [7]).await;
    store.running.stop().await;
    let (env, dir) = (store.env, &store.dir);
    let file = dir.with_extension("toml");
    std::fs::write(&file, "class.traces.ttl = \"1ms\"\n").unwrap();
    let args = ["quarantine", "redrive", "--config", file.to_str().unwrap()];
    let text = done(&tool(&env, dir, &args).await);
    assert!(text.contains("1 item kept: older than the ttl"), "{text}");
    let text = done(&tool(&env, dir, &["quarantine", "redrive"]).await);
    assert!(text.contains("1 item put back"), "{text}");
}

#[tokio::test]
async fn a_damaged_item_costs_itself() {
    let store = Store::open(20, [7, 8]).await;
    let (env, dir) = (&store.env, &store.dir);
    let path = files(dir).pop().unwrap();
    let mut data = std::fs::read(&path).unwrap();
    data[120] ^= 1;
    std::fs::write(&path, &data).unwrap();
    store.mend();
    for verb in ["ls", "cat", "redrive"] {
        let output = tool(env, dir, &["quarantine", verb]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{verb}: {text}");
    }
    store.settled().await;
    // The whole one has gone; the damaged one is as damaged as it was.
    assert_eq!(store.sink.taken().len(), 19);
    assert_eq!(store.quarantined().await, (1, 1));
    let listed = tool(env, dir, &["quarantine", "ls"]).await;
    assert_eq!(listed.status.code(), Some(1));
    let text = store.done(&["quarantine", "purge", "--all", "--yes"]).await;
    assert!(text.contains("1 item deleted"), "{text}");
    assert_eq!(store.quarantined().await, (0, 0));
    store.running.stop().await;
}

/// Scenario: the header of a frame rots, so nobody can say what stood there.
/// Guarantees: the item is counted when it goes. Regression: its bytes went with their file, and the account had it in the quarantine
/// for ever.
#[tokio::test]
async fn an_item_whose_header_rots_is_counted() {
    let store = Store::open(20, [7, 8]).await;
    let (env, dir) = (&store.env, &store.dir);
    let path = files(dir).pop().unwrap();
    let mut data = std::fs::read(&path).unwrap();
    data[30] ^= 1;
    std::fs::write(&path, &data).unwrap();
    store.mend();
    let output = tool(env, dir, &["quarantine", "redrive"]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("1 item put back"), "{text}");
    assert!(text.contains("bytes that are no items any more"), "{text}");
    store.settled().await;
    assert_eq!(store.quarantined().await, (0, 0));
    let stat = store.told(&["stat", "--json"]).await;
    assert_eq!(stat["accounts"]["traces"]["dropped"]["damaged"], 1);
    assert!(files(dir).is_empty(), "the file is gone");
    store.running.stop().await;
}

/// Scenario: the buffer is full.
/// Guarantees: what has no room stays where it is, and the tool says so.
#[tokio::test]
async fn a_full_buffer_keeps_the_quarantine() {
    let store = Store::open(200, 0..200).await;
    store.running.stop().await;
    let (env, dir) = (store.env, &store.dir);
    let file = dir.with_extension("toml");
    std::fs::write(&file, "class.traces.quota = \"4KiB\"\n").unwrap();
    let args = ["quarantine", "redrive", "--config", file.to_str().unwrap()];
    let stopped = tool(&env, dir, &args).await;
    let why = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert_eq!(stopped.status.code(), Some(73), "{why}");
    assert!(why.contains("the buffer is full"), "{why}");
    let stat = told(&env, dir, &["stat", "--json"]).await;
    assert_eq!(
        (&stat["quarantined_items"], &stat["total"]["items"]),
        (&200.into(), &0.into())
    );
    done(&tool(&env, dir, &["quarantine", "redrive"]).await);
    let stat = told(&env, dir, &["stat", "--json"]).await;
    assert_eq!(
        (&stat["quarantined_items"], &stat["total"]["items"]),
        (&0.into(), &200.into())
    );
}

/// The files of the quarantine.
fn files(dir: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).unwrap();
    let mut files: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "quarantine"));
    files
}
