//! Files of a small authority: its root, and a certificate for a server and for a client.

use std::{path::PathBuf, time::Duration};

use backroom_collector::env::{ClientTls, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// The files, which go with the value.
pub struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    /// Certificates that outlast any test.
    pub fn new() -> Self {
        Self::until(None)
    }

    /// Certificates that expire at an instant, since 1970.
    pub fn expiring(at: Duration) -> Self {
        Self::until(Some(at))
    }

    fn until(expiry: Option<Duration>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Self { dir };
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        files.write("ca.pem", &ca.self_signed(&ca_key).unwrap().pem());
        let issuer = Issuer::new(ca, ca_key);
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let mut params = CertificateParams::new(names).unwrap();
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
        ServerTls {
            cert: self.path("server.pem"),
            key: self.path("server.key"),
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
