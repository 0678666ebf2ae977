//! The door for tools: how a `buffer` verb asks the collector that holds the buffer.
//!
//! The collector listens on a loopback port that the system picks, and writes the port with a random token to the file
//! `control` in its buffer, which nobody but its user can read. So whoever may read the buffer may ask for changes to it, and
//! no other local process may, although anybody can connect. Where a disk cannot keep a file private there is no door.
//!
//! One connection is one session: what it holds goes back to the queue when it ends, in whatever way, so a tool that dies
//! between taking and keeping loses nothing. Requests are JSON over HTTP/1.1; this is no public interface, both ends are in
//! this file. Next: `handling`, which does what is asked.

use std::{convert::Infallible, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::{Mutex, Semaphore};

use super::{
    client::{Answered, Client, Destination, RequestBody, Sent},
    handling::{Handled, Hold, Imported, Importer},
    release::{Fate, Released},
    shared::Shared,
};
use crate::{
    archive,
    config::Endpoint,
    core::{frame::Place, selection::Selection},
    env::{Disk, Env, Listener},
};

/// The file that tells where, and with which token.
pub const CONTROL_FILE: &str = "control";

/// Sessions at once: tools are started by people.
const SESSIONS_MAX: usize = 8;

/// Places in one answer, well below what a client reads of an answer.
const PLACES_MAX: usize = 1000;

/// Largest request: a batch, and what is beside it.
const BODY_BYTES_MAX: usize = archive::REQUEST_BYTES_MAX + 4096;

/// Time for the head of a request, idle time between two included: a tool may write to a slow stick meanwhile.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// Longest wait for an answer: the collector waits for its disk, and says so before that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// What stands in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Door {
    address: SocketAddr,
    token: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Purge {
    selection: Selection,
    is_trial: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Release {
    selection: Selection,
    fate: Fate,
    is_trial: bool,
}

/// Opens the door and serves it; returns at once where there is none.
pub(super) async fn serve<E: Env>(shared: Arc<Shared<E>>) {
    let Some((mut listener, token)) = open(&shared).await else {
        return;
    };
    let slots = Arc::new(Semaphore::new(SESSIONS_MAX));
    loop {
        let slot = slots.clone().acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (shared, token) = (shared.clone(), token.clone());
        let env = shared.env.clone();
        env.spawn(async move {
            let _slot = slot;
            session(shared, stream, token).await;
        });
    }
}

async fn open<E: Env>(shared: &Shared<E>) -> Option<(E::Listener, Arc<str>)> {
    let seed = shared.env.seed("control");
    let token: String = seed[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let path = shared.config().buffer.dir.join(CONTROL_FILE);
    let opened = async {
        // First a file without a door, so that where there cannot be one nothing listens.
        let disk = shared.env.disk();
        disk.write_private(&path, Bytes::new()).await?;
        let listener = shared
            .env
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await?;
        let door = Door {
            address: listener.local_addr()?,
            token: token.clone(),
        };
        let door = serde_json::to_vec(&door).map_err(io::Error::other)?;
        let bytes = door.len() as u64;
        disk.write_private(&path, door.into()).await?;
        shared.lock().spool.hold_small(CONTROL_FILE, bytes);
        Ok::<_, io::Error>(listener)
    };
    match opened.await {
        Ok(listener) => Some((listener, token.into())),
        // A simulated machine has no other processes.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
        Err(error) => {
            let message = format!("open the door for tools {}: {error}", path.display());
            shared.observer.notice(&message);
            None
        }
    }
}

/// What a connection holds.
struct Session<E: Env> {
    shared: Arc<Shared<E>>,
    hold: Option<Hold<E>>,
    importer: Option<Importer<E>>,
}

async fn session<E: Env>(shared: Arc<Shared<E>>, stream: E::Stream, token: Arc<str>) {
    let session = Arc::new(Mutex::new(Session {
        shared,
        hold: None,
        importer: None,
    }));
    let service = service_fn(|request| answer(session.clone(), token.clone(), request));
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // Errors are the peer's.
    let _ = connection.await;
}

/// An answer that is an error.
type Refusal = (StatusCode, String);

async fn answer<E: Env>(
    session: Arc<Mutex<Session<E>>>,
    token: Arc<str>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match perform(session, &token, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err((status, message)) => (status, message),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    Ok(response)
}

async fn perform<E: Env>(
    session: Arc<Mutex<Session<E>>>,
    token: &str,
    request: Request<Incoming>,
) -> Result<String, Refusal> {
    let given = request.headers().get("authorization");
    let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if !given.is_some_and(|given| is_same(given.as_bytes(), token.as_bytes())) {
        return Err((
            StatusCode::UNAUTHORIZED,
            "not the token of this collector".to_owned(),
        ));
    }
    if request.method() != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "use POST".to_owned()));
    }
    let path = request.uri().path().to_owned();
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX)
        .collect()
        .await;
    let body = body.map_err(|error| wrong(&error.to_string()))?.to_bytes();
    let mut session = session.lock().await;
    let shared = session.shared.clone();
    let failed = |error: io::Error| {
        let status = match error.kind() {
            io::ErrorKind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            io::ErrorKind::InvalidData => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, error.to_string())
    };
    match path.as_str() {
        "/hello" => Ok("{}".to_owned()),
        "/purge" => {
            let Purge {
                selection,
                is_trial,
            } = parse(&body)?;
            check(&selection)?;
            show(&shared.purge(&selection, is_trial).await.map_err(failed)?)
        }
        "/release" => {
            let Release {
                selection,
                fate,
                is_trial,
            } = parse(&body)?;
            check(&selection)?;
            let released = shared.release(&selection, fate, is_trial).await;
            show(&released.map_err(failed)?)
        }
        "/take" => {
            let selection: Selection = parse(&body)?;
            check(&selection)?;
            // What was held before goes back first.
            session.hold = None;
            let (hold, handled) = shared.take(&selection).await.map_err(failed)?;
            session.hold = Some(hold);
            show(&handled)
        }
        "/places" => {
            let from: usize = parse(&body)?;
            let hold = session.hold.as_ref().ok_or_else(nothing_held)?;
            let places = hold.places().skip(from).take(PLACES_MAX);
            show(
                &places
                    .map(|place| (place.file, place.offset))
                    .collect::<Vec<_>>(),
            )
        }
        "/exported" => {
            let hold = session.hold.take().ok_or_else(nothing_held)?;
            let except: Vec<(u64, u64)> = parse(&body)?;
            let except: Vec<Place> = except.into_iter().map(place).collect();
            hold.exported(&except).await.map_err(failed)?;
            Ok("{}".to_owned())
        }
        "/import" => {
            let mut reader = archive::Reader::new(io::Cursor::new(body)).map_err(failed)?;
            let batch = reader.next().map_err(|error| wrong(&error.to_string()))?;
            let batch = batch.ok_or_else(|| wrong("no batch"))?;
            let importer = match &mut session.importer {
                Some(importer) => importer,
                slot => slot.insert(Importer::begin(shared).await.map_err(failed)?),
            };
            show(&importer.add(&batch).await.map_err(failed)?)
        }
        "/imported" => {
            if let Some(importer) = session.importer.take() {
                importer.finish().await.map_err(failed)?;
            }
            Ok("{}".to_owned())
        }
        _ => Err((
            StatusCode::NOT_FOUND,
            format!("{path}: no such request; is the tool of another version?"),
        )),
    }
}

