//! The documents against the tables that the programs go by: what exists is documented, and what is linked exists.
//!
//! - names of metrics, faults, findings, invariants, keys, in `docs/scenarios.md` and `docs/collector.md`
//! - examples of the collector's configuration, read as the collector reads them
//! - links between the documents
//! - the README's table of scenarios, from the files themselves

use std::path::{Path, PathBuf};

use backroom_collector::config::{
    self, COLLECTOR,
    quantity::show_duration,
    shape::{Shape, Ty},
};
use backroom_sim::{
    fault::table::FAULTS,
    invariant::INVARIANTS,
    metric::catalogue::METRICS,
    scenario::{self, codes},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_path_buf()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Names that a document does not have.
fn missing<'n>(text: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    names.into_iter().filter(|n| !text.contains(n)).collect()
}

#[test]
fn the_language_reference_is_complete() {
    let text = read("docs/scenarios.md");
    let none: Vec<&str> = Vec::new();
    assert_eq!(missing(&text, METRICS.iter().map(|m| m.name)), none);
    assert_eq!(missing(&text, FAULTS.iter().map(|k| k.name)), none);
    assert_eq!(missing(&text, codes::all().map(|c| c.id)), none);
    assert_eq!(missing(&text, INVARIANTS.iter().map(|i| i.id)), none);
    assert_eq!(missing(&text, ["no.such.thing"]), ["no.such.thing"]);
}

/// Dotted paths of all keys, those of nested tables included.
fn keys(shape: &Shape, above: &str, out: &mut Vec<String>) {
    for key in shape.keys {
        let path = format!("{above}{}", key.name);
        let table = match &key.ty {
            Ty::Table(shape) => Some(shape),
            Ty::Either(all) => all.iter().find_map(|ty| match ty {
                Ty::Table(shape) => Some(shape),
                _ => None,
            }),
            _ => None,
        };
        match table {
            Some(shape) => keys(shape, &format!("{path}."), out),
            None => out.push(path),
        }
    }
}

#[test]
fn the_collector_s_keys_are_documented() {
    let text = read("docs/collector.md");
    let mut all = Vec::new();
    keys(&COLLECTOR, "", &mut all);
    assert!(all.len() > 10, "{all:?}");
    // A table of one line tells what stands in an endpoint.
    let all = all.iter().map(String::as_str);
    let all = all.filter(|k| !matches!(*k, "endpoint.url" | "endpoint.headers"));
    assert_eq!(missing(&text, all), Vec::<&str>::new());
}

/// The code blocks of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let start = format!("```{language}\n");
    text.split(start.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

#[test]
fn examples_of_the_collector_s_configuration_are_read() {
    for file in ["README.md", "docs/collector.md"] {
        let text = read(file);
        let examples = blocks(&text, "toml");
        assert!(!examples.is_empty(), "{file}");
        for example in examples {
            if let Err(report) = config::load_text(file, example) {
                panic!("{}", report.render(config::Format::Human, false));
            }
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let files = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/ci.md",
        "docs/collector.md",
        "docs/command-line.md",
        "docs/disk-format.md",
        "docs/glossary.md",
        "docs/library.md",
        "docs/load.md",
        "docs/metrics.md",
        "docs/operating.md",
        "docs/scenarios.md",
        "docs/search.md",
        "docs/simulation.md",
    ];
    let mut broken = Vec::new();
    for file in files {
        let text = read(file);
        let folder = root().join(file);
        let folder = folder.parent().expect("a file lies in a folder");
        for link in text.split("](").skip(1) {
            let link = link.split([')', '#']).next().unwrap_or_default();
            let is_local = !link.is_empty() && !link.contains("://");
            if is_local && !folder.join(link).exists() {
                broken.push(format!("{file}: {link}"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// The table of shipped scenarios, from the files themselves.
fn table_of_scenarios() -> String {
    let folder = root().join("scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("it is there")
        .map(|entry| entry.expect("it is there").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    let mut table = String::from("| scenario | what it asks | simulated |\n|---|---|---|\n");
    for file in files {
        let loaded = scenario::load(&file, &[]).unwrap_or_else(|report| panic!("{report}"));
        let scenario = &loaded.scenario;
        let name = file.file_stem().expect("a name").to_string_lossy();
        let length = show_duration(scenario.duration);
        let checked = match loaded.refusals() {
            Some(_) => ", checked only",
            None => "",
        };
        let asks = scenario.description.replace('|', "\\|");
        assert!(!asks.is_empty(), "{name} has no description");
        table.push_str(&format!(
            "| [{name}](scenarios/{name}.toml) | {asks} | {length}{checked} |\n"
        ));
    }
    table
}

/// Guarantees: the README lists every shipped scenario as it describes itself. `BLESS_README=1` writes the table anew.
#[test]
fn the_table_of_scenarios_is_up_to_date() {
    const BEGIN: &str = "<!-- scenarios: written by a test, see sim/tests/docs.rs -->\n";
    const END: &str = "<!-- end of scenarios -->";
    let text = read("README.md");
    let (before, rest) = text.split_once(BEGIN).expect("where it begins");
    let (found, after) = rest.split_once(END).expect("where it ends");
    let expect = table_of_scenarios();
    if std::env::var_os("BLESS_README").is_some() {
        let text = format!("{before}{BEGIN}{expect}{END}{after}");
        std::fs::write(root().join("README.md"), text).expect("written");
        return;
    }
    assert!(
        found == expect,
        "run `BLESS_README=1 cargo test -p backroom-sim --test docs`; it should be:\n{expect}"
    );
}
