//! What a crate reaches over any number of steps, on any platform: normal, build and, for our own crates, dev dependencies.

use std::collections::{BTreeMap, BTreeSet};

use super::{WORLDS, root};

/// `Cargo.lock`: packages as `name version`, with what each depends on.
type Lock = BTreeMap<String, Vec<String>>;

fn lock(text: &str) -> Lock {
    let document: toml_edit::DocumentMut = text.parse().expect("Cargo.lock is TOML");
    let packages = document["package"]
        .as_array_of_tables()
        .expect("a lock file lists packages");
    let text_of = |table: &toml_edit::Table, key: &str| {
        let value = table.get(key).and_then(toml_edit::Item::as_str);
        value.unwrap_or_default().to_owned()
    };
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let version = text_of(package, "version");
        versions
            .entry(text_of(package, "name"))
            .or_default()
            .push(version);
    }
    // A dependency is `name`, `name version` or `name version (source)`: as much as is needed to tell it apart.
    let whole = |dependency: &str| {
        let mut words = dependency.split(' ');
        let name = words.next().unwrap_or_default();
        let version = words.next().unwrap_or_else(|| &versions[name][0]);
        format!("{name} {version}")
    };
    packages
        .iter()
        .map(|package| {
            let list = package.get("dependencies");
            let list = list.and_then(toml_edit::Item::as_array);
            let list = list.into_iter().flatten();
            let dependencies = list.filter_map(|d| d.as_str()).map(whole).collect();
            let version = text_of(package, "version");
            let name = text_of(package, "name");
            (format!("{name} {version}"), dependencies)
        })
        .collect()
}

/// The way from one crate to another, `None` if there is none.
fn way(lock: &Lock, from: &str, to: &str) -> Option<Vec<String>> {
    let is = |package: &str, name: &str| package.split(' ').next() == Some(name);
    let start = lock.keys().find(|package| is(package, from))?;
    let mut seen = BTreeSet::from([start.clone()]);
    let mut ways = vec![vec![start.clone()]];
    while let Some(way) = ways.pop() {
        let last = way.last().expect("a way has a start");
        for next in &lock[last] {
            let mut longer = way.clone();
            longer.push(next.clone());
            if is(next, to) {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}

fn ours() -> Lock {
    let text = std::fs::read_to_string(root().join("Cargo.lock"));
    lock(&text.expect("the lock file is part of the repository"))
}

#[test]
fn the_collector_reaches_no_simulated_world() {
    let lock = ours();
    for from in ["backroom-collector", "backroom-reports"] {
        for (world, _) in WORLDS {
            assert_eq!(way(&lock, from, world), None);
        }
    }
    // The same question with the other answer, so that a misread lock file does not pass.
    assert!(way(&lock, "backroom-sim", "turmoil-net").is_some());
    assert!(way(&lock, "backroom-benches", "turmoil-fs").is_some());
    assert_eq!(way(&lock, "backroom-sim", "turmoil"), None);
}

#[test]
fn a_way_over_another_crate_is_found() {
    let lock = lock(
        r#"
        [[package]]
        name = "backroom-collector"
        version = "0.1.0"
        dependencies = ["bytes", "innocent 2.0.0"]

        [[package]]
        name = "bytes"
        version = "1.0.0"

        [[package]]
        name = "innocent"
        version = "1.0.0"

        [[package]]
        name = "innocent"
        version = "2.0.0"
        dependencies = ["turmoil-net"]

        [[package]]
        name = "turmoil-net"
        version = "0.1.0"
        "#,
    );
    let found = way(&lock, "backroom-collector", "turmoil-net");
    let expect = [
        "backroom-collector 0.1.0",
        "innocent 2.0.0",
        "turmoil-net 0.1.0",
    ];
    assert_eq!(found.expect("a way"), expect);
    assert_eq!(way(&lock, "bytes", "turmoil-net"), None);
}
