//! `backroom-collector`: the deployable binary. The command line is `backroom_collector::cli`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    backroom_collector::cli::main().into()
}
