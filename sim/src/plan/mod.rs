//! Capacity planning: what a store needs for an outage, or which outage it survives, by the closed forms.
//!
//! Every answer has its form with the numbers put in, so that a planner can check it with a pocket calculator, and where there is one a
//! simulated value beside it. Letters as in `oracle`: `a` arrives, `c` leaves, `D` lasts the outage, `t0` is what passes until the line
//! is used again. Not here: the command line (`cli::plan`), how it is shown (`reports::plan`). Next to read: `stores`, the data;
//! `check`, the simulated side.

pub mod check;
pub mod stores;

use backroom_reports::{Plan, PlanAnswer, PlanInput, Unit, human};

use crate::oracle::{
    Refusal, assume,
    fluid::{Fluid, fluid_recovery, overflow, time_to_full},
    outages::OnOff,
};

use stores::Store;

/// 75 s: the router waits for 60 s of a good line before it goes back, a probe takes 2 s, and a batch has to come through; measured
/// in `scenarios/lunch-uplink-cut.toml`.
pub const T0: f64 = 75.0;

/// 1.05: wire bytes over stored bytes, headers of HTTP, TCP and IP; measured there too.
pub const OVERHEAD: f64 = 1.05;

/// A quarter on top of what the form says: compression differs from store to store by more than a tenth.
pub const HEADROOM: f64 = 1.25;

/// A month of 30 days.
const MONTH: f64 = 30.0 * 86_400.0;

/// What is asked. Seconds, bytes, bytes per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// The kind of store, with what the command line changed.
    pub store: Store,
    /// The outage to survive.
    pub outage: Option<f64>,
    /// Upstream capacity of the line, bytes per second.
    pub line: f64,
    /// Share of the line that telemetry may take; `None` is found from the target, or else half.
    pub share: Option<f64>,
    /// Seconds in which the backlog must be gone.
    pub target: Option<f64>,
    /// Bytes of the buffer.
    pub disk: Option<f64>,
}

impl Question {
    /// `a` on disk, bytes per second.
    pub fn stored(&self) -> f64 {
        self.store.telemetry_bytes_per_second / self.store.compression_ratio
    }

    /// `a` on the wire.
    pub fn wire(&self) -> f64 {
        self.stored() * OVERHEAD
    }

    /// The outage that answers are about: the one that was asked for, or what the disk survives.
    pub fn duration(&self) -> f64 {
        match (self.outage, self.disk) {
            (Some(outage), _) => outage,
            (None, Some(disk)) => (time_to_full(self.stored(), disk) - T0).max(0.0),
            (None, None) => self.store.mttr_seconds,
        }
    }

    /// `c` that is needed for the target: `a + a (D + t0) / (T - t0)`; `None` without a target.
    pub fn needed(&self) -> Option<Result<f64, Refusal>> {
        let target = self.target?;
        let a = self.wire();
        Some(assume(target > T0, || {
            format!(
                "a recovery in {} is shorter than t0 = {}, after which the first batch has come through",
                human::seconds(target),
                human::seconds(T0)
            )
        })
        .map(|()| a + a * (self.duration() + T0) / (target - T0)))
    }

    /// `c` that answers compute with: the share that was given, else what the target needs (to the whole line), else half of it.
    pub fn drain(&self) -> f64 {
        match (self.share, self.needed()) {
            (Some(share), _) => share * self.line,
            (None, Some(Ok(needed))) => needed.min(self.line),
            (None, _) => self.line / 2.0,
        }
    }

    /// The buffer that answers compute with: the one that was given, else what the outage needs, with headroom.
    pub fn buffer(&self) -> f64 {
        let needed = self.stored() * (self.duration() + T0);
        self.disk.unwrap_or(needed * HEADROOM)
    }

    /// Seconds until the backlog of the outage is gone.
    ///
    /// # Errors
    /// If it never is.
    pub fn recovery(&self) -> Result<f64, Refusal> {
        fluid_recovery(&Fluid {
            a: self.wire(),
            c: self.drain(),
            d: self.duration(),
            t0: T0,
            ..Fluid::default()
        })
        .map(|r| r.seconds)
    }

    /// The line as a renewal process.
    pub fn line_outages(&self) -> OnOff {
        OnOff {
            a: self.stored(),
            c: self.drain() / OVERHEAD,
            mtbf: self.store.mtbf_seconds,
            mttr: self.store.mttr_seconds,
        }
    }

    fn sales_per_second(&self) -> f64 {
        self.store.sales_per_day / 86_400.0 * self.store.sale_bytes
    }
}

