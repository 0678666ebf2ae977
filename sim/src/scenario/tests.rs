//! Whole files: what is shipped is read as it is meant, what is wrong is told as it should be.

use std::{path::PathBuf, time::Duration};

use backroom_collector::config::{BitRate, ByteSize, Format, OnFull};
use proptest::prelude::*;

use super::*;
use crate::scenario::expr::Window;

fn shipped(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../scenarios")
        .join(name)
}

fn lunch(sets: &[&str]) -> Result<Loaded, Report> {
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
    load(&shipped("lunch-uplink-cut.toml"), &sets)
}

#[track_caller]
fn ok(result: Result<Loaded, Report>) -> Loaded {
    result.unwrap_or_else(|report| panic!("{report}"))
}

/// Orders may be listed in place of a rate: by times of day, or as they were recorded.
#[test]
fn orders_come_as_they_are_listed() {
    let listed = |sets: &[&str]| match ok(lunch(sets)).scenario.orders.expect("orders").arrivals {
        OrderArrivals::At(all) => all.iter().map(Duration::as_secs).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let times = "traffic.orders.arrivals=schedule(12:00, 11:45, 09:00)";
    assert_eq!(listed(&[times]), [900, 1800]);
    assert_eq!(
        listed(&[times, "duration=25h"]),
        [900, 1800, 77_400, 87_300, 88_200]
    );

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("orders.csv");
    std::fs::write(&file, "till,at\n1,12.5\n2,7\n1,99999\n").expect("it has room");
    let set = |column: &str| {
        let file = file.display();
        format!("traffic.orders.arrivals=replay({file}, column={column})")
    };
    assert_eq!(listed(&[&set("at")]), [7, 12]);
    assert_eq!(listed(&[&set("2")]), [7, 12]);
    let told = |set: &str, code: &str, title: &str| {
        let report = lunch(&[set]).expect_err("it is wrong");
        let first = &report.list[0];
        assert_eq!(first.code.map(|c| c.id), Some(code), "{report}");
        assert!(first.title.contains(title), "{report}");
    };
    told(
        &set("when"),
        "E0105",
        "it has no column `when`; its first row is till, at",
    );
    told(
        "traffic.orders.arrivals=replay(none.csv, column=at)",
        "E0112",
        "none.csv",
    );
    std::fs::write(&file, "at\nlater\n").expect("it has room");
    told(&set("at"), "E0105", "line 2: `later` is neither");
    std::fs::write(&file, b"at\n\xff\xfe").expect("it has room");
    told(&set("at"), "E0105", "it is not text");
    told(
        "traffic.orders.arrivals=mmpp(calm=1h, rush=0s, factor=2)",
        "E0107",
        "out of range",
    );
}

/// Telemetry comes by the same processes as orders; what is listed has a size in place of a rate.
#[test]
fn telemetry_comes_by_any_process() {
    let telemetry = |sets: &[&str]| ok(lunch(sets)).scenario.telemetry.expect("telemetry");
    let steady = |arrivals: &str| {
        let set = format!("traffic.telemetry.arrivals={arrivals}");
        telemetry(&[&set]).steady_rate()
    };
    assert_eq!(steady("constant"), Some(48_000.0));
    assert_eq!(steady("poisson"), Some(48_000.0));
    assert_eq!(steady("negbin(dispersion=2)"), None);
    assert_eq!(steady("mmpp(calm=40m, rush=5m, factor=4)"), None);
    let rate = "traffic.telemetry.rate={ profile = \"lunch-peak\", peak = \"48KB/s\" }";
    let by_the_hour = telemetry(&[rate]);
    assert_eq!(by_the_hour.steady_rate(), None);
    assert!(by_the_hour.profile.is_some());
    let times = "traffic.telemetry.arrivals=schedule(12:00)";
    let listed = telemetry(&[times, "traffic.telemetry.bytes=20MB"]);
    assert_eq!(listed.bytes_each.0, 20_000_000);
    assert_eq!(
        listed.arrivals,
        OrderArrivals::At([Duration::from_secs(1800)].into())
    );
    let told = |sets: &[&str], code: &str, title: &str| {
        let report = lunch(sets).expect_err("it is wrong");
        let first = &report.list[0];
        assert_eq!(first.code.map(|c| c.id), Some(code), "{report}");
        assert!(first.title.contains(title), "{report}");
    };
    told(&[times], "E0101", "`traffic.telemetry` needs `bytes`");
    told(
        &["traffic.telemetry.bytes=20MB"],
        "E0209",
        "telemetry with a rate has no size",
    );
    told(&["traffic.telemetry.from=[\"kios\"]"], "E0204", "`kios`");
}

#[test]
fn the_lunch_scenario_means_what_it_says() {
    let loaded = ok(lunch(&[]));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert!(loaded.refusals().is_none());
    let s = &loaded.scenario;
    let minutes = |m: u64| Duration::from_secs(60 * m);
    assert_eq!(s.name, "lunch-uplink-cut");
    assert_eq!(s.seeds, (1..=20).collect::<Vec<u64>>());
    assert_eq!((s.warmup, s.duration), (minutes(10), minutes(90)));
    assert_eq!(s.nodes["kiosk"].count, 6);
    assert_eq!(s.nodes["broker"].disk.as_deref(), Some("emmc"));
    assert_eq!(
        s.nodes["pos"].offline_payments.as_ref().map(|o| o.max_each),
        Some(5_000)
    );
    assert_eq!(s.disks["emmc"].write_bytes_per_second, 18e6);
    assert_eq!(s.links["uplink"].up, BitRate(2_000_000));
    assert_eq!(s.links["uplink"].queue.discipline, Discipline::Priority);
    assert!(s.links["lte"].backup);
    assert_eq!(s.classes["telemetry"].priority, 3);
    let failover = s.failover.as_ref().expect("a failover");
    assert_eq!(
        (failover.probe, failover.fails),
        (Duration::from_secs(2), 3)
    );
    assert_eq!(failover.allow, ["payment", "order"]);
    assert_eq!(
        failover.data_cap.as_ref().and_then(|c| c.throttle_to),
        Some(BitRate(128_000))
    );
    let orders = s.orders.as_ref().expect("orders");
    assert!((orders.peak_per_hour - 180.0).abs() < 1e-9);
    assert_eq!(orders.flow.len(), 4);
    assert_eq!(orders.flow[2].timeout, Some(Duration::from_secs(8)));
    let profile = orders.profile.as_ref().expect("a profile");
    assert_eq!(
        (profile.hours[6], profile.hours[12], profile.hours[5]),
        (0.22, 1.0, 0.0)
    );
    assert_eq!(profile.days[4], 1.15);
    let telemetry = s.telemetry.as_ref().expect("telemetry");
    assert_eq!(
        (telemetry.bytes_per_second, telemetry.every),
        (48_000.0, Duration::from_secs(5))
    );
    assert_eq!(
        s.media.as_ref().map(|m| m.at.clone()),
        Some(vec![minutes(4 * 60 + 30)])
    );
    assert_eq!(s.collector.buffer.disk, ByteSize(512 << 20));
    assert_eq!(s.collector.buffer.on_full, OnFull::DropOldest);
    assert_eq!(s.collector.compress.ratio, Some(8.0));
    assert_eq!(s.hq.ingest_bytes_per_second, 20e6);
    assert_eq!(
        s.faults[0].kind,
        FaultKind::LinkDown {
            link: String::from("uplink")
        }
    );
    assert_eq!(
        s.faults[0].windows,
        [FaultWindow {
            start: minutes(35),
            end: Some(minutes(50))
        }]
    );
    assert_eq!(s.faults[0].line, 15);
    assert_eq!(s.expects.len(), 8);
    assert_eq!(
        (s.expects[0].line, s.expects[0].min_samples),
        (24, Some(30))
    );
    assert!(
        matches!(s.expects[1].window, Window::During { from, .. } if from == Duration::from_secs(45))
    );
    assert_eq!(s.oracles[0].tolerance, 0.08);
    assert_eq!(
        loaded.origins["fault.uplink-cut.for"],
        format!("{}:19", s.path.display())
    );
    assert!(loaded.origins["link.uplink.up"].ends_with("stores/qsr-18.toml:57"));
}

#[test]
fn every_shipped_file_passes_check() {
    let mut names = Vec::new();
    for folder in ["", "stores"] {
        for entry in std::fs::read_dir(shipped(folder)).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|e| e == "toml") {
                let checked = check(&path, &[]).unwrap_or_else(|report| panic!("{report}"));
                let is_template = folder == "stores";
                assert_eq!(
                    matches!(checked, Checked::Template(_)),
                    is_template,
                    "{path:?}"
                );
                names.push(path);
            }
        }
    }
    assert!(names.len() >= 5, "{names:?}");
}

