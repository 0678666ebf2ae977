//! The language fed with garbage: whole files, templates, `--set` values, expressions. Seeded, so that a failure repeats.
//!
//! - `files`: shipped files with bytes, words and lines changed
//! - `arguments`: `--set` with changed paths and values
//! - `words`: every small grammar, with changed texts
//! - `deep`: what is nested, chained or doubled without end
//!
//! Nothing may panic or hang; every finding blames bytes of its own file, and is shown in every shape.

use std::path::{Path, PathBuf};

use backroom_collector::config::{Format, Report, grammar::TextError};
use backroom_sim::scenario::{
    self,
    parse::{self, Names},
    time, words,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What real files are made of, and what they are not.
const SPLINTERS: &[&str] = &[
    "",
    "\"",
    "'",
    "[[",
    "]]",
    "[fault]",
    "=",
    "\n",
    "\0",
    "é",
    "\u{202e}",
    "${vars.x}",
    "${vars.mttr}",
    "${",
    "}",
    "-1",
    "0",
    "1e400",
    "9223372036854775808",
    "100y",
    "0B",
    "1000000000000TiB",
    "0bit/s",
    "99999999h",
    "forever",
    "after dark.end",
    "until uplink-cut.end",
    "+0s",
    "25:00",
    "24:00",
    "p100",
    "p99.999999",
    "use = [\"stores/qsr-18.toml\"]",
    "kind = \"template\"",
    "count = 10000",
    "duration = \"100y\"",
    "exp(mean=0s)",
    "lognormal(p50=0s, p99=0s)",
    "weibull(p50=1ns, p99=99y)",
    "mmpp(calm=1s, rush=1s, factor=1)",
    "negbin(dispersion=0.01)",
    "replay(/dev/null, column=1)",
    "schedule(00:00)",
    "gilbert(enter=100%, leave=100%, loss=100%)",
    "<",
    "==",
    "!=",
    "(",
    ")",
    ",",
    ", ,",
    "nan",
    "inf",
    "__proto__",
    "a.b.c.d",
    "\"a.b\"",
    "[node.\"\"]",
    "((((((((((((((((((((",
];

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// A text with one to four changes.
fn changed(text: &str, rng: &mut ChaCha8Rng) -> String {
    let mut text = text.to_owned();
    for _ in 0..rng.random_range(1..=4) {
        let bounds: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        let at = |rng: &mut ChaCha8Rng| match bounds.len() {
            0 => 0,
            n => bounds[rng.random_range(0..n)],
        };
        let splinter = SPLINTERS[rng.random_range(0..SPLINTERS.len())];
        let (a, b) = (at(rng), at(rng));
        let (start, end) = (a.min(b), a.max(b).min(a.min(b) + 60));
        let end = (end..=text.len()).find(|i| text.is_char_boundary(*i));
        let end = end.unwrap_or(text.len());
        match rng.random_range(0..6) {
            0 => text.insert_str(a, splinter),
            1 => text.replace_range(start..end, splinter),
            2 => text.replace_range(start..end, ""),
            3 => text.truncate(a),
            4 => {
                let part = text[start..end].to_owned();
                text.insert_str(a, &part);
            }
            _ => {
                // A value for another: what stands behind a `=` moves.
                let mut lines: Vec<&str> = text.lines().collect();
                if lines.len() > 2 {
                    let (i, j) = (
                        rng.random_range(0..lines.len()),
                        rng.random_range(0..lines.len()),
                    );
                    lines.swap(i, j);
                }
                text = lines.join("\n");
            }
        }
    }
    text
}

/// Every finding blames its own file, and is shown in every shape.
fn sound(report: &Report, what: &str) {
    for finding in &report.list {
        for label in finding.primary.iter().chain(&finding.secondary) {
            let source = report.sources.get(label.span.file);
            let span = label.span;
            assert!(span.start <= span.end, "{what}: {finding:?}");
            // A caret may stand behind the last byte.
            assert!(span.end <= source.text.len() + 1, "{what}: {finding:?}");
        }
    }
    for format in [Format::Human, Format::Json, Format::Short, Format::Github] {
        let shown = report.render(format, false);
        assert_eq!(shown.is_empty(), report.list.is_empty(), "{what}");
    }
}

fn look(path: &Path, sets: &[String], what: &str) {
    match scenario::check(path, sets) {
        Ok(scenario::Checked::Scenario(loaded)) => {
            sound(&loaded.warnings, what);
            loaded.refusals().iter().for_each(|r| sound(r, what));
            // What was read tells its story, and reads back as it was written.
            let _ = backroom_sim::cli::explain::story(&loaded);
            let _ = loaded.lock_toml();
        }
        Ok(scenario::Checked::Template(report)) => sound(&report, what),
        Err(report) => {
            assert!(!report.list.is_empty(), "{what}");
            sound(&report, what);
        }
    }
}

/// A folder with the shipped templates and recordings.
fn workshop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for below in ["stores", "traces"] {
        std::fs::create_dir(folder.path().join(below)).expect("it has room");
        for file in std::fs::read_dir(shipped().join(below)).expect("it is there") {
            let file = file.expect("it is there").path();
            let name = file.file_name().expect("a name");
            std::fs::copy(&file, folder.path().join(below).join(name)).expect("it has room");
        }
    }
    folder
}

