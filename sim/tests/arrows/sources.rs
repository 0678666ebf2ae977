//! Names in the code. Comments and strings do not count: prose may speak of anything.
//!
//! It reads tokens, not syntax: enough to tell every path that is named, braces of `use` written out.

use std::path::{Path, PathBuf};

use super::root;

/// Who may not name what.
struct Rule {
    /// A path that is forbidden, with all below it.
    name: &'static str,
    /// Files that may not name it, by the start of their path.
    within: &'static [&'static str],
    /// Exceptions, likewise.
    except: &'static [&'static str],
}

/// Everything that is compiled.
const ALL: &[&str] = &["collector/", "sim/", "reports/", "benches/"];
/// Where decisions are made: sans-IO.
const CORE: &[&str] = &["collector/src/core"];
/// Decisions and closed forms that run without a runtime.
const PURE: &[&str] = &[
    "collector/src/core",
    "sim/src/link",
    "sim/src/oracle",
    "reports/src",
];

#[rustfmt::skip]
const RULES: &[Rule] = &[
    Rule { name: "turmoil_net", within: ALL, except: &["sim/src/world"] },
    Rule { name: "turmoil_fs", within: ALL, except: &["sim/src/world"] },
    Rule { name: "turmoil", within: ALL, except: &["benches/"] },
    Rule { name: "tokio", within: PURE, except: &[] },
    Rule { name: "std::fs", within: CORE, except: &[] },
    Rule { name: "std::net", within: CORE, except: &[] },
    Rule { name: "std::time::Instant", within: CORE, except: &[] },
];

/// The code without comments, strings and characters; lines stay where they are.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment_len(rest)
        } else if let Some(len) = string_len(rest, out.chars().last()) {
            len
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.push(' ');
        out.extend(rest[..len].chars().filter(|c| *c == '\n'));
        rest = &rest[len..];
    }
    out
}

/// Length of the block comment at the start; they nest.
fn comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = &text[at..];
        if step.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if step.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += step.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Length of the string or character at the start; `None` if there is none. `before` is the character before it.
fn string_len(text: &str, before: Option<char>) -> Option<usize> {
    let in_a_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_a_name {
        let raw = text.strip_prefix(['b', 'c']).unwrap_or(text);
        if let Some(hashes) = raw.strip_prefix('r') {
            let body = hashes.trim_start_matches('#');
            let end = format!("\"{}", "#".repeat(hashes.len() - body.len()));
            if let Some(body) = body.strip_prefix('"') {
                let len = body.find(&end).map_or(body.len(), |i| i + end.len());
                return Some(text.len() - body.len() + len);
            }
        }
    }
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let body = &text[1..];
    if quote == '\'' {
        // 'a' and '\n' are characters, 'a without a closing quote is a lifetime.
        let mut chars = body.chars();
        let first = chars.next()?;
        if first != '\\' {
            return (chars.next() == Some('\'')).then(|| 2 + first.len_utf8());
        }
    }
    let mut is_escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return Some(at + 2),
            _ => {}
        }
    }
    Some(text.len())
}

