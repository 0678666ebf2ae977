//! The page as text: what stands on it, what can not get into it, and how large it may become. How it looks is seen in a
//! browser (`sim/tests/report.rs`).

use base64::Engine as _;

use super::*;
use crate::{
    Band, Clock, Expectation, Input, Latency, LinkUse, Moment, Op, Oracle, Phase, Plot,
    SCHEMA_VERSION, SeedTrace, Severity, Shape, Spot, Timing, Track, Unit, Worst, csv, markdown,
};

pub(crate) fn result(name: &str) -> RunResult {
    RunResult {
        schema_version: SCHEMA_VERSION,
        scenario: name.into(),
        description: format!("what {name} asks"),
        file: format!("scenarios/{name}.toml"),
        overrides: vec![],
        seeds: vec![1, 7],
        seeds_planned: 2,
        failures: vec![],
        simulated_seconds: 5400.0,
        timeline: vec![],
        expectations: vec![Expectation {
            id: name.into(),
            text: "recovery(telemetry.backlog, below=256KiB) < 10m".into(),
            measure: "recovery(telemetry.backlog, below=256KiB)".into(),
            op: Op::Lt,
            limit_text: "10m".into(),
            window: format!("after {name}"),
            severity: Severity::Error,
            verdict: Verdict::Fail,
            value: Some(612.0),
            value_is_lower_bound: false,
            limit: 600.0,
            unit: Unit::Seconds,
            interval: None,
            physics: None,
            samples: None,
            seeds_held: 1,
            seeds_total: 2,
            worst: Some(Worst {
                seed: 7,
                value: Some(612.0),
            }),
            notes: vec!["fails in seed #7".into()],
            file: format!("scenarios/{name}.toml"),
            line: 51,
        }],
        oracles: vec![Oracle {
            id: "fluid".into(),
            model: "fluid_recovery".into(),
            observe: "recovery(telemetry.backlog, below=256KiB)".into(),
            unit: Unit::Seconds,
            theory: Some(600.5),
            theory_declared: None,
            observed: Some(612.0),
            deviation: Some(0.019),
            deviation_half_width: None,
            tolerance: 0.08,
            verdict: Verdict::Pass,
            inputs: vec![],
            seeds: vec![],
            notes: vec![],
            file: "x".into(),
            line: 1,
        }],
        invariants: vec![],
        traces: vec![SeedTrace {
            seed: 1,
            hash: "b3758b21a357e25e".into(),
        }],
        notes: vec![],
        exit_code: exit::FAILED,
        exit_reason: "an expectation failed".into(),
    }
}

fn seed(number: u64, name: &str, points: &[(f64, f64)]) -> SeedSeries {
    SeedSeries {
        seed: number,
        why: vec![format!("worst of {name}")],
        bands: vec![Band {
            fault: name.into(),
            start_seconds: 2100.0,
            end_seconds: 3000.0,
        }],
        bands_left_out: 0,
        moments: vec![Moment {
            at_seconds: 2100.0,
            clock: "12:05".into(),
            symbol: "▼".into(),
            text: name.into(),
            seed: None,
        }],
        spots: vec![Spot {
            expectation: name.into(),
            at_seconds: 3612.0,
            clock: "12:30:12".into(),
        }],
        plots: vec![Plot {
            id: "backlog".into(),
            title: name.into(),
            unit: Unit::Bytes,
            note: name.into(),
            tracks: vec![
                Track::new(name, Shape::Step, points),
                Track::new(
                    "closed form",
                    Shape::Line,
                    &[(2100.0, 0.0), (3066.0, 5.4e6)],
                )
                .theory(),
            ],
        }],
    }
}

fn series(name: &str, points: &[(f64, f64)]) -> RunSeries {
    RunSeries {
        schema_version: SCHEMA_VERSION,
        scenario: name.into(),
        clock: Clock {
            start: "2025-03-14T11:30:00-05:00".into(),
            start_of_day_seconds: 41_400.0,
            warmup_seconds: 600.0,
            duration_seconds: 5400.0,
        },
        seeds: vec![seed(7, name, points), seed(1, name, points)],
        seeds_left_out: 0,
        latencies: vec![Latency {
            metric: name.into(),
            phase: Phase::During,
            samples: 812,
            quantiles: vec![(0.5, 0.1), (0.99, 0.3)],
            max_seconds: Some(0.4),
        }],
        links: vec![LinkUse {
            link: name.into(),
            direction: "up".into(),
            class: name.into(),
            bytes: 1e6,
            packets_lost: 3.0,
        }],
        allowances: vec![],
    }
}

fn manifest(name: &str) -> Manifest {
    Manifest {
        schema_version: SCHEMA_VERSION,
        tool_version: "0.1.0".into(),
        argv: vec!["backroom".into(), "run".into(), name.into()],
        started_at: "2026-06-11T10:15:00Z".into(),
        machine: String::new(),
        git: None,
        platform: "x86_64-linux".into(),
        inputs: vec![Input {
            file: name.into(),
            crc32c: "0badcafe".into(),
        }],
        timing: Timing {
            wall_seconds: 4.1,
            cpu_seconds: None,
            simulated_seconds: 10_800.0,
            jobs: 2,
            memory_bytes_peak: None,
        },
    }
}

