//! Declared dependencies: what the manifests say, of any kind and for any platform. Pinned versions, and no features.

use super::{CRATES, WORLDS, root};

/// One declared dependency.
#[derive(Clone, Debug)]
struct Arrow {
    from: String,
    to: String,
    version: String,
    is_optional: bool,
}

fn arrow(from: &str, to: &str, version: &str) -> Arrow {
    Arrow {
        from: from.into(),
        to: to.into(),
        version: version.into(),
        is_optional: false,
    }
}

fn declared() -> cargo_metadata::Metadata {
    cargo_metadata::MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo reads the manifests")
}

/// What is wrong with the crates and their arrows; empty is right.
fn wrong(crates: &[String], arrows: &[Arrow]) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in crates {
        if CRATES.iter().all(|(known, _)| known != name) {
            wrong.push(format!("{name} is not in the table of crates"));
        }
    }
    for Arrow {
        from,
        to,
        version,
        is_optional,
    } in arrows
    {
        let is_ours = CRATES.iter().any(|(name, _)| name == to);
        let may_use = CRATES.iter().find(|(name, _)| name == from);
        if is_ours && may_use.is_none_or(|(_, all)| !all.contains(&to.as_str())) {
            wrong.push(format!("{from} must not depend on {to}"));
        }
        if let Some((_, only)) = WORLDS.iter().find(|(world, _)| world == to) {
            if only != from {
                wrong.push(format!("{to} belongs to {only}, not to {from}"));
            }
            // A world is only as reproducible as its network. The peer in the benches may move.
            if *only == "backroom-sim" && !version.starts_with('=') {
                wrong.push(format!("{to} must be pinned exactly, not to {version}"));
            }
        }
        if *is_optional {
            wrong.push(format!(
                "{to} of {from} is optional, which makes it a feature"
            ));
        }
    }
    wrong
}

#[test]
fn ours_follow_the_arrows() {
    let metadata = declared();
    let packages = metadata.workspace_packages();
    let crates: Vec<String> = packages.iter().map(|p| p.name.to_string()).collect();
    let mut arrows = Vec::new();
    for package in &packages {
        arrows.extend(package.dependencies.iter().map(|d| Arrow {
            from: package.name.to_string(),
            to: d.name.clone(),
            version: d.req.to_string(),
            is_optional: d.optional,
        }));
    }
    assert_eq!(wrong(&crates, &arrows), Vec::<String>::new());
    assert_eq!(crates.len(), CRATES.len(), "{crates:?}");
    let of_sim = arrows.iter().filter(|a| a.from == "backroom-sim");
    assert!(of_sim.clone().any(|a| a.to == "turmoil-net"));
    assert!(of_sim.clone().any(|a| a.to == "backroom-collector"));
}

/// A feature that swaps a type is unified over the whole build: the simulated world would end up in the collector.
#[test]
fn there_are_no_features() {
    for package in declared().workspace_packages() {
        let features: Vec<_> = package.features.keys().collect();
        assert!(features.is_empty(), "{} has {features:?}", package.name);
    }
}

#[test]
fn wrong_arrows_are_refused() {
    let check = |from: &str, to: &str, version: &str, expect: &str| {
        let found = wrong(&[from.into()], &[arrow(from, to, version)]);
        assert_eq!(found, [expect], "{from} -> {to}");
    };
    check(
        "backroom-collector",
        "backroom-reports",
        "*",
        "backroom-collector must not depend on backroom-reports",
    );
    check(
        "backroom-sim",
        "backroom-benches",
        "*",
        "backroom-sim must not depend on backroom-benches",
    );
    check(
        "backroom-collector",
        "turmoil-net",
        "=0.1.0",
        "turmoil-net belongs to backroom-sim, not to backroom-collector",
    );
    check(
        "backroom-sim",
        "turmoil",
        "^0.7",
        "turmoil belongs to backroom-benches, not to backroom-sim",
    );
    check(
        "backroom-sim",
        "turmoil-fs",
        "^0.1",
        "turmoil-fs must be pinned exactly, not to ^0.1",
    );
    let optional = Arrow {
        is_optional: true,
        ..arrow("backroom-sim", "bytes", "^1")
    };
    assert_eq!(wrong(&["backroom-sim".into()], &[optional]).len(), 1);
    assert_eq!(wrong(&["backroom-extra".into()], &[]).len(), 1);
    let good = arrow("backroom-benches", "backroom-sim", "*");
    assert!(wrong(&["backroom-benches".into()], &[good]).is_empty());
}
