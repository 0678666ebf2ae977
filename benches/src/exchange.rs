//! The small scenario: machines that ask head office, one request after the other, each over one connection.
//!
//! The program knows a stream and tokio's clock, so every engine runs the same code ([`super::ours`], [`super::classic`]).
//! Connecting is the engine's: classic turmoil answers a handshake without the way back, so requests begin a second
//! later, and only they are compared.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, sleep_until},
};

use crate::{ANSWER_BYTES, DELAY, HOSTS, REQUEST_BYTES};

/// Port of head office.
pub const PORT: u16 = 4317;

/// Every request carries machine and number, every answer both back.
const HEADER_BYTES: usize = 8;

/// Requests begin so long after the start: everybody is connected.
const HEAD_START: Duration = Duration::from_secs(1);

/// Who asks how much, how often, over what.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Spreads the machines' first requests over `every`.
    pub seed: u64,
    /// Machines that ask.
    pub hosts: u16,
    /// Requests of each.
    pub requests: u32,
    /// Time from one request to the next; if the answer takes longer, the next request follows it at once.
    pub every: Duration,
    /// Bytes of a request, at least 8.
    pub request_bytes: usize,
    /// Bytes of an answer, at least 8.
    pub answer_bytes: usize,
    /// One-way delay.
    pub delay: Duration,
}

impl Default for Exchange {
    /// Twelve machines, one request each every ten seconds, two minutes.
    fn default() -> Self {
        Self {
            seed: 1,
            hosts: HOSTS,
            requests: 12,
            every: Duration::from_secs(10),
            request_bytes: REQUEST_BYTES,
            answer_bytes: ANSWER_BYTES,
            delay: DELAY,
        }
    }
}

/// One answered request, times since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Who asked.
    pub host: u16,
    /// Which of its requests, from 0.
    pub number: u32,
    /// When it was sent.
    pub asked: Duration,
    /// When head office had all of it.
    pub served: Duration,
    /// When the answer was there.
    pub answered: Duration,
}

/// What the machines saw.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    served: Vec<(u16, u32, Duration)>,
    answered: Vec<Answered>,
}

impl Log {
    fn with<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        change(&mut self.0.lock().expect("nobody panics while writing"))
    }

    /// Answered requests, by machine and in the order of their answers.
    pub fn answered(&self) -> Vec<Answered> {
        self.with(|seen| {
            let mut all = seen.answered.clone();
            all.sort_by_key(|a| a.host);
            all
        })
    }

    /// Requests that head office served: (machine, number), in its order.
    pub fn served(&self) -> Vec<(u16, u32)> {
        self.with(|seen| seen.served.iter().map(|(host, n, _)| (*host, *n)).collect())
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Exchange {
    /// Requests of all machines.
    pub fn total(&self) -> u64 {
        u64::from(self.hosts) * u64::from(self.requests)
    }

    /// A bound on the time that it takes.
    pub fn duration_max(&self) -> Duration {
        let each = self.every.max(4 * self.delay + Duration::from_millis(10));
        2 * HEAD_START + each * (self.requests + 1)
    }

    /// Name of a machine.
    pub fn name(host: u16) -> String {
        format!("host-{host}")
    }

    /// A machine's first request, in whole milliseconds: any engine's timers can do those.
    fn first(&self, host: u16) -> Duration {
        let spread = (self.every.as_millis() as u64).max(1);
        HEAD_START + Duration::from_millis(mix(self.seed ^ mix(host.into())) % spread)
    }

    /// Asks, waits for the answer, and so on; `start` is the world's.
    ///
    /// # Errors
    /// If the connection breaks, or an answer is not the one to the request.
    pub async fn ask<S>(self, host: u16, mut stream: S, start: Instant, log: Log) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut request = vec![b'.'; self.request_bytes];
        let mut answer = vec![0; self.answer_bytes];
        for number in 0..self.requests {
            sleep_until(start + self.first(host) + self.every * number).await;
            let asked = start.elapsed();
            request[..HEADER_BYTES].copy_from_slice(&header(host, number));
            stream.write_all(&request).await?;
            stream.read_exact(&mut answer).await?;
            if answer[..HEADER_BYTES] != header(host, number) {
                return Err(io::Error::other("an answer to another request"));
            }
            let answered = start.elapsed();
            log.with(|seen| {
                let served = seen.served.iter().rev();
                let served = served.clone().find(|s| (s.0, s.1) == (host, number));
                let (.., served) = *served.expect("an answered request was served");
                seen.answered.push(Answered {
                    host,
                    number,
                    asked,
                    served,
                    answered,
                });
            });
        }
        stream.shutdown().await
    }

    /// Head office's side of one connection, until the machine closes it.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn answer<S>(self, mut stream: S, start: Instant, log: Log) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut request = vec![0; self.request_bytes];
        let mut answer = vec![b'.'; self.answer_bytes];
        loop {
            match stream.read_exact(&mut request).await {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(e) => return Err(e),
            }
            let (host, number) = parse(&request);
            log.with(|seen| seen.served.push((host, number, start.elapsed())));
            answer[..HEADER_BYTES].copy_from_slice(&request[..HEADER_BYTES]);
            stream.write_all(&answer).await?;
        }
    }
}

fn header(host: u16, number: u32) -> [u8; HEADER_BYTES] {
    (u64::from(host) << 32 | u64::from(number)).to_be_bytes()
}

fn parse(request: &[u8]) -> (u16, u32) {
    let mut header = [0; HEADER_BYTES];
    header.copy_from_slice(&request[..HEADER_BYTES]);
    let all = u64::from_be_bytes(header);
    ((all >> 32) as u16, all as u32)
}
