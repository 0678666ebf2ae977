//! The collector's buffer under attack: the deployed code on a simulated disk that loses power, tears, rots, fills and fails.
//!
//! A tiny world: two lanes of a till that offer numbered items, the collector, and a receiver that keeps what arrives.
//! Every world ends with a drain, then [`judge`] compares what was acknowledged with what came.
//!
//! - [`stage`]: the world, and what a script may do in it
//! - [`wire`]: numbered telemetry, and just enough HTTP
//! - [`lies`]: disks that break their word, for the check that the harness has teeth
//! - `exhaustive`: a short workload, with a fault at every boundary
//! - `seeded`: long workloads with many faults; `BACKROOM_BUFFER_SEEDS=N` plays N seeds instead of a few
//! - `damage`: rot in synced files: a damaged frame costs a frame, and is counted
//! - `pressure`: disks that are full, slow, or fail for a while
//! - `pair`: two destinations with classes of their own: what each has, and when a segment may go
//! - `relay`: the same collector as a gateway: what stores repeat is stored once, whatever the power does
//! - `patience`: disks, destinations and senders that hang: every wait has an end
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod damage;
mod exhaustive;
mod judge;
mod lies;
mod pair;
mod patience;
mod pressure;
mod relay;
mod seeded;
mod stage;
mod wire;
