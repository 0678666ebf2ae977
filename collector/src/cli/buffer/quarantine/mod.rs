//! `buffer quarantine`: what the destination refused item by item.
//!
//! Next: `look` for what only reads; `release` for what changes.

mod look;
mod release;

use clap::Subcommand;

use super::Here;
use crate::shell::release::Fate;

/// What the destination refused item by item: look at it, send it again, delete it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List refused items, with the words of the server that refused them.
    Ls(look::Ls),
    /// Print refused items, each below the words of the server that refused it.
    Cat(look::Cat),
    /// Put refused items back into the queue of their class, with their item ranges: they are sent again.
    Redrive(release::Redrive),
    /// Delete refused items, counted as dropped for the reason `purged`.
    Purge(release::Purge),
}

pub(super) async fn run(here: &Here, args: &Args) -> u8 {
    match &args.verb {
        Verb::Ls(args) => look::ls(here, args).await,
        Verb::Cat(args) => look::cat(here, args).await,
        Verb::Redrive(args) => release::run(here, Fate::Redrive, &args.wish()).await,
        Verb::Purge(args) => release::run(here, Fate::Purge, &args.wish()).await,
    }
}