#[test]
fn relative_times_follow_the_faults_they_name() {
    let loaded = ok(load(&shipped("bad-day.toml"), &[]));
    let fault = |id: &str| {
        let fault = loaded.scenario.faults.iter().find(|f| f.id == id);
        fault.unwrap_or_else(|| panic!("no fault {id}")).clone()
    };
    let at = |h: u64, m: u64| Duration::from_secs(h * 3600 + m * 60 - 5 * 3600 - 1800);
    assert_eq!(
        fault("lte-cap-hit").windows,
        [FaultWindow {
            start: at(12, 0),
            end: Some(at(12, 25))
        }]
    );
    assert_eq!(fault("pos-reboots").windows.len(), 4);
    assert_eq!(fault("pos-reboots").windows[3].start, at(10, 42));
    let FaultKind::StorePowerCut { ups } = fault("power-cut").kind else {
        panic!("not a power cut")
    };
    assert_eq!(ups["router"], Duration::from_secs(600));
    let refused = loaded.refusals();
    let refused = refused.map_or_else(String::new, |r| r.render(Format::Short, false));
    assert!(!refused.contains("fault"), "{refused}");
}

#[test]
fn a_planner_s_file_is_checked_and_not_run() {
    let loaded = ok(load(&shipped("buffer-sizing.toml"), &[]));
    assert_eq!(loaded.sweep_points, 30);
    assert_eq!(loaded.warnings.list[0].code.map(|c| c.id), Some("W0606"));
    assert!(loaded.refusals().is_some());
    let loaded = ok(load(&shipped("regional-herd.toml"), &[]));
    assert_eq!((loaded.stores, loaded.sweep_points), (2000, 20));
    let slow = ["collector.send.max_rate=40kbit/s"].map(str::to_owned);
    let loaded = ok(load(&shipped("lunch-uplink-cut.toml"), &slow));
    let warnings = loaded.warnings.render(Format::Human, false);
    assert!(
        warnings.contains("48kB/s of telemetry at ratio 8 is 6kB/s"),
        "{warnings}"
    );
    assert!(
        warnings.contains("at least 48kbit/s breaks even"),
        "{warnings}"
    );
}

