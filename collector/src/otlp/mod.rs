//! The OTLP wire format, walked and joined without decoding.
//!
//! Each `Export*ServiceRequest` has one field, `repeated … = 1`, so the concatenation of two encoded requests *is* the
//! merged request, unknown fields included: joining needs no decode. What is joined must be well formed, or one bad
//! request would spoil its whole batch; [`count_items`] proves that in one pass and counts on the way.
//!
//! - [`Signal`]: traces, metrics, logs, and their paths.
//! - [`count_items`], [`split_items`], [`sort_items`]: the walk, the cut of a request in two, and by the classes of its items.
//! - [`response`]: what a receiver answers and how an answer is read.
//! - [`grpc`]: paths, frames and headers of OTLP/gRPC.
//! - [`json`]: OTLP/JSON and back.

mod attribute;
pub mod grpc;
pub mod json;
pub mod response;
mod rules;
mod schema;
mod services;
mod signal;
mod sort;
mod split;
#[cfg(test)]
mod tests;
mod walk;

pub use rules::{AttributeTest, Pattern, Rule};
pub use services::count_services;
pub use signal::Signal;
pub use sort::{Sorted, sort_items};
pub(crate) use split::put_varint;
pub use split::split_items;
pub use walk::{Malformed, WalkError, count_items};
