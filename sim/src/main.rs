//! `backroom`: the command line of the simulator.

use std::process::exit;

/// Simulated stores allocate in small pieces all the time; this allocator made the engine a good tenth faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("internal error: {panic}");
        eprintln!(
            "this is a bug of backroom; the scenario, the seed and this message help to find it"
        );
    }));
    let code = std::panic::catch_unwind(backroom_sim::cli::main);
    exit(code.unwrap_or(backroom_reports::exit::INTERNAL));
}
