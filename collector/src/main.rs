//! `backroom-collector`: the deployable binary.

fn main() {}
