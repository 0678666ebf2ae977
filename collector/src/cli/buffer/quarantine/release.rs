//! `buffer quarantine redrive` and `purge`: refused items leave, into the queue or for good.

use super::super::{
    Filter, Here,
    change::{Holder, Manner, carry_out},
};
use crate::{
    cli::{exit, fail, put, show},
    shell::release::{Fate, Released},
};

/// Put refused items back into the queue of their class, with their item ranges: they are sent again.
#[derive(Debug, clap::Args)]
pub(super) struct Redrive {
    #[command(flatten)]
    filter: Filter,
    /// Only say what would be put back.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Delete refused items, counted as dropped for the reason `purged`.
#[derive(Debug, clap::Args)]
pub(super) struct Purge {
    #[command(flatten)]
    filter: Filter,
    /// Everything, if no filter is given.
    #[arg(long)]
    all: bool,
    /// Only say what would be deleted.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// What is wanted, whichever verb it was.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    filter: &'a Filter,
    may_be_all: bool,
    manner: Manner,
    json: bool,
}

impl Redrive {
    /// Nothing is lost by it, so nobody is asked, and everything is what is meant most.
    pub(super) fn wish(&self) -> Wish<'_> {
        Wish {
            filter: &self.filter,
            may_be_all: true,
            manner: Manner {
                asks: false,
                dry_run: self.dry_run,
            },
            json: self.json,
        }
    }
}

impl Purge {
    pub(super) fn wish(&self) -> Wish<'_> {
        Wish {
            filter: &self.filter,
            may_be_all: self.all,
            manner: Manner {
                asks: !self.yes && !self.dry_run,
                dry_run: self.dry_run,
            },
            json: self.json,
        }
    }
}

/// What the verb does.
fn deed(fate: Fate) -> &'static str {
    match fate {
        Fate::Redrive => "put back",
        Fate::Purge => "deleted",
    }
}

pub(super) async fn run(here: &Here, fate: Fate, wish: &Wish<'_>) -> u8 {
    let selection = match wish.filter.selection(here.now()) {
        Ok(selection) => selection,
        Err(code) => return code,
    };
    if selection.is_everything() && !wish.may_be_all {
        return fail(
            "purge the whole quarantine? then say --all; or say which part, see --help",
            exit::USAGE,
        );
    }
    let act =
        async |holder: &mut Holder, is_trial| holder.release(&selection, fate, is_trial).await;
    let question = |trial: &Released| {
        let items = show::count(trial.items_total(), "item");
        let is_work = trial.items_total() + trial.unknown_bytes > 0;
        is_work.then(|| format!("{}\ndelete {items}?", as_text(trial)))
    };
    let released = match carry_out(here, "quarantine", wish.manner, act, question).await {
        Ok(released) => released,
        Err(code) => return code,
    };
    if wish.json {
        let mut told = serde_json::json!({ "dry_run": wish.manner.dry_run });
        told[deed(fate).replace(' ', "_")] = serde_json::json!(released);
        put(&format!("{told}\n"));
    } else {
        let items = show::count(released.items_total(), "item");
        let would = if wish.manner.dry_run { " would be" } else { "" };
        put(&format!(
            "{}\n{items}{would} {}\n",
            as_text(&released),
            deed(fate)
        ));
    }
    match released.stopped {
        Some(why) => {
            let hint = "the same command goes on when that is mended";
            fail(
                format_args!("quarantine: {why}; {hint}"),
                exit::CANNOT_WRITE,
            )
        }
        None if released.damaged_items + released.unknown_bytes > 0 => exit::FINDINGS,
        None => exit::OK,
    }
}

fn as_text(released: &Released) -> String {
    let mut text = show::by_signal(&released.items);
    for (items, why) in [
        (
            released.waiting_items,
            "of a batch that is still on its way",
        ),
        (
            released.too_old_items,
            "older than the ttl of the class, and dropped at once if put back",
        ),
        (released.damaged_items, "damaged, see `buffer verify`"),
    ] {
        if items > 0 {
            text += &format!("\n{} kept: {why}", show::count(items, "item"));
        }
    }
    if released.unknown_bytes > 0 {
        text += &format!(
            "\n{} that are no items any more, deleted: what they held is counted as damaged once the quarantine is empty",
            show::count(released.unknown_bytes, "byte")
        );
    }
    text
}
