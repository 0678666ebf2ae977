//! `buffer stat`: what waits, by class, and what the disk gives.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Filter, Here};
use crate::{
    cli::{
        exit, put,
        show::{self, Table},
    },
    core::{
        accounting::DropReason,
        class::ClassName,
        spool::{FileKind, Limits, RouteStat},
    },
    env::{Disk as _, Env as _},
    otlp::Signal,
    shell::inspect::{At, Stored, Survey},
};

/// Sum up what waits, by class, and what the disk gives.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Sums over batches.
#[derive(Clone, Copy, Default)]
struct Sum {
    batches: u64,
    items: u64,
    bytes: u64,
    raw_bytes: u64,
    oldest: Option<u64>,
    newest: Option<u64>,
}

impl Sum {
    fn of<'a>(stored: impl Iterator<Item = &'a Stored>) -> Self {
        let mut sum = Self::default();
        for stored in stored {
            let header = &stored.header;
            sum.batches += 1;
            sum.items += header.range.count;
            sum.bytes += u64::from(header.payload_bytes);
            sum.raw_bytes += u64::from(header.raw_bytes);
            sum.oldest = Some(sum.oldest.unwrap_or(u64::MAX).min(header.born_min));
            sum.newest = sum.newest.max(Some(header.born_max));
        }
        sum
    }

    fn json(&self) -> Value {
        json!({
            "batches": self.batches,
            "items": self.items,
            "bytes": self.bytes,
            "raw_bytes": self.raw_bytes,
            "oldest": self.oldest.and_then(show::instant),
            "newest": self.newest.and_then(show::instant),
        })
    }

    fn row(&self, name: &str, now: u64) -> [String; 7] {
        [
            name.to_owned(),
            show::number(self.batches),
            show::number(self.items),
            show::bytes(self.bytes),
            show::bytes(self.raw_bytes),
            show::age(now, self.oldest.unwrap_or(0)),
            show::age(now, self.newest.unwrap_or(0)),
        ]
    }
}

