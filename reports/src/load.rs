//! What a load on real sockets came to: what its generator saw, what its receiver saw, and both as tables.
//!
//! Unlike a simulated result, these hold wall-clock times: they are measurements of one machine on one day. How they come about is
//! `backroom load`'s and `backroom sink`'s business. Next: `human`, how numbers are written.

use std::{collections::BTreeMap, fmt::Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::human;

/// Latencies in seconds, from a histogram of three digits (HdrHistogram).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    /// How many there are.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// 90 % are at most this.
    pub p90: f64,
    /// 99 % are at most this.
    pub p99: f64,
    /// 99.9 % are at most this.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// What `backroom load --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadResult {
    /// Version of this type: the result's.
    pub schema_version: u32,
    /// Where it was sent.
    pub to: String,
    /// The kind of store.
    pub profile: String,
    /// Tag of the run, four hexadecimal digits: with the store and a number it identifies each item.
    pub run: String,
    /// The seed that gives this tag again.
    pub seed: u64,
    /// How many stores.
    pub stores: u32,
    /// How many connections.
    pub connections: u32,
    /// Items a second that were asked for; `None` for as fast as the target takes them.
    pub asked_items_per_second: Option<f64>,
    /// Items a second that were acknowledged, from the start to the last answer.
    pub acked_items_per_second: f64,
    /// From the start to the last answer.
    pub seconds: f64,
    /// Items that were due by the end; those sent, where there is no rate.
    pub due_items: u64,
    /// Items that were sent.
    pub sent_items: u64,
    /// Items that were acknowledged.
    pub acked_items: u64,
    /// Items of acknowledged requests that the target rejected (`partial_success`).
    pub rejected_items: u64,
    /// Items of requests that got no answer in time, or an answer cut short: they may have arrived.
    pub unanswered_items: u64,
    /// Requests that were sent.
    pub sent_requests: u64,
    /// Requests that were acknowledged.
    pub acked_requests: u64,
    /// Requests that were not, by the status or the reason.
    pub refused_requests: BTreeMap<String, u64>,
    /// Bytes of bodies before compression.
    pub raw_bytes: u64,
    /// Bytes of bodies as sent.
    pub body_bytes: u64,
    /// From when a request was due to its acknowledgement: what waits behind a slow answer counts (no coordinated omission).
    pub latency: Quantiles,
    /// From when a request was really sent to its acknowledgement.
    pub service_time: Quantiles,
    /// How late the generator itself was with requests whose connection was free.
    pub own_lateness: Quantiles,
    /// How far behind its schedule the generator was at the end, in seconds.
    pub behind_seconds: f64,
    /// Share of the connections' time in which they waited for answers.
    pub waiting_share: f64,
    /// Share of the connections' time in which requests were made and compressed.
    pub making_share: f64,
    /// Processor seconds of the generator; `None` where the system does not tell.
    pub own_cpu_seconds: Option<f64>,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// What is wrong, in sentences; empty if the target kept up.
    pub findings: Vec<String>,
}

/// `[first, last]`, both included.
pub type Numbers = [u32; 2];

/// What a generator knows of its items, for the receiver to check against: `backroom load --receipt FILE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Version of this type: the result's.
    pub schema_version: u32,
    /// Tag of the run, four hexadecimal digits.
    pub run: String,
    /// The stores, by number.
    pub stores: Vec<ReceiptStore>,
}

/// One store of a [`Receipt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptStore {
    /// Its number, from 1.
    pub store: u16,
    /// Numbers that were acknowledged, ascending.
    pub acked: Vec<Numbers>,
}

/// What `backroom sink --json` prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SinkResult {
    /// Version of this type: the result's.
    pub schema_version: u32,
    /// Requests that were taken.
    pub requests: u64,
    /// Requests that were no OTLP.
    pub malformed_requests: u64,
    /// Requests that were sent away, or whose connection was cut, as the schedule says, by what was done.
    pub scheduled: BTreeMap<String, u64>,
    /// Items of the requests that were taken.
    pub items: u64,
    /// Different ones among them.
    pub distinct: u64,
    /// Items that came again: `items - distinct - foreign - unchecked`.
    pub duplicates: u64,
    /// Items without a number of a load.
    pub foreign: u64,
    /// Items that were not checked, because so many holes cannot be kept in memory.
    pub unchecked: u64,
    /// Items that came later than `--late` after they were made.
    pub late: u64,
    /// Numbers below the highest of their store that did not come: refused, lost, or under way.
    pub missing: u64,
    /// Items that were acknowledged to the generator and did not come; `None` without a receipt.
    pub lost: Option<u64>,
    /// Items that were never acknowledged, and came all the same; `None` without a receipt.
    pub unacked: Option<u64>,
    /// Bytes of bodies as received.
    pub body_bytes: u64,
    /// Bytes of bodies after decompression.
    pub raw_bytes: u64,
    /// From the first item to the last one.
    pub seconds: f64,
    /// Items a second between them.
    pub items_per_second: f64,
    /// From when an item was made to when it came for the first time, to a second: items of a request are spread over one.
    pub delay: Quantiles,
    /// Stores of which something is missing, lost or came twice; at most a hundred.
    pub stores: Vec<SinkStore>,
    /// What is wrong, in sentences; empty if nothing is.
    pub findings: Vec<String>,
}

