//! Loads on real sockets: `backroom load` and `backroom sink`, with a real collector between them that is killed.
//!
//! - a collector in a process of its own, `kill -9` under load, a receiver that is down and rude: nothing acknowledged is lost
//! - both programs as users start them: results, exit codes, receipts
//! - garbage to both ends
//!
//! Nothing here waits for a time: it waits for a condition, for a minute at most.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use backroom_collector::{
    config::{self, Codec},
    env::{Env as _, OsEnv},
    shell::{self, Observer},
};
use backroom_reports::load::{LoadResult, SinkResult};
use backroom_sim::{
    load::{Load, Options, endpoint::Endpoint, pace::Rate, profile::Profile, receipt},
    plan::stores,
    sink::{self, Sink, Tolerated, schedule::Schedule},
};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// Set, with its configuration, in the process that is the collector of another test.
const COLLECTOR: &str = "BACKROOM_TEST_COLLECTOR";

/// Not a test where [`COLLECTOR`] is not set; a collector, until it is killed, where it is.
#[test]
fn a_collector_for_other_tests() {
    struct Tell;
    impl Observer for Tell {
        fn listening(&self, http: Option<SocketAddr>, _grpc: Option<SocketAddr>) {
            let http = http.expect("its configuration says so");
            eprintln!("listening on {http}");
        }
    }
    let Ok(text) = std::env::var(COLLECTOR) else {
        return;
    };
    let config = config::load_text("test", &text).expect("it is right");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let env = OsEnv::new().expect("random bytes");
    let run = shell::run(env, config, Arc::new(Tell), std::future::pending());
    runtime.block_on(run).expect("it runs until it is killed");
}

struct Collector {
    child: Child,
    address: SocketAddr,
}

impl Collector {
    fn start(dir: &Path, listen: &str, sink: SocketAddr) -> Self {
        let config = format!(
            "endpoint = \"http://{sink}\"\nlisten = {{ http = \"{listen}\", grpc = \"off\" }}\n\
             buffer = {{ dir = \"{}\" }}\nbatch = {{ bytes = \"64KiB\", delay = \"20ms\", delay_down = \"20ms\" }}\n\
             retry = {{ backoff = \"full-jitter(base=10ms, cap=50ms)\" }}\n",
            dir.display()
        );
        let exe = std::env::current_exe().expect("this test");
        let mut child = Command::new(exe)
            .args(["--exact", "a_collector_for_other_tests", "--nocapture"])
            .env(COLLECTOR, config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this test can be started again");
        let address = address_in(&mut child);
        Self { child, address }
    }

    /// SIGKILL: no handler, no flush, nothing.
    fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the first line that tells one.
fn address_in(child: &mut Child) -> SocketAddr {
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    let address = loop {
        line.clear();
        let read = stderr.read_line(&mut line).expect("text");
        assert!(read > 0, "it ended before it listened");
        if line.starts_with("listening") {
            let word = line.split_whitespace().last().expect("an address");
            break word.parse().expect("an address");
        }
    };
    // What else it tells is read by nobody, but must not fill the pipe.
    std::thread::Builder::new()
        .spawn(move || {
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        })
        .expect("a thread");
    address
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        while !is_so() {
            look.tick().await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, wait).await;
    assert!(waited.is_ok(), "waited in vain for {what}");
}

fn options(to: SocketAddr, rate: f64, length: Duration) -> Options {
    let mut profile = Profile::of(stores::find("quick-service").expect("it is there"));
    profile.request_bytes = 4_000;
    Options {
        profile,
        endpoint: Endpoint::parse(&format!("http://{to}"), false).expect("a URL"),
        stores: 3,
        rate: Rate::Items(rate),
        length,
        seed: 7,
        codec: Codec::Gzip(1),
        connections: 4,
        headers: Vec::new(),
        limit: Duration::from_secs(10),
    }
}

/// Scenario: three stores send through a collector to a receiver that is down at first, then sends every fourth request away, and cuts
/// every fourth answer. The collector is killed with `kill -9` under load and started again on what it left.
/// Guarantees: every acknowledged item comes; what was cut comes again and is counted as such; each fault bit.
#[test]
fn a_killed_collector_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let env = OsEnv::new().expect("random bytes");
        let schedule = "down ..400ms, reject 503 25% 0s.., cut after 25% 0s..";
        let bound = Sink::bind(
            &env,
            sink::Options {
                http: Some("127.0.0.1:0".parse().expect("an address")),
                schedule: Schedule::parse(schedule).expect("it is right"),
                ..sink::Options::default()
            },
        )
        .await
        .expect("a free port");
        let (address, _) = bound.addresses();
        let receiver = Arc::clone(bound.sink());
        env.spawn(bound.serve());

        let mut first = Collector::start(dir.path(), "127.0.0.1:0", address.expect("HTTP"));
        let listen = first.address.to_string();
        let load = Load::new(options(first.address, 3_000.0, LIMIT));
        let running = env.spawn({
            let (load, env) = (Arc::clone(&load), env.clone());
            async move { load.run(&env).await }
        });
        until("acknowledged items", || load.progress().acked_items > 1_500).await;
        first.kill();
        until("refused connections", || {
            load.progress().failed_requests > 3
        })
        .await;
        let _second = Collector::start(dir.path(), &listen, address.expect("HTTP"));
        let before = load.progress().acked_items;
        until("acknowledgements of the second one", || {
            load.progress().acked_items > before + 1_500
        })
        .await;
        load.stop();
        let outcome = running.await.expect("it was not stopped");
        let outcome = outcome.expect("the collector was there at the start");
        let acked = outcome.result.acked_items;
        assert!(acked > 1_500, "{acked}");
        assert!(
            !outcome.result.findings.is_empty(),
            "it was killed, after all"
        );

        let path = dir.path().join("receipt.json");
        let text = backroom_reports::load::render_json(&outcome.receipt);
        std::fs::write(&path, text).expect("written");
        let receipt = receipt::read(&path).expect("it was written by a load");
        let judge = || receiver.result(Some(&receipt), Tolerated::default(), None);
        until("every acknowledged item", || judge().lost == Some(0)).await;
        let result = judge();
        assert!(result.distinct >= acked, "{result:?}");
        assert!(result.duplicates > 0, "{result:?}");
        for what in ["reject 503", "cut after"] {
            assert!(
                result.scheduled.contains_key(what),
                "{:?}",
                result.scheduled
            );
        }
        assert_eq!(
            (result.foreign, result.unchecked, result.malformed_requests),
            (0, 0, 0)
        );
        assert_eq!(
            result.findings.len(),
            1,
            "repeats are told: {:?}",
            result.findings
        );
        env.abort_all();
    });
}

