//! T1, recovery from one outage as a fluid: what arrives during it is drained at what is left of the rate after it.
//! T5b, the same for a region of stores that share head office.
//!
//! Problem: a backlog falls in steps of a batch, not as a fluid, and after the line is back nothing is delivered until the
//! router has gone back to it and a batch has come through. Both are part of the form here, so that the band of an oracle
//! need not hide them. Not here: randomness (`outages`), and where the figures come from (`judge`).

use super::{Refusal, assume};

/// What T1 needs to know.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fluid {
    /// `a`: bytes per second that arrive.
    pub a: f64,
    /// `c`: bytes per second that can be drained; larger than `a`.
    pub c: f64,
    /// `D`: seconds of outage.
    pub d: f64,
    /// `t0`: seconds from its end to the first batch that is accepted: detection, fail-back hysteresis, back-off,
    /// and the transfer itself.
    pub t0: f64,
    /// The level that counts as recovered, bytes.
    pub below: f64,
    /// Bytes that were waiting when it began: what a healthy queue holds.
    pub before: f64,
    /// Bytes that larger batches spared: while nobody waits for them, they are sealed later and compress better.
    pub spared: f64,
    /// Bytes of a batch: the step in which the backlog falls. 0 is a true fluid.
    pub batch: f64,
}

/// What T1 says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recovery {
    /// Seconds from the end of the outage until the backlog is below the level for good.
    pub seconds: f64,
    /// Largest backlog, bytes.
    pub peak: f64,
}

/// T1: `t0 + (q + a*(D + t0) - s - below) / (c - a) - b / (2c)`.
///
/// Definition of a fluid, with three terms for batches. `q` is what waited already, `s` what was spared because batches waited to be
/// full while it was dark. At `t0` one batch of `b` bytes has been accepted,
/// and another one follows every `b / c`; just before the k-th following one the backlog is
/// `q + a*(D + t0 + k*b/c) - k*b`, and the last of these peaks that exceeds the level is followed by the acknowledgement that
/// brings it below for good. So the number of batches is a whole number, on average half of one less than the fluid's:
/// the last term, which is small (0.5 s for 30 kB at 256 kbit/s).
///
/// # Errors
/// Refuses if `a >= c`: the backlog never drains.
pub fn fluid_recovery(form: &Fluid) -> Result<Recovery, Refusal> {
    let Fluid {
        a,
        c,
        d,
        t0,
        below,
        before,
        spared,
        batch,
    } = *form;
    assume(a < c, || {
        format!(
            "{:.0} B/s arrive and at most {:.0} B/s can leave: the backlog never drains",
            a, c
        )
    })?;
    let peak = before + a * (d + t0) - spared;
    if peak <= below {
        return Ok(Recovery { seconds: 0.0, peak });
    }
    let seconds = t0 + (peak - below) / (c - a) - batch / (2.0 * c);
    Ok(Recovery {
        seconds: seconds.max(t0),
        peak,
    })
}

/// T1: seconds until a buffer of `buffer` bytes is full. Infinite if nothing arrives.
pub fn time_to_full(a: f64, buffer: f64) -> f64 {
    buffer / a
}

/// T1: bytes that a buffer of `buffer` bytes loses in an outage of `d` seconds.
pub fn overflow(a: f64, d: f64, buffer: f64) -> f64 {
    (a * d - buffer).max(0.0)
}

/// T5b: `max(aD / (c - a), N_r * a * D / (C_hq - N * a))`: `region` stores of `stores` were dark for `d` seconds, and head office
/// takes `hq` bytes per second. The backlog that is ready at once competes with what all stores go on producing.
///
/// # Errors
/// Refuses if a store or head office cannot keep up without any backlog.
pub fn fleet_recovery(
    a: f64,
    c: f64,
    d: f64,
    region: f64,
    stores: f64,
    hq: f64,
) -> Result<f64, Refusal> {
    let store = fluid_recovery(&Fluid {
        a,
        c,
        d,
        ..Fluid::default()
    })?;
    assume(stores * a < hq, || {
        format!(
            "{stores} stores send {:.0} B/s and head office takes {hq:.0} B/s",
            stores * a
        )
    })?;
    Ok(store.seconds.max(region * a * d / (hq - stores * a)))
}

