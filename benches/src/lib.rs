//! Sizes and mixes that every benchmark shares.
