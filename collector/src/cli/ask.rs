//! How a verb asks a collector that runs: where its HTTP port is, and how it is spoken to over TLS.

use std::{net::SocketAddr, path::PathBuf};

use super::{exit, fail, own_endpoint, settings};
use crate::config::{Endpoint, Format};

/// Which collector is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Peer {
    /// Configuration file of the collector that is meant.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of its HTTP port; wins over the file.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Certificate to show, PEM, where listen.tls.client_ca asks for one.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Peer {
    /// Its address and how it is asked, or the exit code after saying why not. `path` is what is wanted, for messages.
    pub(super) fn endpoint(&self, path: &str) -> Result<(SocketAddr, Endpoint), u8> {
        let settings = settings::load(self.config.as_deref()).map_err(|report| {
            settings::tell(&report, Format::Human);
            report.exit_code()
        })?;
        let Some(mut address) = self.listen.or(settings.config.listen.http) else {
            let message = format!("listen.http is off, and {path} with it");
            return Err(fail(message, exit::UNAVAILABLE));
        };
        if address.ip().is_unspecified() {
            // What listens everywhere listens here.
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let tls = settings.config.listen.tls.as_ref();
        let wants_cert = tls.is_some_and(|tls| tls.client_ca.is_some());
        if wants_cert && self.cert.is_none() {
            let message = format!(
                "listen.tls.client_ca is set: {path} is for those who show a certificate; add --cert FILE and --key FILE"
            );
            return Err(fail(message, exit::USAGE));
        }
        let mut endpoint = own_endpoint(address, tls);
        if let (Some(tls), Some(cert), Some(key)) = (&mut endpoint.tls, &self.cert, &self.key) {
            tls.identity = Some((cert.clone(), key.clone()));
        }
        Ok((address, endpoint))
    }
}
