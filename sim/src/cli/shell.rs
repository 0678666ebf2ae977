//! `backroom completions` and `man`: made from the parser itself, so they cannot differ from it.

use std::path::PathBuf;

use backroom_reports::exit;
use clap::CommandFactory as _;

use super::{Cli, outputs, run_dir};

/// Print the completions of a shell.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Print the manual page, or write all of them to a folder.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Folder for `backroom.1` and a page for each verb.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(args: &Completions) -> i32 {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "backroom", &mut text);
    outputs::print(&String::from_utf8_lossy(&text));
    exit::OK
}

pub(super) fn man(args: &Man) -> i32 {
    let command = Cli::command();
    let Some(dir) = &args.dir else {
        outputs::print(&page(command));
        return exit::OK;
    };
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let mut pages: Vec<(String, String)> = verbs
        .map(|verb| {
            let name = format!("backroom-{}", verb.get_name());
            (name.clone(), page(verb.clone().display_name(name)))
        })
        .collect();
    pages.push(("backroom".into(), page(command)));
    for (name, text) in pages {
        if let Err(error) = run_dir::write_whole(&dir.join(format!("{name}.1")), text.as_bytes()) {
            return outputs::cannot_write(&error);
        }
    }
    exit::OK
}

fn page(command: clap::Command) -> String {
    let mut text = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut text);
    rendered.expect("memory takes all that is written");
    String::from_utf8_lossy(&text).into_owned()
}
