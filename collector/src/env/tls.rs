//! TLS behind [`super::OsEnv`]: certificates and keys from PEM files, rustls with ring, streams that secure themselves.
//!
//! A server's stream makes its handshake when it is first read or written, so that a slow or silent peer holds up nobody who
//! waits to be accepted; the handshake is bounded in time. Files are looked at again while the process runs, so a
//! certificate that was renewed is used without a restart; while the new files cannot be used, the old ones stay. A
//! simulated world has no TLS. Next: `super::os`, which uses it; `config::file`, which checks the files first.

use std::{
    fs, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::{ConnectError, TargetTls, os::on_helper};

/// Time for a peer's handshake: a few round trips of the worst line.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a server looks whether its files have changed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Destinations with different files that are kept ready.
const CLIENTS_MAX: usize = 16;

/// What a server shows and asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Its certificate and those between it and the root, PEM.
    pub cert: PathBuf,
    /// The key of its certificate, PEM.
    pub key: PathBuf,
    /// Roots of the certificates that clients must show; `None` asks for none.
    pub client_ca: Option<PathBuf>,
}

/// Whom a client trusts and what it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientTls {
    /// Roots to trust, PEM; `None` trusts those of the operating system.
    pub ca: Option<PathBuf>,
    /// The client's certificate, PEM, and its key; `None` shows none.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Trust the first certificate in this file and no other, whatever its name and time, and whatever `ca` says: for a tool that
    /// has the file of the server it asks.
    pub pin: Option<PathBuf>,
}

