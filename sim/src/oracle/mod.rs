//! Closed forms that a run is checked against.
//!
//! Each form is a small pure function with its source, its assumptions and the golden numbers that it is tested with; it
//! refuses ([`Refusal`]) where an assumption does not hold. Numbers (T1, T2, …) are those of the project's theory page.
//! A form knows no events: what goes into it is taken from the run in `judge`, `observed`, `queues` and `dark`; `numeric` simulates the same models without
//! packets, and holds the forms to it.
//!
//! Letters: `a` arrival and `c` drain in bytes per second (after compression, on the wire), `d` length of an outage in seconds,
//! `f` failures and `r` repairs per second, `A = r / (r + f)` availability, `lambda` arrivals per second.

mod dark;
pub mod fluid;
pub mod herd;
pub mod judge;
pub mod loss;
pub mod numeric;
mod observed;
pub mod outages;
pub mod physics;
pub mod queueing;
mod queues;
pub mod retry;
pub mod transport;

/// Why a closed form does not judge.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Refuses with this message unless the assumption holds.
pub(crate) fn assume(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Refusal> {
    match holds {
        true => Ok(()),
        false => Err(Refusal(otherwise())),
    }
}

#[cfg(test)]
pub(crate) fn near(got: f64, expect: f64, relative: f64) {
    assert!(
        (got - expect).abs() <= relative * expect.abs(),
        "{got}, expected {expect} ± {relative}"
    );
}
