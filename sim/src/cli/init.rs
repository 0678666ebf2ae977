//! `backroom init`: a scenario to start from, with the store that it uses.
//!
//! The shipped scenarios are the templates: CI runs them, so what `init` writes works.

use std::path::{Path, PathBuf};

use backroom_reports::exit;

use super::{outputs, run_dir};

/// Write a scenario to start from, with the store that it uses.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to start from.
    template: Template,

    /// Folder for the files.
    #[arg(default_value = "scenarios", value_name = "DIR")]
    folder: PathBuf,

    /// Write over files that are there.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Template {
    /// A small shop whose only line is down for two minutes; simulated in a moment.
    First,
    /// The line dies at the lunch peak.
    Lunch,
    /// A login page, error pages, an expired token.
    LyingPath,
    /// Both lines dead for two weeks.
    TwoWeeksDark,
    /// Cards and catch-up share one queue.
    Cards,
    /// How long a line takes to catch up, by its rate: a sweep.
    Sizing,
    /// The configuration of a collector.
    Collector,
}

const SHOP: (&str, &str) = (
    "stores/corner-shop.toml",
    include_str!("../../../scenarios/stores/corner-shop.toml"),
);

const STORE: (&str, &str) = (
    "stores/qsr-18.toml",
    include_str!("../../../scenarios/stores/qsr-18.toml"),
);

impl Template {
    /// Names below the folder, and texts.
    fn files(self) -> Vec<(&'static str, &'static str)> {
        let scenario = match self {
            Self::First => {
                let scenario = include_str!("../../../scenarios/first-outage.toml");
                return vec![("first-outage.toml", scenario), SHOP];
            }
            Self::Lunch => (
                "lunch-uplink-cut.toml",
                include_str!("../../../scenarios/lunch-uplink-cut.toml"),
            ),
            Self::LyingPath => (
                "lying-path.toml",
                include_str!("../../../scenarios/lying-path.toml"),
            ),
            Self::TwoWeeksDark => (
                "two-weeks-dark.toml",
                include_str!("../../../scenarios/two-weeks-dark.toml"),
            ),
            Self::Cards => (
                "card-payments-during-catch-up.toml",
                include_str!("../../../scenarios/card-payments-during-catch-up.toml"),
            ),
            Self::Sizing => (
                "outage-by-line-rate.toml",
                include_str!("../../../scenarios/outage-by-line-rate.toml"),
            ),
            Self::Collector => {
                return vec![(
                    "collector.toml",
                    include_str!("../../../deploy/collector.toml"),
                )];
            }
        };
        vec![scenario, STORE]
    }
}

pub(super) fn run(args: &Args) -> i32 {
    let mut files: Vec<(PathBuf, String)> = args
        .template
        .files()
        .into_iter()
        .map(|(name, text)| (args.folder.join(name), text.to_owned()))
        .collect();
    if args.template != Template::Collector {
        let schema = super::schema::text(super::schema::Of::Scenario);
        files.push((args.folder.join("scenario.schema.json"), schema));
    }
    // A store or a schema that is there and the same is somebody's second `init`.
    let differs =
        |path: &Path, text: &str| std::fs::read_to_string(path).is_ok_and(|old| old != text);
    let in_the_way: Vec<&PathBuf> = files
        .iter()
        .filter(|(path, text)| differs(path, text))
        .map(|(path, _)| path)
        .collect();
    if !in_the_way.is_empty() && !args.force {
        for path in in_the_way {
            eprintln!("error: {} is there and is another text", path.display());
        }
        eprintln!("error: nothing is written; name another folder, or write over it with --force");
        return exit::CANNOT_WRITE;
    }
    for (path, text) in &files {
        if let Err(error) = run_dir::write_whole(path, text.as_bytes()) {
            return outputs::cannot_write(&error);
        }
        outputs::print(&format!("{}\n", path.display()));
    }
    if args.template != Template::Collector {
        outputs::print(&format!("\nbackroom run {}\n", files[0].0.display()));
    }
    exit::OK
}