/// All answers, without the simulated side.
pub fn answer(question: &Question) -> Plan {
    let q = question;
    let (d, stored) = (q.duration(), q.stored());
    let mut answers = Vec::new();
    let mut put =
        |id: &str, title: &str, unit, result: Result<f64, Refusal>, form: String, margin| {
            let (value, note) = match result {
                Ok(value) => (Some(value), String::new()),
                Err(refusal) => (None, refusal.to_string()),
            };
            answers.push(PlanAnswer {
                id: id.into(),
                title: title.into(),
                unit,
                value,
                form,
                margin,
                simulated: None,
                simulated_how: String::new(),
                note,
            });
        };
    let (span, size, rate) = (human::seconds, human::bytes, |bytes: f64| {
        human::bit_rate(bytes * 8.0)
    });

    if let (None, Some(disk)) = (q.outage, q.disk) {
        put(
            "outage-survived",
            "Longest outage that the buffer holds",
            Unit::Seconds,
            Ok(d),
            format!(
                "B/a - t0 = {} / {}/s - {}",
                size(disk),
                size(stored),
                span(T0)
            ),
            None,
        );
    } else {
        let needed = stored * (d + T0);
        let margin = q.disk.map(|disk| disk / needed - 1.0);
        put(
            "buffer-disk",
            "Disk for the buffer",
            Unit::Bytes,
            Ok(needed),
            format!(
                "a (D + t0) = {}/s x ({} + {})",
                size(stored),
                span(d),
                span(T0)
            ),
            margin.or(Some(q.buffer() / needed - 1.0)),
        );
        if let Some(disk) = q.disk {
            put(
                "lost-in-this-outage",
                "Lost in this outage",
                Unit::Bytes,
                Ok(overflow(stored, d + T0, disk)),
                format!("max(0, a (D + t0) - B), B = {}", size(disk)),
                None,
            );
        }
    }
    if let Some(needed) = q.needed() {
        let target = q.target.unwrap_or_default();
        let margin = needed.as_ref().ok().map(|needed| q.line / needed - 1.0);
        let form = format!(
            "a + a (D + t0) / (T - t0) = {} + {} x ({}) / ({})",
            rate(q.wire()),
            rate(q.wire()),
            format_args!("{} + {}", span(d), span(T0)),
            format_args!("{} - {}", span(target), span(T0))
        );
        let share = needed.and_then(|needed| {
            assume(needed <= q.line, || {
                format!(
                    "{} are needed, and the line has {}: a longer target, a faster line, or less telemetry",
                    rate(needed),
                    rate(q.line)
                )
            })?;
            Ok(needed / q.line)
        });
        put(
            "line-share",
            "Share of the line for telemetry",
            Unit::Fraction,
            share,
            form,
            margin,
        );
    }
    let recovery = q.recovery();
    let margin = match (&recovery, q.target) {
        (Ok(seconds), Some(target)) => Some((target - seconds) / target),
        _ => None,
    };
    put(
        "recovery",
        "Recovery after it",
        Unit::Seconds,
        recovery,
        format!(
            "t0 + a (D + t0) / (c - a), a = {}, c = {}",
            rate(q.wire()),
            rate(q.drain())
        ),
        margin,
    );
    let down = q.line_outages().unavailability();
    put(
        "backup-in-this-outage",
        "Backup line's data in this outage",
        Unit::Bytes,
        Ok(q.sales_per_second() * d),
        format!(
            "{} sales a day x {} x {}; telemetry waits",
            human::count(q.store.sales_per_day),
            size(q.store.sale_bytes),
            span(d)
        ),
        None,
    );
    put(
        "backup-per-month",
        "Backup line's data in a mean month",
        Unit::Bytes,
        Ok(q.sales_per_second() * MONTH * down),
        format!(
            "sales of 30 days x {}, the share of time without the line (MTTR / (MTBF + MTTR))",
            human::fraction(down)
        ),
        None,
    );
    let buffer = q.buffer();
    put(
        "loss",
        "Share of telemetry lost over the years",
        Unit::Fraction,
        q.line_outages().loss(buffer),
        format!(
            "finite buffer behind an on/off line (T3b), B = {}, MTBF {}, MTTR {}",
            size(buffer),
            span(q.store.mtbf_seconds),
            span(q.store.mttr_seconds)
        ),
        None,
    );
    Plan {
        schema_version: backroom_reports::SCHEMA_VERSION,
        store: q.store.name.into(),
        description: q.store.doc.into(),
        inputs: inputs(q),
        answers,
        notes: Vec::new(),
    }
}

