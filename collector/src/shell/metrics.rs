//! Which metrics there are, and where their values come from. `core::metrics` writes them down; `admin` and `telemetry` ask.
//!
//! Names and labels are promises: dashboards and alert rules in `deploy/` use them, and a test compares. A new metric is one
//! entry here and one line in `docs/collector.md`.

use std::time::Duration;

use super::{
    shared::{Shared, State},
    stores,
};
use crate::{
    config::Config,
    core::{
        accounting::{DropReason, Items},
        link::Gate,
        metrics::{Counters, Family, Kind, Outcome, Reported, Tried, Value},
        spool::{ClassStat, RouteStat},
    },
    env::{Disk, Env, ProcessStats},
    otlp::Signal,
};

use Kind::{Counter, Gauge, Info};

/// How long an answer of the file system is waited for: a page without it is better than none.
const FREE_BYTES_TIMEOUT: Duration = Duration::from_secs(1);

/// What is asked of the environment for one reading.
struct Surroundings {
    unix_nanos: u64,
    free_bytes: Option<u64>,
    process: Option<ProcessStats>,
}

/// Everything that there is to tell now.
pub(super) async fn collect<E: Env>(shared: &Shared<E>) -> Vec<Family> {
    let surroundings = Surroundings {
        unix_nanos: shared.unix_nanos(),
        free_bytes: free_bytes(shared).await,
        process: shared.env.process(),
    };
    let config = shared.config();
    let now = shared.now();
    let mut state = shared.lock();
    let used = state.spool.disk_bytes();
    state.trend.look(now, used);
    let mut out = items(&state);
    out.extend(lifetime(&state));
    out.extend(intake(&state.counters));
    out.extend(buffer(&state, &config, &surroundings));
    out.extend(classes(&state, surroundings.unix_nanos));
    out.extend(disk(&state));
    out.extend(sending(&state));
    out.extend(lines(&state, &config, &surroundings));
    out.extend(destinations(&state, surroundings.unix_nanos));
    out.extend(itself(&state, &surroundings));
    let unix_seconds = surroundings.unix_nanos / 1_000_000_000;
    out.extend(stores::families(&state, &config, unix_seconds));
    // By destination, where there is none.
    out.retain(|family| !family.points.is_empty());
    out
}

/// Free space in the buffer's file system, asked for by at most one reading at a time: a helper thread that hangs in a disk
/// must not get company with every scrape.
async fn free_bytes<E: Env>(shared: &Shared<E>) -> Option<u64> {
    let asking = shared.free_bytes.clone().try_lock_owned().ok()?;
    let (env, dir) = (shared.env.clone(), shared.dir.clone());
    let task = shared.env.spawn(async move {
        let free = env.disk().free_bytes(&dir).await;
        drop(asking);
        free.ok()
    });
    tokio::time::timeout(FREE_BYTES_TIMEOUT, task)
        .await
        .ok()??
}

fn items(state: &State) -> Vec<Family> {
    type Get = fn(&Items) -> u64;
    let accounting = state.spool.accounting();
    let by_signal = |name, kind, help, get: Get| {
        Signal::ALL
            .into_iter()
            .fold(Family::new(name, kind, help), |family, signal| {
                let labels = [("signal", signal.name())];
                family.with(labels, get(accounting.items(signal)))
            })
    };
    let mut dropped = Family::new(
        "backroom_dropped_items_total",
        Counter,
        "items dropped, by reason",
    );
    for signal in Signal::ALL {
        for reason in DropReason::ALL {
            let labels = [("signal", signal.name()), ("reason", reason.name())];
            dropped = dropped.with(labels, accounting.items(signal).dropped_for(reason));
        }
    }
    vec![
        by_signal(
            "backroom_accepted_items_total",
            Counter,
            "items acknowledged to a sender, or found in the buffer at the start",
            |items| items.accepted,
        ),
        by_signal(
            "backroom_recovered_items_total",
            Counter,
            "items found in the buffer at the start",
            |items| items.recovered,
        ),
        by_signal(
            "backroom_delivered_items_total",
            Counter,
            "items taken by the destination",
            |items| items.delivered,
        ),
        by_signal(
            "backroom_quarantined_items_total",
            Counter,
            "items refused one by one and put aside",
            |items| items.quarantined + items.released,
        ),
        by_signal(
            "backroom_released_items_total",
            Counter,
            "items that left the quarantine again, of those that were put aside since the start",
            |items| items.released,
        ),
        Signal::ALL.into_iter().fold(
            Family::new(
                "backroom_quarantine_items",
                Gauge,
                "items in the quarantine, those of earlier starts included",
            ),
            |family, signal| {
                let labels = [("signal", signal.name())];
                family.with(labels, state.spool.lifetime(signal).quarantined)
            },
        ),
        dropped,
        by_signal(
            "backroom_stored_items",
            Gauge,
            "items in the buffer",
            |items| items.stored,
        ),
    ]
}

