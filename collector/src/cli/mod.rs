//! The command line of `backroom-collector`, one file per verb.
//!
//! Decides what a verb is called and what every verb has in common; what it does stands in its file. Results go to standard
//! output, diagnostics and progress to standard error. Exit codes: [`exit`]. Colours are written always, and taken out by
//! `anstream` where they are not wanted (no terminal, `NO_COLOR`, `--color never`).

mod ask;
mod buffer;
mod check;
mod doctor;
pub mod exit;
mod notify;
mod run;
mod service;
mod settings;
mod show;
mod stores;
mod top;

use std::{io::Write as _, net::SocketAddr};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    config::Endpoint,
    env::{ClientTls, OsEnv, ServerTls},
};

/// Takes OpenTelemetry data, keeps what it acknowledged, and forwards it when the line allows.
#[derive(Debug, Parser)]
#[command(
    name = "backroom-collector",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = exit::HELP
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// When to use colours; NO_COLOR and CLICOLOR_FORCE are obeyed with `auto`.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run until SIGTERM or SIGINT. Without a file: listen on 127.0.0.1:4318 and, for gRPC, 4317; buffer in ./backroom-buffer; forward to
    /// OTEL_EXPORTER_OTLP_ENDPOINT.
    Run(run::Args),
    /// Read a configuration as `run` would, and say everything that is wrong with it.
    Check(check::Args),
    /// Look at a buffer, check it, and take out what is in it; the collector may be running or not.
    Buffer(buffer::Args),
    /// Watch a collector, from its own metrics.
    Top(top::Args),
    /// Show what a gateway knows of each store: when it was heard, what waits there, what is missing.
    Stores(stores::Args),
    /// Look at clock, disk, addresses, destination and buffer, and say what is wrong and what to do.
    Doctor(doctor::Args),
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// Parses the command line of this process and does what it asks; gives the exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors. A closed pipe is no reason to fail either: whoever asked has gone.
            let _ = error.print();
            return if error.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            };
        }
    };
    match cli.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    match cli.verb {
        Verb::Run(args) => run::run(args),
        Verb::Check(args) => check::run(&args),
        Verb::Buffer(args) => buffer::run(args),
        Verb::Top(args) => top::run(&args),
        Verb::Stores(args) => stores::run(&args),
        Verb::Doctor(args) => doctor::run(args),
    }
}

/// Runs a verb on a runtime of its own.
fn block_on<F: Future<Output = u8>>(verb: impl FnOnce(OsEnv) -> F) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("start: {error}"), exit::OS),
    };
    let env = match OsEnv::new() {
        Ok(env) => env,
        Err(error) => return fail(error, exit::OS),
    };
    let code = runtime.block_on(verb(env));
    // Helper threads may hang in a disk that does not answer.
    runtime.shutdown_background();
    code
}

/// How a collector on this machine is asked: over TLS it must show the very certificate that its configuration names, for that one
/// need not carry the name of a loopback address.
fn own_endpoint(address: SocketAddr, tls: Option<&ServerTls>) -> Endpoint {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::new(format!("{scheme}://{address}"));
    endpoint.tls = tls.map(|tls| ClientTls {
        pin: Some(tls.cert.clone()),
        ..ClientTls::default()
    });
    endpoint
}

/// Writes to standard output; a reader that has gone away (`| head`) is no error.
fn put(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

/// Says on standard error why a verb failed, and gives its exit code.
fn fail(message: impl std::fmt::Display, code: u8) -> u8 {
    anstream::eprintln!("backroom-collector: {message}");
    code
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
