//! What people see of `buffer`, `doctor` and `top`: the real binary on a buffer whose contents and ages are fixed.
//!
//! What differs from run to run and machine to machine (paths, ports, clocks, free space, how fast a disk is) is replaced
//! by its name, so a change of these files is a change of what is shown.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use backroom_collector::{config::Codec, env::Env as _, otlp::Signal};
use common::{Reply, Running, Sink, buffer, config, env};

const DAY: Duration = Duration::from_secs(86_400);

/// A buffer of four items of another store, three days and half an hour old: that shows as three days for half an hour.
fn fixture(dir: &Path) {
    let old = env().unix_time() - 3 * DAY - DAY / 48;
    let line = |batch: &str, signal: &str, newest: Duration, request: serde_json::Value| {
        let born = [old, newest].map(|born| born.as_nanos().to_string());
        let mut line = serde_json::json!({
            "backroom": {"batch": batch, "born": born, "signal": signal},
        });
        let members = line.as_object_mut().unwrap();
        members.extend(request.as_object().unwrap().clone());
        format!("{line}\n")
    };
    let resource = |service: &str| {
        serde_json::json!({
            "attributes": [{"key": "service.name", "value": {"stringValue": service}}],
        })
    };
    let at = "1600000000000000000";
    let spans = serde_json::json!({"resourceSpans": [{"resource": resource("pos"), "scopeSpans": [{"spans": [{
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "sale",
        "startTimeUnixNano": at, "endTimeUnixNano": "1600000000012000000",
        "attributes": [{"key": "lane", "value": {"intValue": "3"}}],
    }]}]}]});
    let logs = |record: serde_json::Value| {
        let scope = serde_json::json!({"logRecords": [record]});
        serde_json::json!({"resourceLogs": [{"resource": resource("kds"), "scopeLogs": [scope]}]})
    };
    let slow = logs(
        serde_json::json!({"timeUnixNano": at, "severityText": "WARN", "body": {"stringValue": "printer is slow"}}),
    );
    let ready = logs(
        serde_json::json!({"timeUnixNano": at, "severityNumber": 9, "body": {"stringValue": "order 12\u{1b}[2J is ready"}}),
    );
    let points = serde_json::json!({"resourceMetrics": [{"resource": resource("pos"), "scopeMetrics": [{"metrics": [{
        "name": "orders", "unit": "{order}",
        "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{"timeUnixNano": at, "asInt": "42"}]},
    }]}]}]});
    let store = "0000000000000abc-3";
    let text = [
        line(&format!("{store}-traces-0-1"), "traces", old, spans),
        line(&format!("{store}-logs-1200-1"), "logs", old, slow),
        line(&format!("{store}-logs-1201-1"), "logs", old + DAY, ready),
        line(&format!("{store}-metrics-7-1"), "metrics", old, points),
    ]
    .concat();
    let file = dir.with_extension("jsonl");
    std::fs::write(&file, text).unwrap();
    let (code, text) = tool(&["buffer", "import", file.to_str().unwrap()], dir);
    assert_eq!(code, 0, "{text}");
}

/// The exit code, and what a person sees, on either stream.
fn tool(args: &[&str], dir: &Path) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
    command.args(args).arg("--buffer-dir").arg(dir);
    shown(&mut command)
}

fn shown(command: &mut Command) -> (i32, String) {
    command
        .env("NO_COLOR", "1")
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .env_remove("OTEL_EXPORTER_OTLP_PROTOCOL")
        .stdin(Stdio::null());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let output = command.output().expect("the binary starts");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

/// The text with what stands between `before` and `after` replaced, wherever it does within a line.
fn redact(text: &str, before: &str, after: &str, name: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let cut = line.find(before).map(|at| at + before.len());
        let end = cut.and_then(|start| Some(start + line[start..].find(after)?));
        match (cut, end) {
            (Some(start), Some(end)) => {
                out += &line[..start];
                out += name;
                out += &line[end..];
            }
            _ => out += line,
        }
        out.push('\n');
    }
    out
}

/// A golden file of a command: its exit code and what it shows.
fn golden(name: &str, (code, text): (i32, String), dir: &Path) {
    let mut text = text.replace(dir.to_str().unwrap(), "DIR");
    for (before, after, name) in [
        ("%), ", " free on", "FREE"),
        ("ok     clock        ", "Z", "TIME"),
        ("takes ", " (p50), ", "TIME"),
        ("(p50), ", " (slowest", "TIME"),
        ("ok     room         ", " free,", "FREE"),
        ("store       ", ",", "STORE"),
    ] {
        text = redact(&text, before, after, name);
    }
    insta::assert_snapshot!(name, format!("{text}exit code {code}"));
}

#[test]
fn buffer_verbs() {
    let (_keep, dir) = buffer();
    fixture(&dir);
    for (name, args) in [
        ("stat", &["buffer", "stat"][..]),
        ("ls", &["buffer", "ls"]),
        ("ls_batches", &["buffer", "ls", "--batches"]),
        ("cat", &["buffer", "cat"]),
        ("cat_json", &["buffer", "cat", "--json", "--limit", "1"]),
        ("verify", &["buffer", "verify"]),
        ("purge", &["buffer", "purge", "--all", "--dry-run"]),
    ] {
        golden(name, tool(args, &dir), &dir);
    }
}

