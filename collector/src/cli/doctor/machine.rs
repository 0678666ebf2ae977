//! What belongs to the machine: clock, disk, the buffer's lock, addresses to listen on.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;

use super::{Finding, Patient};
use crate::{
    cli::{own_endpoint, show},
    env::{Disk as _, Env as _, File as _, Open},
    shell::{LOCK_FILE, RESERVE_FILE, fetch},
};

/// Syncs that are timed, and the bytes of each: a group commit of a busy store.
const SYNCS: usize = 20;
const SYNC_BYTES: usize = 64 * 1024;

/// All syncs together take no longer.
const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

/// A sync that takes longer is felt by senders: each acknowledgement waits for one.
const SYNC_SLOW: Duration = Duration::from_millis(100);

/// Longest wait for an answer of this machine.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// The years in which this program can be run.
const YEAR_SECONDS: std::ops::Range<u64> = 1_735_689_600..4_102_444_800;

/// Whether the clock is in this century.
pub(super) fn clock(patient: &Patient) -> Finding {
    let now = patient.env.unix_time();
    let shown = show::instant(now.as_nanos() as u64).unwrap_or_else(|| format!("{now:?}"));
    if YEAR_SECONDS.contains(&now.as_secs()) {
        return Finding::ok("clock", shown);
    }
    let way_out =
        "set it (timedatectl, chrony): ages, times to live and the times of items go by it";
    Finding::wrong("clock", format!("it says {shown}"), way_out)
}

/// The folder, or the nearest one above it that exists.
fn existing(dir: &Path) -> Option<PathBuf> {
    let start = match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    };
    let mut above = start.ancestors();
    let found = above.find(|path| !path.as_os_str().is_empty() && path.is_dir());
    found
        .map(Path::to_owned)
        .or_else(|| start.is_relative().then(|| PathBuf::from(".")))
}

/// Whether the buffer's folder can be written, how fast it syncs, and whether there is room for what may come.
pub(super) async fn disk(patient: &Patient) -> Vec<Finding> {
    let dir = &patient.config.buffer.dir;
    let shown = dir.display();
    let Some(at) = existing(dir) else {
        return vec![Finding::wrong(
            "disk",
            format!("{shown}: no such folder"),
            "set buffer.dir",
        )];
    };
    let mut findings = Vec::new();
    match tokio::time::timeout(SYNC_TIMEOUT, time_syncs(patient, &at)).await {
        Ok(Ok(mut times)) => {
            times.sort_unstable();
            let (p50, p99) = (times[times.len() / 2], times[times.len() - 1]);
            let found = format!(
                "{}: a sync of 64 KiB takes {p50:.1?} (p50), {p99:.1?} (slowest of {SYNCS})",
                at.display()
            );
            findings.push(match p50 > SYNC_SLOW {
                true => Finding::note("disk", found, "senders wait for a sync: use a disk with a write cache that keeps its word, or durability = \"os\" at the risk of a loss of power"),
                false => Finding::ok("disk", found),
            });
        }
        Ok(Err(error)) => {
            let way_out = "let the collector's user write there, or set buffer.dir";
            findings.push(Finding::wrong(
                "disk",
                format!("write to {}: {error}", at.display()),
                way_out,
            ));
        }
        Err(_) => {
            let found = format!(
                "{}: {SYNCS} syncs took more than {SYNC_TIMEOUT:?}",
                at.display()
            );
            findings.push(Finding::wrong(
                "disk",
                found,
                "look for a failing or overloaded disk (dmesg, iostat)",
            ));
        }
    }
    findings.extend(room(patient, &at).await);
    findings
}