fn intake(counters: &Counters) -> Vec<Family> {
    let requests = Family::new(
        "backroom_requests_total",
        Counter,
        "requests taken in or refused, by outcome",
    );
    let requests = Outcome::ALL.iter().fold(requests, |family, outcome| {
        let count = counters.requests[*outcome as usize];
        family.with([("outcome", outcome.name())], count)
    });
    vec![
        requests,
        Family::single(
            "backroom_request_seconds",
            Kind::Histogram,
            "time from the head of a request to its answer",
            counters.request_seconds.clone(),
        ),
        Family::single(
            "backroom_connections",
            Gauge,
            "connections of senders, and of those who ask for health and metrics",
            counters.connections,
        ),
    ]
}

/// Over all starts on this buffer: what a counter of a process forgets, the loss ledger keeps.
fn lifetime(state: &State) -> Vec<Family> {
    type Get = fn(&Items) -> u64;
    let accounts = Signal::ALL.map(|signal| (signal, state.spool.lifetime(signal)));
    let by_signal = |name, help, get: Get| {
        let family = Family::new(name, Gauge, help);
        accounts.iter().fold(family, |family, (signal, items)| {
            family.with([("signal", signal.name())], get(items))
        })
    };
    let mut dropped = Family::new(
        "backroom_lifetime_dropped_items",
        Gauge,
        "items dropped over all starts, by reason",
    );
    for (signal, items) in &accounts {
        for reason in DropReason::ALL {
            let labels = [("signal", signal.name()), ("reason", reason.name())];
            dropped = dropped.with(labels, items.dropped_for(reason));
        }
    }
    vec![
        by_signal(
            "backroom_lifetime_accepted_items",
            "items acknowledged over all starts",
            |items| items.accepted,
        ),
        by_signal(
            "backroom_lifetime_delivered_items",
            "items taken by the destination over all starts",
            |items| items.delivered,
        ),
        dropped,
        Family::single(
            "backroom_lifetime_starts",
            Gauge,
            "starts of the collector on this buffer, this one included",
            state.spool.identity().1,
        ),
    ]
}

