//! `backroom-collector stores`: what a gateway knows of each store.
//!
//! It asks `/stores` of the gateway and nothing else. Those that are quiet stand first, for they are what somebody looks for.
//! Next: `shell::stores`, which answers.

use std::{cmp::Reverse, time::Duration};

use super::{
    ask, exit, fail, put,
    show::{self, Table},
};
use crate::shell::{
    fetch,
    stores::{PATH, Page, Store},
};

/// Show what a gateway knows of each store: when it was heard, what waits there, what is missing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    peer: ask::Peer,
    /// What the gateway answers, as it is: one JSON object.
    #[arg(long)]
    json: bool,
    /// Only stores that were not heard within gateway.stale_after.
    #[arg(long)]
    stale: bool,
}

/// Longest wait for the page.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Shows it; gives the exit code.
pub(super) fn run(args: &Args) -> u8 {
    let (_, endpoint) = match args.peer.endpoint(PATH) {
        Ok(endpoint) => endpoint,
        Err(code) => return code,
    };
    super::block_on(async move |env| {
        let url = &endpoint.url;
        let answer = match fetch::get_long(&env, &endpoint, PATH, TIMEOUT).await {
            Ok(answer) => answer,
            Err(error) => {
                let hint = "name the gateway with --listen or --config";
                return fail(
                    format_args!("ask {url}{PATH}: {error}; {hint}"),
                    exit::UNAVAILABLE,
                );
            }
        };
        let text = String::from_utf8_lossy(answer.body());
        if answer.status() != 200 {
            let (status, why) = (answer.status(), show::clean(text.trim()));
            return fail(
                format_args!("ask {url}{PATH}: it answers {status}: {why}"),
                exit::UNAVAILABLE,
            );
        }
        let mut page: Page = match serde_json::from_str(&text) {
            Ok(page) => page,
            Err(error) => {
                return fail(
                    format_args!("ask {url}{PATH}: it is no gateway of ours: {error}"),
                    exit::UNAVAILABLE,
                );
            }
        };
        if args.stale {
            page.stores.retain(|store| store.is_stale);
        }
        if args.json {
            let text = serde_json::to_string(&page).expect("it was read");
            put(&(text + "\n"));
        } else {
            put(&table(page.stores));
        }
        exit::OK
    })
}

/// The stores for people, and what they are together.
fn table(mut stores: Vec<Store>) -> String {
    stores.sort_by_key(|store| (Reverse(store.is_stale), Reverse(store.age_seconds)));
    let mut table = Table::new(&[
        "STORE",
        "NAME",
        ">HEARD AGO",
        "",
        ">BACKLOG",
        ">BYTES",
        ">DRAINS IN",
        ">MISSING",
        ">UNEXPLAINED",
        ">REPEATS",
    ]);
    let or_dash = |value: Option<u64>, show: fn(u64) -> String| value.map_or("-".into(), show);
    let seconds = |seconds: u64| show::duration(Duration::from_secs(seconds));
    for store in &stores {
        table.row([
            store.store.clone(),
            store.name.as_deref().map_or("-".into(), show::clean),
            seconds(store.age_seconds),
            if store.is_stale { "stale" } else { "" }.to_owned(),
            or_dash(store.backlog_items, show::number),
            or_dash(store.backlog_bytes, show::bytes),
            match (store.backlog_items, store.drain_seconds) {
                (Some(0), _) => "drained".to_owned(),
                (_, drain) => or_dash(drain, seconds),
            },
            show::number(store.missing_items),
            or_dash(store.unexplained_items, show::number),
            show::number(store.repeated_items),
        ]);
    }
    let stale = stores.iter().filter(|store| store.is_stale).count() as u64;
    let count = show::count(stores.len() as u64, "store");
    match table.is_empty() {
        true => "no stores\n".to_owned(),
        false => format!("{table}\n{count}, {stale} stale\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quiet_ones_stand_first() {
        let store = |number: u64, age_seconds, is_stale, backlog_items| Store {
            store: format!("{number:016x}"),
            name: (number == 1).then(|| "0412\nGraz".to_owned()),
            last_seen: 0,
            age_seconds,
            is_stale,
            backlog_items,
            backlog_bytes: backlog_items.map(|items| items * 20),
            under_way_items: backlog_items.map(|_| 0),
            drain_seconds: (number == 1).then_some(75),
            dropped_items: Some(0),
            quarantined_items: Some(0),
            taken_items: 5,
            repeated_items: 1200,
            boots: 1,
            gaps: 1,
            missing_items: 3,
            unexplained_items: backlog_items.map(|_| 3),
        };
        let stores = vec![
            store(1, 4, false, Some(1000)),
            store(2, 90_000, true, None),
            store(3, 5, false, Some(0)),
        ];
        insta::assert_snapshot!(table(stores), @r"
        STORE             NAME        HEARD AGO         BACKLOG    BYTES  DRAINS IN  MISSING  UNEXPLAINED  REPEATS
        0000000000000002  -               1d 1h  stale        -        -          -        3            -    1,200
        0000000000000003  -                5.0s               0       0B    drained        3            3    1,200
        0000000000000001  0412\nGraz       4.0s           1,000  19.5KiB     1m 15s        3            3    1,200

        3 stores, 1 stale
        ");
        assert_eq!(table(Vec::new()), "no stores\n");
    }
}
