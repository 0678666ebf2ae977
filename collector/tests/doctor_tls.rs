//! `doctor` and `top` where there is TLS: whose certificates they are, how long they last, and who may ask.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use backroom_collector::env::{Env as _, OsEnv};
use common::{Running, authority::Files, buffer, config, env};

const DAY: Duration = Duration::from_secs(86_400);

async fn tool(env: &OsEnv, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
    command
        .args(args)
        .env("NO_COLOR", "1")
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .stdin(Stdio::null());
    env.compute(move || command.output().expect("the binary starts"))
        .await
}

/// What the doctor finds on a subject: level, words, way out.
async fn finding(env: &OsEnv, file: &Path, what: &str) -> (String, String) {
    let args = ["doctor", "--json", "--config", file.to_str().unwrap()];
    let output = tool(env, &args).await;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = told["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["what"] == what);
    let found = found.unwrap_or_else(|| panic!("no finding on {what}: {told:#}"));
    let words = format!("{} {}", found["found"], found["way_out"]);
    (found["level"].as_str().unwrap().to_owned(), words)
}

/// A collector with the certificates of `files`, and a file that says so.
async fn collector(env: &OsEnv, dir: &Path, files: &Files, client_ca: bool) -> Running {
    let mut config = config(dir, None);
    let mut tls = files.server();
    tls.client_ca = client_ca.then(|| files.path("ca.pem"));
    config.listen.tls = Some(tls);
    let running = Running::start(env, config).await;
    write(dir, &running, files, client_ca);
    running
}

fn write(dir: &Path, running: &Running, files: &Files, client_ca: bool) {
    let path = |name: &str| files.path(name).display().to_string();
    let client_ca = match client_ca {
        true => format!(", client_ca = \"{}\"", path("ca.pem")),
        false => String::new(),
    };
    let text = format!(
        "buffer = {{ dir = \"{}\", disk = \"1MiB\" }}\n[listen]\nhttp = \"{}\"\ngrpc = \"{}\"\n\
         tls = {{ cert = \"{}\", key = \"{}\"{client_ca} }}\n",
        dir.display(),
        running.address,
        running.grpc,
        path("server.pem"),
        path("server.key"),
    );
    std::fs::write(dir.with_extension("toml"), text).unwrap();
}

#[tokio::test]
async fn a_collector_with_tls_is_known_by_its_certificate() {
    let (env, files) = (env(), Files::new());
    let (_keep, dir) = buffer();
    let running = collector(&env, &dir, &files, false).await;
    let file = dir.with_extension("toml");
    let (level, words) = finding(&env, &file, "listen.http").await;
    assert_eq!(level, "ok", "{words}");
    assert!(words.contains("answers over TLS, healthy"), "{words}");
    let (level, words) = finding(&env, &file, "listen.grpc").await;
    assert_eq!(level, "ok", "{words}");
    assert!(words.contains("shows our certificate"), "{words}");
    let (level, words) = finding(&env, &file, "listen.tls").await;
    assert_eq!(level, "ok", "{words}");
    let args = ["top", "--once", "--json", "--interval", "100ms", "--config"];
    let output = tool(&env, &[&args[..], &[file.to_str().unwrap()]].concat()).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{error}");
    // Another certificate of the same names is another's.
    let others = Files::new();
    write(&dir, &running, &others, false);
    let (level, words) = finding(&env, &file, "listen.http").await;
    assert_eq!(level, "wrong", "{words}");
    assert!(words.contains("does not show the certificate"), "{words}");
    let output = tool(&env, &[&args[..], &[file.to_str().unwrap()]].concat()).await;
    assert_eq!(output.status.code(), Some(69));
    running.stop().await;
}

#[tokio::test]
async fn who_has_no_certificate_is_told_that_one_is_wanted() {
    let (env, files) = (env(), Files::new());
    let (_keep, dir) = buffer();
    let running = collector(&env, &dir, &files, true).await;
    let file = dir.with_extension("toml");
    let (level, words) = finding(&env, &file, "listen.http").await;
    assert_eq!(level, "ok", "{words}");
    assert!(
        words.contains("with a certificate of listen.tls.client_ca"),
        "{words}"
    );
    let args = ["top", "--once", "--json", "--interval", "100ms", "--config"];
    let args = [&args[..], &[file.to_str().unwrap()]].concat();
    let output = tool(&env, &args).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(error.contains("--cert"), "{error}");
    let (cert, key) = (files.path("client.pem"), files.path("client.key"));
    let shown = [
        "--cert",
        cert.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
    ];
    let output = tool(&env, &[&args[..], &shown].concat()).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{error}");
    running.stop().await;
}

#[tokio::test]
async fn certificates_are_told_of_before_they_expire() {
    let env = env();
    for (days, level) in [(3, "wrong"), (20, "note"), (60, "ok")] {
        // Half a day more, so that the day does not turn under the test.
        let files = Files::expiring(env.unix_time() + days * DAY + DAY / 2);
        let (_keep, hq) = buffer();
        let receiver = collector(&env, &hq, &files, false).await;
        let left = format!("expires in {days} days");
        let file = hq.with_extension("toml");
        let (told, words) = finding(&env, &file, "listen.tls").await;
        assert_eq!(told, level, "{words}");
        assert!(words.contains(&left), "{words}");

        let (_keep, dir) = buffer();
        let file = dir.with_extension("toml");
        let text = format!(
            "buffer = {{ dir = \"{}\", disk = \"1MiB\" }}\nlisten = {{ http = \"127.0.0.1:0\", grpc = \"off\" }}\n\
             [endpoint]\nurl = \"https://localhost:{}\"\ntls = {{ ca = \"{}\" }}\n",
            dir.display(),
            receiver.address.port(),
            files.path("ca.pem").display(),
        );
        std::fs::write(&file, text).unwrap();
        let (told, words) = finding(&env, &file, "certificate").await;
        assert_eq!(told, level, "{words}");
        assert!(words.contains(&left), "{words}");
        let (told, words) = finding(&env, &file, "endpoint").await;
        assert_eq!(told, "ok", "{words}");
        let (told, words) = finding(&env, &file, "name").await;
        assert_ne!(told, "wrong", "{words}");
        assert!(words.contains("localhost is "), "{words}");
        receiver.stop().await;
    }
}

/// A name that nobody has is told apart from a line that is down.
#[tokio::test]
async fn a_name_that_leads_nowhere_is_told_as_such() {
    let env = env();
    let (_keep, dir) = buffer();
    let file = dir.with_extension("toml");
    // RFC 2606: no name ends in `.invalid`.
    let text = format!(
        "endpoint = \"http://hq.invalid:4318\"\nbuffer = {{ dir = \"{}\", disk = \"1MiB\" }}\n",
        dir.display()
    );
    std::fs::write(&file, text).unwrap();
    let (level, words) = finding(&env, &file, "name").await;
    assert_eq!(level, "wrong", "{words}");
    assert!(words.contains("hq.invalid"), "{words}");
}
