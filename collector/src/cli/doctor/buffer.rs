//! What belongs to the buffer: whether a start would read all of it, or with `--deep` whether every byte is right.

use std::io;

use super::{Finding, Patient};
use crate::{
    cli::show,
    env::Env as _,
    shell::{inspect, verify},
};

/// What a start would say of the buffer.
pub(super) async fn integrity(patient: &Patient, deep: bool) -> Vec<Finding> {
    let dir = &patient.config.buffer.dir;
    let survey = match inspect::survey(&patient.env, &patient.config).await {
        Ok(survey) => survey,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![Finding::ok(
                "buffer",
                format!("{} is made at the first start", dir.display()),
            )];
        }
        Err(error) => {
            let way_out = "run this as the collector's user, or set buffer.dir";
            return vec![Finding::wrong(
                "buffer",
                format!("read {}: {error}", dir.display()),
                way_out,
            )];
        }
    };
    let now = patient.env.unix_time().as_nanos() as u64;
    let items: u64 = survey
        .stored
        .iter()
        .map(|stored| stored.header.range.count)
        .sum();
    let oldest = survey
        .stored
        .iter()
        .map(|stored| stored.header.born_min)
        .min();
    let mut found = format!("{} in {}", show::count(items, "item"), dir.display());
    if let Some(oldest) = oldest {
        found += &format!(", the oldest {} old", show::age(now, oldest));
    }
    let report = &survey.report;
    let lost: u64 = report.damaged_items.iter().sum();
    let mut findings = Vec::new();
    if lost > 0 || report.unknown_bytes > 0 || !report.unreadable.is_empty() {
        let what = format!(
            "{found}; {} damaged, {} unreadable, {} set aside",
            show::count(lost, "item"),
            show::bytes(report.unknown_bytes),
            show::count(report.unreadable.len() as u64, "file")
        );
        let way_out = "see `buffer verify` for where; the rest is delivered, what is lost is counted. Look at the disk (smartctl, dmesg)";
        // The end of a file that is being written is no damage.
        findings.push(match lost > 0 || !report.unreadable.is_empty() {
            true => Finding::wrong("buffer", what, way_out),
            false => Finding::note("buffer", what, way_out),
        });
    } else {
        findings.push(Finding::ok("buffer", found));
    }
    if survey.quarantined_items() > 0 {
        let found = format!(
            "{} refused by the destination",
            show::count(survey.quarantined_items(), "item")
        );
        findings.push(Finding::note(
            "quarantine",
            found,
            "`buffer quarantine ls` says why; `buffer quarantine redrive` sends them again, `buffer quarantine purge` deletes them",
        ));
    }
    if deep {
        findings.push(every_byte(patient).await);
    }
    findings
}

async fn every_byte(patient: &Patient) -> Finding {
    match verify::verify(&patient.env, &patient.config.buffer.dir, &mut |_, _| {}).await {
        Ok(verified) if verified.damage_count() == 0 => Finding::ok(
            "every byte",
            format!(
                "{} in {}, no damage",
                show::bytes(verified.bytes),
                show::count(verified.files, "file")
            ),
        ),
        Ok(verified) => Finding::wrong(
            "every byte",
            format!(
                "{} damaged",
                show::count(verified.damage_count() as u64, "place")
            ),
            "see `buffer verify` for where and what it costs; look at the disk (smartctl, dmesg)",
        ),
        Err(error) => Finding::wrong(
            "every byte",
            error.to_string(),
            "run this as the collector's user",
        ),
    }
}