fn buffer(state: &State, config: &Config, surroundings: &Surroundings) -> Vec<Family> {
    let backlog = state.spool.backlog();
    let used = state.spool.disk_bytes();
    let quota = config.buffer.disk.0;
    let by_quota = quota.saturating_sub(used);
    let headroom = surroundings
        .free_bytes
        .map_or(by_quota, |free| free.min(by_quota));
    let oldest = state.spool.oldest_born();
    let age = oldest.map_or(0, |born| surroundings.unix_nanos.saturating_sub(born));
    let mut out = vec![
        Family::single(
            "backroom_backlog_bytes",
            Gauge,
            "stored and not acknowledged by the destination, after compression",
            backlog.bytes,
        ),
        Family::single(
            "backroom_backlog_items",
            Gauge,
            "items stored and not acknowledged by the destination",
            backlog.items,
        ),
        Family::single(
            "backroom_oldest_item_age_seconds",
            Gauge,
            "age of the oldest item stored; 0 if there is none",
            age as f64 / 1e9,
        ),
        Family::single(
            "backroom_inflight_bytes",
            Gauge,
            "bytes of requests that are being taken in",
            state.inflight_bytes,
        ),
        Family::single(
            "backroom_inflight_max_bytes",
            Gauge,
            "what they may take (listen.inflight_bytes_max)",
            config.listen.inflight_bytes_max.0,
        ),
        Family::single(
            "backroom_buffer_disk_bytes",
            Gauge,
            "what all files of the buffer take on disk, in whole blocks",
            used,
        ),
        Family::single(
            "backroom_buffer_disk_max_bytes",
            Gauge,
            "what they may take (buffer.disk)",
            quota,
        ),
        Family::single(
            "backroom_buffer_unsealed_bytes",
            Gauge,
            "requests that are in a journal and not in a sealed batch yet, before compression",
            state.spool.unsealed_bytes(),
        ),
        Family::single(
            "backroom_buffer_reserve_bytes",
            Gauge,
            "the part of these files that a full disk gives to notes of what was delivered or dropped; 0 while it is given",
            state.spool.reserve_held(),
        ),
        Family::single(
            "backroom_buffer_full_in_seconds",
            Gauge,
            "time until the buffer or its file system is full, at the growth of the last minutes; +Inf if it does not grow",
            state.trend.seconds_to_use_up(headroom),
        ),
        Family::single(
            "backroom_buffer_growth_bytes_per_second",
            Gauge,
            "net growth of the buffer's files, smoothed over five minutes",
            state.trend.bytes_per_second(),
        ),
        Family::single(
            "backroom_buffer_full",
            Gauge,
            "1 if the last request did not find room, and still would not",
            state.is_full(),
        ),
    ];
    if let Some(free) = surroundings.free_bytes {
        out.push(Family::single(
            "backroom_disk_free_bytes",
            Gauge,
            "free space in the file system of the buffer; absent if it does not answer",
            free,
        ));
    }
    out
}

/// By class; one that is not configured any more is shown until it is empty, and after that with zeros until the next start.
fn classes(state: &State, unix_nanos: u64) -> Vec<Family> {
    type Get = fn(&ClassStat, u64) -> Value;
    let families: [(&str, &str, Get); 5] = [
        (
            "backroom_class_stored_items",
            "items in the buffer, by class",
            |class, _| class.items.into(),
        ),
        (
            "backroom_class_stored_bytes",
            "stored and not acknowledged by the destination, after compression, by class",
            |class, _| class.payload_bytes.into(),
        ),
        (
            "backroom_class_disk_bytes",
            "what sealed segments take on disk, by class",
            |class, _| class.disk_bytes.into(),
        ),
        (
            "backroom_class_disk_max_bytes",
            "what they may take at present; classes without a quota share one part",
            |class, _| class.share_bytes.into(),
        ),
        (
            "backroom_class_oldest_item_age_seconds",
            "age of the oldest item stored, by class; 0 if there is none",
            |class, now| {
                let age = class.oldest_born.map_or(0, |born| now.saturating_sub(born));
                (age as f64 / 1e9).into()
            },
        ),
    ];
    let stats: Vec<ClassStat> = state.spool.classes().collect();
    let family = |(name, help, get): (_, _, Get)| {
        let mut family = Family::new(name, Gauge, help);
        for class in &stats {
            let labels = [("class", class.limits.name.to_string().into())];
            family.push(labels, get(class, unix_nanos));
        }
        family
    };
    families.map(family).into()
}

