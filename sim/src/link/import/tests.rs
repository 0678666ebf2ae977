//! Shapes that come in, shapes that are refused, and what must not change on the way.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn csv_of(time: &str, value: &str) -> Source {
    Source::Csv {
        time: time.into(),
        value: value.into(),
    }
}

fn check(source: &Source, text: &str, expect: Result<&[(f64, f64)], &str>) {
    let got = read(source, Path::new("line.txt"), text, 1e6);
    match (got, expect) {
        (Ok(got), Ok(expect)) => {
            let got: Vec<(f64, f64)> = got
                .steps
                .iter()
                .map(|(end, rate)| (*end as f64 / 1e9, *rate))
                .collect();
            assert_eq!(got, expect, "{text}");
        }
        (Err(error), Err(expect)) => {
            assert_eq!(
                error.to_string(),
                format!("read trace line.txt{expect}"),
                "{text}"
            );
        }
        (got, expect) => panic!("{text}: {got:?} instead of {expect:?}"),
    }
}

#[test]
fn tables_are_read_by_name_or_number() {
    let steps: &[(f64, f64)] = &[(1.0, 2e6), (3.0, 4e6)];
    check(&csv_of("1", "2"), "1,2\n3,4\n", Ok(steps));
    check(
        &csv_of("t", "down"),
        "t;up;down\n0;9;9\n1;9;2\n\n3;9;4\n",
        Ok(steps),
    );
    check(&csv_of("2", "down"), "down\tat\n2\t1\n4\t3\n", Ok(steps));
    check(
        &csv_of("when", "rate"),
        "# router 7\nwhen,rate\n2025-03-14T11:30:00-05:00,9\n2025-03-14T16:30:01Z,2\n2025-03-14T16:30:03Z,4\n",
        Ok(steps),
    );
}

#[test]
fn what_is_wrong_with_a_table_is_told_with_its_line() {
    let named = csv_of("t", "v");
    check(
        &named,
        "time,v\n1,2\n",
        Err(":1: has no column `t`; the first row is time, v"),
    );
    check(
        &csv_of("1", "3"),
        "1,2\n",
        Err(":1: has no column `3`; the first row is 1, 2"),
    );
    check(
        &csv_of("1", "0"),
        "1,2\n",
        Err(":1: has no column `0`; the first row is 1, 2"),
    );
    check(
        &named,
        "t,v\n1,2\n2\n",
        Err(":3: has no column 2 for the throughput"),
    );
    check(
        &named,
        "t,v\n1,2\n,2\n",
        Err(":3: has no column 1 for the time"),
    );
    check(
        &named,
        "t,v\n1,fast\n",
        Err(":2: throughput `fast` is not a number from 0 to 10 Tbit/s in its unit"),
    );
    check(
        &named,
        "t,v\n1,-2\n",
        Err(":2: throughput `-2` is not a number from 0 to 10 Tbit/s in its unit"),
    );
    check(
        &named,
        "t,v\n2,1\n2,1\n",
        Err(":3: time `2` does not come after the one before it"),
    );
    check(
        &named,
        "t,v\nnoon,1\n",
        Err(
            ":2: time `noon` is no number of seconds and no timestamp such as 2025-03-14T11:30:00Z",
        ),
    );
    check(
        &named,
        "t,v\n1741951800,1\n",
        Err(
            ":2: time `1741951800` is not within 34560000 seconds of the beginning; timestamps are written as 2025-03-14T11:30:00Z",
        ),
    );
    check(&named, "", Err(": has no interval"));
    check(&named, "t,v\n", Err(": has no interval"));
    check(
        &named,
        "t,v\n5,0\n",
        Err(": carries nothing: every value is zero"),
    );
}

#[test]
fn iperf3_tells_its_unit_itself() {
    let text = r#"{ "start": {}, "intervals": [
        { "sum": { "start": 0, "end": 1.0, "bits_per_second": 9e9, "omitted": true } },
        { "sum": { "start": 0, "end": 1.0001, "bits_per_second": 2500000.5 } },
        { "sum": { "start": 1.0001, "end": 2.0, "bits_per_second": 0 } } ] }"#;
    check(
        &Source::Iperf3,
        text,
        Ok(&[(1.0001, 2_500_000.5), (2.0, 0.0)]),
    );
    check(
        &Source::Iperf3,
        r#"{ "intervals": [], "error": "unable to connect" }"#,
        Err(": iperf3 has measured nothing: unable to connect"),
    );
    check(&Source::Iperf3, "{}", Err(": has no interval"));
    let error = read(&Source::Iperf3, Path::new("x"), "{\n\"intervals\": 3}", 1.0);
    let error = error.expect_err("is refused").to_string();
    assert!(
        error.starts_with("read trace x:2: is not what `iperf3 --json` prints"),
        "{error}"
    );
}