#[test]
fn overrides_change_what_they_name() {
    let loaded = ok(lunch(&[
        "fault.uplink-cut.for=40m",
        "expect.caught-up-in-10-min.that=recovery(telemetry.backlog, below=256KiB) < 1m",
        "seed=7",
        "traffic.telemetry.every=60s",
        "node.kiosk.count=1",
    ]));
    let s = &loaded.scenario;
    assert_eq!(
        s.faults[0].windows[0].end,
        Some(Duration::from_secs(75 * 60))
    );
    assert_eq!(s.seeds, [7]);
    assert_eq!(s.nodes["kiosk"].count, 1);
    assert_eq!(
        loaded.origins["fault.uplink-cut.for"],
        "--set fault.uplink-cut.for=40m"
    );
    assert_eq!(s.expects[5].file, PathBuf::from("--set"));
}

#[test]
fn bad_overrides_name_the_argument() {
    let check = |set: &str, expect: &str| {
        let report = lunch(&[set]).expect_err(set);
        let text = report.render(Format::Short, false);
        assert_eq!(text.trim_end(), expect, "{set}");
    };
    check(
        "fault.uplink-cut.for=40x",
        "--set:1:24: error[E0105]: `x` is not a unit of duration (units: d, h, m, min, ms, ns, s, us, µs)",
    );
    check(
        "durration=3h",
        "--set:1:1: error[E0102]: unknown key `durration` (did you mean `duration`?)",
    );
    check(
        "fault.uplnk-cut.for=40m",
        "--set:1:7: error[E0502]: there is no fault `uplnk-cut` (did you mean `uplink-cut`?)",
    );
    check(
        "expect.no-order-lost.that=count(order.lots) == 0",
        "--set:1:33: error[E0301]: unknown metric `order.lots` (did you mean `order.lost`?)",
    );
    check(
        "collector.bufer.disk=1GiB",
        "--set:1:11: error[E0102]: unknown key `bufer` (did you mean `buffer`?)",
    );
    check(
        "warmup=10",
        "--set:1:8: error[E0103]: `warmup` needs a unit (write \"10s\", \"10m\" or \"10h\")",
    );
}

