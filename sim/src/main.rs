//! `backroom`: the command line of the simulator.

fn main() {}
