//! A proxy on the way out: tunnels for TLS and gRPC, whole URLs for the rest, credentials, and how its refusals are told.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use backroom_collector::{
    config::{Config, Protocol},
    env::{Env, Listener, OsEnv, OsStream},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use common::{Running, Sink, buffer, config, env};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};

/// A proxy that knows one way: every request goes to the receiver.
struct Proxy {
    address: SocketAddr,
    /// First lines of what it was asked, and the credentials.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Proxy {
    /// `refusal` is the status line of its answers; `None` lets everything through.
    async fn open(env: &OsEnv, receiver: SocketAddr, refusal: Option<&'static str>) -> Self {
        let mut listener = env.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let proxy = Self {
            address,
            asked: asked.clone(),
        };
        let here = env.clone();
        env.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (env, asked) = (here.clone(), asked.clone());
                here.spawn(async move { serve(&env, stream, receiver, refusal, &asked).await });
            }
        });
        proxy
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    env: &OsEnv,
    mut stream: OsStream,
    receiver: SocketAddr,
    refusal: Option<&str>,
    asked: &Mutex<Vec<(String, String)>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let text = String::from_utf8(head.clone()).unwrap();
    let line = text.lines().next().unwrap().to_owned();
    let basic = text
        .lines()
        .find_map(|l| l.strip_prefix("proxy-authorization: "));
    asked
        .lock()
        .unwrap()
        .push((line.clone(), basic.unwrap_or("").to_owned()));
    if let Some(status) = refusal {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
    let mut onward = common::connect(env, receiver).await;
    if line.starts_with("CONNECT ") {
        stream.write_all(b"HTTP/1.1 200 Yes\r\n\r\n").await.unwrap();
    } else {
        // What a receiver wants to see is the path.
        let origin = format!("http://{}", line.split('/').nth(2).unwrap());
        let head = text.replacen(&origin, "", 1);
        onward.write_all(head.as_bytes()).await.unwrap();
    }
    let _ = copy_bidirectional(&mut stream, &mut onward).await;
}

async fn check(protocol: Protocol, url: &str, refusal: Option<&'static str>) -> (Proxy, String) {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = match protocol {
        Protocol::Grpc => Sink::open_grpc(&env).await,
        _ => Sink::open(&env).await,
    };
    let proxy = Proxy::open(&env, sink.address, refusal).await;
    let mut config: Config = config(&dir, Some(url.to_owned()));
    let endpoint = config.endpoint.as_mut().unwrap();
    endpoint.protocol = protocol;
    endpoint.proxy = Some(format!("http://till:p%40w@{}", proxy.address));
    let running = Running::start(&env, config).await;
    let answer = running.client().await.post_spans(0..10).await;
    assert_eq!(answer.unwrap().status, 200);
    let mut words = String::new();
    if refusal.is_some() {
        let told = &running.told;
        told.wait("down", |told| told.has_notice("is down")).await;
        words = told.notices.lock().unwrap().join("\n");
        assert_eq!((told.stored(), sink.received().len()), (10, 0));
    } else {
        sink.wait_for_spans(10).await;
        assert_eq!(sink.taken(), (0..10).map(|id| (id, 1)).collect());
        let headers = &sink.received()[0].headers;
        let is_seen = headers.contains_key("proxy-authorization");
        // This proxy passes on what it gets; through a tunnel it got nothing.
        assert_eq!(is_seen, protocol != Protocol::Grpc);
    }
    running.stop().await;
    (proxy, words)
}

/// The name of the destination is resolved by the proxy: nobody knows it here.
const HQ: &str = "http://hq.invalid:4317";

#[tokio::test]
async fn plain_requests_name_the_whole_url() {
    let (proxy, _) = check(Protocol::HttpProtobuf, HQ, None).await;
    let basic = format!("Basic {}", STANDARD.encode("till:p@w"));
    let line = "POST http://hq.invalid:4317/v1/traces HTTP/1.1".to_owned();
    assert_eq!(proxy.asked(), [(line, basic)]);
}

#[tokio::test]
async fn grpc_goes_through_a_tunnel() {
    let (proxy, _) = check(Protocol::Grpc, HQ, None).await;
    let basic = format!("Basic {}", STANDARD.encode("till:p@w"));
    let line = "CONNECT hq.invalid:4317 HTTP/1.1".to_owned();
    assert_eq!(proxy.asked(), [(line, basic)]);
}

/// Who refuses, and why, stands in the log; nothing is lost.
#[tokio::test]
async fn refusals_of_a_proxy_are_told_apart() {
    for (protocol, url, status, part) in [
        (Protocol::Grpc, HQ, "407 Who", "does not know this user"),
        (
            Protocol::HttpProtobuf,
            "https://hq.invalid",
            "403 No",
            "forbids the destination",
        ),
        (
            Protocol::HttpProtobuf,
            "https://hq.invalid",
            "502 Bad",
            "cannot reach",
        ),
        (Protocol::HttpProtobuf, HQ, "407 Who", "status 407"),
    ] {
        let (_, words) = check(protocol, url, Some(status)).await;
        assert!(words.contains(part), "{words}");
        assert!(
            !words.contains("p@w") && !words.contains("p%40w"),
            "{words}"
        );
    }
}