/// By destination. What waits is counted in sealed batches.
fn destinations(state: &State, unix_nanos: u64) -> Vec<Family> {
    type Get = fn(&RouteStat, u64) -> Value;
    let families: [(&str, Kind, &str, Get); 5] = [
        (
            "backroom_destination_delivered_items_total",
            Counter,
            "items that a destination took",
            |route, _| route.delivered_total().into(),
        ),
        (
            "backroom_destination_waiting_items",
            Gauge,
            "items in sealed batches that a destination does not have, about",
            |route, _| route.waiting_items.into(),
        ),
        (
            "backroom_destination_waiting_bytes",
            Gauge,
            "the same in bytes after compression",
            |route, _| route.waiting_bytes.into(),
        ),
        (
            "backroom_destination_late_items",
            Gauge,
            "the part of the waiting items that is too old for it (max_age), about",
            |route, _| route.late_items.into(),
        ),
        (
            "backroom_destination_oldest_item_age_seconds",
            Gauge,
            "age of the oldest item that waits for a destination; 0 if there is none",
            |route, now| {
                let age = route.oldest_born.map_or(0, |born| now.saturating_sub(born));
                (age as f64 / 1e9).into()
            },
        ),
    ];
    let stats: Vec<RouteStat> = state.spool.routes(unix_nanos).collect();
    let family = |(name, kind, help, get): (_, _, _, Get)| {
        let mut family = Family::new(name, kind, help);
        for route in &stats {
            let labels = [("destination", route.name.to_string().into())];
            family.push(labels, get(route, unix_nanos));
        }
        family
    };
    let mut out: Vec<Family> = families.map(family).into();
    let help = "1 unless this destination failed last";
    let mut reachable = Family::new("backroom_destination_reachable", Gauge, help);
    for outlet in &state.outlets {
        let labels = [("destination", outlet.name().to_string().into())];
        reachable.push(labels, Value::from(!outlet.destination.is_down()));
    }
    out.push(reachable);
    out
}

fn disk(state: &State) -> Vec<Family> {
    let counters = &state.counters;
    vec![
        Family::single(
            "backroom_disk_ok",
            Gauge,
            "1 unless the disk failed last",
            state.disk_error().is_none(),
        ),
        Family::single(
            "backroom_fsync_seconds",
            Kind::Histogram,
            "time of each fsync",
            counters.fsync_seconds.clone(),
        ),
        Family::single(
            "backroom_commit_bytes",
            Kind::Histogram,
            "bytes written by each group commit",
            counters.commit_bytes.clone(),
        ),
        Family::single(
            "backroom_commit_requests",
            Kind::Histogram,
            "requests made durable by each group commit",
            counters.commit_requests.clone(),
        ),
    ]
}

fn sending(state: &State) -> Vec<Family> {
    let counters = &state.counters;
    let attempts = Family::new(
        "backroom_send_attempts_total",
        Counter,
        "requests sent, by what the answer meant; path, suspended and codec are tried again",
    );
    let attempts = Tried::ALL.iter().fold(attempts, |family, tried| {
        let count = counters.attempts[*tried as usize];
        family.with([("verdict", tried.name())], count)
    });
    let mut out = vec![
        Family::single(
            "backroom_destination_up",
            Gauge,
            "1 unless a destination failed last",
            !state.is_down(),
        ),
        Family::single(
            "backroom_destination_outages_total",
            Counter,
            "how often the destination went down",
            counters.outages,
        ),
        Family::single(
            "backroom_destination_inflight_requests",
            Gauge,
            "requests under way to the destination",
            state.inflight() as u64,
        ),
        Family::single(
            "backroom_destination_inflight_max_requests",
            Gauge,
            "requests that may be under way",
            state.inflight_max() as u64,
        ),
        attempts,
        Family::single(
            "backroom_send_seconds",
            Kind::Histogram,
            "time from the start of a request to the destination's answer",
            counters.answer_seconds.clone(),
        ),
        Family::single(
            "backroom_sent_wire_bytes_total",
            Counter,
            "bytes sent on the wire, headers of HTTP, TCP and IPv4 included",
            counters.wire_bytes,
        ),
    ];
    if let Some(rate) = state.pacer.rate() {
        out.push(Family::single(
            "backroom_send_rate_bytes_per_second",
            Gauge,
            "what is sent at most on the wire; absent where there is no limit",
            rate as u64,
        ));
    }
    if let Some(bytes) = state.body_bytes_max() {
        out.push(Family::single(
            "backroom_send_body_max_bytes",
            Gauge,
            "largest body that the line is known to take; absent where nothing is known against any",
            bytes,
        ));
    }
    out
}