const POINTS: [(f64, f64); 4] = [(0.0, 3e4), (2100.0, 3e4), (3066.0, 5.4e6), (3612.0, 2e5)];

fn page(name: &str) -> String {
    let (result, series, manifest) = (result(name), series(name, &POINTS), manifest(name));
    render(&Report {
        result: &result,
        series: Some(&series),
        manifest: Some(&manifest),
    })
}

#[test]
fn the_policy_names_the_style_and_the_script_that_are_there() {
    let hash = |text: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    assert_eq!(hash(STYLE), STYLE_SHA256, "put this into html/mod.rs");
    assert_eq!(hash(SCRIPT), SCRIPT_SHA256, "put this into html/mod.rs");
    let page = page("lunch");
    assert!(page.contains(&format!("<style>{STYLE}</style>")));
    assert!(page.contains(&format!("<script>{SCRIPT}</script>")));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        let found = page
            .replace("http://www.w3.org/2000/svg", "")
            .contains(outside);
        assert!(!found, "{outside}");
    }
}

#[test]
fn everything_that_the_page_promises_stands_on_it() {
    let page = page("lunch");
    for text in [
        "<strong>FAIL</strong> 0 of 1 expectations hold over 2 seeds of 90m simulated time each; lunch: does not hold.",
        "✗ fails",
        "10m 12s",
        "-2.0%",
        "10m 0.5s",
        "<a href=\"#s7-e1\">12:30:12</a>",
        "id=\"s7-e1\"",
        "class=\"line theory\"",
        "class=\"band\"",
        "<td>during faults</td><td>812</td><td>100ms</td>",
        "1MB",
        "rule of three",
        "backroom run scenarios/lunch.toml --seed 7",
        "0badcafe",
        ">12:00</text>",
        ">2MB</text>",
    ] {
        assert!(page.contains(text), "{text} is missing");
    }
    assert_eq!(page, self::page("lunch"), "equal input, equal bytes");
}

/// Guarantees: few seeds bound nothing, many bound a share; that a trace was the same again stands with the commands, not with the limits.
#[test]
fn what_a_run_does_not_tell_depends_on_its_seeds() {
    let check = |seeds: u64, says: &str| {
        let mut result = result("lunch");
        result.seeds = (1..=seeds).collect();
        result.notes = vec!["trace b3758b21 (seed 1)".into(), "a note".into()];
        let limits = tables::limits_of(&result);
        assert!(limits.contains(&"a note".to_owned()), "{limits:?}");
        assert!(limits[1].starts_with(says), "{limits:?}");
        assert!(!limits.iter().any(|l| l.contains("trace ")), "{limits:?}");
        assert_eq!(tables::traces(&result), ["trace b3758b21 (seed 1)"]);
    };
    check(0, "No seed was run to its end");
    check(1, "1 seed was run, and so few bound nothing");
    check(3, "3 seeds were run, and so few bound nothing");
    check(
        30,
        "30 seeds were run. What went wrong in none of them may still go wrong in up to 10% of",
    );
}

/// Scenario: every name is an attack on the page.
/// Guarantees: no element, attribute or script comes from a name, in any place of the page.
#[test]
fn hostile_names_are_text() {
    let hostile = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onload='alert(1)",
        "</script><script>alert(1)</script>",
        "</style><b>",
        "--><!--",
        "&lt;script&gt;",
        "\u{202e}gnp.exe\u{0}\u{1b}[31m",
    ];
    // The page's own elements, with every name that it may have.
    let elements = |page: &str| -> Vec<String> {
        let own = page.replace(SCRIPT, "").replace(STYLE, "");
        let tags = own.split('<').skip(1);
        let name = |tag: &str| {
            tag.split(|c: char| !(c.is_ascii_alphanumeric() || c == '/' || c == '!'))
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        tags.map(name).collect()
    };
    let plain = elements(&page("lunch"));
    for name in hostile {
        let page = page(name);
        assert_eq!(elements(&page), plain, "{name}");
        assert!(
            !page.contains('\u{202e}') && !page.contains('\u{0}'),
            "{name}"
        );
    }
}

#[test]
fn what_is_missing_is_said() {
    let result = result("lunch");
    let page = render(&Report {
        result: &result,
        series: None,
        manifest: None,
    });
    assert!(page.contains("There is no series.json"), "{page}");
    assert!(page.contains("There is no manifest.json"));

    let mut empty = RunResult {
        seeds: vec![],
        expectations: vec![],
        oracles: vec![],
        traces: vec![],
        ..result
    };
    empty.simulated_seconds = f64::NAN;
    let mut none = series("lunch", &[]);
    none.seeds.clear();
    none.clock = Clock::default();
    let page = render(&Report {
        result: &empty,
        series: Some(&none),
        manifest: None,
    });
    assert!(page.contains("No seed was run to its end"), "{page}");
    assert!(page.contains("The scenario expects nothing"));

    // Nothing but numbers that are none, over no time.
    let mut odd = series("lunch", &[(f64::NAN, f64::NAN), (1.0, f64::INFINITY)]);
    odd.clock.duration_seconds = f64::NAN;
    let page = render(&Report {
        result: &empty,
        series: Some(&odd),
        manifest: None,
    });
    assert!(page.contains("2 points were no numbers"), "{page}");
    assert!(!page.contains("NaN") && !page.contains("inf "), "{page}");
}

