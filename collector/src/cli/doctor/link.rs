//! Which line profile holds here and now, and how its budget stands on disk.
//!
//! The file may be ahead of the count by what a running collector has taken in advance (`core::budget`).

use super::{Finding, Patient};
use crate::{
    cli::show,
    config::Link,
    core::{
        budget::{self, Read},
        link::{self, Gate},
    },
    env::{Disk as _, Env as _},
    shell::BUDGET_FILE,
};

/// The profile of the line that is in use; nothing where there are no profiles.
pub(super) async fn profile(patient: &Patient) -> Option<Finding> {
    let config = &patient.config;
    if config.links.is_empty() {
        return None;
    }
    let interface = patient.env.default_route();
    let seen = interface.as_deref().unwrap_or("no default route");
    let Some(link) = link::choose(config, interface.as_deref()) else {
        return Some(Finding::note(
            "link",
            format!("no profile fits {seen}: [send] holds"),
            "give a profile a `match` that fits, or none, or name one in send.link",
        ));
    };
    let zone = config
        .send
        .time_zone
        .clone()
        .unwrap_or(jiff::tz::TimeZone::UTC);
    let unix_now = patient.env.unix_time().as_secs() as i64;
    let (used, counts) = match counted(patient, link, unix_now, &zone).await {
        Ok(counted) => counted,
        Err(finding) => return Some(finding),
    };
    let found = format!("{} ({seen})", link.name);
    let found = match link::gate(link, &zone, unix_now, used) {
        Gate::Open => {
            return Some(Finding::ok(
                "link",
                format!("{found}: everything may go{counts}"),
            ));
        }
        gate if gate.is_shut() => format!("{found}: nothing may go now{counts}"),
        Gate::Only(classes) => {
            let names: Vec<String> = classes.iter().map(ToString::to_string).collect();
            format!("{found}: only {} may go now{counts}", names.join(", "))
        }
    };
    let way_out =
        "what may not go waits in the buffer; see classes, windows and budget of the profile";
    Some(Finding::note("link", found, way_out))
}

/// What counts as used of the budget, and that in words.
async fn counted(
    patient: &Patient,
    link: &Link,
    unix_now: i64,
    zone: &jiff::tz::TimeZone,
) -> Result<(u64, String), Finding> {
    let Some(plan) = &link.budget else {
        return Ok((0, String::new()));
    };
    let path = patient.config.buffer.dir.join(BUDGET_FILE);
    let read = patient
        .env
        .disk()
        .read(&path, budget::FILE_BYTES as u64)
        .await;
    let written = match read.as_deref().map(budget::decode) {
        Ok(Read::Whole(_, written)) => written,
        Ok(Read::Missing) => budget::Written::new(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => budget::Written::new(),
        Ok(Read::Damaged) => {
            let found = format!("{} is damaged: budgets count as used up", path.display());
            let way_out = "stop the collector and remove the file to begin at 0";
            return Err(Finding::wrong("link", found, way_out));
        }
        Err(error) => {
            let found = format!("read {}: {error}", path.display());
            return Err(Finding::wrong(
                "link",
                found,
                "let the collector's user read it",
            ));
        }
    };
    let (began, ends) = link::period(plan.per, zone, unix_now);
    let account = written.get(&link.name);
    let used = account
        .filter(|(period, _)| *period >= began)
        .map_or(0, |(_, used)| *used);
    let at = show::instant(ends.unsigned_abs().saturating_mul(1_000_000_000));
    let words = format!(
        ", {} of {} are used until {}",
        show::bytes(used),
        show::bytes(plan.bytes.0),
        at.unwrap_or_default()
    );
    Ok((used, words))
}