/// Which of the files is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// A certificate.
    Cert,
    /// Its key.
    Key,
    /// Roots.
    Ca,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct TlsError {
    /// Which one.
    pub file: TlsFile,
    /// Its path.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl TlsError {
    fn new(file: TlsFile, path: &Path, reason: impl ToString) -> Self {
        Self {
            file,
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl ServerTls {
    /// Reads the files and sees whether they fit together.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), TlsError> {
        self.config().map(drop)
    }

    fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let certs = read_certs(TlsFile::Cert, &self.cert)?;
        let key = read_key(&self.key)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(TlsFile::Cert, &self.cert, error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(read_roots(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .build()
                    .map_err(|error| TlsError::new(TlsFile::Ca, path, error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(certs, key)
            .map_err(|error| TlsError::new(TlsFile::Key, &self.key, error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn stamp(&self) -> Stamp {
        stamp([Some(&self.cert), Some(&self.key), self.client_ca.as_ref()])
    }
}

impl ClientTls {
    /// Reads the files and sees whether they fit together.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), TlsError> {
        self.config(false).map(drop)
    }

    fn config(&self, is_h2: bool) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(TlsFile::Ca, Path::new("protocol"), error))?;
        let builder = match &self.pin {
            Some(path) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned::read(path)?)),
            None => builder.with_root_certificates(self.roots()?),
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => builder
                .with_client_auth_cert(read_certs(TlsFile::Cert, cert)?, read_key(key)?)
                .map_err(|error| TlsError::new(TlsFile::Key, key, error))?,
        };
        let protocol: &[u8] = if is_h2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        if let Some(path) = &self.ca {
            return read_roots(path);
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Old roots that cannot be read do not matter while others can.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let reason = "the operating system has no roots; set endpoint.tls.ca";
            return Err(TlsError::new(TlsFile::Ca, Path::new("roots"), reason));
        }
        Ok(roots)
    }

    fn stamp(&self) -> Stamp {
        let (cert, key) = self
            .identity
            .as_ref()
            .map(|(cert, key)| (cert, key))
            .unzip();
        stamp([self.ca.as_ref(), cert, key, self.pin.as_ref()])
    }
}

/// Takes one certificate: whoever has its key is who is meant.
#[derive(Debug)]
struct Pinned {
    cert: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn read(path: &Path) -> Result<Self, TlsError> {
        let certs = read_certs(TlsFile::Ca, path)?;
        let cert = certs.into_iter().next();
        Ok(Self {
            cert: cert.expect("a file without certificates is refused"),
            provider: provider(),
        })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *end_entity == self.cert {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer,
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read_certs(file: TlsFile, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::new(file, path, reason);
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certs {
        Ok(certs) if certs.is_empty() => Err(wrong("no certificate in it (PEM)".to_owned())),
        Ok(certs) => Ok(certs),
        Err(error) => Err(wrong(format!("not a PEM file: {error}"))),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |reason: String| TlsError::new(TlsFile::Key, path, reason);
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| wrong("no private key in it (PEM)".to_owned()))
}

fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for cert in read_certs(TlsFile::Ca, path)? {
        roots
            .add(cert)
            .map_err(|error| TlsError::new(TlsFile::Ca, path, error))?;
    }
    Ok(roots)
}

/// When files were changed, and how long they are.
type Stamp = Vec<Option<(SystemTime, u64)>>;

fn stamp<'a>(paths: impl IntoIterator<Item = Option<&'a PathBuf>>) -> Stamp {
    let one = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    paths.into_iter().flatten().map(one).collect()
}

/// A server's certificate, as new as its files.
#[derive(Debug)]
pub(super) struct Identity {
    files: ServerTls,
    current: Mutex<(Arc<ServerConfig>, Stamp)>,
    looked: Mutex<tokio::time::Instant>,
}

impl Identity {
    /// Reads the files.
    pub(super) async fn read(files: &ServerTls) -> io::Result<Arc<Self>> {
        let files = files.clone();
        on_helper(move || {
            let stamp = files.stamp();
            let config = files.config().map_err(io::Error::other)?;
            Ok(Arc::new(Self {
                files,
                current: Mutex::new((config, stamp)),
                looked: Mutex::new(tokio::time::Instant::now()),
            }))
        })
        .await
    }

    /// Secures a stream that was accepted; its handshake is made when it is used.
    pub(super) fn accept(self: &Arc<Self>, stream: TcpStream) -> OsStream {
        let identity = self.clone();
        let handshake = async move {
            let config = identity.newest().await;
            TlsAcceptor::from(config).accept(stream).await
        };
        let bounded = async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "TLS handshake")),
            }
        };
        OsStream(State::Handshake(Box::pin(bounded)))
    }

    async fn newest(self: Arc<Self>) -> Arc<ServerConfig> {
        const HELD: &str = "nothing panics while it holds this";
        let is_due = {
            let mut looked = self.looked.lock().expect(HELD);
            let is_due = looked.elapsed() >= LOOK_AGAIN;
            if is_due {
                *looked = tokio::time::Instant::now();
            }
            is_due
        };
        if is_due {
            let this = self.clone();
            on_helper(move || {
                let stamp = this.files.stamp();
                if stamp != this.current.lock().expect(HELD).1
                    && let Ok(config) = this.files.config()
                {
                    *this.current.lock().expect(HELD) = (config, stamp);
                }
            })
            .await;
        }
        self.current.lock().expect(HELD).0.clone()
    }
}

/// The files of destinations, ready for use, with the sessions that can be resumed.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<Vec<Ready>>);

#[derive(Debug)]
struct Ready {
    files: ClientTls,
    is_h2: bool,
    stamp: Stamp,
    config: Arc<ClientConfig>,
}

impl Clients {
    fn config(&self, files: &ClientTls, is_h2: bool) -> Result<Arc<ClientConfig>, TlsError> {
        let stamp = files.stamp();
        let mut all = self.0.lock().expect("nothing panics while it holds this");
        let is_it = |ready: &Ready| ready.files == *files && ready.is_h2 == is_h2;
        if let Some(ready) = all.iter().find(|r| is_it(r) && r.stamp == stamp) {
            return Ok(ready.config.clone());
        }
        all.retain(|ready| !is_it(ready));
        all.truncate(CLIENTS_MAX - 1);
        let config = files.config(is_h2)?;
        let ready = Ready {
            files: files.clone(),
            is_h2,
            stamp,
            config: config.clone(),
        };
        all.insert(0, ready);
        Ok(config)
    }
}

/// Secures a stream to a server.
pub(super) async fn connect(
    clients: Arc<Clients>,
    target: &TargetTls,
    stream: OsStream,
) -> Result<OsStream, ConnectError> {
    let State::Plain(stream) = stream.0 else {
        return Err(ConnectError::Tls("the stream is secured".to_owned()));
    };
    let (files, is_h2) = (target.files.clone(), target.is_h2);
    let config = on_helper(move || clients.config(&files, is_h2))
        .await
        .map_err(|error| ConnectError::Tls(error.to_string()))?;
    let name = &target.name;
    let server_name = ServerName::try_from(name.clone())
        .map_err(|_| ConnectError::Tls(format!("{name:?} is no name of a server")))?;
    match TlsConnector::from(config)
        .connect(server_name, stream)
        .await
    {
        Ok(stream) => Ok(OsStream(State::Client(Box::new(stream)))),
        Err(error) => Err(connect_error(error, name)),
    }
}

fn connect_error(error: io::Error, name: &str) -> ConnectError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => ConnectError::CertificateName {
            expected: name.to_owned(),
        },
        Some(error) => ConnectError::Tls(error.to_string()),
        None => ConnectError::Io(error),
    }
}

