//! `backroom-collector run`: the collector itself, and the notices that it prints. Signals and the service manager stand in
//! `service`; all else is `shell::run_with`.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use super::{
    exit, fail,
    notify::Manager,
    put,
    service::{Service, Signals},
    settings,
};
use tokio::sync::oneshot;

use crate::{
    config::{self, Config, Format},
    core::{accounting::DropReason, recovery::Report},
    env::{OsEnv, use_small_pages},
    otlp::Signal,
    shell::{self, Observer},
};

/// Run until SIGTERM or SIGINT; SIGHUP reads the configuration again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: settings::Flags,
    /// Print every setting with the place where it comes from, and do not run.
    #[arg(long)]
    print_config: bool,
}

/// Runs until a signal; gives the exit code.
pub(super) fn run(args: Args) -> u8 {
    match args.settings.clone().load() {
        Ok(settings) if args.print_config => {
            put(&settings.origins().to_string());
            exit::OK
        }
        Ok(settings) => collect(settings.config, &args.settings),
        Err(report) => {
            settings::tell(&report, Format::Human);
            report.exit_code()
        }
    }
}

fn collect(config: Config, flags: &settings::Flags) -> u8 {
    // A panic in one task would leave the others half alive; a service manager starts us again.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default(info);
        std::process::exit(exit::SOFTWARE.into());
    }));
    // The ceiling of memory is promised on machines with huge pages too; without the answer it is only higher.
    let _ = use_small_pages();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("start: {error}"), exit::OS),
    };
    let env = match OsEnv::new() {
        Ok(env) => env,
        Err(error) => return fail(error, exit::OS),
    };
    let notices = Arc::new(Notices::new(&config));
    let result = runtime.block_on(async {
        let signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return fail(format_args!("listen to signals: {error}"), exit::OS),
        };
        let manager = Manager::from_env().unwrap_or_else(|error| {
            notices.notice(&error.to_string());
            Manager::nobody()
        });
        let (handle, control) = shell::supervision();
        let service = Service {
            signals,
            manager,
            handle,
            load: || {
                flags.config.as_ref()?;
                let settings = flags.clone().load();
                Some(settings.map(|settings| settings.config))
            },
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let collector = shell::run_with(env, config, notices, control, shutdown);
        supervise(service, collector, stop).await
    });
    // Helper threads may hang in a disk that does not answer.
    runtime.shutdown_background();
    result
}

/// Runs the collector until it ends by itself or by a signal, or until a second signal.
async fn supervise(
    mut service: Service<impl Fn() -> Option<Result<Config, config::Report>>>,
    collector: impl Future<Output = Result<(), shell::Error>>,
    stop: oneshot::Sender<()>,
) -> u8 {
    let mut collector = std::pin::pin!(collector);
    let tell = |report: &config::Report| settings::tell(report, Format::Human);
    let ended = tokio::select! {
        biased;
        ended = &mut collector => Some(ended),
        has_started = service.supervise(tell) => match has_started {
            true => None,
            false => return exit::OK,
        },
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            let _ = stop.send(());
            tokio::select! {
                biased;
                ended = &mut collector => ended,
                code = service.insist() => {
                    return fail("a second signal: leaving at once", code);
                }
            }
        }
    };
    match ended {
        Ok(()) => exit::OK,
        Err(error) => {
            let code = match error {
                shell::Error::Buffer { .. } | shell::Error::InUse { .. } => exit::CANNOT_WRITE,
                shell::Error::Endpoint { .. } | shell::Error::Tokens { .. } => exit::DATA,
                _ => exit::OS,
            };
            fail(error, code)
        }
    }
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

    fn listening(&self, http: Option<SocketAddr>, grpc: Option<SocketAddr>) {
        let listening = match (http, grpc) {
            (Some(http), Some(grpc)) => format!("listening on {http}, gRPC on {grpc}"),
            (Some(http), None) => format!("listening on {http}"),
            (None, Some(grpc)) => format!("listening for gRPC alone on {grpc}"),
            (None, None) => "listening nowhere".to_owned(),
        };
        let found = self.found.lock().map(|found| found.clone());
        eprintln!(
            "backroom-collector {}: {listening}, buffer {} ({}), {}",
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
