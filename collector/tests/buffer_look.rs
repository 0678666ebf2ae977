//! `backroom-collector buffer` looks: the real binary on real files, of a collector that runs and of one that does not.
//!
//! - what was accepted is listed, summed up and printed, sealed or not
//! - a damaged byte is found, and what it costs is told
//! - an export holds every item once, in both formats
//! - nothing is written, and what is not there is told with a way out
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    path::Path,
    process::{Command, Output},
};

use backroom_collector::{archive, config::ByteSize, env::OsEnv};
use common::{Running, buffer, config, env};

/// A collector that keeps 100 spans in sealed batches and 10 in its journal.
async fn filled(env: &OsEnv, dir: &Path) -> Running {
    let mut config = config(dir, None);
    config.batch.bytes = ByteSize(4096);
    config.batch.delay = std::time::Duration::from_secs(3600);
    let running = Running::start(env, config).await;
    let mut client = running.client().await;
    for first in (0..110).step_by(10) {
        let answer = client.post_spans(first..first + 10).await;
        assert_eq!(answer.unwrap().status, 200);
    }
    let is_sealed = |told: &common::Recorder| told.sealed_items() >= 80;
    running.told.wait("sealed", is_sealed).await;
    running
}

fn tool(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backroom-collector"))
        .arg("buffer")
        .args(args)
        .arg("--buffer-dir")
        .arg(dir)
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Every file's name and bytes.
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

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn what_was_accepted_is_shown_live_and_dead() {
    let env = env();
    let (_keep, dir) = buffer();
    let running = filled(&env, &dir).await;
    check_shown(&dir);
    running.stop().await;
    let before = files(&dir);
    check_shown(&dir);
    assert_eq!(files(&dir), before, "looking changes nothing");
}

fn check_shown(dir: &Path) {
    let stat = tool(dir, &["stat", "--json"]);
    assert_eq!(stat.status.code(), Some(0));
    let stat = json(&stat);
    assert_eq!(stat["signals"]["traces"]["items"], 110);
    assert_eq!(stat["classes"]["traces"]["items"], 110);
    assert_eq!(stat["total"]["items"], 110);
    assert_eq!(stat["damaged_items"], 0);
    assert!(stat["unsealed_items"].as_u64().unwrap() >= 10, "{stat}");

    let text = stdout(&tool(dir, &["stat"]));
    assert!(text.contains("CLASS") && text.contains("traces"), "{text}");

    let batches = stdout(&tool(dir, &["ls", "--batches", "--json"]));
    let batches: Vec<serde_json::Value> = batches
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let items: u64 = batches.iter().map(|b| b["items"].as_u64().unwrap()).sum();
    assert_eq!(items, 110);
    assert!(batches.iter().any(|batch| batch["place"] == "journal"));

    let listed = stdout(&tool(dir, &["ls"]));
    assert!(
        listed.contains(".journal") && listed.contains(".batches"),
        "{listed}"
    );

    let verify = tool(dir, &["verify"]);
    let text = stdout(&verify);
    assert_eq!(verify.status.code(), Some(0), "{text}");
    assert!(text.ends_with("no damage\n"), "{text}");

    let all = stdout(&tool(dir, &["cat"]));
    let names: std::collections::BTreeSet<u32> = all
        .lines()
        .map(|line| line.split(' ').nth(2).unwrap().parse().unwrap())
        .collect();
    assert_eq!(names, (0..110).collect());
    let one = batches[0]["batch"].as_str().unwrap();
    let some = stdout(&tool(
        dir,
        &["cat", "--json", "--batch", one, "--limit", "3"],
    ));
    assert_eq!(some.lines().count(), 3);
    let first: serde_json::Value = serde_json::from_str(some.lines().next().unwrap()).unwrap();
    assert_eq!(first["batch"], one);
    assert_eq!(first["resource"]["attributes"][0]["key"], "service.name");
    assert_eq!(first["span"]["name"], "0");
    let none = stdout(&tool(dir, &["cat", "--signal", "logs"]));
    assert_eq!(none, "");
    let none = stdout(&tool(dir, &["cat", "--until", "1h"]));
    assert_eq!(none, "");
}

#[tokio::test]
async fn a_damaged_byte_is_found_and_its_cost_is_told() {
    let env = env();
    let (_keep, dir) = buffer();
    filled(&env, &dir).await.stop().await;
    // The journal still has what its segment lost: a start would make it whole.
    let damaged = |name: &str, at: usize| {
        let mut data = std::fs::read(dir.join(name)).unwrap();
        data[at] ^= 1;
        std::fs::write(dir.join(name), data).unwrap();
    };
    let segment = files(&dir)
        .into_iter()
        .find(|(name, _)| name.ends_with(".batches"))
        .unwrap()
        .0;
    damaged(&segment, 200);
    let verify = tool(&dir, &["verify"]);
    let text = stdout(&verify);
    assert_eq!(verify.status.code(), Some(1), "{text}");
    assert!(text.contains("payload has checksum"), "{text}");
    assert!(text.contains("no stored item is lost by it"), "{text}");

    let journal = files(&dir)
        .into_iter()
        .find(|(name, _)| name.ends_with(".journal"))
        .unwrap()
        .0;
    std::fs::remove_file(dir.join(journal)).unwrap();
    let verify = tool(&dir, &["verify", "--json"]);
    assert_eq!(verify.status.code(), Some(1));
    let found = json(&verify);
    assert_eq!(found["findings"][0]["file"], segment);
    assert_eq!(found["findings"][0]["severity"], "damage");
    assert!(found["findings"][0]["batch"].as_str().is_some(), "{found}");
    let cat = tool(&dir, &["cat"]);
    assert_eq!(
        cat.status.code(),
        Some(1),
        "it says that it left something out"
    );
}

#[test]
fn what_is_not_there_is_told() {
    let (_keep, dir) = buffer();
    for verb in ["ls", "stat", "verify", "cat"] {
        let output = tool(&dir, &[verb]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(66), "{verb}: {error}");
        assert!(error.contains("read buffer"), "{error}");
    }
    assert!(!dir.exists(), "a buffer is not made by looking for it");
    let check = |args: &[&str], part: &str| {
        let output = tool(&dir, args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{args:?}: {error}");
        assert!(error.contains(part), "{args:?}: {error}");
    };
    check(
        &["ls", "--signal", "spans"],
        "not one of traces, metrics, logs",
    );
    check(&["cat", "--since", "noon"], "write 2026-11-26T09:00:00Z");
    check(
        &["cat", "--since", "1h", "--until", "2h"],
        "nothing is meant",
    );
    check(&["cat", "--batch", "7"], "store-boot-class-first-count");
    check(&["shred"], "unrecognized subcommand");
}

#[tokio::test]
async fn an_export_holds_every_item_once() {
    let env = env();
    let (_keep, dir) = buffer();
    filled(&env, &dir).await.stop().await;
    for name in ["all.otlp", "all.otlp.zst", "all.jsonl", "all.json.gz"] {
        let file = dir.with_file_name(name);
        let path = file.to_str().unwrap();
        let output = tool(&dir, &["export", path]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(told.contains("110 items"), "{told}");
        let mut reader = archive::Reader::new(std::fs::File::open(&file).unwrap()).unwrap();
        let mut names = Vec::new();
        while let Some(batch) = reader.next().unwrap() {
            names.extend(common::span_ids(&batch.request));
        }
        assert_eq!(names, (0..110).collect::<Vec<u32>>(), "{name}");
        let again = tool(&dir, &["export", path]);
        assert_eq!(again.status.code(), Some(73), "it does not overwrite");
        assert!(String::from_utf8(again.stderr).unwrap().contains("--force"));
        assert_eq!(
            tool(&dir, &["export", path, "--force"]).status.code(),
            Some(0)
        );
    }
    let lines = stdout(&tool(&dir, &["export", "-", "--format", "json"]));
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(first["backroom"]["batch"].as_str().is_some());
    assert!(first["resourceSpans"].as_array().is_some());
    let nowhere = tool(&dir, &["export", "/no/such/folder/x"]);
    assert_eq!(nowhere.status.code(), Some(73));
}