/// Guarantees: nobody listens while it is down, and the same address is there again afterwards.
#[test]
fn while_it_is_down_nobody_listens() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let env = OsEnv::new().expect("random bytes");
        let bind = async |schedule: &str| {
            let options = sink::Options {
                http: Some("127.0.0.1:0".parse().expect("an address")),
                schedule: Schedule::parse(schedule).expect("it is right"),
                ..sink::Options::default()
            };
            let bound = Sink::bind(&env, options).await.expect("a free port");
            let (address, _) = bound.addresses();
            let sink = Arc::clone(bound.sink());
            env.spawn(bound.serve());
            (sink, address.expect("HTTP"))
        };
        let refuses = |address: SocketAddr| TcpStream::connect(address).is_err();
        let (sink, address) = bind("down 0s..").await;
        until("refusals", || refuses(address)).await;
        assert!(sink.standing().is_down);
        let (sink, address) = bind("down ..100ms").await;
        until("the end of it", || !sink.standing().is_down).await;
        until("connections", || !refuses(address)).await;
        env.abort_all();
    });
}

fn backroom(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backroom"));
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn sink_process(args: &[&str]) -> (Child, SocketAddr) {
    let listen = ["sink", "--listen", "127.0.0.1:0", "--json"];
    let mut child = backroom(&[&listen[..], args].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let address = address_in(&mut child);
    (child, address)
}

fn ended(child: Child) -> (Option<i32>, SinkResult) {
    let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
    let result = serde_json::from_slice(&stdout);
    let result = result.unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&stdout));
    });
    (status.code(), result)
}

/// Guarantees: what users type works, over HTTP and gRPC, with every compression: all that was sent is acknowledged and comes.
#[test]
fn both_ends_agree_over_every_road() {
    let dir = tempfile::tempdir().expect("a directory");
    let roads: [(&[&str], &str); 4] = [
        (&["--compression", "none"], "grocery"),
        (&["--compression", "zstd"], "agency-office"),
        (&["--grpc", "--compression", "gzip"], "quick-service"),
        (&["--grpc"], "quick-service"),
    ];
    for (index, (road, profile)) in roads.into_iter().enumerate() {
        let path = dir.path().join(format!("{index}.json"));
        let path = path.to_str().expect("text");
        let is_grpc = road.contains(&"--grpc");
        let listen: &[&str] = match is_grpc {
            true => &["--listen", "off", "--grpc-listen", "127.0.0.1:0"],
            false => &["--listen", "127.0.0.1:0"],
        };
        let mut child = backroom(&["sink", "--json", "--until-idle", "300ms", "--receipt", path])
            .args(listen)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let to = format!("http://{}", address_in(&mut child));
        let sent = backroom(&[
            "load", "--to", &to, "--for", "300ms", "--seed", "9", "--json",
        ])
        .args([
            "--stores",
            "2",
            "--rate",
            "2000items/s",
            "--profile",
            profile,
        ])
        .args(["--receipt", path])
        .args(road)
        .output()
        .expect("it starts");
        let told = String::from_utf8_lossy(&sent.stderr);
        let load: LoadResult = serde_json::from_slice(&sent.stdout).expect(&told);
        assert_eq!(load.acked_items, load.sent_items, "{told}");
        assert!(load.sent_items > 100, "{load:?}");
        interrupt(&child);
        let (code, result) = ended(child);
        assert_eq!(code, Some(0), "{result:?}");
        assert_eq!((result.distinct, result.lost), (load.sent_items, Some(0)));
        assert_eq!(result.raw_bytes, load.raw_bytes);
        assert_eq!(result.delay.count, load.sent_items);
    }
}

