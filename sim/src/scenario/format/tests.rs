//! The form is stable, and what is put into it says the same as before.

use std::path::{Path, PathBuf};

use backroom_collector::config::{
    grammar::Grammar,
    quantity::{DURATION, EVENT_RATE, RATE, SIZE},
};
use proptest::prelude::*;

use super::*;
use crate::scenario::{
    parse::{THAT, WINDOW},
    words::DIST_TIME,
};

fn check(text: &str, expect: &str) {
    let new = format("x.toml", text).expect("TOML");
    assert_eq!(new, expect);
    assert_eq!(
        format("x.toml", &new).expect("TOML"),
        expect,
        "once is enough"
    );
}

#[test]
fn keys_are_ordered_and_aligned_and_comments_keep_their_place() {
    check(
        "\r\n\r\nschema=1\r\n  name  =  'x'  # why\r\n\r\n\r\n\r\n[[ fault ]]# one\r\nat='12:05'\r\nid = \"cut\"\r\nkind='link.down'\r\non=\"uplink\"\r\nfor=\"10 min\"       #long\r\n\r\n",
        "schema = 1\nname   = \"x\"    # why\n\n[[fault]]  # one\nid   = \"cut\"\nkind = \"link.down\"\non   = \"uplink\"\nat   = \"12:05\"\nfor  = \"10m\"       #long\n",
    );
    // A key that is much longer than the others stands out, and does not push them.
    check(
        "[[expect]]\nmin_samples = 30\nthat = 'x'\nid = 'y'\n",
        "[[expect]]\nid   = \"y\"\nthat = \"x\"\nmin_samples = 30\n",
    );
}

#[test]
fn what_is_the_author_s_stays() {
    // Groups, the order of tables, the order of a grid, a comment above a key, values over several lines, unknown keys.
    let text = "[sweep.grid]\n\"z.y\" = [1, 2]\n\"a.b\" = [\"x\"]\n\n[hq]\n# speaks of auth\nauth   = \"30s\"\ningest = \"1MB/s\"\nmine   = 1.00\n\n[node.x]\nflow = [\n  { a = 1,  b = 2 },   # aligned by hand\n]  # end\n[b]\n[a]\n";
    check(text, text);
    check("", "");
    check("# only a comment   \n\n", "# only a comment\n");
    check("a.b.\"c d\"=1\n", "a.b.\"c d\" = 1\n");
    check("[a.\"x # y\"] # z\n", "[a.\"x # y\"]  # z\n");
    check(
        "x = '''a'''\ny = 'C:\\temp'\n",
        "x = \"a\"\ny = 'C:\\temp'\n",
    );
    check("x={a=1,b.c=[ 1,2, ]}\n", "x = { a = 1, b.c = [1, 2] }\n");
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    let report = format("x.toml", "a = \n").expect_err("is refused");
    assert_eq!(report.exit_code(), 65);
    let text = report.render(backroom_collector::config::Format::Short, false);
    assert!(text.contains("x.toml:1:"), "{text}");
}

#[test]
fn texts_have_one_form() {
    let check = |grammar: &'static Grammar, text: &str, expect: &str| {
        let raw = toml_edit::Value::from(text).to_string();
        let got = texts::value(&raw, Some(Ty::Word(grammar)));
        assert_eq!(got, toml_edit::Value::from(expect).to_string(), "{text}");
    };
    check(&DURATION, "1 h 30 min", "1h30m");
    check(&DURATION, "10 µs", "10us");
    check(&DURATION, "ten", "ten");
    check(&SIZE, " 512 MiB ", "512MiB");
    check(&RATE, "2 Mbit/s", "2Mbit/s");
    check(&EVENT_RATE, "50 /m", "50/min");
    check(
        &THAT,
        "p99( order.to_kds )<1500ms",
        "p99(order.to_kds) < 1500ms",
    );
    check(
        &THAT,
        "share(payment.auth<8s)>=99%",
        "share(payment.auth < 8s) >= 99%",
    );
    check(
        &THAT,
        "recovery(telemetry.backlog,below = 256KiB)  <10m",
        "recovery(telemetry.backlog, below=256KiB) < 10m",
    );
    check(
        &THAT,
        "count(telemetry.lost,  born='during  uplink-cut')==0",
        "count(telemetry.lost, born='during  uplink-cut') == 0",
    );
    check(
        &THAT,
        "time_to(failover.active == 'lte')<40s",
        "time_to(failover.active == 'lte') < 40s",
    );
    check(&THAT, "no expectation<", "no expectation<");
    check(
        &WINDOW,
        "between 06:30  and 21:00 except a ,b",
        "between 06:30 and 21:00 except a, b",
    );
    check(&DIST_TIME, "uniform( 35s,70s )", "uniform(35s, 70s)");
}