fn wrong(message: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, message.to_owned())
}

fn nothing_held() -> Refusal {
    let why = "nothing is held: the connection was lost meanwhile, and the batches went back";
    (StatusCode::CONFLICT, why.to_owned())
}

fn check(selection: &Selection) -> Result<(), Refusal> {
    selection.error().map_or(Ok(()), |error| Err(wrong(&error)))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| wrong(&error.to_string()))
}

fn show<T: Serialize>(value: &T) -> Result<String, Refusal> {
    serde_json::to_string(value)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Compares in a time that does not tell where the difference is.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && difference == 0
}

/// A tool's end of a session.
pub struct Control<E: Env> {
    client: Client<E>,
    host: String,
    token: String,
}

impl<E: Env> Control<E> {
    /// A session with the collector that holds the buffer in `dir`; `None` if none answers.
    ///
    /// # Errors
    /// If the file that tells where it is cannot be read: its user, or root, can.
    pub async fn open(env: &E, dir: &Path) -> io::Result<Option<Self>> {
        let text = match env.disk().read(&dir.join(CONTROL_FILE), 4096).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // A crash may have left anything.
        let Ok(door) = serde_json::from_slice::<Door>(&text) else {
            return Ok(None);
        };
        if !door.address.ip().is_loopback() {
            return Ok(None);
        }
        let url = format!("http://{}", door.address);
        let Ok(destination) = Destination::new(&Endpoint::new(url)) else {
            return Ok(None);
        };
        let mut control = Self {
            client: Client::new(env.clone(), Arc::new(destination)),
            host: door.address.to_string(),
            token: door.token,
        };
        // Somebody else may have the port by now.
        Ok(control
            .ask::<serde_json::Value>("/hello", Bytes::new())
            .await
            .ok()
            .map(|_| control))
    }

