//! Files of a small authority: its root, and a certificate for a server and for a client.

use std::{path::PathBuf, time::Duration};

use backroom_collector::env::{ClientTls, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// The files that most tests want: both are for this machine.
const USUAL: [(&str, &[&str]); 2] = [
    ("server", &["localhost", "127.0.0.1"]),
    ("client", &["localhost", "127.0.0.1"]),
];

/// The files, which go with the value.
pub struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    /// Certificates that outlast any test.
    pub fn new() -> Self {
        Self::of(&USUAL, None)
    }

    /// Certificates that expire at an instant, since 1970.
    pub fn expiring(at: Duration) -> Self {
        Self::of(&USUAL, Some(at))
    }

    /// A certificate for each of these hosts, in files that have its name.
    pub fn for_hosts<const N: usize>(hosts: [&str; N]) -> Self {
        let certs = hosts
            .each_ref()
            .map(|host| (*host, std::slice::from_ref(host)));
        Self::of(&certs, None)
    }

    fn of(certs: &[(&str, &[&str])], expiry: Option<Duration>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Self { dir };
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        files.write("ca.pem", &ca.self_signed(&ca_key).unwrap().pem());
        let issuer = Issuer::new(ca, ca_key);
        for (name, hosts) in certs {
            let key = KeyPair::generate().unwrap();
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            let mut params = CertificateParams::new(hosts).unwrap();
            if let Some(at) = expiry {
                params.not_after = rcgen::date_time_ymd(1970, 1, 1) + at;
            }
            let cert = params.signed_by(&key, &issuer).unwrap();
            files.write(&format!("{name}.pem"), &cert.pem());
            files.write(&format!("{name}.key"), &key.serialize_pem());
        }
        files
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn server(&self) -> ServerTls {
        self.server_of("server")
    }

    /// A server that shows the certificate in the files of that name.
    pub fn server_of(&self, name: &str) -> ServerTls {
        ServerTls {
            cert: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            client_ca: None,
        }
    }

    pub fn client(&self) -> ClientTls {
        ClientTls {
            ca: Some(self.path("ca.pem")),
            ..ClientTls::default()
        }
    }

    pub fn client_with_identity(&self) -> ClientTls {
        ClientTls {
            identity: Some((self.path("client.pem"), self.path("client.key"))),
            ..self.client()
        }
    }
}
