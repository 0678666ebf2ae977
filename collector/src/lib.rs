//! The store-side OpenTelemetry collector.
//!
//! It takes OTLP from the store's services, puts it on disk before it says yes, and forwards it in compressed batches
//! over a line that is thin, shared and often down. The same code is deployed in stores and runs as one machine of
//! Backroom's simulated ones: whatever it needs from an operating system stands in [`env::Env`], and nothing else.
//!
//! - [mod@env]: the seam to the operating system, or to a simulated one.
//! - [`core`]: the decisions, without clock, file or socket.
//! - [`config`]: quantities with units, the spanned reader, diagnostics, the configuration itself.
//! - [`otlp`]: the wire format, walked without decoding.
//! - [`shell`]: receivers, exporter and spool over an `Env`; [`shell::run`] is the one entry.
//! - [`archive`]: export files.
//! - [`cli`]: the command line, one file per verb.

pub mod archive;
pub mod cli;
pub mod config;
pub mod core;
pub mod env;
pub mod otlp;
pub mod shell;
