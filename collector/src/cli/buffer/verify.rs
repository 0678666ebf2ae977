//! `buffer verify`: every checksum, every frame, every request; a table of what is damaged.

use std::{
    collections::BTreeSet,
    io::{IsTerminal as _, Write as _},
};

use serde_json::json;

use super::Here;
use crate::{
    cli::{
        exit, fail, put,
        show::{self, Table},
    },
    core::{
        frame::Place,
        spool::{FileId, FileKind},
    },
    env::Env as _,
    shell::{
        inspect::{At, Survey},
        verify::{self, Finding, Severity, Verified},
    },
};

/// Check every checksum and every request; exits with 1 if anything is damaged.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// How often progress is drawn, in bytes read.
const PROGRESS_BYTES: u64 = 64 << 20;

pub(super) async fn run(here: &Here, args: &Args) -> u8 {
    let is_drawn = std::io::stderr().is_terminal();
    let mut drawn = 0;
    let mut progress = |done: u64, total: u64| {
        if is_drawn && done >= drawn + PROGRESS_BYTES {
            drawn = done;
            let _ = write!(
                std::io::stderr(),
                "\r{} of {} ",
                show::bytes(done),
                show::bytes(total)
            );
        }
    };
    let dir = &here.config.buffer.dir;
    let verified = match verify::verify(&here.env, dir, &mut progress).await {
        Ok(verified) => verified,
        Err(error) => {
            let message = format_args!("read buffer {}: {error}", dir.display());
            return fail(message, exit::NO_INPUT);
        }
    };
    if drawn > 0 {
        let _ = write!(std::io::stderr(), "\r{:30}\r", "");
    }
    // What a start would make of it: damage in one place may be whole in another.
    let lost = match here.survey().await {
        Ok(survey) => lost_items(here, &survey, &verified).await,
        Err(code) => return code,
    };
    let is_right = verified.damage_count() == 0 && lost == 0;
    match args.json {
        true => put(&format!("{:#}\n", as_json(&verified, lost))),
        false => put(&as_text(&verified, lost)),
    }
    if is_right { exit::OK } else { exit::FINDINGS }
}

/// Items that are gone: those that a start would miss, and those of waiting batches that a start would believe in, and whoever
/// sends them would not.
async fn lost_items(here: &Here, survey: &Survey, verified: &Verified) -> u64 {
    let damaged: BTreeSet<Place> = verified
        .findings
        .iter()
        .filter_map(|finding| {
            let id = FileId::from_name(&finding.file)?;
            (id.kind == FileKind::Batches).then_some(Place {
                file: id.number,
                offset: finding.offset,
            })
        })
        .collect();
    let mut lost = survey.report.damaged_items.iter().sum();
    for stored in &survey.stored {
        let is_suspect = matches!(stored.at, At::Segment(place) if damaged.contains(&place));
        // A frame that was being written when it was checked is whole by now.
        if is_suspect
            && let Err(error) = survey.body(here.env.disk(), stored).await
            && error.kind() == std::io::ErrorKind::InvalidData
        {
            lost += stored.header.range.count;
        }
    }
    lost
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Tail => "tail",
        Severity::Damage => "damage",
    }
}

fn as_json(verified: &Verified, lost: u64) -> serde_json::Value {
    let findings = verified.findings.iter().map(|finding| {
        json!({
            "file": finding.file,
            "offset": finding.offset,
            "bytes": finding.bytes,
            "severity": severity(finding),
            "what": finding.what,
            "batch": finding.header.filter(|h| h.range.count > 0).map(|h| h.range.to_string()),
        })
    });
    json!({
        "files": verified.files,
        "bytes": verified.bytes,
        "frames": verified.frames,
        "damage_count": verified.damage_count(),
        "lost_items": lost,
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn as_text(verified: &Verified, lost: u64) -> String {
    let mut table = Table::new(&["FILE", ">OFFSET", ">BYTES", "", "WHAT", "ITEMS"]);
    for finding in &verified.findings {
        let items = finding.header.filter(|header| header.range.count > 0);
        table.row([
            finding.file.clone(),
            finding.offset.to_string(),
            finding.bytes.to_string(),
            severity(finding).to_owned(),
            finding.what.clone(),
            items.map_or_else(|| "-".to_owned(), |header| header.range.to_string()),
        ]);
    }
    let mut out = String::new();
    if !table.is_empty() {
        out += &format!("{table}\n");
    }
    out += &format!(
        "{}, {}, {} whole",
        show::count(verified.files, "file"),
        show::bytes(verified.bytes),
        show::count(verified.frames, "frame"),
    );
    let tails = (verified.findings.len() - verified.damage_count()) as u64;
    if tails > 0 {
        out += &format!(
            "; {}: being written, or cut by a crash before it was acknowledged",
            show::count(tails, "tail")
        );
    }
    out += match (verified.damage_count(), lost) {
        (0, 0) => "; no damage\n".to_owned(),
        (damage, 0) => format!("; {damage} damaged, no stored item is lost by it\n"),
        (damage, lost) => format!(
            "; {damage} damaged, {} lost, and will be counted as dropped for `damaged`\n",
            show::count(lost, "stored item")
        ),
    }
    .as_str();
    out
}