/// Scenario: as many seeds, plots and tracks as a series may have, of a million points each, with long names.
/// Guarantees: the page stays below its bound; what does not fit is counted; a lone extreme is drawn.
#[test]
fn a_page_is_never_too_large_for_an_email() {
    let long = "a-name-that-goes-on-".repeat(10);
    let mut wave: Vec<(f64, f64)> = (0..1_000_000)
        .map(|n| {
            (
                f64::from(n) * 0.0054,
                (f64::from(n) * 0.37).sin() * 12_345.678,
            )
        })
        .collect();
    // One point of a million, upwards and downwards: what an average would hide.
    (wave[654_321].1, wave[123_456].1) = (98_765.0, -54_321.0);
    let mut all = series(&long, &wave);
    let track = &all.seeds[0].plots[0].tracks[0];
    assert_eq!(track.points_seen, 1_000_000);
    assert!(track.points.len() < 2_000, "{}", track.points.len());
    let (lowest, highest) = track.extremes().expect("there are points");
    assert_eq!((lowest, highest), (wave[123_456], wave[654_321]));
    let one = all.seeds[0].plots[0].clone();
    let mut seed = all.seeds[0].clone();
    seed.plots = vec![
        Plot {
            tracks: vec![one.tracks[0].clone(); 6],
            ..one
        };
        24
    ];
    all.seeds = (0..8)
        .map(|n| SeedSeries {
            seed: n,
            ..seed.clone()
        })
        .collect();
    let result = result(&long);
    let page = render(&Report {
        result: &result,
        series: Some(&all),
        manifest: None,
    });
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert!(page.contains("more seeds are not drawn"), "{}", page.len());
}

#[test]
fn markdown_and_csv_say_the_same() {
    let (result, series, manifest) = (result("lunch"), series("lunch", &POINTS), manifest("lunch"));
    let report = Report {
        result: &result,
        series: Some(&series),
        manifest: Some(&manifest),
    };
    insta::assert_snapshot!("markdown", markdown::render(&report));
    let csv = csv::render(&series);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(lines[0], "seed,plot,track,unit,at_seconds,value");
    assert_eq!(lines[1], "7,backlog,lunch,bytes,0,30000");
    assert_eq!(lines[5], "7,backlog,closed form (theory),bytes,2100,0");
    assert_eq!(lines.len(), 2 + 2 * 6);
}

/// Scenario: a sweep of two settings that is not finished, with hostile names, and one that is far too large.
#[test]
fn a_sweep_is_a_map_with_its_frontier() {
    use crate::{SweepAxis, SweepCell, SweepMap, SweepMaps};
    let axis = |path: &str, values: &[&str]| SweepAxis {
        path: path.into(),
        values: values.iter().map(|v| (*v).into()).collect(),
    };
    let cell = |row, column, verdict, value| SweepCell {
        row,
        column,
        verdict,
        value,
        is_lower_bound: value == Some(700.0),
        seeds: 20,
    };
    let map = SweepMap {
        title: "<b>recovery".into(),
        unit: Unit::Seconds,
        rows: axis("link.uplink.up", &["1Mbit/s", "2Mbit/s"]),
        columns: axis("collector.send.max_rate", &["128kbit/s", "<i>"]),
        cells: vec![
            cell(0, 0, Verdict::Fail, Some(700.0)),
            cell(0, 1, Verdict::Pass, Some(300.0)),
            cell(1, 1, Verdict::Pass, None),
        ],
    };
    let sweep = |maps| SweepMaps {
        schema_version: SCHEMA_VERSION,
        scenario: "lunch".into(),
        answer: Some("smallest link.uplink.up where caught-up passes: 1Mbit/s".into()),
        theory: Some("the closed form has the edge at 0.9Mbit/s".into()),
        maps,
    };
    let page = |sweep: &SweepMaps| {
        let mut out = String::new();
        heat::maps(&mut out, sweep);
        out
    };
    let text = page(&sweep(vec![map.clone()]));
    for expect in [
        "smallest link.uplink.up where caught-up passes: 1Mbit/s",
        "<td class=\"fail\" title=\"20 seeds\">✗ &gt; 11m 40s</td><td class=\"pass edge\" title=\"20 seeds\">✓ 5m</td>",
        "<td class=\"faint\">not run</td><td class=\"pass\" title=\"20 seeds\">✓</td>",
        "&lt;b&gt;recovery",
        "<th>&lt;i&gt;</th>",
    ] {
        assert!(text.contains(expect), "{expect}");
    }
    let mut large = map;
    large.rows.values = (0..1000).map(|n| n.to_string()).collect();
    assert!(page(&sweep(vec![large])).contains("936 more rows or columns are not shown"));
    assert!(page(&sweep(vec![])).contains("No point of the sweep was run"));
}
