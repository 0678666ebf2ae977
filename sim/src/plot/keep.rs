//! Which seeds' series are kept: decided as outcomes arrive, in any order, with bounded memory, always alike.
//!
//! A run of ten thousand seeds must not hold ten thousand series. While seeds arrive, only those are held that may still be
//! shown: the first seed, and for each question the worst seed so far. Each of these is a maximum, so the order of arrival
//! does not matter. At the end the verdicts say which of them are shown: the worst of what failed first. Next: `parts`, for shards.

mod parts;

use std::collections::BTreeMap;

use backroom_reports::{
    Allowance, Clock, LinkUse, RunResult, RunSeries, SeedSeries, Verdict, series,
};

pub use parts::{FILE as PART_FILE, PartPlots};

use super::{SeedPlots, latency};
use crate::{
    metric::judge, oracle::judge::OracleSample, run::outcome::SeedOutcome, scenario::Scenario,
};

/// Series of the seeds that may be shown, and sums over all of them.
#[derive(Debug, Default)]
pub struct Kept {
    /// By seed.
    held: BTreeMap<u64, SeedSeries>,
    /// For each question, the worst seed so far.
    worst: BTreeMap<Question, (judge::Rank, u64)>,
    first: Option<u64>,
    seeds: usize,
    latencies: Vec<latency::Samples>,
    links: Vec<LinkUse>,
    allowances: Vec<Allowance>,
}

/// What a seed may be the worst of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    Expectation(usize),
    Oracle(usize),
    Invariant(usize),
}

impl Kept {
    /// Takes the series out of an outcome, and keeps what may be shown.
    pub fn take(&mut self, scenario: &Scenario, outcome: &mut SeedOutcome) {
        let Some(plots) = outcome.plots.take() else {
            return;
        };
        let SeedPlots {
            series,
            latencies,
            links,
            allowances,
        } = *plots;
        let seed = outcome.seed;
        latency::add(&mut self.latencies, latencies);
        self.add_links(links);
        self.add_allowances(allowances);
        self.held.insert(seed, series);
        self.count(seed, ranks(scenario, outcome));
        self.let_go();
    }

    /// A seed, and how bad it is.
    fn count(&mut self, seed: u64, ranks: Vec<(Question, judge::Rank)>) {
        self.seeds += 1;
        self.first = Some(self.first.map_or(seed, |first| first.min(seed)));
        for (question, rank) in ranks {
            let worst = self.worst.entry(question).or_insert((rank, seed));
            // Of equal ones the first seed, as verdicts have it.
            let order = rank.cmp_worse(&worst.0).then(worst.1.cmp(&seed));
            if order.is_gt() {
                *worst = (rank, seed);
            }
        }
    }

    /// Forgets what can no longer be shown.
    fn let_go(&mut self) {
        let (worst, first) = (&self.worst, self.first);
        self.held
            .retain(|held, _| first == Some(*held) || worst.values().any(|(_, seed)| seed == held));
    }

    fn add_links(&mut self, links: Vec<LinkUse>) {
        for one in links {
            let same = |known: &&mut LinkUse| {
                (&known.link, &known.direction, &known.class)
                    == (&one.link, &one.direction, &one.class)
            };
            match self.links.iter_mut().find(same) {
                Some(known) => {
                    known.bytes += one.bytes;
                    known.packets_lost += one.packets_lost;
                }
                None => self.links.push(one),
            }
        }
    }

    fn add_allowances(&mut self, allowances: Vec<Allowance>) {
        for one in allowances {
            match self.allowances.iter_mut().find(|a| a.link == one.link) {
                Some(known) => {
                    let more = one.bytes_used.total_cmp(&known.bytes_used);
                    if more.then(known.seed.cmp(&one.seed)).is_gt() {
                        *known = one;
                    }
                }
                None => self.allowances.push(one),
            }
        }
    }

