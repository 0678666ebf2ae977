//! `buffer cat`: items, one a line, for people or as JSON. Next: `item`, which shows one.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Filter, Here, item};
use crate::{
    cli::{exit, fail, put},
    env::Env as _,
};

/// Print items.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Stop after this many items.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// One JSON object a line, in OTLP's own words, with the resource and the scope of each item.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(here: &Here, args: &Args) -> u8 {
    let selection = match args.filter.selection(here.now()) {
        Ok(selection) => selection,
        Err(code) => return code,
    };
    let survey = match here.survey().await {
        Ok(survey) => survey,
        Err(code) => return code,
    };
    let (mut left, mut code) = (args.limit.unwrap_or(u64::MAX), exit::OK);
    for stored in &survey.stored {
        if left == 0 {
            break;
        }
        if !selection.touches(&stored.header) {
            continue;
        }
        let range = stored.header.range;
        let body = match survey.body(here.env.disk(), stored).await {
            Ok(body) => body,
            // Delivered since the files were listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                code = fail(format_args!("{range}: {error}"), exit::FINDINGS);
                continue;
            }
        };
        let request = match item::parse(range.signal, &body) {
            Ok(request) => request,
            Err(error) => {
                code = fail(format_args!("{range}: {error}"), exit::FINDINGS);
                continue;
            }
        };
        let mut out = String::new();
        for item in item::items(range.signal, &request) {
            if left == 0 {
                break;
            }
            left -= 1;
            match args.json {
                true => {
                    let mut line = item.as_json(range.signal);
                    line.insert("batch".to_owned(), json!(range.to_string()));
                    let _ = writeln!(out, "{}", Value::Object(line));
                }
                false => {
                    let _ = writeln!(out, "{}", item.as_line(range.signal));
                }
            }
        }
        put(&out);
    }
    code
}