#[test]
fn a_summary_weighs_by_time() {
    let text = "10\t0\n30\t2\n31\t8\n40\t0\n";
    let recording = read(&Source::Cooked, Path::new("x"), text, 1e6).expect("plays");
    let summary = recording.summary();
    assert_eq!(
        (summary.seconds, summary.steps, summary.max),
        (40.0, 4, 8e6)
    );
    assert_eq!(summary.mean, 48e6 / 40.0);
    assert_eq!(
        summary.quantiles,
        [
            (0.05, 0.0),
            (0.25, 0.0),
            (0.5, 2e6),
            (0.75, 2e6),
            (0.95, 2e6)
        ]
    );
    assert_eq!(
        (
            summary.down_share,
            summary.down_count,
            summary.down_seconds_max
        ),
        (19.0 / 40.0, 2, 10.0)
    );
}

proptest! {
    /// Guarantees: bytes of any kind are refused or read, whatever they are said to be.
    #[test]
    fn garbage_is_refused_without_a_panic(text in "[0-9a-z,;\t\n\"{}:.# -]{0,60}") {
        for source in [Source::Cooked, Source::Mahimahi, csv_of("1", "2"), Source::Iperf3] {
            let _ = read(&source, &PathBuf::from("x"), &text, 1e6);
        }
    }

    /// Guarantees: what is written reads back as the same recording, and equal steps carry what the recording carries.
    #[test]
    fn a_recording_reads_back_and_steps_carry_the_same(
        steps in prop::collection::vec((1_u64..5_000_000_000, 0_u32..100_000_000), 1..40),
        every in 1_000_000_u64..7_000_000_000,
    ) {
        let mut end = 0;
        let steps: Vec<(u64, f64)> = steps
            .into_iter()
            .map(|(length, rate)| {
                end += length;
                (end, f64::from(rate))
            })
            .collect();
        let recording = Recording { steps };
        prop_assume!(recording.steps.iter().any(|(_, rate)| *rate > 0.0));
        let again = read(&Source::Cooked, Path::new("x"), &recording.cooked(), 1e6).expect("its own");
        prop_assert_eq!(again.steps.len(), recording.steps.len());
        for (a, b) in again.steps.iter().zip(&recording.steps) {
            prop_assert!(a.0 == b.0 && (a.1 - b.1).abs() <= 1e-6, "{a:?} {b:?}");
        }
        let coarse = recording.every(every);
        let (a, b) = (coarse.summary(), recording.summary());
        prop_assert_eq!(a.seconds, b.seconds);
        prop_assert!((a.mean - b.mean).abs() <= b.mean * 1e-9, "{} {}", a.mean, b.mean);
        prop_assert!(coarse.steps.iter().rev().skip(1).all(|(end, _)| end % every == 0));
    }
}

/// Every recording under `BACKROOM_TRACES` comes through, and carries what it carried.
#[test]
fn recordings_of_real_lines_come_through() {
    let Some(root) = std::env::var_os("BACKROOM_TRACES") else {
        println!("skipped: BACKROOM_TRACES is not set");
        return;
    };
    let mut files = 0;
    let folders = std::fs::read_dir(Path::new(&root).join("confiwent-mit")).expect("recordings");
    for folder in folders
        .map(|entry| entry.expect("an entry").path())
        .filter(|p| p.is_dir())
    {
        for entry in std::fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("an entry").path();
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            let recording = read(&Source::Cooked, &path, &text, 1e6).expect("plays");
            let again = read(&Source::Cooked, &path, &recording.cooked(), 1e6).expect("plays");
            let (a, b) = (recording.summary(), again.summary());
            assert!(
                (a.mean - b.mean).abs() <= a.mean * 1e-9,
                "{}",
                path.display()
            );
            assert!(a.quantiles.windows(2).all(|q| q[0].1 <= q[1].1), "{a:?}");
            files += 1;
        }
    }
    assert!(files > 0, "no recording below {}", root.display());
}
