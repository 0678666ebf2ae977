//! What a run leaves behind, for CI servers and for whoever looks closer.

use std::io::Read as _;

use super::*;

#[test]
fn a_failing_run_leaves_what_ci_servers_read_and_what_people_look_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let summary = folder.path().join("step.md");
    std::fs::write(&summary, "of another tool\n").expect("written");
    let junit = folder.path().join("out/junit.xml");
    let mut run = command(&["run", QUICK, "--seeds", "1,2", "--set", "vars.limit=1ms"]);
    run.args(["--junit", str(&junit), "--runs", str(folder.path())]);
    run.env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary);
    let out = run.output().expect("it starts");
    let (shown, err) = (text(&out.stdout), text(&out.stderr));
    assert!(matches!(out.status.code(), Some(0 | 1)), "{shown}{err}");
    let failed = out.status.code() == Some(1);
    let kept = latest(folder.path(), "quick");
    let read = |name: &str| {
        let path = kept.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    assert_eq!(
        read("junit.xml"),
        std::fs::read_to_string(&junit).expect("written")
    );
    assert!(read("junit.xml").contains("<testsuite name=\"quick\""));
    assert!(read("metrics.om").ends_with("# EOF\n"));
    let step = std::fs::read_to_string(&summary).expect("there");
    assert!(step.starts_with("of another tool\n### quick: "), "{step}");
    if failed {
        let place = "::error file=sim/tests/fixtures/quick.toml,line=";
        assert!(shown.contains(place), "{shown}");
    }
}

#[test]
fn everything_of_a_seed_is_kept_on_request_and_reads_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let args = [
        "run",
        QUICK,
        "--seeds",
        "1,2",
        "--events",
        "2",
        "--runs",
        str(folder.path()),
    ];
    let (code, out, err) = told(&args);
    assert_eq!(code, 0, "{out}{err}");
    let seeds = latest(folder.path(), "quick").join("seeds");
    assert!(!seeds.join("1").exists(), "only what was asked for");
    let seed = seeds.join("2");
    let events = std::fs::File::open(seed.join("events.ndjson.zst")).expect("kept");
    let events = std::io::read_to_string(zstd::Decoder::new(events).expect("zstd")).expect("text");
    let mut last = 0.0;
    for line in events.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let t = event["t"].as_f64().expect("a time");
        assert!(t >= last, "in time order");
        last = t;
        assert!(event["event"].is_string(), "{line}");
    }
    assert!(
        events.contains("\"event\":\"order_placed\""),
        "orders are among them"
    );
    assert!(
        events.contains("\"fault\":\"cut\""),
        "faults have their names"
    );
    let timeline = std::fs::File::open(seed.join("trace.perfetto.json.gz")).expect("kept");
    let mut text = String::new();
    let mut gz = flate2::read::GzDecoder::new(timeline);
    gz.read_to_string(&mut text).expect("gzip");
    assert_eq!(backroom_reports::perfetto::validate(&text), Ok(()));
    for part in ["\"name\":\"store\"", "\"cat\":\"fault\"", " placed\""] {
        assert!(text.contains(part), "{part}");
    }
    let log = std::fs::read_to_string(seed.join("hist/order.to_kds.hlog")).expect("kept");
    assert!(log.contains("Tag=order.to_kds,"), "{log}");
    let (code, _, err) = told(&["run", QUICK, "--events", "some"]);
    assert_eq!(code, 64, "{err}");
}

#[test]
fn messages_are_one_object_a_line_and_end_with_the_exit_code() {
    let args = [
        "run",
        QUICK,
        "--seeds",
        "1,2",
        "--no-save",
        "--message-format",
        "json",
    ];
    let (code, out, err) = told(&args);
    assert_eq!(code, 0, "{err}");
    let messages: Vec<backroom_reports::messages::Message> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    use backroom_reports::messages::Message;
    assert_eq!(messages.len(), 5, "{out}");
    assert!(
        matches!(&messages[0], Message::RunStarted { scenarios, .. } if scenarios[0].seeds == 2)
    );
    assert!(
        matches!(&messages[3], Message::ScenarioFinished { result, .. } if result.seeds == [1, 2])
    );
    assert!(matches!(
        &messages[4],
        Message::RunFinished { exit_code: 0 }
    ));
}

#[test]
fn a_full_disk_is_told_and_the_verdict_stands() {
    if !Path::new("/dev/full").exists() {
        eprintln!("skipped: there is no /dev/full");
        return;
    }
    let (code, out, err) = told(&[
        "run",
        QUICK,
        "--seed",
        "1",
        "--no-save",
        "--junit",
        "/dev/full",
    ]);
    assert_eq!(code, 73, "{err}");
    assert!(err.contains("error: write /dev/full: "), "{err}");
    assert!(out.contains("3 expectations hold"), "{out}");
}
