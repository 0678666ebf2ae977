//! The real binary as a service: signals, the service manager's socket, an end under load.
//!
//! - `an_end_under_load_keeps_what_was_acknowledged`: SIGTERM while eight senders post; exit code 0, within the bound.
//! - `a_second_signal_ends_at_once`
//! - `the_service_manager_hears_everything`: READY, STATUS, WATCHDOG, RELOADING, STOPPING, on a real socket.
//! - `a_wrong_file_does_not_touch_what_runs`
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{os::unix::net::UnixDatagram, path::Path, time::Duration};

use backroom_collector::{env::Env, shell::SHUTDOWN_MAX};
use common::{Client, LIMIT, Process, buffer, env};

/// A file for a collector without destination.
fn write_config(file: &Path, dir: &Path, more: &str) {
    let text = format!(
        "listen = {{ http = \"127.0.0.1:0\", grpc = \"127.0.0.1:0\" }}\nbuffer.dir = \"{}\"\n{more}",
        dir.display()
    );
    std::fs::write(file, text).unwrap();
}

#[tokio::test]
async fn an_end_under_load_keeps_what_was_acknowledged() {
    let env = env();
    let (_keep, dir) = buffer();
    let file = dir.with_extension("toml");
    write_config(&file, &dir, "");
    let mut process = Process::spawn(Process::command(&file));
    let (first, mut acked_once) = tokio::sync::mpsc::channel::<()>(1);
    let mut senders = Vec::new();
    for lane in 0..8_u32 {
        let address = process.address;
        let first = first.clone();
        senders.push(env.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut acked = 0_u64;
            // Until the collector has gone.
            while let Some(answer) = client.post_spans(lane * 1000..lane * 1000 + 20).await {
                if answer.status == 200 {
                    acked += 20;
                    let _ = first.try_send(());
                }
            }
            acked
        }));
    }
    acked_once.recv().await.expect("a sender is acknowledged");
    process.signal("TERM");
    let began = tokio::time::Instant::now();
    let mut acked = 0;
    for sender in senders {
        acked += sender.await.expect("a sender ends well");
    }
    assert_eq!(process.exit_code(), Some(0));
    assert!(began.elapsed() < SHUTDOWN_MAX, "{:?}", began.elapsed());
    assert!(acked > 0);

    let mut again = Process::spawn(Process::command(&file));
    let waiting = again.start_line.split('(').nth(1).unwrap();
    let waiting: u64 = waiting.split(' ').next().unwrap().parse().unwrap();
    // More is possible: durable, and the answer did not get out any more.
    assert!(waiting >= acked, "{acked} acknowledged, {waiting} found");
    assert!(
        waiting <= acked + 8 * 20,
        "{acked} acknowledged, {waiting} found"
    );
    assert_eq!(again.terminate(), Some(0));
}

/// A request under way is given five seconds; who is not willing to wait says so twice.
#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (_keep, dir) = buffer();
    let file = dir.with_extension("toml");
    write_config(&file, &dir, "");
    let mut process = Process::spawn(Process::command(&file));
    let mut client = Client::connect(process.address).await;
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\n";
    client.write(head.as_bytes()).await.unwrap();
    // Its answer says that the collector has read what came before it, on one event loop.
    let mut other = Client::connect(process.address).await;
    other.request("GET", "/healthz", &[], b"").await.unwrap();
    process.signal("TERM");
    // The listener goes when the signal is taken.
    while tokio::net::TcpStream::connect(process.address)
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
    process.signal("INT");
    assert_eq!(process.exit_code(), Some(130));
}

/// What a service manager hears, datagram by datagram.
struct Manager(UnixDatagram);

impl Manager {
    fn bind(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self(socket)
    }

    /// Waits for a datagram that holds this.
    fn wait(&self, part: &str) -> String {
        loop {
            let mut buffer = [0; 4096];
            let length = self.0.recv(&mut buffer).expect(part);
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if text.contains(part) {
                return text;
            }
        }
    }
}

#[tokio::test]
async fn the_service_manager_hears_everything() {
    let (keep, dir) = buffer();
    let file = dir.with_extension("toml");
    write_config(&file, &dir, "");
    let socket = keep.path().join("notify");
    let manager = Manager::bind(&socket);
    let mut command = Process::command(&file);
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "200000");
    let mut process = Process::spawn(command);
    let ready = manager.wait("READY=1");
    assert!(ready.contains("STATUS=nothing stored"), "{ready}");
    manager.wait("WATCHDOG=1");
    let mut client = Client::connect(process.address).await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    manager.wait("STATUS=10 items stored");
    manager.wait("WATCHDOG=1");

    write_config(&file, &dir, "send.inflight = 3\n");
    process.signal("HUP");
    let reloading = manager.wait("RELOADING=1");
    let micros = reloading.split("MONOTONIC_USEC=").nth(1).expect(&reloading);
    assert!(micros.trim().parse::<u64>().unwrap() > 0);
    let ready = manager.wait("READY=1");
    assert!(ready.contains("reloaded: send.inflight"), "{ready}");
    assert_eq!(
        process.next_line().unwrap(),
        "backroom-collector: reloaded: send.inflight; configuration 2\n"
    );
    process.signal("TERM");
    manager.wait("STOPPING=1");
    assert_eq!(process.exit_code(), Some(0));
}

/// What a file says is checked first; a refusal names the key, and the old configuration goes on.
#[tokio::test]
async fn a_wrong_file_does_not_touch_what_runs() {
    let (keep, dir) = buffer();
    let file = dir.with_extension("toml");
    write_config(&file, &dir, "");
    let socket = keep.path().join("notify");
    let manager = Manager::bind(&socket);
    let mut command = Process::command(&file);
    command.env("NOTIFY_SOCKET", &socket);
    let mut process = Process::spawn(command);
    manager.wait("READY=1");
    let mut check = |more: &str, expect: &str| {
        write_config(&file, &dir, more);
        process.signal("HUP");
        let status = manager.wait("READY=1");
        assert!(status.contains("the old configuration stays"), "{status}");
        let mut told = Vec::new();
        while !told
            .last()
            .is_some_and(|line: &String| line.contains("the old configuration stays"))
        {
            told.push(process.next_line().expect("it goes on"));
        }
        assert!(told.iter().any(|line| line.contains(expect)), "{told:?}");
    };
    check("send.inflght = 3\n", "inflight");
    check("buffer.disk = \n", "E0001");
    check("send.inflight = 0\n", "E0107");
    let port = process.address.port();
    let text = format!(
        "listen = {{ http = \"127.0.0.1:{port}\", grpc = \"127.0.0.1:0\" }}\nbuffer.dir = \"elsewhere\"\n"
    );
    std::fs::write(&file, text).unwrap();
    process.signal("HUP");
    let status = manager.wait("READY=1");
    assert!(status.contains("listen.http and buffer.dir"), "{status}");
    let mut client = Client::connect(process.address).await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    assert_eq!(process.terminate(), Some(0));
}

/// The bound that the documentation and the unit file go by.
#[test]
fn the_bound_is_what_the_documentation_says() {
    assert_eq!(SHUTDOWN_MAX, Duration::from_secs(15));
}
