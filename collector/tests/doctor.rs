//! `backroom-collector doctor` and `top`, the real binary: what is right is told as right, what is wrong has a way out, and
//! nothing is changed.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
};

use backroom_collector::env::{Env as _, OsEnv};
use common::{Reply, Running, Sink, buffer, config, env};

async fn tool(env: &OsEnv, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
    command
        .args(args)
        .env("NO_COLOR", "1")
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .env_remove("OTEL_EXPORTER_OTLP_PROTOCOL")
        .stdin(Stdio::null());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    env.compute(move || command.output().expect("the binary starts"))
        .await
}

/// The findings of a doctor, and its exit code.
async fn doctor(
    env: &OsEnv,
    dir: &Path,
    listen: SocketAddr,
    more: &[&str],
) -> (i32, serde_json::Value) {
    let file = dir.with_extension("toml");
    let text = format!(
        "listen = {{ http = \"{listen}\", grpc = \"off\" }}\nbuffer = {{ dir = \"{}\", disk = \"1MiB\" }}\n",
        dir.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut args = vec!["doctor", "--json", "--config", file.to_str().unwrap()];
    args.extend(more);
    let output = tool(env, &args).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), told)
}

fn finding<'a>(told: &'a serde_json::Value, what: &str) -> &'a serde_json::Value {
    let findings = told["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|finding| finding["what"] == what)
        .unwrap_or_else(|| panic!("no finding on {what}: {told:#}"))
}

async fn free_address(env: &OsEnv) -> SocketAddr {
    use backroom_collector::env::Listener as _;
    let listener = env.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_healthy_store_has_nothing_wrong_live_and_dead() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let url = sink.url();
    let listen = free_address(&env).await;
    let (code, told) = doctor(&env, &dir, listen, &["--endpoint", &url]).await;
    assert_eq!(code, 0, "{told:#}");
    assert_eq!(finding(&told, "endpoint")["level"], "ok", "{told:#}");
    assert!(!dir.exists(), "looking does not make a buffer");

    let running = Running::start(&env, config(&dir, None)).await;
    let answer = running.client().await.post_spans(0..10).await;
    assert_eq!(answer.unwrap().status, 200);
    let (code, told) = doctor(&env, &dir, running.address, &["--deep"]).await;
    assert_eq!(code, 0, "{told:#}");
    assert_eq!(
        finding(&told, "collector")["found"],
        "runs, and has the buffer"
    );
    assert_eq!(finding(&told, "endpoint")["level"], "note", "none is set");
    assert_eq!(finding(&told, "every byte")["level"], "ok");
    let found = finding(&told, "buffer")["found"].as_str().unwrap();
    assert!(found.starts_with("10 items"), "{found}");
    running.stop().await;
}

#[tokio::test]
async fn what_is_wrong_has_a_way_out() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let url = sink.url();
    let listen = free_address(&env).await;
    sink.decide(|_, _| {
        let head = "302 Found\r\nlocation: http://login.example/".to_owned();
        Reply::Raw(head, Vec::new())
    });
    let (code, told) = doctor(&env, &dir, listen, &["--endpoint", &url]).await;
    assert_eq!(code, 1, "{told:#}");
    let portal = finding(&told, "endpoint");
    assert!(
        portal["found"].as_str().unwrap().contains("login.example"),
        "{portal}"
    );
    assert!(
        portal["way_out"].as_str().unwrap().contains("log in"),
        "{portal}"
    );

    sink.decide(|_, _| {
        let head = "200 OK\r\ncontent-type: text/html".to_owned();
        Reply::Raw(head, vec![b' '; 3 << 20])
    });
    let (_, told) = doctor(&env, &dir, listen, &["--endpoint", &url]).await;
    let long = finding(&told, "endpoint");
    assert!(
        long["found"].as_str().unwrap().contains("captive portal"),
        "{long}"
    );

    let nobody = format!("http://{}", free_address(&env).await);
    let (code, told) = doctor(&env, &dir, sink.address, &["--endpoint", &nobody]).await;
    assert_eq!(code, 1);
    let refused = finding(&told, "endpoint");
    assert!(
        refused["found"].as_str().unwrap().contains("refused"),
        "{refused}"
    );
    let taken = finding(&told, "listen.http");
    assert!(
        taken["found"].as_str().unwrap().contains("another process"),
        "{taken}"
    );

    let itself = format!("http://{listen}");
    let (code, told) = doctor(&env, &dir, listen, &["--endpoint", &itself]).await;
    assert_eq!(code, 1);
    assert!(
        finding(&told, "endpoint")["found"]
            .as_str()
            .unwrap()
            .contains("own address")
    );
}

#[tokio::test]
async fn top_shows_a_collector_and_says_where_none_is() {
    let env = env();
    let (_keep, dir) = buffer();
    let running = Running::start(&env, config(&dir, None)).await;
    let answer = running.client().await.post_spans(0..10).await;
    assert_eq!(answer.unwrap().status, 200);
    let listen = running.address.to_string();
    let args = ["top", "--once", "--interval", "100ms", "--listen", &listen];
    let output = tool(&env, &args).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("10 items") && text.contains("not shrinking"),
        "{text}"
    );
    let output = tool(&env, &[&args[..], &["--json"]].concat()).await;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["backlog_items"], 10.0);
    running.stop().await;
    let output = tool(&env, &args).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{error}");
    assert!(
        error.contains("refused") && error.contains("--listen"),
        "{error}"
    );
}
