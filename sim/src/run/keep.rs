//! What one seed leaves behind when it is asked to: `events.ndjson.zst`, `trace.perfetto.json.gz`, `hist/*.hlog`.
//!
//! It costs time and room, and a seed can always be run again: so it is kept for few of them, and `cli` says which. The formats are
//! `reports`' and `tell`'s.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use backroom_reports::hlog;

use super::{one::SeedRun, tell::Teller, timeline};
use crate::{
    metric::{
        SeedLog,
        catalogue::{Kind, METRICS, Unit},
        evaluate,
        series::Series,
    },
    scenario::{Scenario, expr::MetricRef},
};

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("write {}: {error}", path.display())]
pub struct NotKept {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// Level 3: the default of zstd; a log of events shrinks to a twentieth.
const ZSTD_LEVEL: i32 = 3;

/// Writes down what a seed did, into a folder that is made for it.
///
/// # Errors
/// The first file that cannot be written; those before it are whole.
pub fn keep(folder: &Path, scenario: &Scenario, run: &SeedRun) -> Result<(), NotKept> {
    let hist = folder.join("hist");
    fs::create_dir_all(&hist).map_err(|error| not_kept(&hist, error))?;
    whole(&folder.join("events.ndjson.zst"), |file| {
        let mut zstd = zstd::Encoder::new(file, ZSTD_LEVEL)?;
        let teller = Teller::new(scenario, &run.machines);
        for stamped in &run.events {
            serde_json::to_writer(&mut zstd, &teller.object(&stamped))?;
            zstd.write_all(b"\n")?;
        }
        zstd.finish().map(drop)
    })?;
    let timeline = timeline::of(scenario, run);
    whole(&folder.join("trace.perfetto.json.gz"), |file| {
        let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gz.write_all(timeline.render().as_bytes())?;
        gz.finish().map(drop)
    })?;
    for (name, samples) in latencies(scenario, run) {
        let text = hlog::render(name, &samples).map_err(io::Error::other);
        let path = hist.join(format!("{name}.hlog"));
        whole(&path, |file| file.write_all(&text?))?;
    }
    Ok(())
}

fn not_kept(path: &Path, error: io::Error) -> NotKept {
    let path = path.to_owned();
    NotKept { path, error }
}

/// A file appears when it is whole.
fn whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), NotKept> {
    let beside = path.with_extension("part");
    let put = || {
        let mut file = BufWriter::new(File::create(&beside)?);
        write(&mut file)?;
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_data()?;
        fs::rename(&beside, path)
    };
    put().map_err(|error| {
        let _ = fs::remove_file(&beside);
        not_kept(path, error)
    })
}

/// Every latency that was recorded, by the metric's name.
fn latencies(scenario: &Scenario, run: &SeedRun) -> Vec<(&'static str, Vec<hlog::Sample>)> {
    let log = SeedLog {
        seed: run.seed,
        scenario,
        events: &run.events,
        links: &run.links,
        machines: &run.machines,
        ended_at: run.ended_at,
    };
    let times = METRICS
        .iter()
        .filter(|m| m.kind == Kind::Samples && m.unit == Unit::Time);
    times
        .filter_map(|metric| {
            let asked = MetricRef {
                name: metric.name.into(),
                filters: Vec::new(),
            };
            match evaluate::series(&log, &asked) {
                Series::Samples(samples) if !samples.is_empty() => {
                    let samples = samples.iter().map(|s| {
                        (
                            s.start,
                            std::time::Duration::from_secs_f64(s.value.max(0.0)),
                            s.weight,
                        )
                    });
                    Some((metric.name, samples.collect()))
                }
                _ => None,
            }
        })
        .collect()
}