/// Scenario: the receiver sends away every fourth request, and cuts the connection after another.
/// Guarantees: the load says which, and its exit code; the receiver finds nothing lost, since none of it was acknowledged, and does say so
/// without a receipt.
#[test]
fn what_was_refused_is_not_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("receipt.json");
    let path = path.to_str().expect("text");
    let schedule = "reject 429 retry-after 1s 25% 0s.., cut before 10% 0s..";
    let (child, address) = sink_process(&["--schedule", schedule, "--receipt", path]);
    let to = format!("http://{address}");
    let sent = backroom(&[
        "load",
        "--to",
        &to,
        "--for",
        "400ms",
        "--receipt",
        path,
        "--seed",
        "3",
    ])
    .args(["--rate", "4000items/s", "--request-bytes", "4KB"])
    .output()
    .expect("it starts");
    let table = String::from_utf8_lossy(&sent.stdout);
    assert_eq!(sent.status.code(), Some(1), "{table}");
    assert!(
        table.contains("NOT OK: ") && table.contains(" 429\n"),
        "{table}"
    );
    interrupt(&child);
    let (code, result) = ended(child);
    assert_eq!((code, result.lost), (Some(0), Some(0)), "{result:?}");
    assert!(result.missing > 0, "{result:?}");
    assert_eq!(result.scheduled.len(), 2, "{:?}", result.scheduled);
}

/// Guarantees: nobody there is told at once; a target that stalls is told as behind, with latencies from when requests were due; an
/// interrupted load still has a summary.
#[test]
fn a_load_is_honest_about_its_target() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let to = format!("http://{address}");
    let nobody = backroom(&["load", "--to", &to, "--for", "1m"]).output();
    let nobody = nobody.expect("it starts");
    assert_eq!(nobody.status.code(), Some(1));
    let told = String::from_utf8_lossy(&nobody.stderr);
    assert!(told.contains("connection refused"), "{told}");

    let (child, address) = sink_process(&["--schedule", "slow 100ms 0s.."]);
    let to = format!("http://{address}");
    let slow = backroom(&[
        "load", "--to", &to, "--for", "600ms", "--json", "--seed", "1",
    ])
    .args(["--connections", "1", "--rate", "20000items/s"])
    .output()
    .expect("it starts");
    assert_eq!(slow.status.code(), Some(1));
    let slow: LoadResult = serde_json::from_slice(&slow.stdout).expect("JSON");
    assert!(slow.behind_seconds > 0.3, "{slow:?}");
    assert!(
        slow.due_items > 10_000 && slow.sent_items < 2_000,
        "{slow:?}"
    );
    // One request takes 100 ms; the last ones were due long before they were sent.
    assert!(slow.latency.max > 2.0 * slow.service_time.p50, "{slow:?}");
    assert!(
        slow.findings
            .iter()
            .any(|f| f.contains("too few --connections")),
        "{slow:?}"
    );
    interrupt(&child);
    let (code, result) = ended(child);
    assert_eq!(
        (code, result.distinct),
        (Some(0), slow.acked_items),
        "{result:?}"
    );

    let (child, address) = sink_process(&[]);
    let to = format!("http://{address}");
    let mut load = backroom(&["load", "--to", &to, "--for", "1h", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut stderr = BufReader::new(load.stderr.take().expect("it is piped"));
    stderr.read_line(&mut line).expect("text");
    assert!(line.starts_with("run "), "{line}");
    interrupt(&load);
    let load = load.wait_with_output().expect("it ends");
    assert_eq!(load.status.code(), Some(130));
    let load: LoadResult = serde_json::from_slice(&load.stdout).expect("JSON");
    assert!(load.interrupted);
    interrupt(&child);
    let (code, result) = ended(child);
    assert_eq!((code, result.distinct), (Some(0), load.acked_items));
}

fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let pid = pid.expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it lives");
}

