//! How long a start takes with a backlog of so many GiB, until `/readyz` says 200:
//! `cargo run --release -p backroom-benches --example start -- 1 20`.
//!
//! The backlog is that of `backroom_benches::backlog`; the collector is the deployed one, in a process of its own for each start (this
//! program again), so that the peak of memory is that of one start. *cold*: the kernel was told to drop the pages of all files before.
#![expect(
    clippy::disallowed_methods,
    reason = "it measures real time, from a thread beside the collector's"
)]

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
    time::{Duration, Instant},
};

use backroom_benches::backlog::{self, Backlog};
use backroom_collector::{
    config::{ByteSize, Config},
    core::recovery::Report,
    env::{Env as _, OsEnv},
    shell::{self, Observer},
};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Starts each way.
const STARTS: usize = 5;

/// Makes a backlog and times starts on it.
#[derive(Debug, Parser)]
struct Args {
    /// Sizes in GiB.
    #[arg(default_values_t = [1, 20])]
    gib: Vec<u64>,
    /// Where the backlog is made; its own directory in it is deleted.
    #[arg(long, default_value = "target")]
    parent: PathBuf,
    /// One start on this buffer: for this program itself.
    #[arg(long, hide = true)]
    once: Option<PathBuf>,
}

fn config(dir: &Path) -> Config {
    let mut config = Config::default();
    config.listen.http = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    config.listen.grpc = None;
    config.buffer.dir = dir.to_owned();
    config.buffer.disk = ByteSize(32 << 30);
    config
}

/// Asks until it is ready.
struct Asker(Instant);

impl Observer for Asker {
    fn recovered(&self, report: &Report) {
        assert_eq!(report.unknown_bytes, 0, "the backlog is sound");
        assert!(report.unreadable.is_empty(), "{:?}", report.unreadable);
    }

    fn listening(&self, http: Option<SocketAddr>, _grpc: Option<SocketAddr>) {
        let address = http.expect("it listens");
        let began = self.0;
        // The collector answers on the thread that calls this.
        std::thread::spawn(move || {
            while !is_ready(address).expect("it answers") {}
            let took = began.elapsed();
            let process = OsEnv::with_root([7; 32]).process();
            let resident = process.map_or(0, |stats| stats.resident_bytes);
            println!("{} {resident}", took.as_nanos());
            std::process::exit(0);
        });
    }
}

fn is_ready(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

fn start_once(dir: &Path) -> ExitCode {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let env = OsEnv::new().expect("random bytes");
    let run = shell::run(
        env,
        config(dir),
        Arc::new(Asker(began)),
        std::future::pending(),
    );
    let error = runtime.block_on(run).expect_err("nobody ends it");
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Has the kernel forget what it has of these files.
fn forget(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let file = std::fs::File::open(entry?.path())?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// Time and resident bytes of the median start.
fn median(dir: &Path, is_cold: bool) -> io::Result<(Duration, u64)> {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        if is_cold {
            forget(dir)?;
        }
        let mut command = Command::new(std::env::current_exe()?);
        let output = command.arg("--once").arg(dir).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let words = text.split_whitespace().map(str::parse::<u64>);
        let [Ok(nanos), Ok(resident)] = words.collect::<Vec<_>>()[..] else {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(error));
        };
        starts.push((Duration::from_nanos(nanos), resident));
    }
    starts.sort_unstable();
    Ok(starts[STARTS / 2])
}

fn run(args: &Args) -> io::Result<()> {
    println!("  GiB  segments  batches      items  warm ms  cold ms  resident MiB");
    for gib in &args.gib {
        let dir = tempfile::tempdir_in(&args.parent)?;
        let Backlog {
            segments,
            batches,
            items,
            ..
        } = backlog::make(dir.path(), &config(dir.path()), gib << 30)?;
        // The first start seals what only the journal has; the others find what it left.
        median(dir.path(), false)?;
        let (warm, resident) = median(dir.path(), false)?;
        let (cold, _) = median(dir.path(), true)?;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{gib:>5}  {segments:>8}  {batches:>7}  {items:>9}  {:>7.1}  {:>7.1}  {:>12.1}",
            ms(warm),
            ms(cold),
            resident as f64 / f64::from(1 << 20),
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(dir) = &args.once {
        return start_once(dir);
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("start: {error}");
            ExitCode::FAILURE
        }
    }
}