/// Resolved figures, without where they came from.
fn figures(scenario: &Scenario) -> String {
    let mut copy = scenario.clone();
    copy.path = PathBuf::new();
    for fault in &mut copy.faults {
        fault.line = 0;
    }
    for expect in &mut copy.expects {
        expect.line = 0;
        expect.file = PathBuf::new();
    }
    for oracle in &mut copy.oracles {
        oracle.line = 0;
    }
    format!("{copy:#?}")
}

#[test]
fn a_lock_file_reads_back_as_the_same_scenario() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in [
        "lunch-uplink-cut.toml",
        "bad-day.toml",
        "regional-herd.toml",
        "recorded-line.toml",
        "two-weeks-dark.toml",
        "fresh-first.toml",
    ] {
        let loaded = ok(load(&shipped(name), &[]));
        for (kind, text) in [
            ("lock", loaded.lock_toml()),
            ("resolved", loaded.resolved_toml()),
        ] {
            let path = folder.path().join(format!("{kind}.toml"));
            std::fs::write(&path, &text).expect("written");
            let again = load(&path, &[]).unwrap_or_else(|report| panic!("{report}\n{text}"));
            assert_eq!(
                figures(&loaded.scenario),
                figures(&again.scenario),
                "{name} {kind}"
            );
        }
    }
    let lock = ok(lunch(&["fault.uplink-cut.for=40m"])).lock_toml();
    assert!(
        lock.contains("for = \"40m\"  # --set fault.uplink-cut.for=40m"),
        "{lock}"
    );
    assert!(lock.contains("durability = \"fsync\"  # default"), "{lock}");
}

