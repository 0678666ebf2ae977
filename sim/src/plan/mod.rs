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

const DAY: f64 = 86_400.0;

/// A month of 30 days.
const MONTH: f64 = 30.0 * DAY;

/// 1 in 10,000: what `scenarios/buffer-sizing.toml` asks of a buffer.
pub const LOSS_TARGET: f64 = 1e-4;

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
    /// The share of telemetry that may be lost over the years.
    pub loss_target: f64,
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
            (None, Some(_)) => self.survived().unwrap_or_default(),
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

    /// The longest outage that the buffer holds, seconds; `None` without a buffer that was given.
    pub fn survived(&self) -> Option<f64> {
        let disk = self.disk?;
        Some(held(disk, self.stored(), T0))
    }

    /// The longest outage that is caught up with in the target, seconds: `(T - t0) (c - a) / a - t0`, with the share of the line that was
    /// given, or all of it. `None` without a target.
    pub fn caught_up(&self) -> Option<Result<f64, Refusal>> {
        let (target, a, c) = (self.target?, self.wire(), self.most());
        let never = || "the line carries less than what arrives: a backlog never drains".into();
        Some(assume(c > a, never).map(|()| caught_up_with(target, a, c, T0)))
    }

    /// What the catch-up may take of the line at most, bytes per second: the share that was given, or all of it.
    pub fn most(&self) -> f64 {
        self.share.unwrap_or(1.0) * self.line
    }

    /// Bytes of the backup line's allowance in the months that a time takes, one at least.
    pub fn allowance(&self, seconds: f64) -> f64 {
        self.store.allowance_bytes * (seconds / MONTH).ceil().max(1.0)
    }

    /// Bytes over the backup line in a mean day, with sales of so many bytes.
    pub fn backup_per_day(&self, sale_bytes: f64) -> f64 {
        self.store.sales_per_day * sale_bytes
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
}

/// `B/a - t0`: how long a buffer of `disk` bytes holds `stored` bytes per second, seconds of outage.
pub(super) fn held(disk: f64, stored: f64, t0: f64) -> f64 {
    (time_to_full(stored, disk) - t0).max(0.0)
}

/// `(T - t0) (c - a) / a - t0`: the outage that a line of `c`, more than `a`, catches up with in `target` seconds.
pub(super) fn caught_up_with(target: f64, a: f64, c: f64, t0: f64) -> f64 {
    ((target - t0).max(0.0) * (c - a) / a - t0).max(0.0)
}

