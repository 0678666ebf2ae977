//! The verdict on one expectation, from the samples of all seeds.
//!
//! Quantiles, means and shares are judged on the samples of all seeds together, and need enough of them; the worst seed is
//! shown and does not decide. Everything else must hold in every seed. A time that had not passed when the run ended is
//! at least what was left: that decides against a limit below it, and leaves a limit above it open.
//!
//! With a `confidence` not the value is judged but the interval in which it lies (`interval`): of a share by its samples (Wilson), of
//! a quantile by order statistics, of everything else by the mean over seeds. It holds if all of the interval does, fails if none of
//! it does, and is inconclusive otherwise.

use std::cmp::Ordering;

use backroom_reports::{Expectation, Severity, Verdict, Worst};

use super::{
    Sample,
    evaluate::{self, holds, quantile, sorted},
    interval::{self, Interval},
    windows,
};
use crate::scenario::{
    self, Scenario,
    expr::{Function, Op, Value},
};

/// Samples that a quantile from p99 on needs: fewer have no hundredth.
pub const MIN_SAMPLES_TAIL: u64 = 100;

/// Samples that any other quantile or a share needs.
pub const MIN_SAMPLES: u64 = 30;

/// Samples that a function needs, of all seeds together.
pub fn needed(function: Function, asked: Option<u64>) -> u64 {
    asked.unwrap_or(match function {
        Function::Quantile(q) if q >= 0.99 => MIN_SAMPLES_TAIL,
        Function::Mean => 1,
        _ => MIN_SAMPLES,
    })
}

/// Judges an expectation; `samples` are those of the seeds that were run, each with its seed.
pub fn judge(
    scenario: &Scenario,
    expect: &scenario::Expect,
    samples: &[(u64, Sample)],
) -> Expectation {
    let (measure, limit_text) = split(&expect.text);
    let judge = Judge::of(scenario, expect);
    let seeds: Vec<(u64, One)> = samples
        .iter()
        .filter_map(|(seed, s)| Some((*seed, judge.one(s)?)))
        .collect();
    let held = |one: &One| judge.verdict(*one) == Verdict::Pass;
    let worst = seeds
        .iter()
        .max_by(|a, b| judge.badness(a.1, b.1).then(b.0.cmp(&a.0)));
    let mut out = Expectation {
        id: expect.id.clone(),
        text: expect.text.clone(),
        measure,
        op: evaluate::op_of(expect.that.op),
        limit_text,
        window: windows::text(&expect.window, scenario),
        severity: match expect.severity {
            scenario::Severity::Error => Severity::Error,
            scenario::Severity::Warn => Severity::Warn,
        },
        verdict: Verdict::Skipped,
        value: None,
        value_is_lower_bound: false,
        limit: judge.limit,
        unit: match &expect.that.limit {
            Value::Text(_) => backroom_reports::Unit::Count,
            Value::BitRate(_) => backroom_reports::Unit::BitsPerSecond,
            _ => evaluate::unit(&expect.that.measure),
        },
        interval: None,
        physics: None,
        samples: None,
        seeds_held: seeds.iter().filter(|(_, one)| held(one)).count(),
        seeds_total: seeds.len(),
        worst: worst.map(|(seed, one)| Worst {
            seed: *seed,
            value: Some(one.value),
        }),
        notes: Vec::new(),
        file: expect.file.display().to_string(),
        line: expect.line,
    };
    let pool = pool(samples);
    match (&pool, worst) {
        (Some(pool), _) => judge.pooled(expect, pool, &mut out),
        (None, Some((_, worst))) => {
            out.value = Some(worst.value);
            out.value_is_lower_bound = worst.at_least;
            out.verdict = judge.all(seeds.iter().map(|(_, one)| *one));
            if out.verdict == Verdict::Inconclusive {
                out.notes
                    .push("it had not happened when the run ended, and the limit is later".into());
            }
        }
        (None, None) => out
            .notes
            .extend(samples.iter().find_map(|(_, sample)| match sample {
                Sample::Nothing { why } => Some(why.clone()),
                _ => None,
            })),
    }
    if let (Some(confidence), Some(_)) = (expect.confidence, out.value) {
        judge.with_confidence(confidence, pool.as_ref(), samples, &mut out);
        return out;
    }
    if out.verdict == Verdict::Fail && pool.is_none() && seeds.len() > 1 {
        let failing: Vec<u64> = seeds
            .iter()
            .filter(|(_, one)| !held(one))
            .map(|(seed, _)| *seed)
            .collect();
        out.notes.push(format!("fails in {}", list(&failing)));
    }
    out
}