#[test]
fn files() {
    let folder = workshop();
    let names = [
        "lunch-uplink-cut",
        "bad-day",
        "buffer-sizing",
        "regional-herd",
    ];
    let texts: Vec<String> = names
        .iter()
        .map(|n| std::fs::read_to_string(shipped().join(format!("{n}.toml"))).expect("shipped"))
        .collect();
    let template = shipped().join("stores/qsr-18.toml");
    let template = std::fs::read_to_string(template).expect("shipped");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (file, store) = (
        folder.path().join("x.toml"),
        folder.path().join("stores/qsr-18.toml"),
    );
    for round in 0..240 {
        let text = &texts[round % texts.len()];
        // Every fourth time the template is the one that is changed.
        let (scenario, used) = match round % 4 {
            3 => (text.clone(), changed(&template, &mut rng)),
            _ => (changed(text, &mut rng), template.clone()),
        };
        std::fs::write(&file, &scenario).expect("it has room");
        std::fs::write(&store, &used).expect("it has room");
        look(&file, &[], &format!("round {round}"));
    }
    for (name, bytes) in [
        ("zeros", vec![0; 1000]),
        ("not text", b"name = \"\xff\xfe\"".to_vec()),
        ("a mark first", "\u{feff}schema = 1".into()),
        ("nothing", Vec::new()),
    ] {
        std::fs::write(&file, bytes).expect("it has room");
        look(&file, &[], name);
    }
}

