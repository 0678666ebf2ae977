//! The folder of a run: `runs/<scenario>/<time>-<id>/`, and `latest` beside it.
//!
//! Whole files appear whole or not at all: written beside, synced, renamed. Only the log of outcomes grows while the run does.
//! What is in the files is decided elsewhere (`outputs`, `reports`).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use backroom_reports as reports;
use backroom_reports::{Input, Manifest, Timing, exit};

use super::kept::Wrong;
use crate::{
    run::{ndjson::Log, outcome_log},
    scenario::Loaded,
};

/// A folder that is being filled.
#[derive(Debug)]
pub(super) struct RunDir {
    /// The folder.
    pub(super) folder: PathBuf,
    of_scenario: PathBuf,
    id: String,
    started: jiff::Timestamp,
    kept: Vec<String>,
}

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("write {}: {error}", path.display())]
pub(super) struct Unwritable {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

impl Unwritable {
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |error| Self { path, error }
    }
}

impl From<Unwritable> for Wrong {
    fn from(error: Unwritable) -> Self {
        (error.to_string(), exit::CANNOT_WRITE)
    }
}

impl RunDir {
    /// A new folder below `runs`.
    pub(super) fn create(runs: &Path, scenario: &str) -> Result<Self, Unwritable> {
        let started = jiff::Timestamp::now();
        let of_scenario = runs.join(scenario);
        fs::create_dir_all(&of_scenario).map_err(Unwritable::at(&of_scenario))?;
        let time = started.strftime("%Y%m%dT%H%M%SZ");
        let process = std::process::id() & 0xffff;
        // 100: two runs of one process in one second differ by the last number.
        let mut ids = (0..100).map(|n| match n {
            0 => format!("{time}-{process:04x}"),
            n => format!("{time}-{process:04x}-{n}"),
        });
        loop {
            let Some(id) = ids.next() else {
                let error = io::Error::from(io::ErrorKind::AlreadyExists);
                return Err(Unwritable::at(&of_scenario)(error));
            };
            let folder = of_scenario.join(&id);
            match fs::create_dir(&folder) {
                Ok(()) => {
                    return Ok(Self {
                        folder,
                        of_scenario,
                        id,
                        started,
                        kept: Vec::new(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Unwritable::at(&folder)(error)),
            }
        }
    }

    /// Begins the log of outcomes.
    pub(super) fn log(&mut self, header: outcome_log::Header) -> Result<Log, Unwritable> {
        let path = self.folder.join(outcome_log::FILE);
        let mut log = Log::create(&path).map_err(Unwritable::at(&path))?;
        let line = outcome_log::Line::Run(Box::new(header));
        log.append(&line).map_err(Unwritable::at(&path))?;
        self.kept.push(outcome_log::FILE.into());
        Ok(log)
    }

    /// Writes a whole file.
    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), Unwritable> {
        write_whole(&self.folder.join(name), bytes)?;
        // A file may be written twice: at the beginning, and whole at the end.
        if !self.kept.iter().any(|kept| kept == name) {
            self.kept.push(name.into());
        }
        Ok(())
    }

    /// How and where the run was made.
    pub(super) fn manifest(&self, loaded: &Loaded, timing: &Timing) -> Manifest {
        Manifest {
            schema_version: reports::SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").into(),
            argv: std::env::args().collect(),
            started_at: self.started.to_string(),
            platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            machine: machine(),
            git: commit(),
            inputs: loaded
                .sources
                .iter()
                .map(|source| Input {
                    file: source.name.clone(),
                    crc32c: crc_of(&source.text),
                })
                .collect(),
            timing: timing.clone(),
        }
    }

    /// Points `latest` at it.
    pub(super) fn finish(&self) {
        // A link that cannot be made (other systems, odd file systems) costs a convenience, not the run.
        #[cfg(unix)]
        {
            let latest = self.of_scenario.join("latest");
            let _ = fs::remove_file(&latest);
            let _ = std::os::unix::fs::symlink(&self.id, &latest);
        }
    }

    /// What stands in it by now, for whoever has to be told that the rest does not.
    pub(super) fn kept(&self) -> String {
        match self.kept.as_slice() {
            [] => "nothing is kept".into(),
            names => format!("kept in {}: {}", self.folder.display(), names.join(", ")),
        }
    }
}

/// `Xeon(R) Processor, 2 processors`; no name of a host.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|l| l.starts_with("model name"));
    let model = model
        .and_then(|l| l.split_once(':'))
        .map(|(_, name)| name.trim());
    let count = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    model.map_or_else(String::new, |model| format!("{model}, {count} processors"))
}

/// The commit of the repository in which this process stands; nothing where there is none, or no git.
fn commit() -> Option<String> {
    let mut git = std::process::Command::new("git");
    git.args(["rev-parse", "HEAD"])
        .stdin(std::process::Stdio::null());
    let out = git.stderr(std::process::Stdio::null()).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let commit = text.trim();
    let is_hash = commit.len() >= 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
    (out.status.success() && is_hash).then(|| commit.to_owned())
}

/// CRC32C of a text, as manifests and logs have it.
pub(super) fn crc_of(text: &str) -> String {
    format!("{:08x}", crc32c::crc32c(text.as_bytes()))
}

/// Writes a file whole or not at all. What is no plain file (a device, a pipe) is written to as it is.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Unwritable> {
    let special = fs::metadata(path).is_ok_and(|m| !m.is_file());
    if special {
        return fs::write(path, bytes).map_err(Unwritable::at(path));
    }
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(Unwritable::at(folder))?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = fs::File::create(&beside)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_data()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&beside);
        Unwritable::at(path)(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below/summary.json");
        write_whole(&path, b"one").expect("written");
        write_whole(&path, b"two").expect("written over");
        assert_eq!(fs::read(&path).expect("there"), b"two");
        let names = || {
            fs::read_dir(folder.path().join("below"))
                .expect("there")
                .count()
        };
        assert_eq!(names(), 1, "nothing is left beside it");
        let blocked = folder.path().join("below/summary.json/x");
        assert!(write_whole(&blocked, b"three").is_err());
        assert_eq!(names(), 1);
    }

    #[test]
    fn two_runs_of_one_second_have_folders_of_their_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let a = RunDir::create(folder.path(), "x").expect("made");
        let b = RunDir::create(folder.path(), "x").expect("made");
        assert_ne!(a.folder, b.folder);
        b.finish();
        let latest = fs::canonicalize(folder.path().join("x/latest")).expect("it points there");
        assert!(latest.ends_with(&b.id));
    }
}
