//! `buffer export`: batches into a file, as plain OTLP with their item ranges.
//!
//! The file appears under its name when it is whole and synced, or not at all. Next: `archive`, which is its format.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{Filter, Here, change::Holder};
use crate::{
    archive::{Batch, Compression, Format, Writer},
    cli::{exit, fail, show},
    core::{frame::Header, selection::Selection},
    env::Env as _,
    shell::inspect::{self, Survey},
};

/// Write batches to a file, as plain OTLP with their item ranges.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file, or `-` for standard output. A name that ends in .gz or .zst is compressed.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// `proto`: one protobuf message, byte for byte what was accepted. `json`: one OTLP/JSON request a line. Told by the name
    /// unless it is given: `.json` and `.jsonl` are JSON.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    filter: Filter,
    /// Take the batches out of the buffer once the file is whole and synced, so that they are not sent twice. They are counted as
    /// dropped for the reason `exported`.
    #[arg(long)]
    take: bool,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
}

/// What was written.
#[derive(Default)]
struct Done {
    batches: u64,
    items: u64,
    damaged: u64,
}

pub(super) async fn run(here: &Here, args: &Args) -> u8 {
    let selection = match args.filter.selection(here.now()) {
        Ok(selection) => selection,
        Err(code) => return code,
    };
    if args.take {
        return take(here, args, &selection).await;
    }
    let survey = match here.survey().await {
        Ok(survey) => survey,
        Err(code) => return code,
    };
    let name = args.file.to_string_lossy();
    let compression = Compression::from_name(&name);
    let format = args.format.unwrap_or_else(|| by_name(&name));
    let result = if name == "-" {
        let writer = Writer::new(io::stdout(), format, Compression::None);
        match writer {
            Ok(mut writer) => match fill(here, &survey, &selection, &mut writer).await {
                Ok(done) => writer
                    .finish()
                    .and_then(|mut out| out.flush())
                    .map(|()| done),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    } else {
        match Target::create(&args.file, args.force) {
            Ok(target) => into_file(here, &survey, &selection, target, format, compression).await,
            Err(error) => Err(error),
        }
    };
    tell(&name, result)
}

/// Says what was written, and gives the exit code.
fn tell(name: &str, result: io::Result<Done>) -> u8 {
    match result {
        Ok(done) => {
            let batches = show::count(done.batches, "batch");
            let items = show::count(done.items, "item");
            anstream::eprintln!("{name}: {batches}, {items}");
            match done.damaged {
                0 => exit::OK,
                n => fail(
                    format_args!("{} left out: see above", show::count(n, "damaged batch")),
                    exit::FINDINGS,
                ),
            }
        }
        // Whoever reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
        Err(error) => fail(format_args!("write {name}: {error}"), exit::CANNOT_WRITE),
    }
}

/// Exports what it takes out of the buffer. Until the file is whole the batches are only held: whatever goes wrong, they go
/// back to the queue.
async fn take(here: &Here, args: &Args, selection: &Selection) -> u8 {
    let name = args.file.to_string_lossy();
    if name == "-" {
        return fail(
            "--take needs a file: nobody knows whether standard output was kept",
            exit::USAGE,
        );
    }
    let compression = Compression::from_name(&name);
    let format = args.format.unwrap_or_else(|| by_name(&name));
    let target = match Target::create(&args.file, args.force) {
        Ok(target) => target,
        Err(error) => return fail(format_args!("write {name}: {error}"), exit::CANNOT_WRITE),
    };
    let mut holder = match Holder::open(here).await {
        Ok(holder) => holder,
        Err(code) => return code,
    };
    let result = async {
        let (places, handled) = holder.take(selection).await?;
        for (items, why) in [
            (handled.busy_items, "on their way to the destination"),
            (
                handled.partial_items,
                "in batches of which only a part is meant",
            ),
        ] {
            if items > 0 {
                anstream::eprintln!("{} stay: {why}", show::count(items, "item"));
            }
        }
        let mut writer = Writer::new(target.file.try_clone()?, format, compression)?;
        let (mut done, mut except) = (Done::default(), Vec::new());
        for place in places {
            let dir = &here.config.buffer.dir;
            match inspect::batch_at(here.env.disk(), dir, place).await {
                Ok((header, request)) => done.add(&mut writer, &header, request)?,
                Err(error) => {
                    fail(error, exit::FINDINGS);
                    done.damaged += 1;
                    except.push(place);
                }
            }
        }
        writer.finish()?;
        target.commit()?;
        holder.exported(&except).await.map_err(|error| {
            let why = "the file is whole, but its batches may be sent all the same";
            io::Error::other(format!("{error}; {why}"))
        })?;
        Ok(done)
    }
    .await;
    let closed = holder.close().await;
    tell(&name, result.and_then(|done| closed.map(|()| done)))
}

impl Done {
    fn add<W: Write>(
        &mut self,
        writer: &mut Writer<W>,
        header: &Header,
        request: Bytes,
    ) -> io::Result<()> {
        writer.add(&Batch {
            range: header.range,
            born_min: header.born_min,
            born_max: header.born_max,
            request,
        })?;
        self.batches += 1;
        self.items += header.range.count;
        Ok(())
    }
}

fn by_name(name: &str) -> Format {
    let stem = name.trim_end_matches(".gz").trim_end_matches(".zst");
    if stem.ends_with(".json") || stem.ends_with(".jsonl") {
        Format::Json
    } else {
        Format::Proto
    }
}

async fn into_file(
    here: &Here,
    survey: &Survey,
    selection: &Selection,
    target: Target,
    format: Format,
    compression: Compression,
) -> io::Result<Done> {
    let mut writer = Writer::new(target.file.try_clone()?, format, compression)?;
    let done = fill(here, survey, selection, &mut writer).await?;
    writer.finish()?;
    target.commit()?;
    Ok(done)
}

async fn fill<W: Write>(
    here: &Here,
    survey: &Survey,
    selection: &Selection,
    writer: &mut Writer<W>,
) -> io::Result<Done> {
    let mut done = Done::default();
    let stored = survey.stored.iter();
    for stored in stored.filter(|stored| selection.touches(&stored.header)) {
        let header = &stored.header;
        let range = header.range;
        let request = match survey.body(here.env.disk(), stored).await {
            Ok(request) => request,
            // Delivered since the files were listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                fail(format_args!("{range}: {error}"), exit::FINDINGS);
                done.damaged += 1;
                continue;
            }
        };
        done.add(writer, header, request)?;
    }
    Ok(done)
}

/// A file that gets its name when it is whole. Dropped before that, it is removed.
struct Target {
    path: PathBuf,
    part: PathBuf,
    file: std::fs::File,
    is_done: bool,
}

impl Target {
    fn create(path: &Path, force: bool) -> io::Result<Self> {
        if !force && path.exists() {
            let why = "it exists; add --force to replace it";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        // A part that is left from before is of no use.
        let file = std::fs::File::create(&part)?;
        Ok(Self {
            path: path.to_owned(),
            part,
            file,
            is_done: false,
        })
    }

    /// Makes it durable under its name.
    fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.part, &self.path)?;
        self.is_done = true;
        let parent = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::File::open(parent)?.sync_all()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_done {
            // It is said already why.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}
