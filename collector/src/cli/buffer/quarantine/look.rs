//! `buffer quarantine ls` and `cat`: refused items and why they were refused.

use std::{fmt::Write as _, io};

use serde_json::{Value, json};

use super::super::{Filter, Here, item};
use crate::{
    cli::{
        exit, fail, put,
        show::{self, Table, clean},
    },
    env::Env as _,
    shell::inspect::{Aside, Survey},
};

/// List refused items, with the words of the server that refused them.
#[derive(Debug, clap::Args)]
pub(super) struct Ls {
    #[command(flatten)]
    filter: Filter,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Print refused items, each below the words of the server that refused it.
#[derive(Debug, clap::Args)]
pub(super) struct Cat {
    #[command(flatten)]
    filter: Filter,
    /// Stop after this many items.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object a line, in OTLP's own words, with the resource and the scope of each item.
    #[arg(long)]
    json: bool,
}

/// Characters of a server's words in a table: what does not fit is in `cat`.
const WORDS_CHARS_MAX: usize = 80;

/// Who asks for items gets them with words and request; whoever cannot be read is told.
struct Looked {
    survey: Survey,
    meant: Vec<Aside>,
}

async fn look(here: &Here, filter: &Filter) -> Result<Looked, u8> {
    let selection = filter.selection(here.now())?;
    let survey = here.survey().await?;
    let all = survey.quarantined.iter();
    let meant = all
        .filter(|aside| selection.touches(&aside.header))
        .copied()
        .collect();
    Ok(Looked { survey, meant })
}

pub(super) async fn ls(here: &Here, args: &Ls) -> u8 {
    let Looked { survey, meant } = match look(here, &args.filter).await {
        Ok(looked) => looked,
        Err(code) => return code,
    };
    let now = here.now();
    let mut table = Table::new(&["ITEM", "SIGNAL", ">BYTES", ">AGE", "THE SERVER SAID"]);
    let (mut code, mut shown, mut waiting) = (exit::OK, 0, 0);
    for aside in &meant {
        let (header, range) = (&aside.header, &aside.header.range);
        let (words, bytes) = match survey.aside(here.env.disk(), aside).await {
            Ok((words, request)) => (Ok(words), request.len() as u64),
            // It has left meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                code = exit::FINDINGS;
                (Err(error.to_string()), header.payload_bytes.into())
            }
        };
        shown += 1;
        waiting += u64::from(aside.is_waiting);
        if args.json {
            let value = json!({
                "batch": range.to_string(),
                "class": range.class.as_str(),
                "signal": range.signal.name(),
                "bytes": bytes,
                "born_min": show::instant(header.born_min),
                "born_max": show::instant(header.born_max),
                "words": words.as_ref().ok(),
                "error": words.as_ref().err(),
                "is_waiting": aside.is_waiting,
            });
            put(&format!("{value}\n"));
            continue;
        }
        let words = match words {
            Ok(words) => clean(&words),
            Err(error) => format!("(cannot be read: {error})"),
        };
        table.row([
            range.to_string(),
            range.signal.name().to_owned(),
            show::bytes(bytes),
            show::age(now, header.born_min),
            cut(&words),
        ]);
    }
    if args.json {
        return code;
    }
    if !table.is_empty() {
        put(&table.to_string());
    }
    let mut sum = show::count(shown, "item");
    if waiting > 0 {
        let _ = write!(
            sum,
            ", {} of a batch that is still on its way",
            show::number(waiting)
        );
    }
    put(&format!("{sum}\n"));
    code
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) async fn cat(here: &Here, args: &Cat) -> u8 {
    let Looked { survey, meant } = match look(here, &args.filter).await {
        Ok(looked) => looked,
        Err(code) => return code,
    };
    let mut code = exit::OK;
    for aside in meant.iter().take(args.limit.unwrap_or(usize::MAX)) {
        let range = aside.header.range;
        let (words, request) = match survey.aside(here.env.disk(), aside).await {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                code = fail(format_args!("{range}: {error}"), exit::FINDINGS);
                continue;
            }
        };
        let parsed = match item::parse(range.signal, &request) {
            Ok(parsed) => parsed,
            Err(error) => {
                code = fail(format_args!("{range}: {error}"), exit::FINDINGS);
                continue;
            }
        };
        let items = item::items(range.signal, &parsed);
        let mut out = String::new();
        if !args.json {
            let _ = writeln!(out, "{range}: {}", clean(&words));
        }
        for item in items {
            if args.json {
                let mut line = item.as_json(range.signal);
                line.insert("batch".to_owned(), json!(range.to_string()));
                line.insert("words".to_owned(), json!(words));
                let _ = writeln!(out, "{}", Value::Object(line));
            } else {
                let _ = writeln!(out, "  {}", item.as_line(range.signal));
            }
        }
        put(&out);
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut_between_characters() {
        assert_eq!(cut("too long"), "too long");
        let long = "ü".repeat(WORDS_CHARS_MAX + 1);
        assert_eq!(cut(&long).chars().count(), WORDS_CHARS_MAX + 3);
        let fits = "ü".repeat(WORDS_CHARS_MAX);
        assert_eq!(cut(&fits), fits);
    }
}