pub(super) async fn run(here: &Here, args: &Args) -> u8 {
    let now = here.now();
    let selection = match args.filter.selection(now) {
        Ok(selection) => selection,
        Err(code) => return code,
    };
    let survey = match here.survey().await {
        Ok(survey) => survey,
        Err(code) => return code,
    };
    let free = here.env.disk().free_bytes(&survey.dir).await.ok();
    let selected = || {
        let stored = survey.stored.iter();
        stored.filter(|stored| selection.touches(&stored.header))
    };
    let signals = Signal::ALL.map(|signal| {
        let of_signal = selected().filter(|stored| stored.header.range.signal == signal);
        (signal, Sum::of(of_signal))
    });
    let limits = Limits::new(&here.config);
    // Those of the configuration, and those that are stored though it does not know them any more.
    let configured = limits.classes.iter().map(|class| class.name);
    let stored_classes = survey.stored.iter().map(|stored| stored.header.range.class);
    let names: BTreeSet<ClassName> = configured.chain(stored_classes).collect();
    let classes: Vec<(ClassName, Sum)> = names
        .into_iter()
        .map(|class| {
            let of_class = selected().filter(|stored| stored.header.range.class == class);
            (class, Sum::of(of_class))
        })
        .collect();
    let total = Sum::of(selected());
    let journal = Sum::of(selected().filter(|stored| matches!(stored.at, At::Journal(_))));
    let of_kind = |kind: Option<FileKind>| -> u64 {
        let files = survey.files.iter();
        let files = files.filter(|file| file.id.map(|id| id.kind) == kind);
        files.map(|file| file.disk_bytes).sum()
    };
    let report = &survey.report;
    let (store, boot) = survey.identity;
    let damaged: u64 = report.damaged_items.iter().sum();
    if args.json {
        let object =
            |sums: &mut dyn Iterator<Item = (String, Value)>| Value::Object(sums.collect());
        let by_signal = object(
            &mut signals
                .iter()
                .map(|(s, sum)| (s.name().to_owned(), sum.json())),
        );
        let by_class = object(&mut classes.iter().map(|(c, sum)| (c.to_string(), sum.json())));
        let value = json!({
            "dir": survey.dir,
            // The boot that a start would be; the one before is the last that wrote.
            "store": format!("{store:016x}"),
            "boots": boot - 1,
            "classes": by_class,
            "signals": by_signal,
            "total": total.json(),
            "accounts": accounts_json(&survey),
            "destinations": destinations_json(&survey),
            "losses": losses_json(&survey),
            "unsealed_items": journal.items,
            "quarantined_items": survey.quarantined_items(),
            "damaged_items": damaged,
            "torn_items": report.torn_items,
            "unknown_bytes": report.unknown_bytes,
            "unreadable_files": report.unreadable,
            "disk": {
                "bytes": survey.disk_bytes(),
                "quota_bytes": limits.disk_bytes,
                "free_bytes": free,
                "batches_bytes": of_kind(Some(FileKind::Batches)),
                "journal_bytes": of_kind(Some(FileKind::Journal)),
                "quarantine_bytes": of_kind(Some(FileKind::Quarantine)),
                "other_bytes": of_kind(None),
            },
        });
        put(&format!("{value:#}\n"));
        return exit::OK;
    }
    let mut table = Table::new(&[
        "CLASS", ">BATCHES", ">ITEMS", ">BYTES", ">RAW", ">OLDEST", ">NEWEST",
    ]);
    for (class, sum) in &classes {
        table.row(sum.row(class.as_str(), now));
    }
    table.row(total.row("total", now));
    put(&format!("{table}\n{}\n", accounts(&survey)));
    if survey.routes.len() > 1 {
        put(&format!("{}\n", destinations(&survey, now)));
    }
    if !survey.losses.is_empty() {
        put(&format!("{}\n", losses(&survey)));
    }
    put(&facts(&survey, &limits, free, journal.items, damaged));
    exit::OK
}

/// What waits for each destination, in sealed batches.
fn destinations(survey: &Survey, now: u64) -> Table {
    let mut table = Table::new(&["DESTINATION", ">ITEMS", ">BYTES", ">TOO OLD", ">OLDEST"]);
    for route in &survey.routes {
        table.row([
            route.name.to_string(),
            show::number(route.waiting_items),
            show::bytes(route.waiting_bytes),
            show::number(route.late_items),
            show::age(now, route.oldest_born.unwrap_or(0)),
        ]);
    }
    table
}

fn destinations_json(survey: &Survey) -> Value {
    let destination = |route: &RouteStat| {
        let value = json!({
            "waiting_items": route.waiting_items,
            "waiting_bytes": route.waiting_bytes,
            "late_items": route.late_items,
            "oldest": route.oldest_born.and_then(show::instant),
        });
        (route.name.to_string(), value)
    };
    Value::Object(survey.routes.iter().map(destination).collect())
}

/// What is not by signal, a line each.
fn facts(
    survey: &Survey,
    limits: &Limits,
    free: Option<u64>,
    unsealed: u64,
    damaged: u64,
) -> String {
    let (store, boot) = survey.identity;
    let used = survey.disk_bytes();
    let share = used as f64 * 100.0 / limits.disk_bytes.max(1) as f64;
    let free = free.map_or_else(|| "unknown".to_owned(), show::bytes);
    let mut lines = vec![
        ("buffer", survey.dir.display().to_string()),
        (
            "store",
            format!("{store:016x}, {}", show::count(boot - 1, "start")),
        ),
        (
            "disk",
            format!(
                "{} of {} ({share:.1} %), {free} free on the file system",
                show::bytes(used),
                show::bytes(limits.disk_bytes)
            ),
        ),
    ];
    let report = &survey.report;
    let mut if_any = |name, n: u64, text: String| {
        if n > 0 {
            lines.push((name, text));
        }
    };
    let items = |n| show::count(n, "item");
    if_any(
        "unsealed",
        unsealed,
        format!("{} in the journals only", items(unsealed)),
    );
    let quarantined = survey.quarantined_items();
    if_any("quarantine", quarantined, items(quarantined));
    if_any(
        "damaged",
        damaged,
        format!("{}: see `buffer verify`", items(damaged)),
    );
    if_any(
        "torn",
        report.torn_items,
        format!("{} that were never acknowledged", items(report.torn_items)),
    );
    if_any(
        "unreadable",
        report.unknown_bytes,
        format!(
            "{} are no frame: see `buffer verify`",
            show::bytes(report.unknown_bytes)
        ),
    );
    for file in &report.unreadable {
        lines.push(("unreadable", file.clone()));
    }
    lines
        .iter()
        .map(|(name, text)| format!("{name:<12}{text}\n"))
        .collect()
}