/// 5: the worst one has its command anyway.
fn list(seeds: &[u64]) -> String {
    let shown: Vec<String> = seeds
        .iter()
        .take(5)
        .map(|seed| format!("#{seed}"))
        .collect();
    let more = seeds.len() - shown.len();
    match (seeds.len(), more) {
        (1, _) => format!("seed {}", shown[0]),
        (_, 0) => format!("seeds {}", shown.join(", ")),
        _ => format!("seeds {} and {more} more", shown.join(", ")),
    }
}

/// `p99(order.to_kds) < 1500ms` in two parts: what is measured, and the limit.
pub fn split(text: &str) -> (String, String) {
    let (mut depth, mut quoted) = (0i32, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            '<' | '>' | '=' | '!' if !quoted && depth == 0 => {
                let (left, right) = text.split_at(at);
                let limit = right.trim_start_matches(['<', '>', '=', '!']);
                return (left.trim().into(), limit.trim().into());
            }
            _ => {}
        }
    }
    (text.trim().into(), String::new())
}

/// One seed's value.
#[derive(Clone, Copy)]
struct One {
    value: f64,
    at_least: bool,
}

/// The samples of all seeds together.
enum Pool {
    Values(Vec<(f64, u64)>),
    Share { hits: f64, of: f64, counted: bool },
}

fn pool(samples: &[(u64, Sample)]) -> Option<Pool> {
    let values: Vec<&Vec<(f64, u64)>> = samples
        .iter()
        .filter_map(|(_, s)| match s {
            Sample::Values { values } => Some(values),
            _ => None,
        })
        .collect();
    if !values.is_empty() {
        return Some(Pool::Values(sorted(values.into_iter().flatten().copied())));
    }
    let mut shares = samples.iter().filter_map(|(_, s)| match s {
        Sample::Share { hits, of, counted } => Some((*hits, *of, *counted)),
        _ => None,
    });
    let first = shares.next()?;
    let (hits, of) = shares.fold((first.0, first.1), |sum, share| {
        (sum.0 + share.0, sum.1 + share.1)
    });
    Some(Pool::Share {
        hits,
        of,
        counted: first.2,
    })
}

/// One seed's part of a mean over seeds.
struct Pair {
    over: f64,
    under: f64,
    /// It is at least that.
    at_least: bool,
}

fn pair(sample: &Sample) -> Option<Pair> {
    let (over, under, at_least) = match sample {
        Sample::Nothing { .. } => return None,
        Sample::Number { value } => (*value, 1.0, false),
        Sample::AtLeast { value } => (*value, 1.0, true),
        Sample::Ratio { over, under } => (*over, *under, false),
        Sample::Share { hits, of, .. } => (*hits, *of, false),
        Sample::Values { values } => {
            let weighted = values.iter().map(|(value, weight)| value * *weight as f64);
            let total: u64 = values.iter().map(|(_, weight)| weight).sum();
            (weighted.sum(), total as f64, false)
        }
    };
    (under > 0.0).then_some(Pair {
        over,
        under,
        at_least,
    })
}

fn middle(pairs: &[Pair]) -> f64 {
    let sum = |which: fn(&Pair) -> f64| pairs.iter().map(which).sum::<f64>();
    sum(|p| p.over) / sum(|p| p.under)
}

