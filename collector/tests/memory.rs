//! Memory has a ceiling, however much waits on the disk and however much passes: the real binary, filled without a receiver,
//! started again, drained; and loaded both ways at once.
//!
//! `BACKROOM_BACKLOG=2GiB cargo test --release -p backroom-collector --test memory -- --nocapture` fills that much; 64 MiB
//! without it. It prints the peaks, and how long the start took.
//!
//! Only Linux tells the peak of a process: elsewhere the test says so and passes.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{collections::BTreeMap, path::Path};

use backroom_collector::{config::quantity::byte_size, env::Env};
use common::{Client, PROTOBUF, Process, Sink, env, spans};

/// What the collector may take at most, whatever it keeps.
const PEAK_MAX: u64 = 64 << 20;

const CONNECTIONS: u64 = 8;

/// Makes a request of about 50 KB.
const SPANS: u32 = 400;

#[tokio::test]
async fn memory_does_not_grow_with_the_backlog() {
    if !cfg!(target_os = "linux") {
        println!("skipped: /proc/PID/status is what tells the peak, and only Linux has it");
        return;
    }
    let backlog = backlog_bytes();
    let env = env();
    // Beside the build, because the system's own directory for temporary files may be in memory.
    let keep = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (dir, file) = (
        keep.path().join("buffer"),
        keep.path().join("collector.toml"),
    );
    let sink = Sink::closed(&env).await;

    write_config(&file, &dir, backlog, "");
    let mut process = Process::spawn(Process::command(&file));
    let load = Load::of(backlog);
    load.send(&env, &process).await;
    check_peak(&process, "filling");
    assert_eq!(process.terminate(), Some(0));
    let bytes = bytes_in(&dir);
    assert!(bytes >= backlog, "{bytes} bytes on the disk of {backlog}");

    let endpoint = format!("endpoint = \"{}\"\n", sink.url());
    write_config(&file, &dir, backlog, &endpoint);
    let began = tokio::time::Instant::now();
    let mut process = Process::spawn(Process::command(&file));
    let mut client = Client::connect(process.address).await;
    let answer = client.request("GET", "/readyz", &[], b"").await.unwrap();
    println!(
        "start: {:?} with {} MiB on the disk, /readyz says {}",
        began.elapsed(),
        bytes >> 20,
        answer.status
    );
    check_peak(&process, "the start");

    sink.listen().await;
    assert_eq!(drain(&sink, load.items()).await, load.items(), "delivered");
    check_peak(&process, "draining");
    assert_eq!(process.terminate(), Some(0));
}

/// Taking in as fast as it can, and sending at the same time.
#[tokio::test]
async fn memory_does_not_grow_with_the_load() {
    if !cfg!(target_os = "linux") {
        println!("skipped: /proc/PID/status is what tells the peak, and only Linux has it");
        return;
    }
    let load = backlog_bytes();
    let env = env();
    let keep = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = keep.path().join("collector.toml");
    let sink = Sink::closed(&env).await;
    sink.listen().await;
    let endpoint = format!("endpoint = \"{}\"\n", sink.url());
    write_config(&file, &keep.path().join("buffer"), load, &endpoint);
    let mut process = Process::spawn(Process::command(&file));
    let load = Load::of(load);
    let ((), delivered) = tokio::join!(load.send(&env, &process), drain(&sink, load.items()));
    assert_eq!(delivered, load.items(), "delivered");
    check_peak(&process, "in and out");
    assert_eq!(process.terminate(), Some(0));
}

/// Not compressed, so that what is sent is what is on the disk; all else is as it comes.
fn write_config(file: &Path, dir: &Path, backlog: u64, more: &str) {
    let text = format!(
        "{more}listen = {{ http = \"127.0.0.1:0\", grpc = \"127.0.0.1:0\" }}\ncompress.codec = \"none\"\n\
         buffer = {{ dir = \"{}\", disk = \"{}B\" }}\n",
        dir.display(),
        2 * backlog
    );
    std::fs::write(file, text).unwrap();
}

/// How much is to wait, or to pass.
fn backlog_bytes() -> u64 {
    std::env::var("BACKROOM_BACKLOG").map_or(64 << 20, |text| {
        byte_size(&text).expect("BACKROOM_BACKLOG is a size").0
    })
}

/// What all senders together send.
struct Load {
    body: Vec<u8>,
    /// From each sender.
    requests: u64,
}

impl Load {
    /// At least as many bytes.
    fn of(bytes: u64) -> Self {
        let body = spans(0..SPANS);
        let requests = bytes.div_ceil(CONNECTIONS * body.len() as u64);
        Self { body, requests }
    }

    fn items(&self) -> u64 {
        CONNECTIONS * self.requests * u64::from(SPANS)
    }

    /// Sends until all of it was acknowledged.
    async fn send(&self, env: &impl Env, process: &Process) {
        let mut senders = Vec::new();
        for _ in 0..CONNECTIONS {
            let (address, body, requests) = (process.address, self.body.clone(), self.requests);
            senders.push(env.spawn(async move {
                let mut client = Client::connect(address).await;
                let mut taken = 0;
                while taken < requests {
                    let answer = client.request("POST", "/v1/traces", &[PROTOBUF], &body);
                    match answer.await.expect("it answers").status {
                        200 => taken += 1,
                        // Compression or the disk is behind: the sender waits, and comes again.
                        503 => {}
                        status => panic!("status {status}"),
                    }
                }
            }));
        }
        for sender in senders {
            sender.await.expect("a sender ends well");
        }
    }
}

/// Takes batches until all items have come; returns how many different ones. What was counted is forgotten, for this process
/// has no room for the backlog either.
async fn drain(sink: &Sink, items: u64) -> u64 {
    let mut batches = BTreeMap::new();
    loop {
        let sum = batches.values().sum();
        if sum >= items {
            return sum;
        }
        sink.wait("the next batch", |all| !all.is_empty()).await;
        for received in sink.take_received() {
            let name = received.headers["x-backroom-batch"].clone();
            batches.insert(name, received.range.count);
        }
    }
}

fn bytes_in(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

/// The most that a process has held so far.
fn check_peak(process: &Process, when: &str) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let peak = peak_bytes(&status).expect("Linux tells it");
    println!("{when}: peak {:.1} MiB", peak as f64 / f64::from(1 << 20));
    assert!(
        peak <= PEAK_MAX,
        "{when}: {peak} bytes at the peak, {PEAK_MAX} allowed"
    );
}

fn peak_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[test]
fn a_peak_is_read() {
    let check = |status: &str, bytes| assert_eq!(peak_bytes(status), bytes, "{status:?}");
    check(
        "VmPeak:\t  9 kB\nVmHWM:\t    65537 kB\n",
        Some(65_537 << 10),
    );
    check("VmPeak:\t  9 kB\n", None);
    check("VmHWM:\t many kB\n", None);
}