    /// The series of the run that was judged so.
    pub fn finish(mut self, scenario: &Scenario, result: &RunResult) -> RunSeries {
        let mut why: Vec<(u64, String)> = Vec::new();
        let named = |question: &Question| match *question {
            Question::Expectation(i) => {
                let e = result.expectations.get(i)?;
                // Of a count that is right in every seed no seed is the worst.
                let exact = matches!(e.op, backroom_reports::Op::Eq | backroom_reports::Op::Ne);
                let tells = e.verdict != Verdict::Pass || (e.seeds_total > 1 && !exact);
                tells.then(|| (e.verdict, format!("worst of {}", e.id)))
            }
            Question::Oracle(i) => {
                let o = result.oracles.get(i)?;
                Some((o.verdict, format!("furthest from {}", o.id)))
            }
            Question::Invariant(i) => {
                let invariant = result.invariants.get(i)?;
                let fails = invariant.verdict == Verdict::Fail;
                fails.then(|| (invariant.verdict, format!("violates {}", invariant.id)))
            }
        };
        for failing in [true, false] {
            for (question, (_, seed)) in &self.worst {
                if let Some((verdict, text)) = named(question)
                    && (verdict == Verdict::Fail) == failing
                {
                    why.push((*seed, text));
                }
            }
            // After what failed, before what holds.
            if failing {
                why.extend(self.first.map(|first| (first, "first".to_owned())));
            }
        }
        let mut shown: Vec<SeedSeries> = Vec::new();
        for (seed, text) in why {
            let known = shown.iter().position(|s| s.seed == seed);
            match known {
                Some(at) => shown[at].why.push(text),
                None if shown.len() < series::SEEDS_MAX => {
                    if let Some(mut series) = self.held.remove(&seed) {
                        series.why.push(text);
                        shown.push(series);
                    }
                }
                None => {}
            }
        }
        let n = self.seeds.max(1) as f64;
        for link in &mut self.links {
            link.bytes /= n;
            link.packets_lost /= n;
        }
        self.links.sort_by(|a, b| {
            (&a.link, &b.direction, &a.class).cmp(&(&b.link, &a.direction, &b.class))
        });
        RunSeries {
            schema_version: backroom_reports::SCHEMA_VERSION,
            scenario: scenario.name.clone(),
            clock: clock(scenario),
            seeds_left_out: self.seeds.saturating_sub(shown.len()),
            seeds: shown,
            latencies: latency::table(&self.latencies),
            links: self.links,
            allowances: self.allowances,
        }
    }
}

fn clock(scenario: &Scenario) -> Clock {
    let time = scenario.start.time();
    let seconds =
        i32::from(time.hour()) * 3600 + i32::from(time.minute()) * 60 + i32::from(time.second());
    Clock {
        start: scenario.start.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        start_of_day_seconds: f64::from(seconds),
        warmup_seconds: scenario.warmup.as_secs_f64(),
        duration_seconds: scenario.duration.as_secs_f64(),
    }
}