/// Every path that the code names, with its line: plain ones, and those of `use` with braces written out.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut above: Vec<String> = vec![String::new()];
    let mut path = String::new();
    let mut in_use = false;
    for (line, text) in (1..).zip(code.lines()) {
        for token in tokens(text) {
            match token {
                "use" => in_use = true,
                "::" => path.push_str("::"),
                "{" if in_use && path.ends_with("::") => above.push(std::mem::take(&mut path)),
                word if is_word(word) => {
                    if !path.is_empty() && !path.ends_with("::") {
                        path.clear();
                    }
                    if path.is_empty() && in_use {
                        path.push_str(above.last().map_or("", String::as_str));
                    }
                    path.push_str(word);
                    found.push((line, path.trim_start_matches("::").to_owned()));
                }
                end => {
                    path.clear();
                    if end == "}" && in_use && above.len() > 1 {
                        above.pop();
                    }
                    if end == ";" {
                        in_use = false;
                        above.truncate(1);
                    }
                }
            }
        }
    }
    found
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Words, `::`, and single characters.
fn tokens(line: &str) -> Vec<&str> {
    let mut list = Vec::new();
    let mut rest = line.trim_start();
    while let Some(c) = rest.chars().next() {
        let len = if rest.starts_with("::") {
            2
        } else if is_word(rest) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            end.unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        list.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    list
}

/// What a file names and may not: `file:line names path`.
fn wrong(file: &str, text: &str) -> Vec<String> {
    let applies = |rule: &&Rule| {
        rule.within.iter().any(|start| file.starts_with(start))
            && !rule.except.iter().any(|start| file.starts_with(start))
    };
    let code = code(text);
    let mut wrong = Vec::new();
    for (line, path) in paths(&code) {
        for rule in RULES.iter().filter(applies) {
            // Longer paths were listed name by name, so each is told once.
            if path == rule.name {
                wrong.push(format!("{file}:{line} names {path}"));
            }
        }
    }
    for (line, text) in (1..).zip(code.lines()) {
        let is_cfg = ["cfg(", "cfg_attr(", "cfg!("]
            .iter()
            .any(|c| text.contains(c));
        if is_cfg && tokens(text).contains(&"feature") {
            wrong.push(format!("{file}:{line} depends on a feature"));
        }
    }
    wrong
}

/// All Rust files below a folder.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn names_stand_where_they_may() {
    let root = root();
    let mut files = Vec::new();
    for start in ALL {
        rust_files(&root.join(start), &mut files);
    }
    files.sort();
    let mut all = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("sources are text");
        let name = file.strip_prefix(&root).expect("below the root");
        let name = name.to_string_lossy().replace('\\', "/");
        all.extend(wrong(&name, &text));
    }
    assert!(files.len() > 50, "only {} files were found", files.len());
    assert_eq!(all, Vec::<String>::new());
}

#[test]
fn wrong_names_are_found() {
    let check = |file: &str, text: &str, expect: &[&str]| {
        assert_eq!(wrong(file, text), expect, "{text}");
    };
    let core = "collector/src/core/x.rs";
    check(
        core,
        "use std::fs;",
        &["collector/src/core/x.rs:1 names std::fs"],
    );
    check(
        core,
        "use std::{\n    io,\n    net::{IpAddr, SocketAddr},\n    time::{Duration, Instant},\n};",
        &[
            "collector/src/core/x.rs:3 names std::net",
            "collector/src/core/x.rs:4 names std::time::Instant",
        ],
    );
    check(
        core,
        "fn f() { let x = ::tokio::time::Instant::now(); }",
        &["collector/src/core/x.rs:1 names tokio"],
    );
    check(
        "sim/src/run/x.rs",
        "fn f(h: turmoil_net::HostId) {}",
        &["sim/src/run/x.rs:1 names turmoil_net"],
    );
    check(
        "sim/tests/x.rs",
        "use turmoil as world;",
        &["sim/tests/x.rs:1 names turmoil"],
    );
    check(
        "reports/src/x.rs",
        "#[cfg(feature = \"simulated\")]\nuse tokio;",
        &[
            "reports/src/x.rs:2 names tokio",
            "reports/src/x.rs:1 depends on a feature",
        ],
    );
}

#[test]
fn right_names_are_left_alone() {
    let check = |file: &str, text: &str| {
        assert_eq!(wrong(file, text), Vec::<String>::new(), "{text}");
    };
    let core = "collector/src/core/x.rs";
    check(
        core,
        "// tokio\n/* std::fs /* tokio */ */ use std::time::Duration;",
    );
    check(
        core,
        "const A: &str = \"tokio \\\" std::fs\"; fn f<'a>(x: &'a str) {}",
    );
    check(
        core,
        "const A: &str = r#\"std::net \" tokio\"#; const B: char = '\"';",
    );
    check(
        core,
        "use std::{io, time::Duration};\nuse crate::fs::Instant;",
    );
    check("sim/src/world/x.rs", "use turmoil_net::Packet;");
    check("benches/benches/x.rs", "use turmoil::Builder;");
    check("sim/src/link/recording.rs", "use std::fs;");
    check(
        "sim/src/x.rs",
        "#[cfg(tokio_unstable)]\nfn f(feature: u8) {}",
    );
}
