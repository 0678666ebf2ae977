//! A page of metrics, and what two of them say: rates, and how long it will take.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cli::show::{self, Table},
    otlp::Signal,
};

/// A page.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    at: Instant,
    /// Values by name and labels, as they stand in the page.
    values: BTreeMap<String, f64>,
}

impl Sample {
    /// Reads a page; `None` if it is not one of ours. A line that cannot be read is left out.
    pub(super) fn read(at: Instant, page: &str) -> Option<Self> {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let values: BTreeMap<String, f64> = lines
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect();
        let sample = Self { at, values };
        sample
            .get("backroom_backlog_items")
            .is_some()
            .then_some(sample)
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// Sum over all labels of a name.
    fn sum(&self, name: &str) -> f64 {
        let of_name = |key: &&String| key.split('{').next() == Some(name);
        self.values
            .iter()
            .filter(|(key, _)| of_name(key))
            .map(|(_, value)| value)
            .sum()
    }

    /// Points of a name: its labels, and the value.
    fn points<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.values.iter().filter_map(move |(key, value)| {
            let labels = key
                .strip_prefix(name)?
                .strip_prefix('{')?
                .strip_suffix('}')?;
            Some((labels, *value))
        })
    }
}

/// What two pages say.
#[derive(Debug)]
pub(super) struct View<'a> {
    before: &'a Sample,
    now: &'a Sample,
    seconds: f64,
}

impl<'a> View<'a> {
    pub(super) fn new(before: &'a Sample, now: &'a Sample) -> Self {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        Self {
            before,
            now,
            // Two looks at once say nothing about a rate, and must not divide by zero.
            seconds: seconds.max(0.001),
        }
    }

    /// Growth of a counter in a second. A counter that went back was started anew.
    fn rate(&self, name: &str) -> f64 {
        let (before, now) = (
            self.before.get(name).unwrap_or(0.0),
            self.now.get(name).unwrap_or(0.0),
        );
        let grown = if now >= before { now - before } else { now };
        grown / self.seconds
    }

    fn signal_rate(&self, name: &str, signal: Signal) -> f64 {
        self.rate(&format!("backroom_{name}{{signal=\"{signal}\"}}"))
    }

    fn total_rate(&self, name: &str) -> f64 {
        Signal::ALL
            .into_iter()
            .map(|signal| self.signal_rate(name, signal))
            .sum()
    }

    fn gauge(&self, name: &str) -> Option<f64> {
        self.now.get(&format!("backroom_{name}"))
    }

    /// Seconds until the backlog is gone at the present rates; `None` if it does not shrink.
    fn drain_seconds(&self) -> Option<f64> {
        let items = self.gauge("backlog_items")?;
        let net =
            self.total_rate("delivered_items_total") - self.total_rate("accepted_items_total");
        (items > 0.0 && net > 0.0).then(|| items / net)
    }

    /// Upper bound of the bucket that holds a quantile of what was counted between the two pages, or ever if nothing was.
    fn quantile(&self, name: &str, quantile: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let buckets = |since: Option<&Sample>| {
            let mut buckets: Vec<(f64, f64)> = self
                .now
                .points(&bucket)
                .filter_map(|(labels, count)| {
                    let bound = labels.strip_prefix("le=\"")?.strip_suffix('"')?;
                    let key = format!("{bucket}{{{labels}}}");
                    let before = since.and_then(|sample| sample.get(&key)).unwrap_or(0.0);
                    let bound = if bound == "+Inf" {
                        f64::INFINITY
                    } else {
                        bound.parse().ok()?
                    };
                    Some((bound, (count - before).max(0.0)))
                })
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            buckets
        };
        let recent = buckets(Some(self.before));
        let has_any = recent.last().is_some_and(|(_, count)| *count > 0.0);
        let counted = if has_any { recent } else { buckets(None) };
        let total = counted.last()?.1;
        let holds = |(_, count): &&(f64, f64)| total > 0.0 && *count >= quantile * total;
        counted.iter().find(holds).map(|(bound, _)| *bound)
    }

