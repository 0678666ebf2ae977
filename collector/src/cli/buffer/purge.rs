//! `buffer purge`: deletes what is meant, after it has said what that is and was told to go on.

use super::{
    Filter, Here,
    change::{Holder, cannot_ask, confirm},
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
    let asks = !args.dry_run && !args.yes;
    if let Some(code) = cannot_ask(asks) {
        return code;
    }
    let mut holder = match Holder::open(here).await {
        Ok(holder) => holder,
        Err(code) => return code,
    };
    let result = async {
        // Who says --yes has seen it, or does not want to.
        if asks || args.dry_run {
            let trial = holder.purge(&selection, true).await?;
            let items = trial.items_total();
            if args.dry_run || items == 0 {
                return Ok(Some(trial));
            }
            let items = show::count(items, "item");
            let told = as_text(&trial, now);
            if !confirm(&format!("{told}\ndelete {items}?"))? {
                return Ok(None);
            }
        }
        holder.purge(&selection, false).await.map(Some)
    }
    .await;
    let closed = holder.close().await;
    match result.and_then(|handled| closed.map(|()| handled)) {
        Ok(Some(handled)) => {
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
        Ok(None) => fail("nothing was deleted", exit::INTERRUPTED),
        Err(error) => fail(format_args!("purge: {error}"), exit::CANNOT_WRITE),
    }
}

fn as_text(handled: &Handled, now: u64) -> String {
    let items: Vec<String> = handled
        .items
        .iter()
        .map(|(signal, items)| format!("{} {signal}", show::number(*items)))
        .collect();
    let items = if items.is_empty() {
        "nothing".to_owned()
    } else {
        items.join(", ")
    };
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