#[test]
fn arguments() {
    let file = shipped().join("lunch-uplink-cut.toml");
    let good = [
        "fault.uplink-cut.for=40m",
        "link.uplink.up=1Mbit/s",
        "expect.caught-up-in-10-min.that=recovery(telemetry.backlog, below=256KiB) < 10m",
        "collector.buffer.disk=1MiB",
        "node.kiosk.count=10000",
        "traffic.orders.arrivals=mmpp(calm=40m, rush=5m, factor=4)",
        "seeds=1..=20",
        "vars.x=[1, 2]",
        "failover.allow=[\"payment\"]",
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for round in 0..240 {
        let set = changed(good[round % good.len()], &mut rng);
        look(&file, std::slice::from_ref(&set), &set);
    }
}

#[test]
fn words() {
    let names = Names {
        faults: Some(vec!["uplink-cut".into()]),
        links: Some(vec!["lte".into(), "uplink".into()]),
        classes: Some(vec!["telemetry".into()]),
        ..Names::default()
    };
    type Reader<'a> = Box<dyn Fn(&str) -> Result<(), TextError> + 'a>;
    let readers: Vec<(Reader<'_>, &str)> = vec![
        (
            Box::new(|t| parse::comparison(t, &names).map(drop)),
            "recovery(order.to_kds, p99 < 2s, region!=x) < 90s",
        ),
        (
            Box::new(|t| parse::comparison(t, &names).map(drop)),
            "count(telemetry.lost, born='during uplink-cut') == 0",
        ),
        (
            Box::new(|t| parse::measure(t, &names).map(drop)),
            "ratio(telemetry.dropped, telemetry.generated)",
        ),
        (
            Box::new(|t| parse::cell(t, &names)),
            "p95(recovery(telemetry.backlog, below=256KiB))",
        ),
        (
            Box::new(|t| parse::window(t, &names).map(drop)),
            "between 06:30 and 21:00 except uplink-cut",
        ),
        (
            Box::new(|t| parse::window(t, &names).map(drop)),
            "during uplink-cut from +45s for 5m",
        ),
        (
            Box::new(|t| words::dist_time(t).map(drop)),
            "quantiles(min=1ms, p50=17ms, p99=71ms, max=1s)",
        ),
        (
            Box::new(|t| words::dist_time(t).map(drop)),
            "lognormal(p50=17ms, p99=71ms)",
        ),
        (
            Box::new(|t| words::dist_count(t).map(drop)),
            "geometric(mean=2.2)",
        ),
        (
            Box::new(|t| words::loss(t).map(drop)),
            "gilbert(enter=0.02%, leave=20%, loss=60%)",
        ),
        (
            Box::new(|t| words::arrivals(t).map(drop)),
            "mmpp(calm=40m, rush=5m, factor=4)",
        ),
        (
            Box::new(|t| words::arrivals(t).map(drop)),
            "schedule(04:30, 16:30)",
        ),
        (Box::new(|t| words::money(t).map(drop)), "50.25 USD"),
        (Box::new(|t| words::seeds(t).map(drop)), "1..=20"),
        (
            Box::new(|t| words::start(t).map(drop)),
            "2025-03-14T11:30:00-05:00[America/Chicago]",
        ),
        (Box::new(|t| words::confidence(t).map(drop)), "95%"),
        (
            Box::new(|t| time::at(t).map(drop)),
            "after uplink-cut.end + 10m",
        ),
        (
            Box::new(|t| time::lasts(t).map(drop)),
            "until uplink-cut.end",
        ),
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for (read, good) in &readers {
        read(good).unwrap_or_else(|e| panic!("{good}: {e:?}"));
        for _ in 0..400 {
            let text = changed(good, &mut rng);
            if let Err(error) = read(&text) {
                assert!(error.at.start <= error.at.end, "{text}: {error:?}");
                assert!(error.at.end <= text.len() + 1, "{text}: {error:?}");
            }
        }
    }
}

#[test]
fn deep() {
    let folder = workshop();
    let file = folder.path().join("x.toml");
    let lunch = std::fs::read_to_string(shipped().join("lunch-uplink-cut.toml")).expect("shipped");
    let look_at = |text: &str, what: &str| {
        std::fs::write(&file, text).expect("it has room");
        look(&file, &[], what);
    };
    let n = 20_000;
    for (what, text) in [
        ("parentheses", format!("count({}", "(".repeat(n))),
        (
            "closed ones",
            format!("p99({}x{}) < 1s", "(".repeat(n), ")".repeat(n)),
        ),
        (
            "arguments",
            format!("count(order.lost{}) == 0", ", a=b".repeat(n)),
        ),
        (
            "quotes",
            format!("count(order.lost, born={}) == 0", "'\"".repeat(n)),
        ),
    ] {
        assert!(
            parse::comparison(&text, &Names::default()).is_err(),
            "{what}"
        );
        let _ = parse::cell(&text, &Names::default());
        let _ = words::dist_time(&text);
    }
    look_at(
        &format!("{lunch}\n[vars]\nx = {}1{}", "[".repeat(n), "]".repeat(n)),
        "arrays",
    );
    look_at(
        &format!(
            "{lunch}\n[vars]\nx = {}1{}",
            "{ a = ".repeat(n),
            " }".repeat(n)
        ),
        "tables",
    );
    look_at(
        &format!("{lunch}\n[vars.{}x]", "a.".repeat(n)),
        "a long name",
    );
    look_at(
        &format!("{lunch}\n[vars]\na = \"${{vars.b}}\"\nb = \"${{vars.a}}\""),
        "variables in a circle",
    );
    look_at(
        &format!("{lunch}\n# {}", "x".repeat(5 << 20)),
        "a long file",
    );

    // Each uses the next one twice: read without a bound, that is 2^40 files.
    for i in 0..40 {
        let next = format!("t{}.toml", i + 1);
        let text = format!("schema = 1\nkind = \"template\"\nuse = [{next:?}, {next:?}]\n");
        std::fs::write(folder.path().join(format!("t{i}.toml")), text).expect("it has room");
    }
    std::fs::write(
        folder.path().join("t40.toml"),
        "schema = 1\nkind = \"template\"\n",
    )
    .expect("room");
    look_at(
        &lunch.replace("stores/qsr-18.toml", "t0.toml"),
        "doubled templates",
    );
    look_at(
        &lunch.replace("stores/qsr-18.toml", "x.toml"),
        "a file that uses itself",
    );
}
