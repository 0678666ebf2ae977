//! A request's body, handed to the connection in pieces as the line has room for them.
//!
//! How large a piece is and when it may go is decided in `core::pacing`; whoever holds the pacer is the [`Line`]. Next:
//! `destination`.

use std::{
    convert::Infallible,
    future::Future as _,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::core::lane::Lane;

/// The line that requests share.
pub(in crate::shell) trait Line: Send + Sync {
    /// Takes a place on the line for the next piece of a request of which `sent` bytes were handed over and `left` are left:
    /// its bytes, and when they may go. `extra` bytes are sent with each piece. `None` is all that is left, at once.
    fn place(&self, lane: Lane, sent: u64, left: u64, extra: u64) -> Option<(u64, Instant)>;
}

/// When the last byte of a request was handed over, for who waits for the answer.
#[derive(Clone, Debug, Default)]
pub(in crate::shell) struct Given(Arc<Mutex<Option<Instant>>>);

impl Given {
    /// `None` while bytes are left.
    pub(in crate::shell) fn at(&self) -> Option<Instant> {
        *self.0.lock().expect("nothing panics while it holds this")
    }

    fn set(&self, at: Option<Instant>) {
        *self.0.lock().expect("nothing panics while it holds this") = at;
    }
}

/// How a request of a batch goes onto the line.
#[derive(Clone)]
pub(in crate::shell) struct Pace {
    pub(in crate::shell) line: Arc<dyn Line>,
    pub(in crate::shell) lane: Lane,
    pub(in crate::shell) given: Given,
}

/// A body of known length.
pub(in crate::shell) struct RequestBody {
    rest: Bytes,
    paced: Option<Paced>,
}

struct Paced {
    pace: Pace,
    /// Bytes of the request that were handed over, and what each piece costs beside its bytes.
    sent: u64,
    extra: u64,
    /// The next piece, and when it may go.
    due: Option<(usize, Pin<Box<Sleep>>)>,
}

#[cfg(test)]
impl Pace {
    /// For a line that takes everything at once.
    pub(super) fn none() -> Self {
        struct Free;
        impl Line for Free {
            fn place(&self, _: Lane, _: u64, _: u64, _: u64) -> Option<(u64, Instant)> {
                None
            }
        }
        Self {
            line: Arc::new(Free),
            lane: Lane::Live,
            given: Given::default(),
        }
    }
}

impl RequestBody {
    /// A body that goes out at once.
    pub(in crate::shell) fn whole(body: Bytes) -> Self {
        Self {
            rest: body,
            paced: None,
        }
    }

    /// A body that goes out after `head` bytes, with `extra` bytes beside each piece.
    pub(super) fn paced(body: Bytes, head: u64, extra: u64, pace: Pace) -> Self {
        pace.given.set(None);
        Self {
            rest: body,
            paced: Some(Paced {
                pace,
                sent: head,
                extra,
                due: None,
            }),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = match &mut this.paced {
            None => this.rest.len(),
            Some(paced) => {
                let piece = ready!(paced.poll_piece(context, this.rest.len()));
                paced.sent += piece as u64 + paced.extra;
                if piece == this.rest.len() {
                    paced.pace.given.set(Some(Instant::now()));
                }
                piece
            }
        };
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

impl Paced {
    /// The bytes of the next piece, when it may go.
    fn poll_piece(&mut self, context: &mut Context<'_>, left: usize) -> Poll<usize> {
        if self.due.is_none() {
            let place = self
                .pace
                .line
                .place(self.pace.lane, self.sent, left as u64, self.extra);
            let Some((piece, at)) = place else {
                return Poll::Ready(left);
            };
            let piece = (piece as usize).clamp(1, left);
            if at <= Instant::now() {
                return Poll::Ready(piece);
            }
            self.due = Some((piece, Box::pin(tokio::time::sleep_until(at))));
        }
        let (piece, sleep) = self.due.as_mut().expect("set above, or before");
        ready!(sleep.as_mut().poll(context));
        let piece = *piece;
        self.due = None;
        Poll::Ready(piece)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::core::{
        Mono,
        pacing::{Pacer, wire_bytes},
    };

    struct Paper {
        pacer: Mutex<Pacer>,
        start: Instant,
    }

    impl Line for Paper {
        fn place(&self, lane: Lane, sent: u64, left: u64, extra: u64) -> Option<(u64, Instant)> {
            let mut pacer = self.pacer.lock().unwrap();
            let sent = sent + extra;
            let piece = pacer.piece(sent, left)?;
            let cost = wire_bytes(sent + piece, 0) - wire_bytes(sent - extra, 0);
            let at = pacer.take(Mono(self.start.elapsed()), lane, cost);
            Some((piece, self.start + at.0))
        }
    }

    fn pace(rate: Option<f64>) -> Pace {
        Pace {
            line: Arc::new(Paper {
                pacer: Mutex::new(Pacer::new(rate)),
                start: Instant::now(),
            }),
            lane: Lane::Backfill,
            given: Given::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_takes_the_time_that_its_bytes_take() {
        let start = Instant::now();
        let pace = pace(Some(10_000.0));
        let bytes = Bytes::from(vec![7; 50_000]);
        let mut body = RequestBody::paced(bytes.clone(), 300, 0, pace.clone());
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            got.extend_from_slice(&frame.unwrap().into_data().unwrap());
            // What is out so far is never more than the rate and a segment.
            let allowed = start.elapsed().as_secs_f64() * 10_000.0 + 1500.0;
            assert!(got.len() as f64 <= allowed, "{} of {allowed}", got.len());
            if got.len() == bytes.len() {
                break;
            }
            assert!(pace.given.at().is_none(), "bytes are left");
        }
        assert_eq!(got, bytes);
        let took = start.elapsed().as_secs_f64();
        assert!((4.9..5.4).contains(&took), "{took}");
        let given = pace.given.at().expect("all is handed over");
        assert_eq!(given, Instant::now());
        assert!(body.is_end_stream() && body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_it_goes_at_once() {
        let pace = pace(None);
        let mut body = RequestBody::paced(Bytes::from(vec![7; 50_000]), 300, 9, pace.clone());
        assert_eq!(body.size_hint().exact(), Some(50_000));
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().len(), 50_000);
        assert_eq!(pace.given.at(), Some(Instant::now()));
        let body = RequestBody::whole(Bytes::from_static(b"all"));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "all");
    }
}