#[cfg(test)]
mod tests {
    use super::{super::near, *};

    /// The lunch-hour outage: 48 KB/s at ratio 8, 256 kbit/s, 15 minutes.
    const LUNCH: Fluid = Fluid {
        a: 6000.0,
        c: 32_000.0,
        d: 900.0,
        t0: 0.0,
        below: 0.0,
        before: 0.0,
        spared: 0.0,
        batch: 0.0,
    };

    fn seconds(form: Fluid) -> f64 {
        fluid_recovery(&form).expect("drains").seconds
    }

    #[test]
    fn the_lunch_hour_recovers_in_207_7_seconds() {
        let recovery = fluid_recovery(&LUNCH).expect("drains");
        near(recovery.seconds, 207.7, 1e-3);
        near(recovery.peak, 5.4e6, 1e-9);
    }

    #[test]
    fn reconnecting_and_the_threshold_count() {
        let form = Fluid {
            t0: 66.0,
            below: 262_144.0,
            ..LUNCH
        };
        near(
            seconds(form),
            66.0 + (6000.0 * 966.0 - 262_144.0) / 26_000.0,
            1e-12,
        );
        assert_eq!(
            seconds(Fluid {
                below: 6e6,
                ..LUNCH
            }),
            0.0,
            "it never rose above the level"
        );
    }

    #[test]
    fn what_was_spared_need_not_be_sent() {
        let form = Fluid {
            spared: 540_000.0,
            ..LUNCH
        };
        near(seconds(form), 207.7 * 0.9, 1e-3);
    }

    #[test]
    fn a_backlog_that_cannot_drain_is_refused() {
        let refusal = fluid_recovery(&Fluid { c: 5000.0, ..LUNCH }).expect_err("never drains");
        let text = "6000 B/s arrive and at most 5000 B/s can leave: the backlog never drains";
        assert_eq!(refusal.to_string(), text);
        assert!(fluid_recovery(&Fluid { c: 6000.0, ..LUNCH }).is_err());
    }

    /// Batch by batch, averaged over where the level falls between two of them.
    #[test]
    fn the_batch_term_is_the_mean_of_an_exact_replay() {
        let replay = |form: &Fluid| {
            let mut k = 0.0;
            loop {
                let at = form.t0 + (k + 1.0) * form.batch / form.c;
                let peak = form.before + form.a * (form.d + at) - (k + 1.0) * form.batch;
                if peak <= form.below {
                    return form.t0 + k * form.batch / form.c;
                }
                k += 1.0;
            }
        };
        let (mut exact, mut closed, count) = (0.0, 0.0, 500);
        for step in 0..count {
            let form = Fluid {
                t0: 66.0,
                before: 20_000.0,
                batch: 130_000.0,
                below: 262_144.0 + 130_000.0 * f64::from(step) / f64::from(count),
                ..LUNCH
            };
            exact += replay(&form);
            closed += seconds(form);
        }
        near(closed, exact, 1e-4);
    }

    #[test]
    fn a_buffer_fills_and_overflows() {
        near(time_to_full(6000.0, 512.0 * 1_048_576.0), 89_478.5, 1e-6);
        assert_eq!(overflow(6000.0, 900.0, 5.0e6), 0.4e6);
        assert_eq!(overflow(6000.0, 900.0, 6.0e6), 0.0);
    }

    /// A region of 320 among 2,000 stores, dark for 45 minutes.
    #[test]
    fn a_region_is_bound_by_its_lines_or_by_head_office() {
        for (hq, expect) in [(14e6, 2592.0), (16e6, 1296.0), (20e6, 648.0), (40e6, 623.1)] {
            let got = fleet_recovery(6000.0, 32_000.0, 2700.0, 320.0, 2000.0, hq).expect("drains");
            near(got, expect, 1e-3);
        }
        assert!(fleet_recovery(6000.0, 32_000.0, 2700.0, 320.0, 2000.0, 12e6).is_err());
    }
}