/// The times of some syncs of a file that nobody sees: its name is gone before the first byte is written.
async fn time_syncs(patient: &Patient, at: &Path) -> io::Result<Vec<Duration>> {
    let disk = patient.env.disk();
    let path = at.join(format!(".backroom-doctor-{}", std::process::id()));
    let file = disk.open(&path, Open::CreateNew).await?;
    disk.remove_file(&path).await?;
    let data = Bytes::from(vec![0x5a; SYNC_BYTES]);
    let mut times = Vec::with_capacity(SYNCS);
    for index in 0..SYNCS {
        file.write_at((index * SYNC_BYTES) as u64, data.clone())
            .await?;
        let start = tokio::time::Instant::now();
        file.sync().await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Free space against what the quota still allows, and free inodes.
async fn room(patient: &Patient, at: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let disk = patient.env.disk();
    let quota = patient.config.buffer.disk.0;
    let entries = disk.read_dir(&patient.config.buffer.dir).await;
    let entries = entries.unwrap_or_default();
    let used: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let reserve = entries.iter().filter(|entry| entry.name == RESERVE_FILE);
    let reserve: u64 = reserve.map(|entry| entry.bytes).sum();
    match disk.free_bytes(at).await {
        Ok(free) => findings.push(room_for(free, used, reserve, quota)),
        Err(error) => {
            findings.push(Finding::wrong(
                "room",
                format!("ask {}: {error}", at.display()),
                "look at the file system",
            ));
        }
    }
    // Few file systems count inodes; the buffer needs a few hundred.
    let path = at.to_owned();
    let inodes = patient
        .env
        .compute(move || rustix::fs::statvfs(&path))
        .await;
    if let Ok(stat) = inodes
        && stat.f_files > 0
        && stat.f_favail < 1000
    {
        let found = format!("{} inodes free", stat.f_favail);
        findings.push(Finding::wrong(
            "room",
            found,
            "remove small files: the buffer needs some hundred",
        ));
    }
    findings
}

/// What `free` bytes on the file system say of a buffer that uses `used` bytes of its quota, `reserve` of them for its reserve.
fn room_for(free: u64, used: u64, reserve: u64, quota: u64) -> Finding {
    let found = format!(
        "{} free, the buffer uses {} of {}",
        show::bytes(free),
        show::bytes(used),
        show::bytes(quota)
    );
    // More than its quota: that was lowered, or something else was put there. No room on the disk helps against that. The reserve
    // holds nothing, and a start gives it the size that belongs to the quota.
    let kept = used.saturating_sub(reserve);
    if kept > quota {
        return Finding::wrong(
            "room",
            found,
            format!(
                "it is over its quota by {}: until that much is delivered, what buffer.on_full says is done with what comes; \
                 set buffer.disk to more than {}, or let it drain",
                show::bytes(kept - quota),
                show::bytes(kept)
            ),
        );
    }
    let wanted = quota.saturating_sub(used);
    match free < wanted {
        true => Finding::wrong(
            "room",
            found,
            format!(
                "it may want {} more: make room, or set buffer.disk to {} at most",
                show::bytes(wanted),
                show::bytes(used + free / 10 * 9)
            ),
        ),
        false => Finding::ok("room", found),
    }
}

/// Whether somebody has the buffer.
pub(super) async fn lock(patient: &Patient) -> Finding {
    if patient.is_running {
        return Finding::ok("collector", "runs, and has the buffer");
    }
    let path = patient.config.buffer.dir.join(LOCK_FILE);
    // Asking for a lock would make the file where there is none.
    if !path.exists() {
        return Finding::ok("collector", "does not run, and never did on this buffer");
    }
    match patient.env.disk().lock(&path).await {
        Ok(_) => Finding::ok("collector", "does not run; the buffer is free"),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Finding::wrong(
            "collector",
            "a process has the buffer, and does not answer",
            "run this as the collector's user; if it hangs, stop it (the buffer stays whole)",
        ),
        Err(error) => Finding::note(
            "collector",
            format!("lock {}: {error}", path.display()),
            "on a file system without locks, see to it that one collector at a time uses the buffer",
        ),
    }
}

/// Whether the addresses are free, or ours.
pub(super) async fn addresses(patient: &Patient) -> Vec<Finding> {
    let listen = &patient.config.listen;
    let mut findings = Vec::new();
    if let Some(address) = listen.http {
        findings.push(address_of(patient, "listen.http", address).await);
    }
    if let Some(address) = listen.grpc {
        findings.push(address_of(patient, "listen.grpc", address).await);
    }
    findings
}

async fn address_of(patient: &Patient, name: &'static str, address: SocketAddr) -> Finding {
    match patient.env.listen(address).await {
        Ok(_) if patient.is_running => Finding::wrong(
            name,
            format!("{address} is free, though a collector runs"),
            "does it run with another configuration? compare `run --print-config`",
        ),
        Ok(_) => Finding::ok(name, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            in_use(patient, name, address).await
        }
        Err(error) => Finding::wrong(
            name,
            format!("listen on {address}: {error}"),
            format!(
                "set {name} to an address of this machine, and a port above 1024 unless it may use lower ones"
            ),
        ),
    }
}

/// Who has an address: the collector, or a stranger.
async fn in_use(patient: &Patient, name: &'static str, address: SocketAddr) -> Finding {
    if !patient.is_running {
        return taken(name, address);
    }
    let tls = patient.config.listen.tls.as_ref();
    let endpoint = own_endpoint(address, tls);
    if let Some(tls) = tls
        && let Err(error) = fetch::certificates(&patient.env, &endpoint, ASK_TIMEOUT).await
    {
        let cert = tls.cert.display();
        return Finding::wrong(
            name,
            format!("{address} does not show the certificate in {cert}: {error}"),
            format!(
                "a collector that runs takes a new file within seconds; else another process has the address: find it with `ss -ltnp`, or set {name} to a free one"
            ),
        );
    }
    let seems = || match tls {
        Some(_) => Finding::ok(name, format!("{address} shows our certificate")),
        None => Finding::ok(
            name,
            format!("{address} is taken, by the collector it seems"),
        ),
    };
    if name != "listen.http" {
        return seems();
    }
    match fetch::get(&patient.env, &endpoint, "/healthz", ASK_TIMEOUT).await {
        Ok(answer) if answer.status() == 200 => {
            let over = if tls.is_some() { " over TLS" } else { "" };
            Finding::ok(name, format!("{address} answers{over}, healthy"))
        }
        Ok(answer) => {
            let words = String::from_utf8_lossy(answer.body()).trim().to_owned();
            Finding::wrong(
                name,
                format!("{address} answers {}: {words}", answer.status()),
                "see /healthz and the collector's log",
            )
        }
        Err(_) if tls.is_some_and(|tls| tls.client_ca.is_some()) => Finding::ok(
            name,
            format!(
                "{address} shows our certificate; how it is, it tells to those with a certificate of listen.tls.client_ca only"
            ),
        ),
        Err(_) => seems(),
    }
}

fn taken(name: &'static str, address: SocketAddr) -> Finding {
    Finding::wrong(
        name,
        format!("{address} is taken by another process"),
        format!("find it with `ss -ltnp`, or set {name} to a free address"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn a_buffer_over_its_quota_is_told_whatever_the_disk_has_free() {
        const MIB: u64 = 1 << 20;
        let check = |free: u64, used: u64, quota: u64, level: Level, way_out: &str| {
            let finding = room_for(free, used, MIB, quota);
            assert_eq!(finding.level, level, "{finding:?}");
            let told = finding.way_out.unwrap_or_default();
            assert!(told.contains(way_out), "{told}");
        };
        check(100 * MIB, 3 * MIB, 10 * MIB, Level::Ok, "");
        check(0, 10 * MIB, 10 * MIB, Level::Ok, "");
        // The reserve of a larger quota alone.
        check(0, 11 * MIB, 10 * MIB, Level::Ok, "");
        check(6 * MIB, 3 * MIB, 10 * MIB, Level::Wrong, "it may want ");
        for free in [0, 100 * MIB, u64::MAX] {
            let over = "it is over its quota by ";
            check(free, 11 * MIB + 1, 10 * MIB, Level::Wrong, over);
        }
    }
}