#[test]
fn shipped_files_follow_the_schema() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    for name in [
        "lunch-uplink-cut.toml",
        "bad-day.toml",
        "buffer-sizing.toml",
        "regional-herd.toml",
        "recorded-line.toml",
        "two-weeks-dark.toml",
        "fresh-first.toml",
        "stores/qsr-18.toml",
    ] {
        let text = std::fs::read_to_string(shipped(name)).expect("a file");
        let json = to_json(&text);
        let errors: Vec<String> = validator
            .iter_errors(&json)
            .map(|e| format!("{} at {}", e, e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
    let bad = to_json(
        "schema = 1\ndurration = \"3h\"\n[[fault]]\nid = \"x\"\nkind = \"link.dwon\"\non = \"uplink\"\n",
    );
    assert_eq!(validator.iter_errors(&bad).count(), 2);
}

fn to_json(text: &str) -> serde_json::Value {
    fn table(table: &dyn toml_edit::TableLike) -> serde_json::Value {
        let entry = |(k, v): (&str, &toml_edit::Item)| (k.to_owned(), item(v));
        table.iter().map(entry).collect()
    }
    fn item(item: &toml_edit::Item) -> serde_json::Value {
        match item {
            toml_edit::Item::Value(v) => value(v),
            toml_edit::Item::Table(t) => table(t),
            toml_edit::Item::ArrayOfTables(list) => list.iter().map(|t| table(t)).collect(),
            toml_edit::Item::None => serde_json::Value::Null,
        }
    }
    fn value(v: &toml_edit::Value) -> serde_json::Value {
        match v {
            toml_edit::Value::String(s) => s.value().clone().into(),
            toml_edit::Value::Integer(n) => (*n.value()).into(),
            toml_edit::Value::Float(n) => (*n.value()).into(),
            toml_edit::Value::Boolean(b) => (*b.value()).into(),
            toml_edit::Value::Datetime(d) => d.value().to_string().into(),
            toml_edit::Value::Array(list) => list.iter().map(value).collect(),
            toml_edit::Value::InlineTable(t) => table(t),
        }
    }
    let document = toml_edit::Document::parse(text).expect("TOML");
    table(document.as_table())
}

/// A small scenario with everything in one file.
fn small(text: &str) -> Result<Loaded, Report> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.toml");
    let head = "schema = 1\nstart = \"2025-03-14T11:30:00-05:00\"\nduration = \"90m\"\n";
    std::fs::write(&path, format!("{head}{text}")).expect("written");
    load(&path, &[])
}

/// Codes and the text under their carets, in order.
fn findings(report: &Report) -> Vec<(String, String)> {
    let one = |d: &Diagnostic| {
        let text = d
            .primary
            .as_ref()
            .map_or("", |l| report.sources.text(l.span));
        (d.code.map_or("", |c| c.id).to_owned(), text.to_owned())
    };
    report.list.iter().map(one).collect()
}

#[test]
fn what_is_wrong_is_blamed_exactly() {
    let check = |text: &str, expect: &[(&str, &str)]| {
        let report = small(text).expect_err(text);
        let found = findings(&report);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(c, t)| (c.as_str(), t.as_str()))
            .collect();
        assert_eq!(found, expect, "{text}\n{report}");
    };
    let link = "[link.a]\nbetween = [\"router\", \"hq\"]\nup = \"1Mbit/s\"\ndown = \"1Mbit/s\"\ndelay = \"1ms\"\n";
    let fault = |rest: &str| {
        format!("{link}[[fault]]\nid = \"x\"\nkind = \"link.down\"\non = \"a\"\n{rest}")
    };
    check("warmup = \"2h\"\n", &[("E0107", "\"2h\"")]);
    check("[hq]\nidle_timeout = \"0s\"\n", &[("E0107", "\"0s\"")]);
    check(
        "[node.a]\nrole = \"pso\"\ndisk = \"ssd\"\n",
        &[("E0204", "ssd"), ("E0106", "pso")],
    );
    check(
        "[link.a]\nbetween = [\"router\", \"hd\"]\nup = \"0bit/s\"\ndown = \"1Mbit/s\"\n",
        &[
            ("E0101", "[link.a]"),
            ("E0204", "hd"),
            ("E0107", "\"0bit/s\""),
        ],
    );
    check(
        &fault("at = \"after y.end\"\nfor = \"1m\"\n"),
        &[("E0208", "y")],
    );
    check(
        &fault("at = \"after x.end\"\nfor = \"1m\"\n"),
        &[("E0207", "\"after x.end\"")],
    );
    check(
        &fault("at = \"+10m\"\nfor = \"until 11:00\"\nevery = \"1h\"\n"),
        &[("E0209", "every")],
    );
    check(
        &fault("at = \"+10m\"\nmtbf = \"exp(mean=1h)\"\n"),
        &[("E0203", "id"), ("E0209", "at")],
    );
    check(
        &fault("at = \"+10m\"\nfor = \"0s\"\n"),
        &[("E0107", "\"0s\"")],
    );
    check(&fault("at = \"+2h\"\nfor = \"1m\"\n"), &[("E0205", "+2h")]);
    check(
        &fault("at = \"+10m\"\nfor = \"1m\"\ntimes = 3\n"),
        &[("E0203", "times")],
    );
    check(
        "[[expect]]\nid = \"x\"\nthat = \"count(order.lost) == 0\"\nwindow = \"whole day\"\n",
        &[("E0308", "whole")],
    );
    check("[[expect]]\nid = \"x\"\n", &[("E0101", "[[expect]]")]);
    check(
        "[[expect]]\nid = \"x y\"\nthat = \"count(order.lost) == 0\"\n",
        &[("E0105", " ")],
    );
    check(
        "[failover]\nprimary = \"a\"\nbackup = \"b\"\n",
        &[("E0204", "a"), ("E0204", "b")],
    );
    check(
        "[sweep.grid]\n\"hq.ingst\" = [\"1MB/s\"]\n\"hq.ingest\" = [\"1MB\"]\n",
        &[("E0501", "ingst"), ("E0105", "MB")],
    );
    check("[report]\nplots = [\"timelin\"]\n", &[("E0106", "timelin")]);
    check(
        "[fleet]\nstores = 3\nregions = { a = 1, b = 1 }\n",
        &[("E0107", "{ a = 1, b = 1 }")],
    );
    check("[profile.x]\nhours = { 25 = 1.0 }\n", &[("E0102", "25")]);
    check("seed = 1\nseeds = 3\n", &[("E0209", "seeds")]);
    check("link = 3\n", &[("E0104", "3")]);
    check("kind = \"templte\"\n", &[("E0106", "templte")]);
    check("kind = 1\n", &[("E0104", "1")]);
    check("sweep = { grid = 3 }\n", &[("E0104", "3")]);
    check(
        "[node.a]\nrole = \"kiosk\"\ncount = 10000\n",
        &[("E0107", "10000")],
    );
    check("[node.a]\nrole = \"kiosk\"\ncount = 0\n", &[("E0107", "0")]);
    check("[sweep.grid]\n\"hq.ingest\" = []\n", &[("E0107", "[]")]);
    check("[report]\nquantiles = [\"p100\"]\n", &[("E0105", "p100")]);
    check(
        &format!("{link}trace = {{ file = \"none.txt\" }}\n"),
        &[("E0112", "none.txt")],
    );
}

