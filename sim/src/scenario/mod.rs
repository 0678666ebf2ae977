//! The scenario language: types, parsing with spans, resolution, diagnostics, schema.

pub mod expr;
mod model;

pub use model::*;