/// By line profile; nothing where there is none.
fn lines(state: &State, config: &Config, surroundings: &Surroundings) -> Vec<Family> {
    let unix_now = (surroundings.unix_nanos / 1_000_000_000) as i64;
    let gauge = |name, help| Family::new(name, Gauge, help);
    let mut active = gauge(
        "backroom_link_active",
        "1 for the line profile that holds, 0 for the others",
    );
    let mut open = gauge(
        "backroom_link_open",
        "what may go over the line that is in use: 2 everything, 1 some classes, 0 nothing",
    );
    let mut budget = gauge(
        "backroom_link_budget_bytes",
        "what the line may be used for in a period",
    );
    let mut used = gauge(
        "backroom_link_budget_used_bytes",
        "what it was used for in this period, both directions, by this collector",
    );
    let mut ends = gauge(
        "backroom_link_budget_end_time_seconds",
        "when the period ends, since 1970",
    );
    for link in &config.links {
        let labels = || [("link", link.name.to_string().into())];
        let is_active = state.links.active() == Some(link.name);
        active.push(labels(), Value::from(is_active));
        if is_active {
            let how = match state.spool.gate() {
                Gate::Open => 2_u64,
                gate if gate.is_shut() => 0,
                Gate::Only(_) => 1,
            };
            open.push(labels(), how);
        }
        if let Some(standing) = state.links.standing(config, link, unix_now) {
            budget.push(labels(), standing.bytes);
            used.push(labels(), standing.used);
            ends.push(labels(), standing.ends as f64);
        }
    }
    let mut out = vec![active, open, budget, used, ends];
    if config.compress.is_auto {
        out.push(Family::single(
            "backroom_compress_level",
            Gauge,
            "level of the batch sealed last, where compress.codec leaves it open; 0 before the first one",
            state.counters.level,
        ));
    }
    out
}

fn itself(state: &State, surroundings: &Surroundings) -> Vec<Family> {
    let reports = Family::new(
        "backroom_self_reports_total",
        Counter,
        "reports of these metrics over OTLP, by outcome",
    );
    let reports = Reported::ALL.iter().fold(reports, |family, reported| {
        let count = state.counters.reports[*reported as usize];
        family.with([("outcome", reported.name())], count)
    });
    let (store, boot) = state.spool.identity();
    let mut buffer = Family::new("backroom_buffer_info", Info, "identity of the buffer");
    buffer.push(
        [
            ("store", format!("{store:016x}").into()),
            ("boot", boot.to_string().into()),
        ],
        1,
    );
    let reloads = state.reloads;
    let mut out = vec![
        reports,
        Family::single(
            "backroom_config_generation",
            Gauge,
            "configurations that were taken, the first one included",
            reloads.generation(),
        ),
        Family::single(
            "backroom_config_last_reload_ok",
            Gauge,
            "1 unless the last reload was refused",
            !reloads.is_refused,
        ),
        Family::new(
            "backroom_config_reloads_total",
            Counter,
            "reloads, by outcome",
        )
        .with([("outcome", "taken")], reloads.taken)
        .with([("outcome", "refused")], reloads.refused),
        Family::new("backroom_build_info", Info, "the program")
            .with([("version", env!("CARGO_PKG_VERSION"))], 1),
        buffer,
    ];
    if let Some(process) = surroundings.process {
        // The names that every Prometheus client library uses.
        out.extend([
            Family::single(
                "process_cpu_seconds_total",
                Counter,
                "user and system time of the process",
                process.cpu.as_secs_f64(),
            ),
            Family::single(
                "process_resident_memory_bytes",
                Gauge,
                "resident memory of the process",
                process.resident_bytes,
            ),
            Family::single(
                "process_start_time_seconds",
                Gauge,
                "start of the process since 1970",
                process.start_unix.as_secs_f64(),
            ),
            Family::single(
                "process_open_fds",
                Gauge,
                "open files and sockets of the process",
                process.open_files,
            ),
            Family::single(
                "process_max_fds",
                Gauge,
                "how many it may open",
                process.open_files_max,
            ),
        ]);
    }
    out
}