    /// Drops in a second by reason, those that happen.
    fn drops(&self) -> Vec<(String, f64)> {
        let name = "backroom_dropped_items_total";
        let mut drops: BTreeMap<String, f64> = BTreeMap::new();
        for (labels, _) in self.now.points(name) {
            let reason = labels
                .split("reason=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let rate = self.rate(&format!("{name}{{{labels}}}"));
            if let (Some(reason), true) = (reason, rate > 0.0) {
                *drops.entry(reason.to_owned()).or_default() += rate;
            }
        }
        drops.into_iter().collect()
    }

    /// How each destination stands, by name.
    fn destinations(&self) -> impl Iterator<Item = (&'a str, Destination)> {
        let waiting = self.now.points("backroom_destination_waiting_items");
        waiting.filter_map(|(labels, waiting)| {
            let name = labels.strip_prefix("destination=\"")?.strip_suffix('"')?;
            let of = |what: &str| format!("backroom_destination_{what}{{{labels}}}");
            let destination = Destination {
                is_up: self.now.get(&of("reachable")).is_none_or(|up| up > 0.0),
                waiting_items: waiting as u64,
                waiting_bytes: self.now.get(&of("waiting_bytes")).unwrap_or(0.0) as u64,
                oldest_seconds: self.now.get(&of("oldest_item_age_seconds")).unwrap_or(0.0),
                delivered_per_second: self.rate(&of("delivered_items_total")),
            };
            Some((name, destination))
        })
    }

    /// The line profile that holds, and what may go over it; `None` where there are no profiles.
    fn link(&self) -> Option<String> {
        let mut links = self.now.points("backroom_link_active").peekable();
        links.peek()?;
        let Some((labels, _)) = links.find(|(_, active)| *active > 0.0) else {
            return Some("no profile holds".to_owned());
        };
        let of = |name: &str| self.gauge(&format!("link_{name}{{{labels}}}"));
        let name = labels.strip_prefix("link=\"")?.strip_suffix('"')?;
        let open = match of("open") {
            Some(open) if open >= 2.0 => "everything may go",
            Some(open) if open >= 1.0 => "SOME CLASSES ONLY",
            _ => "NOTHING MAY GO",
        };
        let mut text = format!("{name}: {open}");
        if let (Some(used), Some(all)) = (of("budget_used_bytes"), of("budget_bytes")) {
            let (used, all) = (show::bytes(used as u64), show::bytes(all as u64));
            text += &format!(", {used} of {all}");
        }
        if let Some(ends) = of("budget_end_time_seconds")
            && let Some(at) = show::instant((ends.max(0.0) * 1e9) as u64)
        {
            text += &format!(" until {at}");
        }
        Some(text)
    }

    /// For scripts. What is not known, or does not end, is `null`.
    pub(super) fn json(&self) -> Value {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let by_signal = |signal: Signal| {
            let value = json!({
                "accepted_per_second": self.signal_rate("accepted_items_total", signal),
                "delivered_per_second": self.signal_rate("delivered_items_total", signal),
                "stored": self.gauge(&format!("stored_items{{signal=\"{signal}\"}}")),
            });
            (signal.name().to_owned(), value)
        };
        let drops = self
            .drops()
            .into_iter()
            .map(|(reason, rate)| (reason, json!(rate)));
        json!({
            "signals": Signal::ALL.into_iter().map(by_signal).collect::<serde_json::Map<_, _>>(),
            "backlog_items": self.gauge("backlog_items"),
            "backlog_bytes": self.gauge("backlog_bytes"),
            "oldest_item_age_seconds": self.gauge("oldest_item_age_seconds"),
            "drain_seconds": finite(self.drain_seconds()),
            "disk_bytes": self.gauge("buffer_disk_bytes"),
            "disk_max_bytes": self.gauge("buffer_disk_max_bytes"),
            "full_in_seconds": finite(self.gauge("buffer_full_in_seconds")),
            "disk_ok": self.gauge("disk_ok").map(|ok| ok > 0.0),
            "destinations": self.destinations().map(|(name, d)| (name.to_owned(), d.json())).collect::<serde_json::Map<_, _>>(),
            "destination_up": self.gauge("destination_up").map(|up| up > 0.0),
            "link": self.link(),
            "wire_bytes_per_second": self.rate("backroom_sent_wire_bytes_total"),
            "dropped_per_second": drops.collect::<serde_json::Map<_, _>>(),
            "fsync_p99_seconds": finite(self.quantile("backroom_fsync_seconds", 0.99)),
            "resident_bytes": self.now.get("process_resident_memory_bytes"),
            "cpu_share": self.rate("process_cpu_seconds_total"),
        })
    }

    /// For people.
    pub(super) fn text(&self, address: &str) -> String {
        let mut table = Table::new(&["SIGNAL", ">IN/s", ">OUT/s", ">STORED"]);
        for signal in Signal::ALL {
            let stored = self.gauge(&format!("stored_items{{signal=\"{signal}\"}}"));
            table.row([
                signal.name().to_owned(),
                rate(self.signal_rate("accepted_items_total", signal)),
                rate(self.signal_rate("delivered_items_total", signal)),
                show::number(stored.unwrap_or(0.0) as u64),
            ]);
        }
        let mut out = format!("backroom-collector {address}\n\n{table}\n");
        let mut line = |name: &str, text: String| {
            let _ = writeln!(out, "{name:<12}{text}");
        };
        let bytes = |name: &str| show::bytes(self.gauge(name).unwrap_or(0.0) as u64);
        let items = self.gauge("backlog_items").unwrap_or(0.0) as u64;
        let mut backlog = format!("{}, {}", show::count(items, "item"), bytes("backlog_bytes"));
        if items > 0 {
            backlog += &format!(
                ", oldest {}",
                seconds(self.gauge("oldest_item_age_seconds").unwrap_or(0.0))
            );
            backlog += &match self.drain_seconds() {
                Some(left) => format!(", gone in {}", seconds(left)),
                None => ", not shrinking".to_owned(),
            };
        }
        line("backlog", backlog);
        let is_up = self.gauge("destination_up").is_none_or(|up| up > 0.0);
        let wire = show::bytes(self.rate("backroom_sent_wire_bytes_total") as u64);
        let outages = self.gauge("destination_outages_total").unwrap_or(0.0) as u64;
        let was_asked = self
            .now
            .get("backroom_sent_wire_bytes_total")
            .is_none_or(|bytes| bytes > 0.0);
        let state = match (is_up, was_asked) {
            (false, _) => "DOWN",
            (true, true) => "up",
            (true, false) => "not asked yet",
        };
        line(
            "destination",
            format!(
                "{state}, {wire}/s on the wire, {}",
                show::count(outages, "outage")
            ),
        );
        // One alone is told by the lines above.
        let destinations: Vec<(&str, Destination)> = self.destinations().collect();
        for (name, destination) in destinations.iter().filter(|_| destinations.len() > 1) {
            line(&format!("  {name}"), destination.text());
        }
        if let Some(text) = self.link() {
            line("link", text);
        }
        let (used, quota) = (
            self.gauge("buffer_disk_bytes"),
            self.gauge("buffer_disk_max_bytes"),
        );
        let share = used.unwrap_or(0.0) * 100.0 / quota.unwrap_or(0.0).max(1.0);
        let mut disk = format!(
            "{} of {} ({share:.1} %)",
            bytes("buffer_disk_bytes"),
            bytes("buffer_disk_max_bytes")
        );
        if let Some(left) = self
            .gauge("buffer_full_in_seconds")
            .filter(|left| left.is_finite())
        {
            disk += &format!(", full in {}", seconds(left));
        }
        if self.gauge("disk_ok") == Some(0.0) {
            disk += ", FAILING";
        }
        line("disk", disk);
        let bound = |quantile| match self.quantile("backroom_fsync_seconds", quantile)? {
            bound if bound.is_finite() => Some(format!("<= {bound:?}s")),
            _ => Some("slow".to_owned()),
        };
        line(
            "fsync",
            match (bound(0.5), bound(0.99)) {
                (Some(half), Some(most)) => format!("p50 {half}, p99 {most}"),
                _ => "none".to_owned(),
            },
        );
        let outcomes: Vec<String> = self
            .now
            .points("backroom_requests_total")
            .filter_map(|(labels, _)| {
                let word = labels.strip_prefix("outcome=\"")?.strip_suffix('"')?;
                let rate_now = self.rate(&format!("backroom_requests_total{{{labels}}}"));
                (rate_now > 0.0).then(|| format!("{word} {}/s", rate(rate_now)))
            })
            .collect();
        line(
            "requests",
            if outcomes.is_empty() {
                "none".to_owned()
            } else {
                outcomes.join(", ")
            },
        );
        let drops: Vec<String> = self
            .drops()
            .iter()
            .map(|(reason, r)| format!("{reason} {}/s", rate(*r)))
            .collect();
        let dropped = show::number(self.now.sum("backroom_dropped_items_total") as u64);
        line(
            "dropped",
            format!(
                "{}{dropped} in all",
                drops.iter().map(|d| format!("{d}, ")).collect::<String>()
            ),
        );
        if let Some(resident) = self.now.get("process_resident_memory_bytes") {
            let cpu = self.rate("process_cpu_seconds_total") * 100.0;
            line(
                "process",
                format!(
                    "{} resident, {cpu:.1} % of a core",
                    show::bytes(resident as u64)
                ),
            );
        }
        out
    }
}

/// How a destination stands.
#[derive(Clone, Copy, Debug)]
struct Destination {
    is_up: bool,
    /// In sealed batches, about.
    waiting_items: u64,
    waiting_bytes: u64,
    oldest_seconds: f64,
    delivered_per_second: f64,
}

impl Destination {
    fn json(&self) -> Value {
        json!({
            "up": self.is_up,
            "waiting_items": self.waiting_items,
            "waiting_bytes": self.waiting_bytes,
            "oldest_item_age_seconds": self.oldest_seconds,
            "delivered_per_second": self.delivered_per_second,
        })
    }

