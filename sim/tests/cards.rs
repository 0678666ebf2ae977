//! Card payments beside a collector that catches up: the same seeds with it, and with it switched off.
//!
//! - `cards_are_within_five_per_cent_of_a_line_for_themselves`: `scenarios/card-payments-during-catch-up.toml`, paired; long, so it runs where
//!   `BACKROOM_PAIRED_SEEDS` says how many seeds, 50 in `.ci/full`, or which: `51..=100`.
//!
//! What is compared is the p99 of all payments of all seeds together, asked for in the four minutes after the line is back. Loss, delay
//! and the time of each authorisation are drawn by link, direction, class and order, so that the cards of a seed meet the same line in both.

use std::{path::Path, process::Command};

/// What the collector may add to the p99 of card payments.
const MOST: f64 = 1.05;

/// The p99 of card payments in seconds during the catch-up, of all seeds together, and how many payments that were.
fn payments(seeds: &str, more: &[&str]) -> (f64, u64) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let out = Command::new(env!("CARGO_BIN_EXE_backroom"))
        .args([
            "run",
            "scenarios/card-payments-during-catch-up.toml",
            "--no-save",
            "--json",
        ])
        .args(["--seeds", seeds])
        .args(more)
        .current_dir(root)
        .output()
        .expect("it starts");
    let result: serde_json::Value = serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out.stderr)));
    let expectations = result["expectations"].as_array().expect("a list");
    let cards = expectations
        .iter()
        .find(|e| e["id"] == "cards-do-not-feel-it");
    let cards = cards.expect("the scenario asks for it");
    (
        cards["value"].as_f64().expect("seconds"),
        cards["samples"].as_u64().expect("a count"),
    )
}

/// Scenario: one thin FIFO line, a backlog of 15 minutes, and customers who pay by card.
/// Guarantees: the collector, which is not told how fast the line is, adds 5 % to their p99 at most.
#[test]
fn cards_are_within_five_per_cent_of_a_line_for_themselves() {
    let Some(seeds) = std::env::var_os("BACKROOM_PAIRED_SEEDS") else {
        println!("skipped: BACKROOM_PAIRED_SEEDS is not set");
        return;
    };
    let seeds = seeds.to_str().expect("BACKROOM_PAIRED_SEEDS is text");
    let (first, last) = seeds.split_once("..=").unwrap_or(("1", seeds));
    let number = |text: &str| text.parse::<u32>().ok();
    let count = number(first).zip(number(last));
    let count = count.and_then(|(first, last)| (last + 1).checked_sub(first));
    let count = count.expect("BACKROOM_PAIRED_SEEDS is a number, or FIRST..=LAST");
    let seeds = format!("{first}..={last}");
    let (with, of) = payments(&seeds, &[]);
    let off = ["--set", "collector.send.max_rate=1kbit/s"];
    let (without, also_of) = payments(&seeds, &off);
    let more = 100.0 * (with - without) / without;
    println!(
        "seeds {seeds}: p99 {with} s with the collector, {without} s without: {more:+.1} %; {of} and {also_of} payments"
    );
    assert!(of >= 40 * u64::from(count), "{of} payments say little");
    assert!(
        with <= without * MOST,
        "p99 {with} s with the collector, {without} s without: {more:.1} % more"
    );
}