/// What was ever accepted, and where it is: the account over all starts.
fn accounts(survey: &Survey) -> Table {
    let heads = [
        "ACCOUNT",
        ">ACCEPTED",
        ">DELIVERED",
        ">STORED",
        ">QUARANTINED",
        ">DROPPED",
    ];
    let mut table = Table::new(&heads);
    for (signal, items) in Signal::ALL.into_iter().zip(&survey.accounts) {
        let numbers = [
            items.accepted,
            items.delivered,
            items.stored,
            items.quarantined,
            items.dropped_total(),
        ];
        let name = std::iter::once(signal.name().to_owned());
        table.row(name.chain(numbers.map(show::number)));
    }
    table
}

fn accounts_json(survey: &Survey) -> Value {
    let accounts = Signal::ALL.into_iter().zip(&survey.accounts);
    let accounts = accounts.map(|(signal, items)| {
        let dropped = DropReason::ALL
            .map(|reason| (reason.name().to_owned(), json!(items.dropped_for(reason))));
        let value = json!({
            "accepted": items.accepted,
            "delivered": items.delivered,
            "stored": items.stored,
            "quarantined": items.quarantined,
            "dropped": Value::Object(dropped.into_iter().collect()),
        });
        (signal.name().to_owned(), value)
    });
    Value::Object(accounts.collect())
}

/// The loss ledger.
fn losses(survey: &Survey) -> Table {
    let mut table = Table::new(&[
        "LOST", "SIGNAL", "CLASS", "SERVICE", "REASON", ">ITEMS", "CAME IN",
    ]);
    for (key, loss) in &survey.losses {
        let born = |at| show::instant(at).unwrap_or_else(|| "-".to_owned());
        table.row([
            day(key.day),
            key.signal.name().to_owned(),
            key.class.to_string(),
            if key.service.is_empty() {
                "-".to_owned()
            } else {
                show::clean(&key.service)
            },
            key.reason.name().to_owned(),
            show::number(loss.items),
            format!("{} to {}", born(loss.born_min), born(loss.born_max)),
        ]);
    }
    table
}

fn losses_json(survey: &Survey) -> Value {
    let losses = survey.losses.iter().map(|(key, loss)| {
        json!({
            "day": day(key.day),
            "signal": key.signal.name(),
            "class": key.class.as_str(),
            "service": key.service,
            "reason": key.reason.name(),
            "items": loss.items,
            "born_min": show::instant(loss.born_min),
            "born_max": show::instant(loss.born_max),
            "first_at": show::instant(loss.first_at),
            "last_at": show::instant(loss.last_at),
        })
    });
    Value::Array(losses.collect())
}

/// A day of the ledger; `before` for what is older than its rows.
fn day(day: u32) -> String {
    const DAY_NANOS: u64 = 86_400 * 1_000_000_000;
    let instant = show::instant(u64::from(day).saturating_mul(DAY_NANOS));
    match (day, instant) {
        (0, _) | (_, None) => "before".to_owned(),
        (_, Some(instant)) => instant.chars().take(10).collect(),
    }
}