    /// See [`Keeper::purge`](super::keeper::Keeper::purge).
    ///
    /// # Errors
    /// What the collector says.
    pub async fn purge(&mut self, selection: &Selection, is_trial: bool) -> io::Result<Handled> {
        let selection = selection.clone();
        self.ask(
            "/purge",
            json(&Purge {
                selection,
                is_trial,
            })?,
        )
        .await
    }

    /// See [`Keeper::release`](super::keeper::Keeper::release).
    ///
    /// # Errors
    /// What the collector says.
    pub async fn release(
        &mut self,
        selection: &Selection,
        fate: Fate,
        is_trial: bool,
    ) -> io::Result<Released> {
        let selection = selection.clone();
        let release = Release {
            selection,
            fate,
            is_trial,
        };
        self.ask("/release", json(&release)?).await
    }

    /// Takes what a selection covers out of the queue, until the session ends.
    ///
    /// # Errors
    /// What the collector says.
    pub async fn take(&mut self, selection: &Selection) -> io::Result<(Vec<Place>, Handled)> {
        let handled: Handled = self.ask("/take", json(selection)?).await?;
        let mut places = Vec::new();
        while (places.len() as u64) < handled.batches {
            let page: Vec<(u64, u64)> = self.ask("/places", json(&places.len())?).await?;
            if page.is_empty() {
                return Err(io::Error::other(
                    "the collector holds fewer batches than it said",
                ));
            }
            places.extend(page.into_iter().map(place));
        }
        Ok((places, handled))
    }

    /// What was taken is somebody else's now, but for some that go back.
    ///
    /// # Errors
    /// What the collector says: they are back in the queue.
    pub async fn exported(&mut self, except: &[Place]) -> io::Result<()> {
        let except: Vec<(u64, u64)> = except.iter().map(|p| (p.file, p.offset)).collect();
        self.ask::<serde_json::Value>("/exported", json(&except)?)
            .await
            .map(drop)
    }

    /// See [`Keeper::import`](super::keeper::Keeper::import).
    ///
    /// # Errors
    /// What the collector says.
    pub async fn import(&mut self, batch: &archive::Batch) -> io::Result<Imported> {
        let compression = archive::Compression::None;
        let mut writer = archive::Writer::new(Vec::new(), archive::Format::Proto, compression)?;
        writer.add(batch)?;
        self.ask("/import", writer.finish()?.into()).await
    }

    /// Has remembered what was imported.
    ///
    /// # Errors
    /// What the collector says.
    pub async fn imported(&mut self) -> io::Result<()> {
        self.ask::<serde_json::Value>("/imported", Bytes::new())
            .await
            .map(drop)
    }

    async fn ask<T: DeserializeOwned>(&mut self, path: &'static str, body: Bytes) -> io::Result<T> {
        let make = || {
            let mut request = Request::new(RequestBody::whole(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = hyper::Uri::from_static(path);
            let headers = request.headers_mut();
            let token = format!("Bearer {}", self.token);
            for (name, value) in [("host", &self.host), ("authorization", &token)] {
                if let Ok(value) = value.parse() {
                    headers.insert(name, value);
                }
            }
            request
        };
        let sent = self.client.send(make, ANSWER_TIMEOUT, |_| {}).await;
        match sent {
            Sent::Answer(Answered {
                status: 200, body, ..
            }) => serde_json::from_slice(&body)
                .map_err(|error| io::Error::other(format!("the collector answered: {error}"))),
            Sent::Answer(Answered { status, body, .. }) => {
                let words = String::from_utf8_lossy(&body).into_owned();
                let kind = match status {
                    507 => io::ErrorKind::StorageFull,
                    400 => io::ErrorKind::InvalidData,
                    _ => io::ErrorKind::Other,
                };
                Err(io::Error::new(kind, words))
            }
            Sent::Nothing { reason, .. } => {
                Err(io::Error::other(format!("the collector: {reason}")))
            }
        }
    }
}

fn place((file, offset): (u64, u64)) -> Place {
    Place { file, offset }
}

fn json<T: Serialize>(value: &T) -> io::Result<Bytes> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(io::Error::other)
}
