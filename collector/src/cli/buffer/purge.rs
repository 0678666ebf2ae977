//! `buffer purge`: deletes what is meant, after it has said what that is and was told to go on.

use super::{
    Filter, Here,
    change::{Holder, Manner, carry_out},
};
use crate::{
    cli::{exit, fail, put, show},
    shell::handling::Handled,
};

/// Delete stored batches, counted as dropped for the reason `purged`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
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

pub(super) async fn run(here: &Here, args: &Args) -> u8 {
    let now = here.now();
    let selection = match args.filter.selection(now) {
        Ok(selection) => selection,
        Err(code) => return code,
    };
    if selection.is_everything() && !args.all {
        return fail(
            "purge everything? then say --all; or say which part, see --help",
            exit::USAGE,
        );
    }
    // Who says --yes has seen it, or does not want to.
    let manner = Manner {
        asks: !args.dry_run && !args.yes,
        dry_run: args.dry_run,
    };
    let act = async |holder: &mut Holder, is_trial| holder.purge(&selection, is_trial).await;
    let question = |trial: &Handled| {
        let items = show::count(trial.items_total(), "item");
        let told = as_text(trial, now);
        (trial.items_total() > 0).then(|| format!("{told}\ndelete {items}?"))
    };
    let handled = match carry_out(here, "purge", manner, act, question).await {
        Ok(handled) => handled,
        Err(code) => return code,
    };
    if args.json {
        put(&format!(
            "{}\n",
            serde_json::json!({"dry_run": args.dry_run, "purged": handled})
        ));
    } else {
        let done = if args.dry_run {
            "would be deleted"
        } else {
            "deleted"
        };
        let items = show::count(handled.items_total(), "item");
        put(&format!("{}\n{items} {done}\n", as_text(&handled, now)));
    }
    exit::OK
}

fn as_text(handled: &Handled, now: u64) -> String {
    let items = show::by_signal(&handled.items);
    let mut text = format!(
        "{items} in {}, {}",
        show::count(handled.batches, "batch"),
        show::bytes(handled.bytes)
    );
    if let (Some(oldest), Some(newest)) = (handled.born_min, handled.born_max) {
        text += &format!(
            ", {} to {} old",
            show::age(now, newest),
            show::age(now, oldest)
        );
    }
    for (items, why) in [
        (handled.busy_items, "on their way to the destination"),
        (
            handled.partial_items,
            "in batches of which only a part is meant",
        ),
    ] {
        if items > 0 {
            text += &format!("\n{} stay: {why}", show::count(items, "item"));
        }
    }
    text
}
