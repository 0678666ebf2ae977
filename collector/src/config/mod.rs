//! What a Backroom file says: quantities with units, a reader that keeps spans, diagnostics, and the configuration itself.
//!
//! The simulator reads its scenarios with the same parts, and a scenario's `[collector]` is this very [`Config`]. The order
//! to read in: [`diagnostic`] (spans, findings), [`tree`] (TOML with spans), [`grammar`] and [`quantity`] (texts inside
//! values), [`shape`] (tables of keys), [`fields`] (reading by them), then [`load`].

mod changes;
mod class;
pub mod codes;
pub mod diagnostic;
pub mod fields;
mod file;
pub mod grammar;
mod link;
mod model;
pub mod origins;
mod proxy;
pub mod quantity;
mod render;
mod rules;
pub mod schema;
mod secrets;
pub mod shape;
mod suggest;
pub mod tree;

pub use changes::{Changes, changes};
pub use class::{Class, Quota};
pub use diagnostic::{Code, Diagnostic, Report, Severity, Sink, Sources, Span};
pub use fields::Fields;
pub use file::{COLLECTOR, Loaded, Reader, load, load_text, load_text_whole, load_whole, read};
pub use link::{Budget, LINKS_MAX, Link, Period, Window};
pub use model::*;
pub(crate) use proxy::ProxyUrl;
pub use proxy::proxy_of_environment;
pub use quantity::{BitRate, ByteSize};
pub use render::Format;
pub use suggest::{did_you_mean, nearest};

#[cfg(test)]
mod tests;
