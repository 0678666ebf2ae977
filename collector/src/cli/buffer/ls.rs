//! `buffer ls`: the files, or with `--batches` what waits in them.

use serde_json::json;

use super::{Filter, Here};
use crate::{
    cli::{
        exit, put,
        show::{self, Table},
    },
    core::spool::FileKind,
    otlp::Signal,
    shell::{
        BUDGET_FILE, LOCK_FILE, RESERVE_FILE,
        control::CONTROL_FILE,
        handling::LEDGER_FILE,
        inspect::{At, Stored, Survey},
    },
};

/// List the files of the buffer, or its batches.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One line a batch instead of one a file.
    #[arg(long)]
    batches: bool,
    #[command(flatten)]
    filter: Filter,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
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
    let stored: Vec<&Stored> = survey
        .stored
        .iter()
        .filter(|stored| selection.touches(&stored.header))
        .collect();
    match (args.batches, args.json) {
        (true, true) => stored.iter().for_each(|stored| put(&batch_json(stored))),
        (true, false) => batches(&stored, now),
        (false, json) => files(&survey, &stored, now, json),
    }
    exit::OK
}

/// Where a batch is: its file and offset, or the journal.
fn place(stored: &Stored) -> String {
    match &stored.at {
        At::Segment(place) => format!("{:016x}.batches@{}", place.file, place.offset),
        At::Journal(_) => "journal".to_owned(),
    }
}

fn batch_json(stored: &Stored) -> String {
    let header = &stored.header;
    let value = json!({
        "batch": header.range.to_string(),
        "class": header.range.class.as_str(),
        "signal": header.range.signal.name(),
        "items": header.range.count,
        "bytes": header.payload_bytes,
        "raw_bytes": header.raw_bytes,
        "born_min": show::instant(header.born_min),
        "born_max": show::instant(header.born_max),
        "place": place(stored),
    });
    format!("{value}\n")
}

fn batches(stored: &[&Stored], now: u64) {
    let mut table = Table::new(&["BATCH", ">ITEMS", ">BYTES", ">RAW", ">AGE", "PLACE"]);
    for stored in stored {
        let header = &stored.header;
        table.row([
            header.range.to_string(),
            show::number(header.range.count),
            show::bytes(header.payload_bytes.into()),
            show::bytes(header.raw_bytes.into()),
            show::age(now, header.born_min),
            place(stored),
        ]);
    }
    put(&table.to_string());
    let items = stored.iter().map(|stored| stored.header.range.count).sum();
    let batches = show::count(stored.len() as u64, "batch");
    put(&format!("{batches}, {}\n", show::count(items, "item")));
}

/// What waits in one file.
#[derive(Default)]
struct Waiting {
    batches: u64,
    items: [u64; 3],
    oldest: Option<u64>,
}

impl Waiting {
    fn of<'a>(stored: impl Iterator<Item = &'a &'a Stored>) -> Self {
        let mut waiting = Self::default();
        for stored in stored {
            let header = &stored.header;
            waiting.batches += 1;
            waiting.items[header.range.signal.index()] += header.range.count;
            let oldest = waiting.oldest.unwrap_or(u64::MAX).min(header.born_min);
            waiting.oldest = Some(oldest);
        }
        waiting
    }
}

fn files(survey: &Survey, stored: &[&Stored], now: u64, as_json: bool) {
    let heads = [
        "FILE", ">BYTES", ">BATCHES", ">TRACES", ">METRICS", ">LOGS", ">OLDEST", "STATE",
    ];
    let mut table = Table::new(&heads);
    for file in &survey.files {
        let kind = file.id.map(|id| id.kind);
        let waiting = Waiting::of(stored.iter().filter(|stored| match (&stored.at, file.id) {
            (At::Segment(place), Some(id)) => {
                id.kind == FileKind::Batches && id.number == place.file
            }
            _ => false,
        }));
        let state = match kind {
            Some(FileKind::Batches) if waiting.batches > 0 => "waiting",
            Some(FileKind::Batches) => "finished",
            Some(FileKind::Journal) => "journal",
            Some(FileKind::Quarantine) => "quarantine",
            None => match file.name.as_str() {
                CONTROL_FILE => "control",
                LEDGER_FILE => "imports",
                BUDGET_FILE => "budget",
                LOCK_FILE => "lock",
                RESERVE_FILE => "reserve",
                _ => "other",
            },
        };
        if as_json {
            let items = Signal::ALL.map(|signal| (signal.name(), waiting.items[signal.index()]));
            let value = json!({
                "file": file.name,
                "bytes": file.bytes,
                "disk_bytes": file.disk_bytes,
                "state": state,
                "batches": waiting.batches,
                "frames": file.frames,
                "items": items.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
                "oldest": waiting.oldest.and_then(show::instant),
            });
            put(&format!("{value}\n"));
            continue;
        }
        let is_batches = kind == Some(FileKind::Batches);
        let only = |text: String| if is_batches { text } else { "-".to_owned() };
        let [traces, metrics, logs] = waiting.items.map(show::number).map(only);
        table.row([
            file.name.clone(),
            show::bytes(file.bytes),
            only(format!("{}/{}", waiting.batches, file.frames)),
            traces,
            metrics,
            logs,
            show::age(now, waiting.oldest.unwrap_or(0)),
            state.to_owned(),
        ]);
    }
    if as_json {
        return;
    }
    put(&table.to_string());
    let journal = Waiting::of(stored.iter().filter(|s| matches!(s.at, At::Journal(_))));
    if journal.batches > 0 {
        let items = show::count(journal.items.iter().sum(), "item");
        put(&format!(
            "{items} not in a batch yet, in the journals only\n"
        ));
    }
}
