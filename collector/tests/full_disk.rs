//! What files take on a real disk, and a real file system that is full: a tmpfs of 2 MiB in a mount namespace of its own, with the real binary on it.
//!
//! It needs `unshare` and `nsenter` (util-linux) and a kernel that lets this user mount a tmpfs in a namespace; where that
//! is not so, the test says that it was skipped.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use common::{Client, Process, Sink, env, span_ids};

/// A tmpfs that only this test's processes see. It goes with its holder, which goes with the pipe to it.
struct SmallDisk {
    holder: Child,
    dir: PathBuf,
    /// The folder that it lies in goes last.
    _keep: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts it on a folder of its own; `None`, with a message, where that is not permitted.
    fn mount() -> Option<Self> {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("small");
        std::fs::create_dir(&dir).unwrap();
        let script = "mount -t tmpfs -o size=2m backroom \"$0\" && echo mounted && exec cat";
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "--", "sh", "-c"])
            .arg(script)
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut holder = match holder {
            Ok(holder) => holder,
            Err(error) => {
                eprintln!("skipped: run unshare: {error}");
                return None;
            }
        };
        let mut line = String::new();
        let mut stdout = BufReader::new(holder.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let mounted = line == "mounted\n";
        let disk = Self {
            holder,
            dir,
            _keep: keep,
        };
        if !mounted {
            eprintln!("skipped: this user may not mount a tmpfs in a namespace");
            return None;
        }
        Some(disk)
    }

    /// A path on it, as seen from outside.
    fn outside(&self, name: &str) -> PathBuf {
        let dir = self.dir.strip_prefix("/").unwrap();
        let root = Path::new("/proc").join(self.holder.id().to_string());
        root.join("root").join(dir).join(name)
    }

    /// The collector on it.
    fn collector(&self, endpoint: &str, buffer: &str) -> Process {
        let mut command = Command::new("nsenter");
        let holder = self.holder.id().to_string();
        command.args(["--target", &holder, "--user", "--mount"]);
        command.args(["--preserve-credentials", "--"]);
        command.arg(env!("CARGO_BIN_EXE_backroom-collector"));
        let dir = self.dir.join("buffer");
        Process::start_by(command, &dir, &self.config(), endpoint, buffer)
    }

    /// The configuration stands beside the small disk: there is no room on it.
    fn config(&self) -> PathBuf {
        self.dir.with_extension("toml")
    }

    /// Takes most of it.
    fn mostly_fill(&self) {
        std::fs::write(self.outside("filler"), vec![7; 1664 << 10]).unwrap();
    }

    /// Fills what is left, to the last byte.
    fn fill(&self) {
        let filler = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.outside("filler"));
        let mut filler = filler.unwrap();
        for bytes in [64 << 10, 4096, 1] {
            while filler.write_all(&vec![7; bytes]).is_ok() {}
        }
    }

    /// Gives back what was filled.
    fn empty(&self) {
        std::fs::remove_file(self.outside("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Spans of one request: some 30 KiB.
const SPANS: u32 = 200;

/// Posts the `request`-th request; whether it was acknowledged, or refused with a 503 that says when to come back.
async fn post(client: &mut Client, request: u32) -> bool {
    let ids = request * SPANS..(request + 1) * SPANS;
    let answer = client.post_spans(ids).await.expect("it answers");
    if answer.status != 200 {
        assert_eq!(answer.status, 503, "{}", answer.message());
        assert!(answer.headers.contains_key("retry-after"));
    }
    answer.status == 200
}

async fn health(address: SocketAddr) -> u16 {
    let mut client = Client::connect(address).await;
    let answer = client.request("GET", "/healthz", &[], b"").await.unwrap();
    answer.status
}

/// What the files in a folder take, as the file system says.
fn taken(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let files = std::fs::read_dir(dir).unwrap();
    // One that goes away meanwhile takes nothing any more.
    let metadata = files.filter_map(|file| file.unwrap().metadata().ok());
    metadata.map(|file| file.blocks() * 512).sum()
}

/// Scenario: a handful of small requests on a disk with blocks of 4 KiB, over kills and starts; then everything is delivered.
/// Guarantees: what the collector says its files take is what the file system says, block by block: journals, batches, the
/// reserve, the door for tools, a stranger's file (C4).
#[tokio::test]
async fn files_are_counted_as_they_are_on_disk() {
    let keep = tempfile::tempdir().unwrap();
    let plain = keep.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    let sink = Sink::closed(&env()).await;
    std::fs::create_dir(plain.join("buffer")).unwrap();
    std::fs::write(plain.join("buffer/stranger"), [7; 4097]).unwrap();
    let mut command = || {
        let binary = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
        let config = plain.with_extension("toml");
        Process::start_by(binary, &plain.join("buffer"), &config, &sink.url(), "")
    };
    counted(&mut command, &plain.join("buffer")).await;
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    counted(
        &mut || disk.collector(&sink.url(), ""),
        &disk.outside("buffer"),
    )
    .await;
    drop(sink);
}

async fn counted(start: &mut impl FnMut() -> Process, dir: &Path) {
    let mut starts = 0;
    let mut process = start();
    for request in 0..12 {
        let mut client = Client::connect(process.address).await;
        assert!(post(&mut client, request).await, "{request}");
        // Between a write and its sync, and while files go, the two differ.
        let agree = async {
            loop {
                let (counted, taken) = (
                    metric(process.address, "backroom_buffer_disk_bytes", "").await,
                    taken(dir) as f64,
                );
                let sealed = metric(process.address, "backroom_buffer_unsealed_bytes", "").await;
                if counted == taken && sealed == 0.0 {
                    return counted;
                }
                tokio::task::yield_now().await;
            }
        };
        let limit = std::time::Duration::from_secs(30);
        let Ok(counted) = tokio::time::timeout(limit, agree).await else {
            let counted = metric(process.address, "backroom_buffer_disk_bytes", "").await;
            panic!(
                "request {request}: it counts {counted}, and the files take {}",
                taken(dir)
            );
        };
        assert_eq!(counted % 512.0, 0.0);
        if request % 4 == 3 {
            process.kill();
            process = start();
            starts += 1;
        }
    }
    assert_eq!(starts, 3);
    assert_eq!(process.terminate(), Some(0));
}

/// Scenario: the disk fills under load while the receiver is down; room comes back and goes; the collector is killed and
/// started on a disk without a free byte; the receiver comes up.
/// Guarantees: it refuses what it cannot keep, and health says so; it takes in again when there is room; it starts on a full
/// disk; what is stored is delivered and deleted on a full disk; no acknowledged span is lost (C1, C2, C4).
#[tokio::test]
async fn a_full_file_system_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let env = env();
    let sink = Sink::closed(&env).await;
    disk.mostly_fill();
    let mut process = disk.collector(&sink.url(), "");
    let mut client = Client::connect(process.address).await;
    let mut acked = BTreeSet::new();
    let mut request = 0;
    while post(&mut client, request).await {
        acked.extend(request * SPANS..(request + 1) * SPANS);
        request += 1;
        assert!(request < 1000, "384 KiB are never full");
    }
    assert!(request > 10, "{request} requests fit");
    // What its reserve lets it release takes a request or two more, also right after a refusal: others are quicker.
    loop {
        disk.fill();
        request += 1;
        assert!(request < 1000, "it is never full, or does not say so");
        if post(&mut client, request).await {
            acked.extend(request * SPANS..(request + 1) * SPANS);
        } else if health(process.address).await == 503 {
            break;
        }
    }

    disk.empty();
    let (mut fits, full) = (false, request);
    while !fits {
        // It tries the disk again after a pause; each try is a request.
        request += 1;
        fits = post(&mut client, request).await;
        assert!(request < full + 60, "it never comes back");
    }
    acked.extend(request * SPANS..(request + 1) * SPANS);

    disk.fill();
    process.kill();
    let mut process = disk.collector(&sink.url(), "");
    assert!(
        !process.start_line.contains("(0 items waiting)"),
        "{}",
        process.start_line
    );
    sink.listen().await;
    sink.wait("every acknowledged span", |received| {
        let taken: BTreeSet<u32> = received
            .iter()
            .flat_map(|received| span_ids(&received.body))
            .collect();
        acked.is_subset(&taken)
    })
    .await;

    disk.empty();
    let mut client = Client::connect(process.address).await;
    let (mut fits, full) = (false, request);
    while !fits {
        request += 1;
        fits = post(&mut client, request).await;
        assert!(request < full + 60, "it never comes back");
    }
    assert_eq!(process.terminate(), Some(0));
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut client = Client::connect(address).await;
    let answer = client.request("GET", path, &[], b"").await.unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

/// The sum of a metric's samples that have this label.
async fn metric(address: SocketAddr, name: &str, label: &str) -> f64 {
    let (_, page) = get(address, "/metrics").await;
    let lines = page.lines();
    let samples = lines.filter(|line| line.starts_with(name) && line.contains(label));
    let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// Scenario: others take the last byte of the disk, long before the quota is used up, while the receiver is down; then they
/// give it back.
/// Guarantees: the class's policy applies as it does to a full buffer, and what it drops is counted; health and readiness name
/// the disk; it is over when there is room, without a request (C4).
#[tokio::test]
async fn a_full_file_system_is_a_full_buffer() {
    for policy in ["refuse", "drop-newest", "drop-oldest"] {
        let Some(disk) = SmallDisk::mount() else {
            return;
        };
        let sink = Sink::closed(&env()).await;
        let buffer = format!(", disk = \"8MiB\", on_full = \"{policy}\"");
        let mut process = disk.collector(&sink.url(), &buffer);
        let address = process.address;
        let mut client = Client::connect(address).await;
        for request in 0..150 {
            assert!(post(&mut client, request).await, "{policy}: {request}");
        }
        // With the room of its reserve it writes a new journal, and what that releases takes some requests more: others are
        // quicker. So it is full when both pages say so.
        let is_told = async || {
            for path in ["/healthz", "/readyz"] {
                let (status, text) = get(address, path).await;
                if status != 503 || !text.contains("the disk is full") {
                    return false;
                }
            }
            true
        };
        let (mut refused, mut request) = (0, 150);
        let dropped = loop {
            disk.fill();
            refused += u32::from(!post(&mut client, request).await);
            let dropped = metric(address, "backroom_dropped_items_total", "buffer_full").await;
            request += 1;
            let is_full = match policy {
                "drop-oldest" => dropped > 0.0,
                _ => (refused > 0 || dropped > 0.0) && is_told().await,
            };
            if is_full {
                break dropped;
            }
            assert!(
                request < 300,
                "{policy}: it is never full, or does not say so"
            );
        };
        let full = metric(address, "backroom_requests_total", "outcome=\"full\"").await;
        assert_eq!(full, f64::from(refused), "{policy}");
        match policy {
            "refuse" => assert_eq!(dropped, 0.0),
            "drop-newest" => assert_eq!((refused, dropped % f64::from(SPANS)), (0, 0.0)),
            // A request is put into three commits, and what was dropped for it may go to others.
            _ => assert_eq!(refused, 0, "{dropped} dropped"),
        }
        disk.empty();
        let healed = async {
            while get(address, "/readyz").await.0 != 200 {
                tokio::task::yield_now().await;
            }
        };
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, healed).await.expect("it heals");
        let before = metric(address, "backroom_dropped_items_total", "buffer_full").await;
        assert!(post(&mut client, request).await);
        let after = metric(address, "backroom_dropped_items_total", "buffer_full").await;
        assert_eq!(before, after, "{policy}: it is taken in");
        assert_eq!(process.terminate(), Some(0));
    }
}

/// Scenario: others take the last byte of the disk while the receiver is down, and keep it; requests go on coming, to a class that
/// drops its oldest.
/// Guarantees: each is acknowledged, from the first one on: what is dropped gives its room back at once, the file that was being
/// written included; what is acknowledged and not counted as dropped is stored (C1, C4, C10).
#[tokio::test]
async fn drop_oldest_on_a_full_file_system_refuses_nothing() {
    for fillings in [5, 10, 40, 150] {
        let Some(disk) = SmallDisk::mount() else {
            return;
        };
        let sink = Sink::closed(&env()).await;
        let buffer = ", disk = \"8MiB\", on_full = \"drop-oldest\"";
        let mut process = disk.collector(&sink.url(), buffer);
        let address = process.address;
        let mut client = Client::connect(address).await;
        let mut refused = Vec::new();
        for request in 0..fillings + 150 {
            if request == fillings {
                disk.fill();
            }
            if !post(&mut client, request).await {
                refused.push(request);
            }
        }
        let dropped = metric(address, "backroom_dropped_items_total", "buffer_full").await;
        assert!(refused.is_empty(), "after {fillings}: {refused:?}");
        assert!(dropped > 0.0, "after {fillings}");
        // A stop seals what is left, and the account is whole.
        assert_eq!(process.terminate(), Some(0));
        let mut process = disk.collector(&sink.url(), buffer);
        let kept = f64::from((fillings + 150) * SPANS) - dropped;
        let waiting = format!("({kept} items waiting)");
        assert!(
            process.start_line.contains(&waiting),
            "{waiting}: {}",
            process.start_line
        );
        assert_eq!(process.terminate(), Some(0));
    }
}

/// Scenario: others take the last byte of the disk while batches wait; they are delivered, the collector ends and starts again on
/// the full disk.
/// Guarantees: the reserve holds room that others cannot have, and gives it to the notes: nothing that was delivered is sent
/// again, and what was delivered is counted. It is taken again when there is room (C2, C4).
#[tokio::test]
async fn notes_are_written_on_a_full_file_system() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let sink = Sink::closed(&env()).await;
    let buffer = ", disk = \"8MiB\"";
    let mut process = disk.collector(&sink.url(), buffer);
    let address = process.address;
    let mut client = Client::connect(address).await;
    for request in 0..30 {
        assert!(post(&mut client, request).await, "{request}");
    }
    let reserve = || std::fs::metadata(disk.outside("buffer/reserve")).unwrap();
    let sealed = async {
        // All is sealed: what only a journal has is written before it is sent.
        while metric(address, "backroom_buffer_unsealed_bytes", "").await > 0.0 {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, sealed).await.expect("sealed");
    let held = metric(address, "backroom_buffer_reserve_bytes", "").await;
    assert!(held >= 16384.0, "{held}");
    assert_eq!(reserve().len() as f64, held);
    disk.fill();

    sink.listen().await;
    sink.wait_for_spans(30 * SPANS as usize).await;
    assert_eq!(process.terminate(), Some(0));
    let mut process = disk.collector(&sink.url(), buffer);
    assert!(
        process.start_line.contains("(0 items waiting)"),
        "{}",
        process.start_line
    );
    let taken = sink.taken();
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");

    disk.empty();
    let address = process.address;
    let taken_again = async {
        while metric(address, "backroom_buffer_reserve_bytes", "").await < held / 2.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(limit, taken_again)
        .await
        .expect("the reserve is taken again");
    assert_eq!(process.terminate(), Some(0));
}
