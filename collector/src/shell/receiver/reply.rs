//! The body of an answer: bytes, and for gRPC the trailers after them.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap,
    body::{Body, Frame, SizeHint},
};

/// Bytes, then trailers if there are any.
#[derive(Debug, Default)]
pub(in crate::shell) struct Reply {
    data: Full<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Reply {
    pub(super) fn new(data: Vec<u8>) -> Self {
        Full::new(Bytes::from(data)).into()
    }

    pub(super) fn with_trailers(data: Vec<u8>, trailers: HeaderMap) -> Self {
        Self {
            trailers: Some(trailers),
            ..Self::new(data)
        }
    }
}

impl From<Full<Bytes>> for Reply {
    fn from(data: Full<Bytes>) -> Self {
        Self {
            data,
            trailers: None,
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match Pin::new(&mut self.data).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(self.trailers.take().map(Frame::trailers).map(Ok)),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && self.data.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // With a length hyper would write `content-length`, which says nothing where trailers end the body.
        match self.trailers {
            None => self.data.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}
