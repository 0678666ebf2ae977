//! A path that lies, for hours: a captive portal, an expired token, a misrouted path, a proxy's error page. The backlog is
//! intact when it is over, and everything arrives once.
//!
//! | the path | here, on real sockets, over HTTP and gRPC | in a shipped scenario |
//! |---|---|---|
//! | a captive portal that answers 302 | `a_captive_portal_that_redirects` | `captive-portal-morning`, `lying-path`, `three-portals` |
//! | one that answers 200 with a page | `a_captive_portal_that_says_all_is_well` | `three-portals` |
//! | TLS for another name | `tls_for_another_name` | `three-portals`, by the error that a connection gives |
//! | a token that has expired, six hours | `an_expired_token_for_six_hours` | `lying-path` |
//! | a path that leads nowhere, 404 | `a_misrouted_path` | `lying-path` |
//! | an error page, 500 | `a_proxys_error_page` | `lying-path` |
//!
//! Hours pass on a paused clock that is moved while nothing is under way; sockets and answers are real.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::time::Duration;

use backroom_collector::{
    config::{Endpoint, Protocol},
    env::OsEnv,
    otlp::Signal,
};
use common::{Reply, Running, Sink, authority::Files, buffer, config, env};

/// More than the longest time between two probes of a suspended destination.
const PROBE: Duration = Duration::from_secs(31);

/// Moves the clock while the collector waits for its next probe.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Waits until the collector has taken note of as many answers: only then does it wait for its next probe.
async fn heard(running: &Running, answers: usize) {
    let mut client = running.client().await;
    loop {
        let page = client.request("GET", "/metrics", &[], b"").await.unwrap();
        let page = String::from_utf8(page.body).unwrap();
        let counts = page.lines().filter_map(|line| {
            let count = line.strip_prefix("backroom_send_attempts_total{")?;
            count.rsplit_once(' ')?.1.parse::<f64>().ok()
        });
        if counts.sum::<f64>() >= answers as f64 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Lets `hours` pass with a probe each time that one is due; the receiver refuses all of them.
async fn suffer(running: &Running, sink: &Sink, hours: u64) {
    let probes = hours * 3600 / PROBE.as_secs();
    for _ in 0..probes {
        let before = sink.received().len();
        heard(running, before).await;
        pass(PROBE).await;
        sink.wait("another probe", |all| all.len() > before).await;
    }
    heard(running, sink.received().len()).await;
}

/// Nothing was lost, dropped or set aside.
fn intact(running: &Running, items: u64) {
    let accounting = *running.told.accounting.lock().unwrap();
    let traces = accounting.items(Signal::Traces);
    assert_eq!((traces.stored, traces.dropped_total()), (items, 0));
    assert_eq!((traces.quarantined, traces.delivered), (0, 0));
}

/// 100 spans; the receiver answers `reply` for `hours`, then takes everything.
async fn check(protocol: Protocol, hours: u64, reply: Reply, words: &str) {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = match protocol {
        Protocol::Grpc => Sink::open_grpc(&env).await,
        _ => Sink::open(&env).await,
    };
    sink.decide(move |_, _| reply.clone());
    let mut config = config(&dir, Some(sink.url()));
    config.endpoint.as_mut().unwrap().protocol = protocol;
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    for first in (0..100).step_by(10) {
        let answer = client.post_spans(first..first + 10).await;
        assert_eq!(answer.unwrap().status, 200);
    }
    running
        .told
        .wait(words, |told| told.has_notice(words))
        .await;
    suffer(&running, &sink, hours).await;
    intact(&running, 100);
    sink.decide(|_, _| Reply::Take);
    pass(PROBE).await;
    sink.wait_for_spans(100).await;
    assert_eq!(sink.taken(), (0..100).map(|id| (id, 1)).collect());
    running
        .told
        .wait("back", |told| told.has_notice("is back"))
        .await;
    running.stop().await;
}

fn page(head: &str) -> Reply {
    let html = b"<html>Welcome to FreeWifi, please accept the terms</html>".to_vec();
    Reply::Raw(format!("{head}\r\ncontent-type: text/html"), html)
}

#[tokio::test]
async fn a_captive_portal_that_redirects() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let redirect = page("302 Found\r\nlocation: http://login.example/");
        check(protocol, 2, redirect, "status 302").await;
    }
}

#[tokio::test]
async fn a_captive_portal_that_says_all_is_well() {
    check(Protocol::HttpProtobuf, 2, page("200 OK"), "captive portal").await;
    check(Protocol::Grpc, 2, page("200 OK"), "captive portal").await;
}