#[test]
fn faults_that_cannot_be_are_told() {
    let head = "[node.pos]\nrole = \"pos\"\ncount = 2\n[node.broker]\nrole = \"broker\"\n[link.a]\nbetween = [\"router\", \"hq\"]\nup = \"1Mbit/s\"\ndown = \"1Mbit/s\"\ndelay = \"1ms\"\n";
    let check = |kind: &str, on: &str, rest: &str, expect: &[(&str, &str)]| {
        let fault = format!("[[fault]]\nid = \"x\"\nkind = \"{kind}\"\non = \"{on}\"\n{rest}\n");
        let report = small(&format!("{head}{fault}")).expect_err(rest);
        let found = findings(&report);
        let found: Vec<_> = found
            .iter()
            .map(|(c, t)| (c.as_str(), t.as_str()))
            .collect();
        assert_eq!(found, expect, "{fault}\n{report}");
    };
    let once = "at = \"+10m\"\nfor = \"1m\"\n";
    let with = |rest: &str| format!("{once}{rest}");
    check("node.pause", "till", once, &[("E0204", "till")]);
    check("node.pause", "pos-3", once, &[("E0204", "pos-3")]);
    for (on, way_out) in [
        (
            "hq",
            "`hq.reject` (it refuses), `hq.slow` or `region.outage`",
        ),
        ("store", "kind = \"store.power_cut\""),
        ("router", "`dns.fail`"),
        ("a", "`link.down`"),
    ] {
        check("node.crash", on, once, &[("E0204", on)]);
        let fault = format!("[[fault]]\nid = \"x\"\nkind = \"node.crash\"\non = \"{on}\"\n{once}");
        let report = small(&format!("{head}{fault}")).expect_err(on);
        let help = report.list[0].help.as_deref().unwrap_or_default();
        assert!(help.contains(way_out), "{on}: {help}");
    }
    check(
        "link.flap",
        "pos",
        &with("up_for = \"5s\"\ndown_for = \"0s\""),
        &[("E0204", "pos"), ("E0107", "down_for")],
    );
    check("dns.fail", "hq", once, &[("E0204", "hq")]);
    check(
        "dns.fail",
        "router",
        &with("mode = \"gone\""),
        &[("E0106", "gone")],
    );
    check("region.outage", "region:gulf", once, &[("E0204", "gulf")]);
    check("disk.slow", "broker", &with("set = {}"), &[("E0203", "{}")]);
    check(
        "disk.slow",
        "broker",
        &with("set = { write = \"0B/s\" }"),
        &[("E0107", "write")],
    );
    check(
        "disk.io_error",
        "broker",
        &with("share = \"120%\""),
        &[("E0107", "120%")],
    );
    check(
        "disk.corrupt",
        "broker",
        "at = \"+10m\"\nbytes = 0",
        &[("E0107", "0")],
    );
    check("node.reboot", "pos", once, &[("E0209", "for")]);
    check(
        "link.down",
        "a",
        &with("pick = \"one\""),
        &[("E0209", "pick")],
    );
    check(
        "node.crash",
        "pos",
        &with("pick = \"two\""),
        &[("E0106", "two")],
    );
    check(
        "link.down",
        "a",
        "mtbf = \"exp(mean=1h)\"\nmttr = \"1m\"\nfor = \"1m\"",
        &[("E0209", "for")],
    );
    check(
        "link.down",
        "a",
        "mtbf = \"exp(mean=1h)\"\nmttr = \"1m\"\nevery = \"1h\"",
        &[("E0209", "every")],
    );
    check(
        "link.down",
        "a",
        "mtbf = \"exp(mean=1h)\"\nfor = \"forever\"",
        &[("E0209", "\"forever\"")],
    );
    check(
        "link.down",
        "a",
        "mtbf = \"const(1us)\"\nmttr = \"1us\"",
        &[("E0107", "id")],
    );
    check(
        "link.trace",
        "a",
        "trace = { file = \"none.txt\" }",
        &[("E0112", "none.txt")],
    );
    check(
        "clock.skew",
        "pos",
        &with("rate = \"fast\""),
        &[("E0105", "fast")],
    );

    let many =
        "[[fault]]\nid = \"x\"\nkind = \"node.crash\"\non = \"pos\"\nat = \"+1m\"\nfor = \"1s\"\n"
            .repeat(1_001);
    let report = small(&format!("{head}{many}")).expect_err("too many");
    assert!(
        report.to_string().contains("at most 1000 faults"),
        "{report}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.toml");
    let century = "schema = 1\nstart = \"2025-03-14T11:30:00-05:00\"\nduration = \"36500d\"\n";
    std::fs::write(&path, century).expect("written");
    let report = load(&path, &[]).expect_err("a century");
    assert_eq!(
        findings(&report),
        [("E0107".to_owned(), "\"36500d\"".to_owned())]
    );
}

