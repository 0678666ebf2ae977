//! What a file is told whose menu, stock, offers or printers cannot be: with the code, and the text under the caret.
//!
//! What the language says of everything else stands in `language.rs`.

use std::path::Path;

use backroom_sim::scenario::{self, Loaded};

/// The store of the tests, with what a case adds or overrides.
fn read(more: &str, sets: &[&str]) -> Result<Loaded, Vec<(String, String)>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("case.toml");
    let day = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/shop-day.toml");
    let text = std::fs::read_to_string(&day).expect("the fixture");
    let store = format!(
        "{:?}",
        day.with_file_name("small-store.toml").display().to_string()
    );
    let text = text.replace("\"small-store.toml\"", &store);
    std::fs::write(&file, format!("{text}\n{more}")).expect("it is written");
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    scenario::load(&file, &sets).map_err(|report| {
        let errors = report.list.iter();
        errors
            .map(|d| (d.code.map_or("", |c| c.id).to_owned(), d.title.clone()))
            .collect()
    })
}

#[track_caller]
fn refused(more: &str, sets: &[&str], code: &str, title: &str) {
    let errors = read(more, sets).expect_err("it is wrong");
    assert!(
        errors.iter().any(|(c, t)| c == code && t == title),
        "{errors:?}"
    );
}

#[test]
fn the_day_itself_is_read() {
    let loaded = read("", &[]).expect("it is right");
    assert!(loaded.refusals().is_none());
    let shop = &loaded.scenario.shop;
    let catalog = shop.catalog.as_ref().expect("a catalog");
    let reference = catalog.reference.as_ref().expect("reference data");
    assert_eq!(reference.chunks(), 92);
    assert_eq!(shop.stock.as_ref().expect("a stock").items, 12);
}

#[test]
fn sets_have_bounds() {
    let set = "catalog.reference.bytes=10TB";
    refused(
        "",
        &[set],
        "E0107",
        "`catalog.reference.bytes` is out of range",
    );
    // 4 GB in chunks of 4 KiB are a million chunks.
    let sets = [
        "catalog.reference.bytes=4GB",
        "catalog.reference.chunk=4KiB",
    ];
    refused(
        "",
        &sets,
        "E0107",
        "`catalog.reference.bytes` is out of range",
    );
    let set = "catalog.menu.chunk=1B";
    refused("", &[set], "E0107", "`catalog.menu.chunk` is out of range");
    let set = "catalog.menu.bytes=0B";
    refused("", &[set], "E0107", "`catalog.menu.bytes` is out of range");
    let set = "catalog.menu.publish=poisson";
    refused("", &[set], "E0107", "a publication has its times");
    let set = "catalog.poll=10ms";
    refused("", &[set], "E0107", "`poll` is out of range");
    // Twice 3 GB do not fit into the 3 GiB that are free.
    let sets = [
        "catalog.reference.bytes=3GB",
        "catalog.reference.chunk=1MiB",
    ];
    refused("", &sets, "E0107", "the catalog does not fit on its disk");
}

#[test]
fn tables_need_machines_and_machines_tables() {
    let second = "[node.stock-room]\nrole = \"stock\"\n";
    refused(second, &[], "E0107", "a store has one stock");
    let printer = "[node.kds.printer]\nroll = 5\n";
    refused(printer, &[], "E0107", "only a printer prints");
    let set = "node.stock.role=kds";
    refused("", &[set], "E0101", "`stock` needs a machine for it");
    let set = "node.phone.role=kiosk";
    refused("", &[set], "E0101", "`offers` needs a machine for it");
    let set = "offers.class=nobody";
    refused("", &[set], "E0204", "there is no class `nobody`");
    let set = "offers.reused=120%";
    let errors = read("", &[set]).expect_err("more than all");
    assert!(
        errors
            .iter()
            .any(|(code, _)| code == "E0107" || code == "E0105"),
        "{errors:?}"
    );
}

#[test]
fn a_store_of_ten_thousand_kiosks_is_refused() {
    let set = "node.kiosk.count=10000";
    refused("", &[set], "E0107", "`count` is out of range");
    // What the language allows and one world does not hold is checked, and refused by a run.
    let loaded = read("", &["node.kiosk.count=900"]).expect("it can be written");
    let refusals = loaded.refusals().expect("it cannot be run");
    let title = &refusals.list[0].title;
    assert!(title.contains("a store has at most 63"), "{title}");
}

#[test]
fn a_template_that_uses_itself_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("snake.toml");
    let text = "schema = 1\nkind = \"template\"\nuse = [\"snake.toml\"]\n";
    std::fs::write(&file, text).expect("it is written");
    let report = scenario::check(&file, &[]).expect_err("a circle");
    assert_eq!(report.list[0].title, "`snake.toml` uses itself");
}