    fn text(&self) -> String {
        let state = if self.is_up { "up" } else { "DOWN" };
        let mut text = format!("{state}, {} items/s", rate(self.delivered_per_second));
        if self.waiting_items > 0 {
            text += &format!(
                ", {} waiting, {}, oldest {}",
                show::count(self.waiting_items, "item"),
                show::bytes(self.waiting_bytes),
                seconds(self.oldest_seconds)
            );
        }
        text
    }
}

fn rate(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.1}"),
        value => show::number(value.round() as u64),
    }
}

fn seconds(value: f64) -> String {
    // A year is as good as never.
    match value {
        value if value < 31_536_000.0 => show::duration(Duration::from_secs_f64(value.max(0.0))),
        _ => "more than a year".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(accepted: u64, delivered: u64, slow: u64) -> String {
        format!(
            "# HELP backroom_backlog_items x\nbackroom_backlog_items 600\nbackroom_backlog_bytes 2048\n\
             backroom_accepted_items_total{{signal=\"traces\"}} {accepted}\n\
             backroom_delivered_items_total{{signal=\"traces\"}} {delivered}\n\
             backroom_dropped_items_total{{signal=\"logs\",reason=\"too_old\"}} {slow}\n\
             backroom_fsync_seconds_bucket{{le=\"0.001\"}} 98\n\
             backroom_fsync_seconds_bucket{{le=\"0.5\"}} {}\n\
             backroom_fsync_seconds_bucket{{le=\"+Inf\"}} {}\n\
             backroom_destination_waiting_items{{destination=\"endpoint\"}} 0\n\
             backroom_destination_waiting_items{{destination=\"audit\"}} 600\n\
             backroom_destination_waiting_bytes{{destination=\"audit\"}} 2048\n\
             backroom_destination_oldest_item_age_seconds{{destination=\"audit\"}} 90\n\
             backroom_destination_delivered_items_total{{destination=\"audit\"}} {delivered}\n\
             backroom_destination_reachable{{destination=\"audit\"}} 0\n\
             backroom_destination_up 0\nbackroom_buffer_full_in_seconds +Inf\nnonsense\n",
            98 + slow,
            98 + slow
        )
    }

    #[test]
    fn two_pages_give_rates_and_times() {
        let start = Instant::now();
        let before = Sample::read(start, &page(100, 0, 0)).expect("ours");
        let now = Sample::read(start + Duration::from_secs(2), &page(120, 80, 2)).expect("ours");
        let view = View::new(&before, &now);
        let json = view.json();
        assert_eq!(json["signals"]["traces"]["accepted_per_second"], 10.0);
        assert_eq!(json["signals"]["traces"]["delivered_per_second"], 40.0);
        assert_eq!(json["drain_seconds"], 20.0);
        assert_eq!(json["full_in_seconds"], Value::Null);
        assert_eq!(json["destination_up"], false);
        assert_eq!(json["fsync_p99_seconds"], 0.5, "of the two since then");
        assert_eq!(json["dropped_per_second"]["too_old"], 1.0);
        let text = view.text("here");
        assert!(
            text.contains("DOWN") && text.contains("gone in 20.0s"),
            "{text}"
        );
        let audit = &json["destinations"]["audit"];
        assert_eq!(
            (&audit["up"], &audit["waiting_items"]),
            (&false.into(), &600.into())
        );
        assert_eq!(audit["delivered_per_second"], 40.0);
        assert!(
            text.contains("  audit     DOWN, 40 items/s, 600 items waiting, 2.00KiB, oldest")
                && text.contains("  endpoint  up, 0.0 items/s\n"),
            "{text}"
        );
        // Started anew between the two looks.
        let again = View::new(&now, &before);
        assert_eq!(
            again.signal_rate("accepted_items_total", Signal::Traces),
            100.0 / again.seconds
        );
    }

    #[test]
    fn the_line_in_use_is_told() {
        let check = |lines: &str, expect: Option<&str>| {
            let page = format!("backroom_backlog_items 0\n{lines}");
            let sample = Sample::read(Instant::now(), &page).expect("ours");
            assert_eq!(View::new(&sample, &sample).link().as_deref(), expect);
        };
        let both = "backroom_link_active{link=\"lte\"} 1\nbackroom_link_active{link=\"wire\"} 0\n";
        let open = "backroom_link_open{link=\"lte\"}";
        let budget = "backroom_link_budget_bytes{link=\"lte\"} 1048576\nbackroom_link_budget_used_bytes{link=\"lte\"} 2048\nbackroom_link_budget_end_time_seconds{link=\"lte\"} 1767225600\n";
        check("", None);
        check(
            "backroom_link_active{link=\"lte\"} 0\n",
            Some("no profile holds"),
        );
        check(&format!("{both}{open} 2\n"), Some("lte: everything may go"));
        check(
            &format!("{both}{open} 0\n{budget}"),
            Some("lte: NOTHING MAY GO, 2.00KiB of 1.00MiB until 2026-01-01T00:00:00.000Z"),
        );
    }

    #[test]
    fn a_page_of_somebody_else_is_told() {
        assert!(Sample::read(Instant::now(), "go_goroutines 7\n").is_none());
        assert!(Sample::read(Instant::now(), "<html>").is_none());
    }
}