#[test]
fn random_faults_are_read_and_run() {
    let text = "[node.pos]\nrole = \"pos\"\ncount = 2\n[[fault]]\nid = \"x\"\nkind = \"node.reboot\"\non = \"pos\"\nmtbf = \"exp(mean=10m)\"\ntimes = 4\npick = \"one, random\"\n";
    let loaded = ok(small(text));
    assert!(loaded.refusals().is_none());
    let fault = &loaded.scenario.faults[0];
    assert_eq!((fault.pick, fault.windows.len()), (Pick::Random, 0));
    assert!(loaded.scenario.of_seed(1).faults[0].windows.len() <= 4);
}

#[test]
fn one_file_can_be_enough() {
    let loaded = ok(small(
        "[[expect]]\nid = \"x\"\nthat = \"count(order.lost) == 0\"\n",
    ));
    assert_eq!(loaded.scenario.seeds, [1]);
    assert_eq!(loaded.scenario.expects[0].window, Window::WholeRun);
    assert!(loaded.scenario.orders.is_none());
    let empty = small("").map(|l| l.scenario.name);
    assert_eq!(empty.ok().as_deref(), Some("x"));
}

#[test]
fn overlapping_faults_of_a_link_are_noticed() {
    let loaded = ok(lunch(&["duration=3h"]));
    assert!(loaded.warnings.is_empty());
    let text = std::fs::read_to_string(shipped("lunch-uplink-cut.toml")).expect("a file");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.toml");
    let template = shipped("stores/qsr-18.toml");
    let text = text.replace("stores/qsr-18.toml", &template.display().to_string())
        + "\n[[fault]]\nid = \"slow\"\nkind = \"link.degrade\"\non = \"uplink\"\nat = \"12:10\"\nfor = \"20m\"\nset = { up = \"96kbit/s\" }\n";
    std::fs::write(&path, text).expect("written");
    let loaded = ok(load(&path, &[]));
    assert_eq!(loaded.warnings.list[0].code.map(|c| c.id), Some("W0604"));
}