/// Guarantees: whatever comes to a receiver is answered or dropped, counted, and never an item; the receiver goes on.
#[test]
fn garbage_to_a_receiver_is_counted_and_survived() {
    let (child, address) = sink_process(&["--until-idle", "2s", "--tolerate", "lost,late"]);
    let send = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(bytes).expect("it reads");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a socket");
        let mut answer = Vec::new();
        // A connection that is reset is an answer, too.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let post = |path: &str, headers: &str, body: &[u8]| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: sink\r\n{headers}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        send(&[head.as_bytes(), body].concat())
    };
    const PROTOBUF: &str = "content-type: application/x-protobuf";
    let check = |answer: String, status: &str| {
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    };
    check(post("/v1/traces", PROTOBUF, b"\xff\xff"), "400");
    check(post("/v1/nothing", PROTOBUF, b""), "404");
    check(
        post("/v1/logs", "content-type: application/json", b"{"),
        "400",
    );
    check(
        post("/v1/logs", "content-type: text/plain", b"hello"),
        "415",
    );
    let packed = format!("{PROTOBUF}\r\ncontent-encoding: gzip");
    check(post("/v1/logs", &packed, b"no gzip"), "400");
    let coded = format!("{PROTOBUF}\r\ncontent-encoding: br");
    check(post("/v1/logs", &coded, b""), "415");
    check(send(b"GET /v1/logs HTTP/1.1\r\nhost: s\r\ncontent-type: application/x-protobuf\r\nconnection: close\r\n\r\n"), "405");
    // No HTTP at all, and a body that breaks off.
    send(b"\x00\x01\x02 garbage\r\n\r\n");
    send(b"POST /v1/traces HTTP/1.1\r\nhost: s\r\ncontent-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\nshort");
    check(post("/v1/metrics", PROTOBUF, b""), "200");
    let (code, result) = ended(child);
    assert_eq!(code, Some(1), "{result:?}");
    assert_eq!((result.requests, result.items), (1, 0), "{result:?}");
    assert!(result.malformed_requests >= 6, "{result:?}");
}

/// Guarantees: a receiver that is no OTLP receiver is never taken for one.
#[test]
fn garbage_from_a_target_acknowledges_nothing() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 9\r\n\r\n",
        "",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let to = format!("http://{}", listener.local_addr().expect("it is bound"));
        std::thread::Builder::new()
            .spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let mut some = [0; 1024];
                    // It answers whatever it is told, and hangs up.
                    let _ = stream.read(&mut some);
                    let _ = stream.write_all(answer.as_bytes());
                }
            })
            .expect("a thread");
        let sent = backroom(&[
            "load",
            "--to",
            &to,
            "--for",
            "200ms",
            "--json",
            "--timeout",
            "2s",
        ])
        .args(["--rate", "2000items/s", "--connections", "2"])
        .output()
        .expect("it starts");
        assert_eq!(sent.status.code(), Some(1), "{answer:?}");
        let load: LoadResult = serde_json::from_slice(&sent.stdout).expect("JSON");
        assert_eq!(load.acked_items, 0, "{answer:?}");
        assert!(
            load.findings[0].contains("nothing was acknowledged"),
            "{load:?}"
        );
    }
}

/// Guarantees: what is wrong on the command line is told with the way out, before anything is opened.
#[test]
fn wrong_options_are_refused() {
    let check = |args: &[&str], code: i32, why: &str| {
        let out = backroom(args).output().expect("it starts");
        let told = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(why), "{args:?}: {told}");
    };
    check(&["load"], 64, "--to");
    check(
        &["load", "--to", "127.0.0.1:4318"],
        64,
        "http://127.0.0.1:4318",
    );
    check(
        &["load", "--to", "http://x", "--rate", "fast"],
        64,
        "write 10000items/s",
    );
    check(
        &["load", "--to", "http://x", "--profile", "palace"],
        64,
        "agency-office",
    );
    check(
        &["load", "--to", "http://x", "--stores", "0"],
        64,
        "1..=10000",
    );
    check(
        &["load", "--to", "http://x", "--ca", "ca.pem"],
        64,
        "--ca is for https",
    );
    check(
        &["sink", "--schedule", "donw 1s..2s"],
        64,
        "did you mean `down`?",
    );
    check(
        &["sink", "--schedule", "no-such-file.toml"],
        66,
        "no-such-file.toml",
    );
    check(&["sink", "--listen", "off"], 64, "both off");
    check(
        &["sink", "--listen", "localhost"],
        64,
        "write 127.0.0.1:4319",
    );
    check(&["sink", "--tolerate", "all"], 64, "duplicates");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    check(&["sink", "--listen", &address], 73, &address);
}
