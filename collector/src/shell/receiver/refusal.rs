//! Why a request is not taken, and what that is in HTTP and in gRPC.
//!
//! | cause | HTTP | gRPC | what a sender should do |
//! |---|---|---|---|
//! | malformed, a wrong content type | 400, 415 | INVALID_ARGUMENT | not send it again |
//! | an unknown encoding | 415 | UNIMPLEMENTED | use another one |
//! | a broken frame | - | INTERNAL | not send it again |
//! | too large | 413 | RESOURCE_EXHAUSTED without RetryInfo | send smaller batches |
//! | too slow, deadline | 408 | DEADLINE_EXCEEDED | send it again |
//! | no memory, a failing disk, stopping | 503 | UNAVAILABLE with RetryInfo | wait |
//! | a full buffer | 503 | RESOURCE_EXHAUSTED with RetryInfo | wait |
//! | no token, or a wrong one | 401 | UNAUTHENTICATED | be configured |
//! | no such path or method | 404, 405 | UNIMPLEMENTED | be configured |
//!
//! Busy is 503 and never 429, although OTLP/HTTP names 429, 502, 503 and 504 as what to try again after: the HTTP exporters of the
//! Python SDK try again after 408 and 5xx only (`_is_retryable` in `opentelemetry-exporter-otlp-proto-http`), and would drop the batch.

use std::time::Duration;

use hyper::StatusCode;

use crate::otlp::response::{Code, Status};

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Malformed,
    ContentType,
    Encoding,
    Frame,
    TooLarge,
    TooSlow,
    Deadline,
    Unauthenticated,
    Busy,
    Full,
    DiskFailed,
    Stopping,
    NoSuchPath,
    NoSuchMethod,
}

/// A request that is not taken. Nothing of it was stored.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) cause: Cause,
    pub(super) status: Status,
}

impl Refusal {
    /// A refusal for good.
    pub(super) fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            status: Status::new(cause.code(), message),
        }
    }

    /// A refusal for the moment.
    pub(super) fn until(cause: Cause, retry: Duration, message: impl Into<String>) -> Self {
        let mut refusal = Self::new(cause, message);
        refusal.status.retry = Some(retry);
        refusal
    }
}

impl Cause {
    pub(super) fn http_status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Frame => StatusCode::BAD_REQUEST,
            Self::ContentType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow | Self::Deadline => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::Full | Self::DiskFailed | Self::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    fn code(self) -> Code {
        match self {
            Self::Malformed | Self::ContentType => Code::InvalidArgument,
            Self::Frame => Code::Internal,
            Self::TooLarge | Self::Full => Code::ResourceExhausted,
            Self::TooSlow | Self::Deadline => Code::DeadlineExceeded,
            Self::Busy | Self::DiskFailed | Self::Stopping => Code::Unavailable,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Encoding | Self::NoSuchPath | Self::NoSuchMethod => Code::Unimplemented,
        }
    }
}