/// How bad a seed is, for each question that it has an answer to.
fn ranks(scenario: &Scenario, outcome: &SeedOutcome) -> Vec<(Question, judge::Rank)> {
    let mut out = Vec::new();
    for (i, (expect, sample)) in scenario.expects.iter().zip(&outcome.samples).enumerate() {
        let rank = judge::rank(scenario, expect, sample);
        out.extend(rank.map(|rank| (Question::Expectation(i), rank)));
    }
    for (i, sample) in outcome.oracles.iter().enumerate() {
        let off = |s: &OracleSample| Some((s.observed? / s.theory? - 1.0).abs());
        let rank = off(sample).map(judge::Rank::of_distance);
        out.extend(rank.map(|rank| (Question::Oracle(i), rank)));
    }
    for (i, finding) in outcome.findings.iter().enumerate() {
        let rank = finding.is_violated().then(|| judge::Rank::of_distance(0.0));
        out.extend(rank.map(|rank| (Question::Invariant(i), rank)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metric::{Sample, fixture::scenario},
        run::outcome::Cost,
        scenario::{
            Expect, Severity,
            expr::{Comparison, Function, Measure, MetricRef, Op, Value, Window},
        },
    };

    fn scenario_with(limit: f64) -> Scenario {
        let mut scenario = scenario();
        let that = Comparison {
            measure: Measure {
                function: Function::Max,
                metric: MetricRef {
                    name: "telemetry.backlog".into(),
                    filters: Vec::new(),
                },
                of: None,
                condition: None,
            },
            op: Op::Lt,
            limit: Value::Bytes(limit),
        };
        scenario.expects.push(Expect {
            id: "small".into(),
            text: "max(telemetry.backlog) < 1kB".into(),
            that,
            window: Window::WholeRun,
            min_samples: None,
            confidence: None,
            severity: Severity::Error,
            file: "x.toml".into(),
            line: 1,
        });
        scenario
    }

    /// A seed whose backlog reached `value`.
    fn outcome(scenario: &Scenario, seed: u64, value: f64) -> SeedOutcome {
        let mut paper = crate::metric::fixture::Log::default();
        let mut log = paper.log(scenario);
        log.seed = seed;
        SeedOutcome {
            seed,
            trace_hash: String::new(),
            samples: vec![Sample::Number { value }],
            physics: Vec::new(),
            oracles: vec![],
            findings: crate::invariant::check(&log),
            timeline: vec![],
            pending: vec![],
            idle_faults: vec![],
            plots: Some(Box::new(crate::plot::of(&log, &[]))),
            cost: Cost::default(),
        }
    }

    fn kept(values: &[(u64, f64)], limit: f64) -> RunSeries {
        let scenario = scenario_with(limit);
        let mut all = Kept::default();
        let mut outcomes = Vec::new();
        for (seed, value) in values {
            let mut outcome = outcome(&scenario, *seed, *value);
            all.take(&scenario, &mut outcome);
            assert_eq!(outcome.plots, None, "it is taken out");
            assert!(
                all.held.len() <= 2,
                "the first and the worst: {:?}",
                all.held.keys()
            );
            outcomes.push(outcome);
        }
        outcomes.sort_by_key(|o| o.seed);
        let asked = crate::run::merge::Asked {
            seeds_planned: outcomes.len(),
            ..crate::run::merge::Asked::default()
        };
        let result = crate::run::merge::merge(&scenario, &asked, &outcomes, &[], &[]);
        all.finish(&scenario, &result)
    }

    /// Guarantees: whatever the order of arrival, the first seed and the worst one are kept, and nothing more is held.
    #[test]
    fn the_first_and_the_worst_are_kept_in_any_order() {
        let seeds = [(3, 500.0), (1, 200.0), (2, 900.0), (5, 900.0), (4, 10.0)];
        let expect = kept(&seeds, 100.0);
        let names: Vec<(u64, &[String])> = expect
            .seeds
            .iter()
            .map(|s| (s.seed, s.why.as_slice()))
            .collect();
        assert_eq!(
            names[0],
            (2, ["worst of small".to_owned()].as_slice()),
            "what failed comes first"
        );
        assert_eq!(names[1], (1, ["first".to_owned()].as_slice()));
        assert_eq!((expect.seeds.len(), expect.seeds_left_out), (2, 3));
        for turn in 1..seeds.len() {
            let mut other = seeds;
            other.rotate_left(turn);
            assert_eq!(kept(&other, 100.0), expect, "{other:?}");
        }
        other_way(&seeds);
    }

    fn other_way(seeds: &[(u64, f64)]) {
        let passing = kept(seeds, 1e6);
        let names: Vec<u64> = passing.seeds.iter().map(|s| s.seed).collect();
        assert_eq!(names, [1, 2], "nothing failed: the first one comes first");
        let none = kept(&[], 1.0);
        assert_eq!((none.seeds.len(), none.seeds_left_out), (0, 0));
    }
}
