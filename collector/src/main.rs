//! `backroom-collector`: the deployable binary. It reads the configuration, listens to signals, and prints notices; all
//! else is `backroom_collector::shell::run`.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use backroom_collector::{
    config::{self, Config, Endpoint, Format},
    core::{accounting::DropReason, recovery::Report},
    env::OsEnv,
    otlp::Signal,
    shell::{self, Observer},
};
use clap::{Args, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wrong command line.
const EX_USAGE: u8 = 64;
/// Wrong configuration.
const EX_DATAERR: u8 = 65;
/// A bug of ours.
const EX_SOFTWARE: u8 = 70;
/// The operating system refuses: the address is taken, no random bytes.
const EX_OSERR: u8 = 71;
/// The buffer cannot be written, or another process has it.
const EX_CANTCREAT: u8 = 73;

/// Takes OpenTelemetry data, keeps what it acknowledged, and forwards it when the line allows.
///
/// Exit codes: 0 stopped by a signal, 64 wrong command line, 65 wrong configuration, 66 missing file, 70 internal error,
/// 71 the operating system refuses (address taken), 73 the buffer cannot be written or is in use.
#[derive(Debug, Parser)]
#[command(name = "backroom-collector", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until SIGTERM or SIGINT. Without a file: listen on 127.0.0.1:4318, buffer in ./backroom-buffer, forward to
    /// OTEL_EXPORTER_OTLP_ENDPOINT.
    Run {
        /// Configuration file (TOML).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Read a configuration file and say everything that is wrong with it.
    Check {
        /// Configuration file (TOML).
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// What the command line says wins over the file.
#[derive(Debug, Args)]
struct Overrides {
    /// Base URL to send to; wins over the file.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Base URL to send to where neither --endpoint nor the file names one.
    #[arg(
        long = "default-endpoint",
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        hide = true
    )]
    default_endpoint: Option<String>,
    /// Directory of the buffer.
    #[arg(long, value_name = "DIR")]
    buffer_dir: Option<PathBuf>,
    /// Address to listen on for OTLP/HTTP.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { EX_USAGE } else { 0 };
            let _ = error.print();
            return code.into();
        }
    };
    match cli.command {
        Command::Check { config } => match config::load(&config) {
            Ok(_) => {
                println!("{}: ok", config.display());
                ExitCode::SUCCESS
            }
            Err(report) => tell(&report),
        },
        Command::Run { config, overrides } => {
            let loaded = match config {
                Some(path) => config::load(&path),
                None => Ok(Config::default()),
            };
            match loaded {
                Ok(config) => run(overrides.apply(config)),
                Err(report) => tell(&report),
            }
        }
    }
}

impl Overrides {
    fn apply(self, mut config: Config) -> Config {
        let file = config.endpoint.take();
        config.endpoint = match (self.endpoint, file) {
            (Some(url), Some(file)) => Some(Endpoint { url, ..file }),
            (Some(url), None) => Some(Endpoint::new(url)),
            (None, Some(file)) => Some(file),
            (None, None) => self
                .default_endpoint
                .filter(|url| !url.is_empty())
                .map(Endpoint::new),
        };
        if let Some(dir) = self.buffer_dir {
            config.buffer.dir = dir;
        }
        if let Some(address) = self.listen {
            config.listen.http = address;
        }
        config
    }
}

fn tell(report: &config::Report) -> ExitCode {
    anstream::eprintln!("{}", report.render(Format::Human, true));
    report.exit_code().into()
}

fn run(config: Config) -> ExitCode {
    // A panic in one task would leave the others half alive; a service manager starts us again.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default(info);
        std::process::exit(EX_SOFTWARE.into());
    }));
    let fail = |message: String, code: u8| {
        eprintln!("backroom-collector: {message}");
        ExitCode::from(code)
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(format!("start: {error}"), EX_OSERR),
    };
    let env = match OsEnv::new() {
        Ok(env) => env,
        Err(error) => return fail(error.to_string(), EX_OSERR),
    };
    let notices = Arc::new(Notices::new(&config));
    let result = runtime.block_on(async {
        let shutdown = match terminated() {
            Ok(shutdown) => shutdown,
            Err(error) => return fail(format!("listen to signals: {error}"), EX_OSERR),
        };
        match shell::run(env, config, notices, shutdown).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let code = match error {
                    shell::Error::Buffer { .. } | shell::Error::InUse { .. } => EX_CANTCREAT,
                    shell::Error::Endpoint { .. } => EX_DATAERR,
                    _ => EX_OSERR,
                };
                fail(error.to_string(), code)
            }
        }
    });
    // Helper threads may hang in a disk that does not answer.
    runtime.shutdown_background();
    result
}

/// Completes at SIGTERM or SIGINT.
fn terminated() -> std::io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Prints what an operator should know to stderr, a line each.
struct Notices {
    destination: String,
    buffer: PathBuf,
    found: Mutex<String>,
}

impl Notices {
    fn new(config: &Config) -> Self {
        let destination = match &config.endpoint {
            Some(endpoint) => format!("sending to {}", endpoint.url),
            None => "keeping everything, no endpoint is set".to_owned(),
        };
        Self {
            destination,
            buffer: config.buffer.dir.clone(),
            found: Mutex::default(),
        }
    }
}

impl Observer for Notices {
    fn recovered(&self, report: &Report) {
        let items: u64 = report.items.iter().sum();
        let mut found = format!("{items} items waiting");
        let damaged: u64 = report.damaged_items.iter().sum();
        if damaged > 0 || report.unknown_bytes > 0 {
            found += &format!(
                ", {damaged} damaged, {} bytes unreadable",
                report.unknown_bytes
            );
        }
        for file in &report.unreadable {
            self.notice(&format!("set aside {file}"));
        }
        if let Ok(mut slot) = self.found.lock() {
            *slot = found;
        }
    }

    fn listening(&self, http: SocketAddr) {
        let found = self.found.lock().map(|found| found.clone());
        eprintln!(
            "backroom-collector {}: listening on {http}, buffer {} ({}), {}",
            env!("CARGO_PKG_VERSION"),
            self.buffer.display(),
            found.unwrap_or_default(),
            self.destination
        );
    }

    fn dropped(&self, signal: Signal, items: u64, reason: DropReason) {
        // A full buffer drops with every request: the metrics count it.
        if reason != DropReason::BufferFull {
            self.notice(&format!("dropped {items} {signal}: {}", reason.name()));
        }
    }

    fn notice(&self, message: &str) {
        eprintln!("backroom-collector: {message}");
    }
}