fn inputs(q: &Question) -> Vec<PlanInput> {
    let input = |name: &str, value, unit, origin: &str| PlanInput {
        name: name.into(),
        value,
        unit,
        origin: origin.into(),
    };
    let source = |of: &str| {
        let names = |(name, _): &&(&str, &str)| name.split(", ").any(|n| n == of);
        let found = q.store.sources.iter().find(names);
        found.map_or("command line", |(_, source)| *source)
    };
    let mut out = vec![
        input(
            "telemetry, raw",
            q.store.telemetry_bytes_per_second,
            Unit::BytesPerSecond,
            source("telemetry"),
        ),
        input(
            "compression ratio",
            q.store.compression_ratio,
            Unit::Count,
            source("compression ratio"),
        ),
        input(
            "line, upstream",
            q.line * 8.0,
            Unit::BitsPerSecond,
            "command line",
        ),
        input(
            "sales a day",
            q.store.sales_per_day,
            Unit::Count,
            source("sales"),
        ),
        input(
            "bytes of a sale",
            q.store.sale_bytes,
            Unit::Bytes,
            source("sale"),
        ),
        input("MTBF", q.store.mtbf_seconds, Unit::Seconds, source("mtbf")),
        input("MTTR", q.store.mttr_seconds, Unit::Seconds, source("mtbf")),
        input("t0", T0, Unit::Seconds, "measured in lunch-uplink-cut"),
        input(
            "wire over stored",
            OVERHEAD,
            Unit::Count,
            "measured in lunch-uplink-cut",
        ),
    ];
    for (name, value, unit) in [
        ("outage D", q.outage, Unit::Seconds),
        ("target T", q.target, Unit::Seconds),
        ("buffer B", q.disk, Unit::Bytes),
        ("share", q.share, Unit::Fraction),
    ] {
        out.extend(value.map(|value| input(name, value, unit, "command line")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::near;

    const DAY: f64 = 86_400.0;

    fn question() -> Question {
        Question {
            store: *stores::find("quick-service").expect("it is there"),
            outage: Some(14.0 * DAY),
            line: 250_000.0,
            share: None,
            target: Some(8.0 * 3600.0),
            disk: None,
        }
    }

    fn value(plan: &Plan, id: &str) -> Option<f64> {
        let found = plan.answers.iter().find(|a| a.id == id);
        found.unwrap_or_else(|| panic!("{id}: {plan:?}")).value
    }

    #[test]
    fn two_weeks_need_seven_gigabytes_and_most_of_two_megabit() {
        let q = question();
        let plan = answer(&q);
        // 6 kB/s for 14 days and 75 s.
        near(
            value(&plan, "buffer-disk").expect("a size"),
            6000.0 * (14.0 * DAY + 75.0),
            1e-12,
        );
        // 6.3 kB/s and a backlog of 7.62 GB in 8 h less 75 s: 271 kB/s. The line has 250.
        assert_eq!(value(&plan, "line-share"), None);
        let share = plan
            .answers
            .iter()
            .find(|a| a.id == "line-share")
            .expect("asked");
        assert!(
            share.note.contains("are needed, and the line has 2Mbit/s"),
            "{share:?}"
        );
        let faster = answer(&Question {
            line: 500_000.0,
            ..q
        });
        let c = 6300.0 + 6300.0 * (14.0 * DAY + 75.0) / (28_800.0 - 75.0);
        near(
            value(&faster, "line-share").expect("it fits"),
            c / 500_000.0,
            1e-12,
        );
        near(value(&faster, "recovery").expect("drains"), 28_800.0, 1e-9);
    }

    #[test]
    fn the_other_way_round_is_the_same_form() {
        let q = Question {
            outage: None,
            target: None,
            disk: Some(6000.0 * (14.0 * DAY + 75.0)),
            ..question()
        };
        let plan = answer(&q);
        near(
            value(&plan, "outage-survived").expect("a time"),
            14.0 * DAY,
            1e-12,
        );
        // Half of the line, unless told otherwise.
        near(q.drain(), 125_000.0, 1e-12);
        let t = 75.0 + 6300.0 * (14.0 * DAY + 75.0) / (125_000.0 - 6300.0);
        near(value(&plan, "recovery").expect("drains"), t, 1e-12);
    }

    /// The golden figure of the theory page: 138 MiB for one in ten thousand.
    #[test]
    fn the_loss_is_the_planner_s_golden_figure() {
        let q = Question {
            disk: Some(138.0 * 1_048_576.0),
            outage: None,
            target: None,
            // 32 kB/s of stored bytes.
            line: 32_000.0 * OVERHEAD,
            share: Some(1.0),
            ..question()
        };
        near(value(&answer(&q), "loss").expect("stable"), 1e-4, 0.05);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let check = |q: Question, id: &str, why: &str| {
            let plan = answer(&q);
            let found = plan
                .answers
                .iter()
                .find(|a| a.id == id)
                .expect("it is asked");
            assert_eq!(found.value, None, "{found:?}");
            assert!(found.note.contains(why), "{found:?}");
        };
        let q = question();
        let thin = Question {
            line: 5000.0,
            share: Some(1.0),
            ..q
        };
        check(thin, "recovery", "never drains");
        check(thin, "loss", "on average");
        check(
            Question {
                target: Some(10.0),
                ..q
            },
            "line-share",
            "shorter than t0",
        );
    }
}