#[test]
fn only_what_excludes_each_other_is_warned_of() {
    let check = |first: &str, second: &str, warns: bool| {
        let head = "[node.pos]\nrole = \"pos\"\ncount = 2\n";
        let fault = |id: &str, rest: &str| {
            format!("[[fault]]\nid = \"{id}\"\nat = \"+10m\"\nfor = \"10m\"\n{rest}\n")
        };
        let text = format!("{head}{}{}", fault("x", first), fault("y", second));
        let warnings = ok(small(&text)).warnings;
        assert_eq!(!warnings.is_empty(), warns, "{text}\n{warnings}");
    };
    let slow =
        |on: &str| format!("kind = \"disk.slow\"\non = \"{on}\"\nset = {{ fsync = \"100ms\" }}");
    let reject = |service: &str| {
        format!("kind = \"hq.reject\"\non = \"hq\"\nshare = \"50%\"\nservice = \"{service}\"")
    };
    let skew = "kind = \"clock.skew\"\non = \"pos\"\nrate = \"10ppm\"";
    check(&slow("pos"), &slow("pos-2"), true);
    check(&slow("pos-1"), &slow("pos-2"), false);
    check(&reject("all"), &reject("sync"), true);
    check(&reject("payment"), &reject("sync"), false);
    check(skew, skew, false);
    check(
        "kind = \"dns.fail\"\non = \"router\"",
        "kind = \"dns.fail\"\non = \"router\"",
        true,
    );
}

#[test]
fn a_template_cannot_be_run() {
    let report = load(&shipped("stores/qsr-18.toml"), &[]).expect_err("a template");
    assert_eq!(report.list[0].code.map(|c| c.id), Some("E0114"));
    let report = load(&shipped("none.toml"), &[]).expect_err("missing");
    assert_eq!(report.exit_code(), 66);
}

/// Reads a text beside the shipped files' template, and renders whatever is wrong with it.
fn survives(text: &[u8]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.toml");
    std::fs::write(&path, text).expect("written");
    let report = match check(&path, &[]) {
        Ok(_) => return Ok(()),
        Err(report) => report,
    };
    for finding in &report.list {
        for label in finding.primary.iter().chain(&finding.secondary) {
            let len = report.sources.get(label.span.file).text.len();
            prop_assert!(
                label.span.start <= label.span.end && label.span.end <= len,
                "{finding:?}"
            );
        }
    }
    for format in [Format::Human, Format::Short, Format::Json, Format::Github] {
        prop_assert!(!report.render(format, true).is_empty());
    }
    Ok(())
}

/// A shipped file with its template written into it, as one text.
fn whole(name: &str) -> String {
    ok(load(&shipped(name), &[])).resolved_toml()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes)?;
    }

    #[test]
    fn no_change_of_a_shipped_file_makes_the_reader_panic(
        file in 0_usize..3,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "[\\PC\n]{0,4}"), 1..4),
    ) {
        let name = ["lunch-uplink-cut.toml", "bad-day.toml", "regional-herd.toml"][file];
        let mut text = whole(name);
        for (at, cut, insert) in edits {
            let mut start = at.index(text.len());
            while !text.is_char_boundary(start) { start -= 1; }
            let mut end = (start + cut).min(text.len());
            while !text.is_char_boundary(end) { end -= 1; }
            text.replace_range(start..end.max(start), &insert);
        }
        survives(text.as_bytes())?;
    }
}
