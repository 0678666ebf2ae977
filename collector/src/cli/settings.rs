//! Where the settings of a verb come from: the defaults, a file, the environment, the command line; the later ones win.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::put;
use crate::config::{
    self, Config, Diagnostic, Endpoint, Format, Protocol, Report, Sources, codes,
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
    /// Protocol to speak where the file does not say.
    #[arg(
        long = "default-protocol",
        value_name = "PROTOCOL",
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        value_parser = default_protocol,
        hide = true
    )]
    default_protocol: Option<DefaultProtocol>,
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

/// What `OTEL_EXPORTER_OTLP_PROTOCOL` says; an empty variable says nothing.
type DefaultProtocol = Option<Protocol>;

fn default_protocol(text: &str) -> Result<DefaultProtocol, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let found = Protocol::ALL.iter().find(|(word, _)| *word == text);
    match found {
        Some((_, protocol)) => Ok(Some(*protocol)),
        None => Err("expected http/protobuf, http/json or grpc".to_owned()),
    }
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
    overrides: Vec<(String, String, &'static str)>,
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
        let mut say = |path: &str, value: &str, who| {
            settings
                .overrides
                .push((path.to_owned(), quoted(value), who));
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
            (None, None) if !config.destinations.is_empty() => {}
            (None, slot) => {
                if let Some(url) = self.default_endpoint.filter(|url| !url.is_empty()) {
                    say("endpoint.url", &url, "OTEL_EXPORTER_OTLP_ENDPOINT");
                    *slot = Some(Endpoint::new(url));
                }
            }
        }
        if let (Some(Some(protocol)), Some(endpoint)) =
            (self.default_protocol, &mut config.endpoint)
            && !written(&settings.table, "endpoint", "protocol")
        {
            endpoint.protocol = protocol;
            let word = Protocol::ALL.iter().find(|(_, known)| *known == protocol);
            let word = word.map_or("", |(word, _)| word);
            say("endpoint.protocol", word, "OTEL_EXPORTER_OTLP_PROTOCOL");
        }
        if let Some(endpoint) = &mut config.endpoint
            && !written(&settings.table, "endpoint", "proxy")
        {
            let variable = |name: &str| std::env::var(name).ok();
            match config::proxy_of_environment(&endpoint.url, variable) {
                Ok(None) => {}
                Ok(Some((proxy, name))) => {
                    say("endpoint.proxy", &proxy, name);
                    endpoint.proxy = Some(proxy);
                }
                Err(why) => return Err(Report::of(Diagnostic::error(&codes::E0705, why))),
            }
        }
        for (name, endpoint) in &mut config.destinations {
            let path = format!("destination.{name}.proxy");
            if destination_says(&settings.table, name.as_str(), "proxy") {
                continue;
            }
            let variable = |name: &str| std::env::var(name).ok();
            match config::proxy_of_environment(&endpoint.url, variable) {
                Ok(None) => {}
                Ok(Some((proxy, who))) => {
                    say(&path, &proxy, who);
                    endpoint.proxy = Some(proxy);
                }
                Err(why) => return Err(Report::of(Diagnostic::error(&codes::E0705, why))),
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

/// Whether a file says something about a key of a table.
fn written(file: &Table, table: &str, key: &str) -> bool {
    let table = file.entries.get(table).and_then(|e| e.node.as_table());
    table.is_some_and(|table| table.entries.contains_key(key))
}

/// Whether a file says something about a key of a destination.
fn destination_says(file: &Table, name: &str, key: &str) -> bool {
    let all = file
        .entries
        .get("destination")
        .and_then(|e| e.node.as_table());
    all.is_some_and(|all| written(all, name, key))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The variable counts where the file does not say, and stands among the origins.
    #[test]
    fn the_protocol_of_the_environment_is_a_default() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.toml");
        let check = |text: &str, variable: &str, expect: Protocol| {
            std::fs::write(&file, text).unwrap();
            let flags = Flags {
                config: Some(file.clone()),
                default_protocol: Some(default_protocol(variable).unwrap()),
                ..Flags::default()
            };
            let settings = flags.load().unwrap();
            let found = settings.config.endpoint.as_ref().unwrap().protocol;
            assert_eq!(found, expect, "{text} {variable}");
            let shown = settings.origins().to_string();
            let again = config::load_text("again.toml", &shown).expect(&shown);
            assert_eq!(again, settings.config, "{shown}");
        };
        let url = "endpoint = \"http://hq:4317\"";
        check(url, "grpc", Protocol::Grpc);
        check(url, "", Protocol::HttpProtobuf);
        let json = "endpoint = { url = \"http://hq:4318\", protocol = \"http/json\" }";
        check(json, "grpc", Protocol::HttpJson);
        let table = "endpoint = { url = \"http://hq:4317\" }";
        check(table, "grpc", Protocol::Grpc);
        assert!(default_protocol("thrift").is_err());
    }
}
