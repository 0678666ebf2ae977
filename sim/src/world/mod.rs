//! The engine: the only place that names turmoil.