/// One store of a [`SinkResult`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SinkStore {
    /// Tag of the run.
    pub run: String,
    /// Its number.
    pub store: u16,
    /// Its highest number that came.
    pub highest: u32,
    /// Different items.
    pub distinct: u64,
    /// Items that came again.
    pub duplicates: u64,
    /// Numbers below the highest that did not come.
    pub missing: u64,
    /// Items that were acknowledged and did not come; `None` without a receipt of its run.
    pub lost: Option<u64>,
    /// The first of them, or of those missing where there is no receipt.
    pub first_hole: Option<Numbers>,
}

fn row(out: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "  {name:<22}{value}");
}

fn quantiles(of: &Quantiles) -> String {
    if of.count == 0 {
        return "none".into();
    }
    format!(
        "p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
        human::seconds(of.p50),
        human::seconds(of.p90),
        human::seconds(of.p99),
        human::seconds(of.p999),
        human::seconds(of.max)
    )
}

fn ratio(raw: u64, sent: u64) -> String {
    match sent {
        0 => String::new(),
        sent => format!(", {:.2} to 1", raw as f64 / sent as f64),
    }
}

/// Items a second: whole ones.
pub fn per_second(items: f64) -> String {
    format!("{} items/s", human::count(items.round()))
}

fn findings(out: &mut String, findings: &[String], well: &str) {
    if findings.is_empty() {
        let _ = writeln!(out, "{well}");
    }
    for finding in findings {
        let _ = writeln!(out, "NOT OK: {finding}");
    }
}

impl LoadResult {
    /// As a table for a terminal.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let stores = match self.stores {
            1 => "1 store".to_owned(),
            n => format!("{n} stores"),
        };
        let _ = writeln!(
            out,
            "{}: {} ({stores}), {} connections, run {}, {}{}",
            self.to,
            self.profile,
            self.connections,
            self.run,
            human::seconds(self.seconds),
            if self.interrupted {
                ", interrupted"
            } else {
                ""
            }
        );
        let count = |n: u64| human::count(n as f64);
        let asked = self
            .asked_items_per_second
            .map_or("as fast as it takes them".into(), per_second);
        row(&mut out, "asked", asked);
        row(
            &mut out,
            "acknowledged",
            per_second(self.acked_items_per_second),
        );
        let items = format!(
            "{} due, {} sent, {} acknowledged, {} rejected, {} unanswered",
            count(self.due_items),
            count(self.sent_items),
            count(self.acked_items),
            count(self.rejected_items),
            count(self.unanswered_items)
        );
        row(&mut out, "items", items);
        let requests = format!(
            "{} sent, {} acknowledged",
            count(self.sent_requests),
            count(self.acked_requests)
        );
        row(&mut out, "requests", requests);
        for (why, n) in &self.refused_requests {
            row(&mut out, "", format!("{} {why}", count(*n)));
        }
        let bytes = format!(
            "{} raw, {} sent{}",
            human::bytes(self.raw_bytes as f64),
            human::bytes(self.body_bytes as f64),
            ratio(self.raw_bytes, self.body_bytes)
        );
        row(&mut out, "bodies", bytes);
        row(&mut out, "latency from due", quantiles(&self.latency));
        row(&mut out, "latency from sent", quantiles(&self.service_time));
        row(&mut out, "own lateness", quantiles(&self.own_lateness));
        let cpu = self
            .own_cpu_seconds
            .map_or("unknown".into(), |cpu| format!("{cpu:.2} s"));
        let own = format!(
            "{cpu} of processor time; connections waited {} of their time, made requests {}",
            human::fraction((self.waiting_share * 1e3).round() / 1e3),
            human::fraction((self.making_share * 1e3).round() / 1e3)
        );
        row(&mut out, "generator", own);
        findings(&mut out, &self.findings, "ok: the target kept up");
        out
    }
}

