//! Where the settings of a verb come from: the defaults, a file, the environment, the command line; the later ones win.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::put;
use crate::config::{
    self, Config, Endpoint, Format, Report, Sources,
    origins::{Origins, quoted},
    tree::Table,
};

/// The file, and what the command line says instead.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Flags {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
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
    /// Directory of the buffer; wins over the file.
    #[arg(long, value_name = "DIR")]
    buffer_dir: Option<PathBuf>,
    /// Address to listen on for OTLP/HTTP; wins over the file.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Address to listen on for OTLP/gRPC; wins over the file.
    #[arg(long, value_name = "IP:PORT")]
    listen_grpc: Option<SocketAddr>,
}

/// Which buffer is meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Place {
    /// Configuration file of the collector whose buffer is meant.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the buffer; wins over the file.
    #[arg(long, global = true, value_name = "DIR")]
    buffer_dir: Option<PathBuf>,
}

impl Place {
    /// Reads the file and applies the rest.
    ///
    /// # Errors
    /// All that is wrong with the file.
    pub(super) fn load(&self) -> Result<Settings, Report> {
        let flags = Flags {
            config: self.config.clone(),
            buffer_dir: self.buffer_dir.clone(),
            ..Flags::default()
        };
        flags.load()
    }
}

/// Settings, and where each was written.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    sources: Sources,
    table: Table,
    /// Dotted path, value as TOML, and who said it, for what did not come from the file.
    overrides: Vec<(&'static str, String, &'static str)>,
}

/// Reads a file; without one, the defaults.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn load(file: Option<&Path>) -> Result<Settings, Report> {
    let loaded = match file {
        Some(path) => config::load_whole(path)?,
        None => config::Loaded::default(),
    };
    Ok(Settings {
        config: loaded.config,
        sources: loaded.sources,
        table: loaded.table,
        overrides: Vec::new(),
    })
}

impl Flags {
    /// Reads the file and applies the rest.
    ///
    /// # Errors
    /// All that is wrong with the file.
    pub(super) fn load(self) -> Result<Settings, Report> {
        let mut settings = load(self.config.as_deref())?;
        let config = &mut settings.config;
        let mut say = |path, value: &str, who| {
            settings.overrides.push((path, quoted(value), who));
        };
        match (self.endpoint, &mut config.endpoint) {
            (Some(url), slot) => {
                say("endpoint.url", &url, "--endpoint");
                match slot {
                    Some(endpoint) => endpoint.url = url,
                    None => *slot = Some(Endpoint::new(url)),
                }
            }
            (None, Some(_)) => {}
            (None, slot) => {
                if let Some(url) = self.default_endpoint.filter(|url| !url.is_empty()) {
                    say("endpoint.url", &url, "OTEL_EXPORTER_OTLP_ENDPOINT");
                    *slot = Some(Endpoint::new(url));
                }
            }
        }
        if let Some(dir) = self.buffer_dir {
            say("buffer.dir", &dir.to_string_lossy(), "--buffer-dir");
            config.buffer.dir = dir;
        }
        if let Some(address) = self.listen {
            say("listen.http", &address.to_string(), "--listen");
            config.listen.http = Some(address);
        }
        if let Some(address) = self.listen_grpc {
            say("listen.grpc", &address.to_string(), "--listen-grpc");
            config.listen.grpc = Some(address);
        }
        Ok(settings)
    }
}

impl Settings {
    /// Every setting with the place where it comes from.
    pub(super) fn origins(&self) -> Origins {
        let mut origins = Origins::of(&self.table, &self.sources);
        for (path, value, who) in &self.overrides {
            origins.set(path, value.clone(), who);
        }
        origins
    }
}

/// Shows findings: for people on standard error, for machines on standard output.
pub(super) fn tell(report: &Report, format: Format) {
    if matches!(format, Format::Human | Format::Short) {
        anstream::eprint!("{}", report.render(format, true));
        if std::env::var_os("GITHUB_ACTIONS").is_some() {
            put(&report.render(Format::Github, false));
        }
    } else {
        put(&report.render(format, false));
    }
}