/// The interval of a mean over seeds, or why there is none.
fn over_seeds(pairs: &[Pair], confidence: f64) -> Result<Interval, String> {
    let plain: Vec<(f64, f64)> = pairs.iter().map(|p| (p.over, p.under)).collect();
    let percent = backroom_reports::human::fraction(confidence);
    let found = interval::ratio(&plain, confidence)
        .ok_or_else(|| format!("one seed has no spread: run more for a confidence of {percent}"))?;
    let needed = interval::agreeing_seeds(confidence);
    // Seeds that all say the same may all have missed what happens seldom.
    if found.low == found.high && (pairs.len() as u64) < needed {
        return Err(format!(
            "{} seeds agree, {needed} are needed for a confidence of {percent}",
            pairs.len()
        ));
    }
    let open = pairs.iter().any(|p| p.at_least);
    Ok(Interval {
        high: if open { f64::INFINITY } else { found.high },
        ..found
    })
}

struct Judge {
    op: Op,
    limit: f64,
    function: Function,
}

impl Judge {
    fn of(scenario: &Scenario, expect: &scenario::Expect) -> Self {
        Self {
            op: expect.that.op,
            limit: evaluate::limit(scenario, &expect.that.limit),
            function: expect.that.measure.function,
        }
    }

    /// A seed's own value; `None` if it has nothing to say.
    fn one(&self, sample: &Sample) -> Option<One> {
        let (value, at_least) = match sample {
            Sample::Nothing { .. } => return None,
            Sample::Number { value } => (*value, false),
            Sample::AtLeast { value } => (*value, true),
            Sample::Ratio { over, under } => (over / under, false),
            Sample::Values { values } => (self.of_values(values)?, false),
            Sample::Share { of, .. } if *of <= 0.0 => return None,
            Sample::Share { hits, of, .. } => (hits / of, false),
        };
        Some(One { value, at_least })
    }

    fn of_values(&self, values: &[(f64, u64)]) -> Option<f64> {
        match self.function {
            Function::Quantile(q) => quantile(values, q),
            _ => {
                let total: u64 = values.iter().map(|(_, weight)| weight).sum();
                let sum: f64 = values
                    .iter()
                    .map(|(value, weight)| value * *weight as f64)
                    .sum();
                (total > 0).then(|| sum / total as f64)
            }
        }
    }

    fn verdict(&self, one: One) -> Verdict {
        let holds = holds(self.op, one.value, self.limit);
        match (one.at_least, self.op) {
            (false, _) if holds => Verdict::Pass,
            (false, _) => Verdict::Fail,
            // The value is anything from here on.
            (true, Op::Lt | Op::Le) if holds => Verdict::Inconclusive,
            (true, Op::Lt | Op::Le) => Verdict::Fail,
            (true, Op::Gt | Op::Ge) if holds => Verdict::Pass,
            (true, _) => Verdict::Inconclusive,
        }
    }

    fn all(&self, seeds: impl Iterator<Item = One>) -> Verdict {
        let mut out = Verdict::Pass;
        for one in seeds {
            match self.verdict(one) {
                Verdict::Fail => return Verdict::Fail,
                Verdict::Inconclusive => out = Verdict::Inconclusive,
                _ => {}
            }
        }
        out
    }

    fn pooled(&self, expect: &scenario::Expect, pool: &Pool, out: &mut Expectation) {
        let (value, samples) = match pool {
            Pool::Values(values) => (
                self.of_values(values),
                Some(values.iter().map(|(_, w)| w).sum()),
            ),
            Pool::Share { hits, of, counted } => (
                (*of > 0.0).then(|| hits / of),
                counted.then_some(*of as u64),
            ),
        };
        // An interval knows by itself when samples are too few.
        let needed = match expect.confidence {
            Some(_) => expect.min_samples.unwrap_or(1),
            None => needed(self.function, expect.min_samples),
        };
        (out.value, out.samples) = (value, samples);
        out.verdict = match (value, samples) {
            (Some(_), Some(samples)) if samples < needed => {
                out.notes.push(format!("{samples} samples of all seeds, {needed} are needed: run more seeds or widen the window"));
                Verdict::Inconclusive
            }
            (Some(value), _) if holds(self.op, value, self.limit) => Verdict::Pass,
            (Some(_), _) => Verdict::Fail,
            (None, _) => {
                out.notes.push("there was no sample in any seed".into());
                Verdict::Inconclusive
            }
        };
    }