/// A connected TCP stream, with TLS or without.
pub struct OsStream(State);

enum State {
    Plain(TcpStream),
    Handshake(Handshake),
    Server(Box<server::TlsStream<TcpStream>>),
    Client(Box<client::TlsStream<TcpStream>>),
}

type Handshake =
    Pin<Box<dyn Future<Output = io::Result<server::TlsStream<TcpStream>>> + Send + 'static>>;

impl From<TcpStream> for OsStream {
    fn from(stream: TcpStream) -> Self {
        Self(State::Plain(stream))
    }
}

impl std::fmt::Debug for OsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            State::Plain(_) => "OsStream(plain)",
            State::Handshake(_) => "OsStream(handshake)",
            State::Server(_) | State::Client(_) => "OsStream(TLS)",
        })
    }
}

/// What all states do alike once the handshake is over.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl OsStream {
    /// The certificates that the server at the other end has shown, its own first; none in clear, and none of a client.
    pub fn server_certificates(&self) -> Vec<CertificateDer<'static>> {
        let State::Client(stream) = &self.0 else {
            return Vec::new();
        };
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().unwrap_or_default();
        shown.iter().map(|cert| cert.clone().into_owned()).collect()
    }

    /// The stream to use, when its handshake is over. After an error there is none, and each use fails.
    fn ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Stream>>> {
        if let State::Handshake(handshake) = &mut self.0 {
            match std::task::ready!(handshake.as_mut().poll(cx)) {
                Ok(stream) => self.0 = State::Server(Box::new(stream)),
                Err(error) => {
                    self.0 = State::Handshake(Box::pin(std::future::ready(Err(
                        io::ErrorKind::NotConnected.into(),
                    ))));
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(match &mut self.0 {
            State::Plain(stream) => Pin::new(stream),
            State::Server(stream) => Pin::new(stream.as_mut()),
            State::Client(stream) => Pin::new(stream.as_mut()),
            State::Handshake(_) => unreachable!("it has just ended"),
        }))
    }
}

impl AsyncRead for OsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.ready(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for OsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.ready(cx))?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.ready(cx))?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            State::Plain(stream) => stream.is_write_vectored(),
            State::Handshake(_) => false,
            State::Server(stream) => stream.is_write_vectored(),
            State::Client(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.ready(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.ready(cx))?.poll_shutdown(cx)
    }
}