/// A buffer of two refused items, of another store whose times are fixed.
async fn refused(dir: &Path) {
    fixture(dir);
    let env = env();
    let sink = Sink::open(&env).await;
    sink.decide(|_, request| match request.signal {
        Signal::Logs => Reply::Refuse(400, "attribute \"order\" is missing"),
        _ => Reply::Raw("503 Busy".to_owned(), Vec::new()),
    });
    let mut config = config(dir, Some(sink.url()));
    config.compress.codec = Codec::None;
    let running = Running::start(&env, config).await;
    let told = |told: &common::Recorder| {
        let accounting = *told.accounting.lock().unwrap();
        accounting.items(Signal::Logs).quarantined == 2
    };
    running.told.wait("both are refused", told).await;
    running.stop().await;
}

#[tokio::test]
async fn quarantine_verbs() {
    let (_keep, dir) = buffer();
    refused(&dir).await;
    for (name, args) in [
        ("quarantine_ls", &["ls"][..]),
        ("quarantine_cat", &["cat"]),
        ("quarantine_cat_json", &["cat", "--json", "--limit", "1"]),
        ("quarantine_redrive", &["redrive", "--dry-run"]),
        ("quarantine_purge", &["purge", "--all", "--dry-run"]),
    ] {
        let args = [&["buffer", "quarantine"], args].concat();
        golden(name, tool(&args, &dir), &dir);
    }
}

/// A backlog that is carried away, put into another buffer, and sent from there.
#[tokio::test]
async fn carrying_verbs() {
    let env = env();
    let (_keep, dir) = buffer();
    fixture(&dir);
    let (file, other) = (dir.with_extension("otlp.zst"), dir.with_extension("other"));
    let file = file.to_str().unwrap();
    golden("export", tool(&["buffer", "export", file], &dir), &dir);
    golden(
        "export_exists",
        tool(&["buffer", "export", file], &dir),
        &dir,
    );
    let take = ["buffer", "export", file, "--force", "--take"];
    golden("export_take", tool(&take, &dir), &dir);
    golden("import", tool(&["buffer", "import", file], &other), &dir);
    golden(
        "import_again",
        tool(&["buffer", "import", file], &other),
        &dir,
    );
    // Port 1 is one where nobody answers.
    let nobody = "http://127.0.0.1:1";
    let replay = ["buffer", "replay", "--patience", "100ms", "--to", nobody];
    golden("replay_left", tool(&replay, &other), &dir);
    let sink = Sink::open(&env).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
    command.args(["buffer", "replay", "--to", &sink.url(), "--buffer-dir"]);
    command.arg(&other);
    let sent = env.compute(move || shown(&mut command)).await;
    golden("replay", sent, &dir);
}

/// One bit of a payload is wrong.
#[test]
fn buffer_verbs_of_a_damaged_disk() {
    let (_keep, dir) = buffer();
    fixture(&dir);
    let names = std::fs::read_dir(&dir).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|kind| kind == "batches"));
    // The first of the two batches of logs; the last of a file may be unfinished.
    names.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    let file = names.last().unwrap();
    let mut data = std::fs::read(file).unwrap();
    data[150] ^= 1;
    std::fs::write(file, data).unwrap();
    for (name, verb) in [("damaged_verify", "verify"), ("damaged_cat", "cat")] {
        golden(name, tool(&["buffer", verb], &dir), &dir);
    }
}

#[test]
fn doctor() {
    let (_keep, dir) = buffer();
    fixture(&dir);
    // Port 0 is free everywhere; nobody answers at a port that only root may take.
    let text =
        "listen = { http = \"127.0.0.1:0\", grpc = \"off\" }\nbuffer = { disk = \"1MiB\" }\n";
    let file = dir.with_extension("toml");
    std::fs::write(&file, text).unwrap();
    let args = ["doctor", "--deep", "--config", file.to_str().unwrap()];
    golden("doctor", tool(&args, &dir), &dir);
    let args = [&args[..], &["--endpoint", "http://127.0.0.1:1"]].concat();
    golden("doctor_refused", tool(&args, &dir), &dir);
}

#[tokio::test]
async fn top() {
    let env = env();
    let (_keep, dir) = buffer();
    fixture(&dir);
    let running = Running::start(&env, config(&dir, None)).await;
    let listen = running.address.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
    command.args(["top", "--once", "--interval", "100ms", "--listen", &listen]);
    let (code, text) = env.compute(move || shown(&mut command)).await;
    let mut text = text.replace(&listen, "ADDRESS");
    for (before, after, name) in [
        ("process     ", " resident", "BYTES"),
        ("resident, ", " of a core", "SHARE"),
    ] {
        text = redact(&text, before, after, name);
    }
    golden("top", (code, text), &dir);
    running.stop().await;
}