    /// Judges the interval in place of the value.
    fn with_confidence(
        &self,
        confidence: f64,
        pool: Option<&Pool>,
        samples: &[(u64, Sample)],
        out: &mut Expectation,
    ) {
        if out.verdict == Verdict::Inconclusive && out.samples.is_some() {
            return;
        }
        let percent = backroom_reports::human::fraction(confidence);
        let found = match pool {
            Some(Pool::Share {
                hits,
                of,
                counted: true,
            }) => Ok(interval::share(*hits, *of, confidence)),
            Some(Pool::Values(values)) if matches!(self.function, Function::Quantile(_)) => {
                Ok(self.of_quantile(values, confidence))
            }
            _ => {
                let pairs: Vec<Pair> = samples.iter().filter_map(|(_, s)| pair(s)).collect();
                out.value = Some(middle(&pairs));
                over_seeds(&pairs, confidence)
            }
        };
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                out.verdict = Verdict::Inconclusive;
                out.notes = vec![why];
                return;
            }
        };
        let finite = |value: f64| Some(value).filter(|v| v.is_finite());
        out.interval = Some(backroom_reports::Interval {
            confidence,
            low: finite(found.low),
            high: finite(found.high),
        });
        out.value_is_lower_bound = false;
        let ends = [found.low, found.high].map(|end| holds(self.op, end, self.limit));
        out.verdict = match ends {
            [true, true] => Verdict::Pass,
            [false, false] => Verdict::Fail,
            _ => Verdict::Inconclusive,
        };
        out.notes = match out.verdict {
            Verdict::Inconclusive => vec![format!(
                "the limit lies within the {percent} interval: run more seeds"
            )],
            _ => Vec::new(),
        };
    }

    fn of_quantile(&self, values: &[(f64, u64)], confidence: f64) -> Interval {
        let Function::Quantile(q) = self.function else {
            unreachable!("the caller looked")
        };
        let total: u64 = values.iter().map(|(_, weight)| weight).sum();
        let (low, high) = interval::quantile_ranks(total, q, confidence);
        let at = |rank: u64| {
            let mut seen = 0;
            let found = values.iter().find(|(_, weight)| {
                seen += weight;
                seen >= rank
            });
            found.map(|(value, _)| *value)
        };
        Interval {
            low: low.and_then(at).unwrap_or(f64::NEG_INFINITY),
            high: high.and_then(at).unwrap_or(f64::INFINITY),
        }
    }

    /// Which of two seeds is worse: further on the wrong side, or nearer to it.
    fn badness(&self, a: One, b: One) -> Ordering {
        self.rank(a).cmp_worse(&self.rank(b))
    }

    fn rank(&self, one: One) -> Rank {
        let off = (one.value - self.limit).abs();
        Rank {
            class: match self.verdict(one) {
                Verdict::Fail => 2,
                Verdict::Inconclusive => 1,
                _ => 0,
            },
            distance: match self.op {
                Op::Lt | Op::Le => one.value,
                Op::Gt | Op::Ge => -one.value,
                Op::Eq => off,
                Op::Ne => -off,
            },
        }
    }
}

/// How bad one seed's answer to a question is. Compares seeds of the same question only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank {
    class: u8,
    distance: f64,
}

impl Rank {
    /// By a distance alone; larger is worse.
    pub fn of_distance(distance: f64) -> Self {
        Self { class: 0, distance }
    }

    /// `Greater` if this one is worse.
    pub fn cmp_worse(&self, other: &Self) -> Ordering {
        let by_distance = self.distance.total_cmp(&other.distance);
        self.class.cmp(&other.class).then(by_distance)
    }
}

/// How bad a seed's sample is for an expectation; `None` if it has nothing to say. [`judge`] calls that seed the worst whose rank is.
pub fn rank(scenario: &Scenario, expect: &scenario::Expect, sample: &Sample) -> Option<Rank> {
    let judge = Judge::of(scenario, expect);
    judge.one(sample).map(|one| judge.rank(one))
}

#[cfg(test)]
mod tests;
