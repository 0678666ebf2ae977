//! The OTLP wire format, walked and joined without decoding.