#[tokio::test]
async fn a_misrouted_path() {
    check(
        Protocol::HttpProtobuf,
        2,
        page("404 Not Found"),
        "status 404",
    )
    .await;
    check(Protocol::Grpc, 2, page("404 Not Found"), "status 404").await;
}

#[tokio::test]
async fn a_proxys_error_page() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        check(protocol, 2, page("500 Oops"), "status 500").await;
    }
}

/// The token expires, and nobody notices for six hours. The new one is taken from its file, without a restart.
#[tokio::test]
async fn an_expired_token_for_six_hours() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let env = env();
        let (keep, dir) = buffer();
        let file = keep.path().join("token");
        std::fs::write(&file, "expired\n").unwrap();
        let sink = match protocol {
            Protocol::Grpc => Sink::open_grpc(&env).await,
            _ => Sink::open(&env).await,
        };
        sink.decide(move |_, request| {
            let token = request.headers["authorization"].as_str();
            match (token, protocol) {
                ("Bearer fresh", _) => Reply::Take,
                (_, Protocol::Grpc) => Reply::Refuse(16, "token expired"),
                _ => Reply::Refuse(401, "token expired"),
            }
        });
        let mut config = config(&dir, Some(sink.url()));
        let endpoint = config.endpoint.as_mut().unwrap();
        endpoint.protocol = protocol;
        endpoint.bearer_token_file = Some(file.clone());
        let running = Running::start(&env, config).await;
        let answer = running.client().await.post_spans(0..10).await;
        assert_eq!(answer.unwrap().status, 200);
        let told = &running.told;
        told.wait("refused", |told| told.has_notice("token expired"))
            .await;
        suffer(&running, &sink, 6).await;
        intact(&running, 10);
        std::fs::write(&file, "fresh\n").unwrap();
        pass(PROBE).await;
        sink.wait_for_spans(10).await;
        assert_eq!(sink.taken(), (0..10).map(|id| (id, 1)).collect());
        running.stop().await;
    }
}

/// Without a token nothing is sent: the file is missing, and comes.
#[tokio::test]
async fn a_missing_token_sends_nothing() {
    let env = env();
    let (keep, dir) = buffer();
    let file = keep.path().join("token");
    let sink = Sink::open(&env).await;
    let mut config = config(&dir, Some(sink.url()));
    config.endpoint.as_mut().unwrap().bearer_token_file = Some(file.clone());
    let running = Running::start(&env, config).await;
    let answer = running.client().await.post_spans(0..10).await;
    assert_eq!(answer.unwrap().status, 200);
    let words = "read bearer_token_file";
    running
        .told
        .wait(words, |told| told.has_notice(words))
        .await;
    intact(&running, 10);
    assert!(sink.received().is_empty());
    std::fs::write(&file, "fresh").unwrap();
    pass(PROBE).await;
    sink.wait_for_spans(10).await;
    running.stop().await;
}

/// A portal answers for the destination, with a certificate of its own: suspended, not hammered, and nothing is sent to it.
#[tokio::test]
async fn tls_for_another_name() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        another_name(&env(), protocol).await;
    }
}

async fn another_name(env: &OsEnv, protocol: Protocol) {
    let names = Files::for_hosts(["localhost", "portal.example"]);
    let (_keep, dir) = buffer();
    let sink = Sink::closed(env).await;
    let portal = names.server_of("portal.example");
    let honest = names.server_of("localhost");
    match protocol {
        Protocol::Grpc => sink.listen_grpc_tls(&portal).await,
        _ => sink.listen_tls(&portal).await,
    }
    let mut config = config(&dir, None);
    config.endpoint = Some(Endpoint {
        tls: Some(names.client()),
        protocol,
        ..Endpoint::new(format!("https://localhost:{}", sink.address.port()))
    });
    let running = Running::start(env, config).await;
    let answer = running.client().await.post_spans(0..10).await;
    assert_eq!(answer.unwrap().status, 200);
    let words = "the certificate is not for localhost";
    running
        .told
        .wait(words, |told| told.has_notice(words))
        .await;
    intact(&running, 10);
    assert!(sink.received().is_empty());
    // The files are replaced, and the server looks at them again when a connection comes after ten seconds.
    for part in ["pem", "key"] {
        let (from, to) = match part {
            "pem" => (&honest.cert, &portal.cert),
            _ => (&honest.key, &portal.key),
        };
        std::fs::copy(from, to).unwrap();
    }
    pass(PROBE).await;
    sink.wait_for_spans(10).await;
    assert_eq!(sink.taken(), (0..10).map(|id| (id, 1)).collect());
    running.stop().await;
}
