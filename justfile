# Short names for the commands that the README and CONTRIBUTING.md give. Nothing here does more than they do.

# List the recipes.
default:
    @just --list

# Run the lunch-hour outage, or another scenario.
run scenario="scenarios/lunch-uplink-cut.toml" *args:
    cargo run --release -p backroom-sim --bin backroom -- run {{ scenario }} {{ args }}

# Run all tests.
test:
    cargo test --workspace

# Format, and check with clippy.
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# Build the documentation.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Run the benchmarks.
bench *args:
    cargo bench -p backroom-benches {{ args }}

# The gate that every change must pass.
ci:
    .ci/run

# Everything, long checks included.
full:
    .ci/full