/// Scenarios and templates that are shipped, or that tests use.
fn shipped() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in [
        "scenarios",
        "scenarios/stores",
        "scenarios/regressions",
        "sim/tests/fixtures",
    ] {
        let Ok(listed) = std::fs::read_dir(root.join(folder)) else {
            continue;
        };
        files.extend(listed.map(|entry| entry.expect("an entry").path()));
    }
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    assert!(files.len() > 20, "{files:?}");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("shipped");
        (path, text)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn shipped_files_have_the_form() {
    let mut not = Vec::new();
    for (path, text) in shipped() {
        if format("x", &text).expect("TOML") != text {
            not.push(path);
        }
    }
    assert!(not.is_empty(), "run `backroom fmt` on {not:?}");
}

/// The same file written badly: spaces around keys and values, more blank lines, keys of a group in another order.
fn messed(text: &str, seed: u64) -> String {
    let mut state = seed;
    let mut next = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % n
    };
    let document = Document::parse(text).expect("TOML");
    let mut values = Vec::new();
    spans(document.as_table(), &mut values);
    values.sort_by_key(|span| span.start);
    let mut lines = lines::of(text, &values);
    for group in groups(&lines) {
        let pinned = group.start > 0 && matches!(lines[group.start - 1], Line::Comment(_));
        let by_author = group.clone().any(|i| match &lines[i] {
            Line::Entry(entry) => entry.path.len() > 1 || entry.key.starts_with('"'),
            _ => false,
        });
        let in_map = lines[..group.start]
            .iter()
            .rev()
            .find_map(|line| match line {
                Line::Header { path, .. } => {
                    Some(order::keys_at(path, Some("link.down")).is_empty())
                }
                _ => None,
            });
        if !by_author && in_map != Some(true) {
            let at = group.start + usize::from(pinned);
            let n = (group.end - at) as u64;
            if n > 1 {
                lines[at..group.end].rotate_left(next(n) as usize);
            }
        }
    }
    let mut out = String::new();
    for line in &lines {
        let pad = " ".repeat(next(4) as usize);
        match line {
            Line::Blank => out.push_str(&"\n".repeat(1 + next(3) as usize)),
            Line::Comment(text) => out.push_str(&format!("{pad}{text}{pad}\n")),
            Line::Header { text, comment, .. } => {
                let comment = comment.as_ref().map_or("", |c| c.text.as_str());
                out.push_str(&format!("{pad}{text}{pad}{comment}\n"));
            }
            Line::Entry(entry) => {
                let comment = entry.comment.as_ref().map_or("", |c| c.text.as_str());
                let Entry { key, value, .. } = entry;
                out.push_str(&format!("{pad}{key}{pad}={pad}{value}{pad}{comment}\n"));
            }
        }
    }
    out
}

/// Without the columns of comments, which the mess has lost.
fn squeezed(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(words).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Guarantees: however a file was written, it comes out as the shipped one; nothing but spaces is lost.
    #[test]
    fn a_file_written_badly_comes_out_as_the_shipped_one(seed in any::<u64>(), pick in any::<prop::sample::Index>()) {
        let all = shipped();
        let (path, text) = &all[pick.index(all.len())];
        let new = format("x", &messed(text, seed)).expect("TOML");
        prop_assert_eq!(squeezed(&new), squeezed(text), "{}", path.display());
        prop_assert_eq!(&format("x", &new).expect("TOML"), &new);
    }

    /// Guarantees: whatever is TOML is formatted, once and for all; what is not is refused. Neither panics.
    #[test]
    fn any_change_of_a_file_is_formatted_or_refused(
        pick in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        what in prop::sample::select(vec!["\"", "'", "#", "=", "[", "]", "\n", "\r\n", "\t", "{", "}", ",", ".", "\\", "é", "\"\"\"", "'''", "  "]),
    ) {
        let all = shipped();
        let (_, text) = &all[pick.index(all.len())];
        let mut text = text.clone();
        let mut place = at.index(text.len());
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        text.insert_str(place, what);
        if let Ok(new) = format("x", &text) {
            prop_assert_eq!(&format("x", &new).expect("TOML"), &new);
        }
    }
}
