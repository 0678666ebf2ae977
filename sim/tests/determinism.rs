//! Two processes, one seed, one trace; and the strict mode that finds whatever escapes.

#![cfg(target_os = "linux")]

use std::{net::SocketAddr, process::Command, time::Duration};

use backroom_collector::env::{Env as _, Listener as _, Target};
use backroom_sim::world::{self, MachineSpec, WorldSpec, Zone, det};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Names what the child process is to do; set by the tests below.
const ROLE: &str = "BACKROOM_TEST_ROLE";

/// A world whose programs draw from every source that libraries draw from, and let it show in what they send.
fn leaky_world(seed: u64, leak: fn() -> String) -> u64 {
    let machine = |name: &str| MachineSpec {
        name: name.into(),
        zone: Zone::Store,
        access: None,
        disk: None,
    };
    let spec = WorldSpec {
        seed,
        hash_payloads: true,
        machines: vec![machine("a"), machine("b")],
        ..WorldSpec::default()
    };
    let run = move || {
        let (_, report) = world::run(&spec, |world| async move {
            world.start("b", |env| async move {
                let any = SocketAddr::from(([0, 0, 0, 0], 7));
                let mut listener = env.listen(any).await.expect("free");
                while let Ok((mut stream, _)) = listener.accept().await {
                    let mut all = Vec::new();
                    let _ = stream.read_to_end(&mut all).await;
                }
            });
            for _ in 0..5 {
                let text = leak();
                world.start("a", |env| async move {
                    let target = Target {
                        host: "b".into(),
                        port: 7,
                        tls: None,
                    };
                    let mut stream = env.connect(&target).await.expect("b listens");
                    stream.write_all(text.as_bytes()).await.expect("well");
                    stream.shutdown().await.expect("well");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                });
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        })
        .expect("no recordings");
        report.trace_hash
    };
    std::thread::scope(|s| s.spawn(run).join().expect("the world ends well"))
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "what libraries do, and our own code may not"
)]
fn every_source() -> String {
    let map: std::collections::HashMap<u32, u32> = (0..16).map(|i| (i, i)).collect();
    let keys: Vec<_> = map.keys().collect();
    let wall = std::time::SystemTime::now();
    let steady = std::time::Instant::now();
    format!("{keys:?} {wall:?} {steady:?} {:x}", rand_bytes())
}

/// The system's entropy as the `rand` and `uuid` crates get it.
fn rand_bytes() -> u64 {
    let keys = std::hash::RandomState::new();
    std::hash::BuildHasher::hash_one(&keys, 0u8)
}

fn child(role: &str) -> std::process::Output {
    let exe = std::env::current_exe().expect("a test has a program");
    Command::new(exe)
        .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .output()
        .expect("it starts")
}

/// Not a test of its own: what the others start as a second process.
#[test]
fn the_child() {
    match std::env::var(ROLE).as_deref() {
        Ok("hash") => println!("hash={:016x}", leaky_world(3, every_source)),
        Ok("strict") => {
            let escapes = || {
                det::strict().expect("Linux has seccomp");
                let _ = std::net::TcpStream::connect("127.0.0.1:1");
            };
            std::thread::scope(|s| {
                let _ = s.spawn(escapes).join();
            });
            println!("it got away");
        }
        _ => {}
    }
}

#[test]
fn two_processes_run_the_same_world() {
    let hash = || {
        let out = child("hash");
        let text = String::from_utf8(out.stdout).expect("text");
        let line = text.lines().find_map(|l| l.split_once("hash="));
        line.expect("the child tells its hash").1.to_owned()
    };
    assert_eq!(hash(), hash());
}

#[test]
fn a_real_socket_in_a_strict_world_aborts_with_a_backtrace() {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the strict mode knows the registers of x86_64 only");
        return;
    }
    let out = child("strict");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(70), "{errors}");
    assert!(errors.contains("a simulated world made system call"));
    assert!(!String::from_utf8_lossy(&out.stdout).contains("it got away"));
}
