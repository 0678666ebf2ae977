//! `buffer import`: puts an export into a buffer, each item once.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{Here, change::Holder};
use crate::{
    archive::Reader,
    cli::{exit, fail, put, show},
    shell::handling::Imported,
};

/// Put an export into the buffer; what is there already, or was imported before, is left out.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file of `buffer export`, in either format, compressed or not.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(here: &Here, args: &Args) -> u8 {
    if let Err(code) = check(&args.file) {
        return code;
    }
    if let Err(error) = std::fs::create_dir_all(&here.config.buffer.dir) {
        let dir = here.config.buffer.dir.display();
        return fail(format_args!("make {dir}: {error}"), exit::CANNOT_WRITE);
    }
    let holder = match Holder::open(here).await {
        Ok(holder) => holder,
        Err(code) => return code,
    };
    let sum = match into(holder, &args.file).await {
        Ok(sum) => sum,
        Err(code) => return code,
    };
    if args.json {
        put(&format!("{}\n", serde_json::json!(sum)));
    } else {
        let known = match sum.known_items {
            0 => String::new(),
            known => format!(", {} known before", show::count(known, "item")),
        };
        let stored = show::count(sum.stored_items, "item");
        put(&format!(
            "{}: {stored} stored{known}\n",
            args.file.display()
        ));
    }
    exit::OK
}

/// Reads a file whole before anything is stored: one that is cut or damaged is refused, not half imported. Says what is wrong
/// with it, and gives the exit code.
pub(super) fn check(file: &Path) -> Result<(), u8> {
    let name = file.display();
    let opened = File::open(file).and_then(Reader::new);
    let mut reader =
        opened.map_err(|error| fail(format_args!("read {name}: {error}"), exit::NO_INPUT))?;
    loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(error) => {
                let hint = "nothing was imported";
                return Err(fail(
                    format_args!("read {name}: {error}; {hint}"),
                    exit::DATA,
                ));
            }
        }
    }
}

/// Puts a file into a buffer, and lets go of it; says what went wrong, and gives the exit code.
pub(super) async fn into(mut holder: Holder, file: &Path) -> Result<Imported, u8> {
    let mut sum = Imported::default();
    let result = store(&mut holder, file, &mut sum).await;
    // What is stored is remembered in any case.
    let closed = holder.close().await;
    result.and(closed).map(|()| sum).map_err(|error| {
        let done = show::count(sum.stored_items + sum.known_items, "item");
        let hint = "the same command goes on when that is mended";
        let name = file.display();
        fail(
            format_args!("import {name}: {error}; {done} done, {hint}"),
            exit::CANNOT_WRITE,
        )
    })
}

async fn store(holder: &mut Holder, file: &Path, sum: &mut Imported) -> io::Result<()> {
    let mut reader = Reader::new(File::open(file)?)?;
    while let Some(batch) = reader.next().map_err(io::Error::other)? {
        let imported = holder.import(&batch).await?;
        sum.stored_items += imported.stored_items;
        sum.known_items += imported.known_items;
    }
    Ok(())
}
