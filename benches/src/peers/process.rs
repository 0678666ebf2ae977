//! One peer running: started and waited for, what it has used, its end.

use std::{
    fs::File,
    io,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use backroom_sim::run::cost;
use tokio::time::{Instant, sleep};

use super::peer::{Peer, Place};

/// A peer that listens later than this after its start has failed.
const START_MAX: Duration = Duration::from_secs(60);

/// A process; it is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it, and waits until it listens. What it tells goes to `log` in its home.
    ///
    /// # Errors
    /// If it cannot be started, ends, or does not listen in time; with the end of what it told.
    pub async fn start(program: &Path, peer: &Peer, place: &Place) -> Result<Self, String> {
        let failed = |what: String| format!("start {}: {what}", peer.name);
        let arguments = peer.configure(place)?;
        let log = place.home.join("log");
        let open = || File::options().create(true).append(true).open(&log);
        let (out, err) = (open(), open());
        let child = Command::new(program)
            .args(arguments)
            .current_dir(&place.dir)
            .stdin(Stdio::null())
            .stdout(out.map_err(|e| failed(e.to_string()))?)
            .stderr(err.map_err(|e| failed(e.to_string()))?)
            .spawn()
            .map_err(|error| failed(format!("{}: {error}", program.display())))?;
        let mut running = Self { child };
        let start = Instant::now();
        loop {
            if listens(place.http) {
                return Ok(running);
            }
            let ended = running.child.try_wait().ok().flatten();
            if ended.is_some() || start.elapsed() > START_MAX {
                let told = std::fs::read_to_string(&log).unwrap_or_default();
                let last: Vec<&str> = told.lines().rev().take(5).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                let how = ended.map_or("does not listen".into(), |status| status.to_string());
                return Err(failed(format!("{how}; it told:\n{}", last.join("\n"))));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// User and system time of all its threads so far; `None` where the system does not tell.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        Some(ticks(&stat)? as f64 / ticks_per_second)
    }

    /// The most memory that it has had resident.
    pub fn peak_bytes(&self) -> Option<u64> {
        cost::peak_bytes(Some(self.child.id()))
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// If it has ended by itself.
    pub fn kill(mut self) -> io::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(io::Error::other(format!(
                "it has ended by itself: {status}"
            )));
        }
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// `utime + stime` of `/proc/PID/stat`. The name may hold spaces and brackets: fields are counted after its last bracket.
fn ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(field(11)? + field(12)?)
}

/// Bytes that a folder takes on the disk: blocks of its files, however deep.
///
/// # Errors
/// What the system says.
pub fn disk_bytes(folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // The peer is at work: files come and go.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        sum += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => metadata.blocks() * 512,
        };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_system_are_read() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 120 30 1 1 20 0 5 0 99";
        assert_eq!(ticks(stat), Some(150));
        assert_eq!(ticks("7 (cat) S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn a_folder_takes_what_its_files_take() {
        let dir = tempfile::tempdir().expect("a directory");
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).expect("made");
        std::fs::write(below.join("c"), vec![7; 100_000]).expect("written");
        let bytes = disk_bytes(dir.path()).expect("it is there");
        assert!((98_000..200_000).contains(&bytes), "{bytes}");
        assert!(disk_bytes(&dir.path().join("none")).is_err());
    }
}