impl SinkResult {
    /// As a table for a terminal.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let count = |n: u64| human::count(n as f64);
        row(
            &mut out,
            "requests",
            format!(
                "{} taken, {} malformed",
                count(self.requests),
                count(self.malformed_requests)
            ),
        );
        for (what, n) in &self.scheduled {
            row(&mut out, "", format!("{} {what}", count(*n)));
        }
        let items = format!(
            "{} received, {} distinct, {} foreign",
            count(self.items),
            count(self.distinct),
            count(self.foreign)
        );
        row(&mut out, "items", items);
        row(&mut out, "duplicates", count(self.duplicates));
        row(&mut out, "late", count(self.late));
        let lost = self.lost.map_or("unknown without --receipt".into(), count);
        row(&mut out, "lost", lost);
        row(
            &mut out,
            "missing",
            format!("{} numbers below the highest", count(self.missing)),
        );
        if let Some(unacked) = self.unacked {
            row(&mut out, "came unacknowledged", count(unacked));
        }
        let bodies = format!(
            "{} received, {} raw{}",
            human::bytes(self.body_bytes as f64),
            human::bytes(self.raw_bytes as f64),
            ratio(self.raw_bytes, self.body_bytes)
        );
        row(&mut out, "bodies", bodies);
        let rate = format!(
            "{} for {}",
            per_second(self.items_per_second),
            human::seconds(self.seconds)
        );
        row(&mut out, "rate", rate);
        row(&mut out, "delay", quantiles(&self.delay));
        for store in self.stores.iter().take(10) {
            let mut text = format!(
                "{} came, {} twice, {} missing",
                count(store.distinct),
                count(store.duplicates),
                count(store.missing)
            );
            if let Some(lost) = store.lost {
                let _ = write!(text, ", {} lost", count(lost));
            }
            if let Some([first, last]) = store.first_hole {
                let _ = write!(text, "; first hole {first}..={last}");
            }
            row(
                &mut out,
                &format!("store {} ({})", store.store, store.run),
                text,
            );
        }
        if self.stores.len() > 10 {
            row(&mut out, "", "further stores: see --json");
        }
        findings(&mut out, &self.findings, "ok: nothing lost, nothing twice");
        out
    }
}

/// JSON Schema (2020-12) of [`LoadResult`].
pub fn load_schema() -> String {
    crate::json::pretty(&schemars::schema_for!(LoadResult))
}

/// JSON Schema (2020-12) of [`SinkResult`].
pub fn sink_schema() -> String {
    crate::json::pretty(&schemars::schema_for!(SinkResult))
}

/// JSON Schema (2020-12) of [`Receipt`].
pub fn receipt_schema() -> String {
    crate::json::pretty(&schemars::schema_for!(Receipt))
}

/// Pretty-printed, fields in a fixed order, one newline at the end.
pub fn render_json(value: &impl Serialize) -> String {
    crate::json::pretty(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SCHEMA_VERSION;

    const SOME: Quantiles = Quantiles {
        count: 1_204,
        p50: 0.001_6,
        p90: 0.004,
        p99: 0.010_1,
        p999: 0.09,
        max: 12.5,
    };

    #[test]
    fn a_load_that_fell_behind() {
        let result = LoadResult {
            schema_version: SCHEMA_VERSION,
            to: "http://127.0.0.1:4318".into(),
            profile: "quick-service".into(),
            run: "0b0e".into(),
            seed: 7,
            stores: 50,
            connections: 16,
            asked_items_per_second: Some(10_000.0),
            acked_items_per_second: 8_204.3,
            seconds: 60.2,
            due_items: 600_000,
            sent_items: 512_340,
            acked_items: 493_898,
            rejected_items: 0,
            unanswered_items: 320,
            sent_requests: 15_525,
            acked_requests: 14_967,
            refused_requests: BTreeMap::from([
                ("429".into(), 548),
                ("no answer in 10s".into(), 10),
            ]),
            raw_bytes: 217_353_120,
            body_bytes: 217_353_120,
            latency: SOME,
            service_time: SOME,
            own_lateness: Quantiles::default(),
            behind_seconds: 8.8,
            waiting_share: 0.987_6,
            making_share: 0.004,
            own_cpu_seconds: Some(3.251),
            interrupted: false,
            findings: vec!["it is behind".into()],
        };
        insta::assert_snapshot!(result.table());
    }

    #[test]
    fn a_receiver_that_misses_something() {
        let result = SinkResult {
            schema_version: SCHEMA_VERSION,
            requests: 820,
            malformed_requests: 1,
            scheduled: BTreeMap::from([("reject 503".into(), 12)]),
            items: 30_100,
            distinct: 30_000,
            duplicates: 90,
            foreign: 10,
            missing: 40,
            lost: Some(20),
            unacked: Some(3),
            body_bytes: 2_000_000,
            raw_bytes: 13_000_000,
            seconds: 9.5,
            items_per_second: 3_168.4,
            delay: SOME,
            stores: vec![SinkStore {
                run: "0b0e".into(),
                store: 7,
                highest: 1_000,
                distinct: 960,
                duplicates: 90,
                missing: 40,
                lost: Some(20),
                first_hole: Some([100, 119]),
            }],
            findings: vec!["20 items are lost".into()],
            ..SinkResult::default()
        };
        insta::assert_snapshot!(result.table());
        insta::assert_snapshot!(
            SinkResult {
                schema_version: SCHEMA_VERSION,
                ..SinkResult::default()
            }
            .table()
        );
    }
}
