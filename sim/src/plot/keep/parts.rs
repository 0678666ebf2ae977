//! The series of a part of a run, for whoever puts the parts together: `plots.part.json.zst` in a shard's folder.
//!
//! A part holds the first seed and the worst ones of its own; those of the whole run are among them, because the worst of all is the worst of
//! its part. Which they are is decided anew from the outcomes of all parts, so the merged series are those of the unsharded run, byte for byte.

use std::{
    io::{self, Read as _},
    path::Path,
};

use backroom_reports::{Allowance, LinkUse, SeedSeries};
use serde::{Deserialize, Serialize};

use super::{Kept, ranks};
use crate::{plot::latency, run::outcome::SeedOutcome, scenario::Scenario};

/// Name of the file in a part's folder.
pub const FILE: &str = "plots.part.json.zst";

/// 256 MiB: a part holds a few dozen seeds of at most a few hundred kilobytes each; more is no such file.
const BYTES_MAX: u64 = 256 << 20;

/// What a part hands on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartPlots {
    /// The seeds that may be shown.
    seeds: Vec<SeedSeries>,
    latencies: Vec<latency::Samples>,
    /// Sums over all seeds of the part.
    links: Vec<LinkUse>,
    allowances: Vec<Allowance>,
}

impl PartPlots {
    /// The bytes of [`FILE`].
    ///
    /// # Errors
    /// If there is no memory for the compressor.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let text = serde_json::to_vec(self)?;
        // Level 3 is zstd's own default.
        zstd::encode_all(text.as_slice(), 3)
    }

    /// Those of a part's folder.
    ///
    /// # Errors
    /// If the file cannot be read, or is not one.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let file = std::fs::File::open(folder.join(FILE))?;
        let mut text = Vec::new();
        let mut bounded = zstd::Decoder::new(file)?.take(BYTES_MAX);
        bounded.read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

impl Kept {
    /// What this part of a run hands on.
    pub fn part(&self) -> PartPlots {
        PartPlots {
            seeds: self.held.values().cloned().collect(),
            latencies: self.latencies.clone(),
            links: self.links.clone(),
            allowances: self.allowances.clone(),
        }
    }

    /// All parts of a run as one; `outcomes` are those of all of them.
    pub fn of_parts(
        parts: impl IntoIterator<Item = PartPlots>,
        scenario: &Scenario,
        outcomes: &[SeedOutcome],
    ) -> Self {
        let mut all = Self::default();
        for part in parts {
            let series = part.seeds.into_iter();
            all.held.extend(series.map(|series| (series.seed, series)));
            latency::add(&mut all.latencies, part.latencies);
            all.add_links(part.links);
            all.add_allowances(part.allowances);
        }
        for outcome in outcomes {
            all.count(outcome.seed, ranks(scenario, outcome));
        }
        all.let_go();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: bytes that are not such a file are an error, not a panic, and not a file without plots.
    #[test]
    fn a_file_reads_back_and_garbage_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        assert!(PartPlots::read(folder.path()).is_err(), "it is not there");
        let plots = Kept::default().part();
        let bytes = plots.to_bytes().expect("memory");
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(PartPlots::read(folder.path()).expect("read"), plots);
        for garbage in [&b""[..], b"garbage", &bytes[..bytes.len() / 2]] {
            std::fs::write(&path, garbage).expect("written");
            assert!(PartPlots::read(folder.path()).is_err(), "{garbage:?}");
        }
        std::fs::write(&path, zstd::encode_all(&b"[]"[..], 3).expect("memory")).expect("written");
        assert!(PartPlots::read(folder.path()).is_err());
    }
}