/// How much more there is than is needed, as a share of it; `None` where nothing is needed.
pub(super) fn over(have: f64, needed: f64) -> Option<f64> {
    (needed > 0.0).then(|| have / needed - 1.0)
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

    if q.outage.is_some() || q.disk.is_none() {
        let needed = stored * (d + T0);
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
            over(q.buffer(), needed),
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
    if let (Some(survived), Some(disk)) = (q.survived(), q.disk) {
        put(
            "outage-survived",
            "Longest outage that the buffer holds",
            Unit::Seconds,
            Ok(survived),
            format!(
                "B/a - t0 = {} / {}/s - {}",
                size(disk),
                size(stored),
                span(T0)
            ),
            q.outage.and_then(|outage| over(survived, outage)),
        );
    }
    if let (None, Some(caught_up), Some(target)) = (q.outage, q.caught_up(), q.target) {
        put(
            "outage-caught-up",
            "Longest outage that is caught up with in time",
            Unit::Seconds,
            caught_up,
            format!(
                "(T - t0) (c - a) / a - t0, T = {}, a = {}, c = {}",
                span(target),
                rate(q.wire()),
                rate(q.most())
            ),
            None,
        );
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
    let a_day = q.backup_per_day(q.store.sale_bytes);
    let (in_outage, in_month) = (a_day * d / DAY, a_day * MONTH / DAY * down);
    put(
        "backup-in-this-outage",
        "Backup line's data in this outage",
        Unit::Bytes,
        Ok(in_outage),
        format!(
            "{} sales a day x {} x {}; telemetry waits",
            human::count(q.store.sales_per_day),
            size(q.store.sale_bytes),
            span(d)
        ),
        over(q.allowance(d), in_outage),
    );
    put(
        "backup-per-month",
        "Backup line's data in a mean month",
        Unit::Bytes,
        Ok(in_month),
        format!(
            "sales of 30 days x {}, the share of time without the line (MTTR / (MTBF + MTTR))",
            human::fraction(down)
        ),
        over(q.allowance(MONTH), in_month),
    );
    let buffer = q.buffer();
    let loss = q.line_outages().loss(buffer);
    let margin = loss.as_ref().ok();
    let margin = margin.map(|loss| (q.loss_target - loss) / q.loss_target);
    put(
        "loss",
        "Share of telemetry lost over the years",
        Unit::Fraction,
        loss,
        format!(
            "finite buffer behind an on/off line (T3b), B = {}, MTBF {}, MTTR {}",
            size(buffer),
            span(q.store.mtbf_seconds),
            span(q.store.mttr_seconds)
        ),
        margin,
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
    let kind = stores::find(q.store.name);
    // A figure that differs from its kind's came from the command line.
    let source = |of: &str, figure: fn(&Store) -> f64| {
        let given = kind.is_none_or(|kind| figure(kind) != figure(&q.store));
        let names = |(name, _): &&(&str, &str)| name.split(", ").any(|n| n == of);
        let found = q.store.sources.iter().find(names);
        match (given, found) {
            (false, Some((_, source))) => *source,
            _ => "command line",
        }
    };
    let mut out = vec![
        input(
            "telemetry, raw",
            q.store.telemetry_bytes_per_second,
            Unit::BytesPerSecond,
            source("telemetry", |s| s.telemetry_bytes_per_second),
        ),
        input(
            "compression ratio",
            q.store.compression_ratio,
            Unit::Count,
            source("compression ratio", |s| s.compression_ratio),
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
            source("sales", |s| s.sales_per_day),
        ),
        input(
            "bytes of a sale",
            q.store.sale_bytes,
            Unit::Bytes,
            source("sale", |s| s.sale_bytes),
        ),
        input(
            "allowance of the backup line, 30 days",
            q.store.allowance_bytes,
            Unit::Bytes,
            source("allowance", |s| s.allowance_bytes),
        ),
        input(
            "loss that is tolerated",
            q.loss_target,
            Unit::Fraction,
            match q.loss_target == LOSS_TARGET {
                true => "1 in 10,000, as scenarios/buffer-sizing.toml asks",
                false => "command line",
            },
        ),
        input(
            "MTBF",
            q.store.mtbf_seconds,
            Unit::Seconds,
            source("mtbf", |s| s.mtbf_seconds),
        ),
        input(
            "MTTR",
            q.store.mttr_seconds,
            Unit::Seconds,
            source("mttr", |s| s.mttr_seconds),
        ),
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

    fn question() -> Question {
        Question {
            store: *stores::find("quick-service").expect("it is there"),
            outage: Some(14.0 * DAY),
            line: 250_000.0,
            share: None,
            target: Some(8.0 * 3600.0),
            disk: None,
            loss_target: LOSS_TARGET,
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

    /// Guarantees: what the forms answer in one direction, they take back in the other; margins are zero where the answer itself is given.
    #[test]
    fn margins_are_zero_at_the_edge() {
        let of = |plan: &Plan, id: &str| {
            let found = plan.answers.iter().find(|a| a.id == id);
            found.and_then(|a| a.margin).expect(id)
        };
        let q = question();
        let needed = value(&answer(&q), "buffer-disk").expect("a size");
        let exact = answer(&Question {
            disk: Some(needed),
            ..q
        });
        near(1.0 + of(&exact, "buffer-disk"), 1.0, 1e-12);
        near(1.0 + of(&exact, "outage-survived"), 1.0, 1e-12);
        assert_eq!(value(&exact, "lost-in-this-outage"), Some(0.0));
        // The outage that is caught up with in eight hours takes eight hours to catch up with.
        let back = Question {
            outage: None,
            disk: Some(1e12),
            ..q
        };
        let d = value(&answer(&back), "outage-caught-up").expect("it drains");
        let again = Question {
            outage: Some(d),
            share: Some(1.0),
            ..q
        };
        near(
            value(&answer(&again), "recovery").expect("drains"),
            28_800.0,
            1e-9,
        );
        // 1,250 sales of 4.4 kB a day are 5.5 MB; 2 GiB are 390 days of them, and a month is the period.
        let month = answer(&q);
        near(
            of(&month, "backup-in-this-outage"),
            2_147_483_648.0 / (5.5e6 * 14.0) - 1.0,
            1e-12,
        );
        assert!(of(&month, "loss") > 0.99, "{month:?}");
    }

    #[test]
    fn what_was_changed_on_the_command_line_says_so() {
        let mut q = question();
        q.store.compression_ratio = 5.0;
        let plan = answer(&q);
        let origin = |name: &str| {
            let found = plan.inputs.iter().find(|i| i.name == name);
            found.map(|i| i.origin.as_str()).expect(name)
        };
        assert_eq!(origin("compression ratio"), "command line");
        assert_eq!(origin("telemetry, raw"), "scenarios/stores/qsr-18.toml");
        assert!(origin("MTTR").starts_with("assumption: "), "{plan:?}");
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
