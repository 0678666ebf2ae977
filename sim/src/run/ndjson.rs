//! Append-only files of JSON lines: what is in them survives whoever wrote them, up to the last whole line.
//!
//! A line is written with one call. A writer that is killed leaves at most one torn line, at the end; readers leave it out
//! and tell it, and [`Log::resume`] cuts it off before it goes on. A line in the middle that cannot be read is damage, and is
//! an error. Knows nothing of what the lines mean. Next: `outcome_log` and `sweep`, which do.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

/// 64 MiB: a seed's outcome is some kilobytes; a file that is something else is refused before it fills the memory.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// An open log.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be opened or read.
    #[error("read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line before the last one is not what it should be.
    #[error("read {}: line {line} {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, 1-based.
        line: usize,
        /// Why.
        why: String,
    },
}

impl LogError {
    /// Whether the file is not there at all.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }
}

/// The whole lines of a log.
#[derive(Debug)]
pub struct Lines<T> {
    /// In file order.
    pub lines: Vec<T>,
    /// Bytes of whole lines.
    pub bytes: u64,
    /// Whether something stood behind them: the writer was stopped in the middle of a line.
    pub torn: bool,
}

impl Log {
    /// A new file.
    ///
    /// # Errors
    /// If it cannot be made, or is there already.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).open(path)?;
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    /// The end of a file that is there, after `lines`, which were read from it; a torn line is cut off.
    ///
    /// # Errors
    /// If it cannot be opened or cut.
    pub fn resume<T>(path: &Path, lines: &Lines<T>) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        if lines.torn {
            file.set_len(lines.bytes)?;
        }
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    /// Appends a line. It survives this process when this returns, and a power cut after [`Log::sync`].
    ///
    /// # Errors
    /// If it cannot be written; a part of it may stand there, which readers leave out.
    pub fn append(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())
    }

    /// Makes what was appended survive a power cut.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads all whole lines.
///
/// # Errors
/// If the file cannot be read, or a whole line is not a `T`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Lines<T>, LogError> {
    let unreadable = |error| LogError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut all = Lines {
        lines: Vec::new(),
        bytes: 0,
        torn: false,
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = io::Read::take(&mut reader, LINE_BYTES_MAX);
        let length = bounded.read_until(b'\n', &mut line).map_err(unreadable)?;
        if length == 0 {
            return Ok(all);
        }
        let damaged = |why| LogError::Damaged {
            path: path.to_owned(),
            line: all.lines.len() + 1,
            why,
        };
        if line.last() != Some(&b'\n') {
            if length as u64 == LINE_BYTES_MAX {
                return Err(damaged(format!("is longer than {LINE_BYTES_MAX} bytes")));
            }
            all.torn = true;
            return Ok(all);
        }
        let read = serde_json::from_slice(&line);
        let read = read.map_err(|error| damaged(format!("is not what it should be: {error}")))?;
        all.lines.push(read);
        all.bytes += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expect: Result<(&[u32], bool), &str>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.ndjson");
        std::fs::write(&path, text).expect("written");
        match (read::<u32>(&path), expect) {
            (Ok(read), Ok((lines, torn))) => {
                assert_eq!((read.lines.as_slice(), read.torn), (lines, torn));
                // Going on after it leaves whole lines only.
                let mut log = Log::resume(&path, &read).expect("it opens");
                log.append(&99).expect("it takes a line");
                let again = read_back(&path);
                assert_eq!(again.last(), Some(&99));
                assert_eq!(again.len(), lines.len() + 1);
            }
            (Err(error), Err(part)) => {
                let error = error.to_string();
                assert!(error.contains(part), "{error}");
            }
            (got, expect) => panic!("{got:?} instead of {expect:?}"),
        }
    }

    fn read_back(path: &Path) -> Vec<u32> {
        read(path).expect("whole lines").lines
    }

    #[test]
    fn whole_lines_are_read_and_a_torn_one_is_left_out() {
        check(b"", Ok((&[], false)));
        check(b"1\n2\n", Ok((&[1, 2], false)));
        check(b"1\n2\n34", Ok((&[1, 2], true)));
        check(b"1\nx\n3\n", Err("line 2 is not what it should be"));
        check(b"1\n\n3\n", Err("line 2"));
        check(b"\xff\xfe\n", Err("line 1"));
    }

    #[test]
    fn a_log_is_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.ndjson");
        Log::create(&path).expect("new");
        assert!(Log::create(&path).is_err());
        assert!(
            read::<u32>(&folder.path().join("none"))
                .expect_err("nothing there")
                .is_missing()
        );
    }
}
