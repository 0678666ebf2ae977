//! `--events`: of which seeds everything is kept, once it is known how they ended.

use std::{collections::BTreeSet, str::FromStr};

use backroom_reports::{RunResult, Verdict};

use crate::run::seeds;

/// 3: a failure mostly looks the same in all seeds that show it, and each is a run more.
const FAILING_MAX: usize = 3;

/// Which seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// None.
    None,
    /// The worst seeds of what failed, three at most.
    Failing,
    /// The worst seed of every expectation.
    Worst,
    /// The first one.
    First,
    /// All of them.
    All,
    /// These, as far as they are run.
    These(Vec<u64>),
}

impl FromStr for Events {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "none" => Self::None,
            "failing" => Self::Failing,
            "worst" => Self::Worst,
            "first" => Self::First,
            "all" => Self::All,
            list => Self::These(seeds::parse(list).map_err(|_| {
                format!("`{list}` is none of failing, worst, first, all, none, and no list of seeds such as 1,5,9 or 1..=20")
            })?),
        })
    }
}

impl Events {
    /// The seeds of a judged run, sorted.
    pub(super) fn of(&self, result: &RunResult) -> Vec<u64> {
        let worst = |failing: bool| {
            let all = result.expectations.iter();
            let asked = all.filter(move |e| !failing || e.verdict == Verdict::Fail);
            asked.filter_map(|e| Some(e.worst.as_ref()?.seed))
        };
        match self {
            Self::None => Vec::new(),
            Self::Failing => {
                let broken = result.invariants.iter();
                let broken = broken.filter(|i| i.verdict == Verdict::Fail);
                // What is violated says most: it comes first if there is no room for all.
                let seeds = broken.filter_map(|i| i.seed).chain(worst(true));
                let mut kept = BTreeSet::new();
                for seed in seeds {
                    if kept.len() < FAILING_MAX {
                        kept.insert(seed);
                    }
                }
                kept.into_iter().collect()
            }
            Self::Worst => worst(false).collect::<BTreeSet<_>>().into_iter().collect(),
            Self::First => result.seeds.first().copied().into_iter().collect(),
            Self::All => result.seeds.clone(),
            Self::These(list) => {
                let is_run = |seed: &&u64| result.seeds.binary_search(seed).is_ok();
                list.iter().filter(is_run).copied().collect()
            }
        }
    }
}

impl Events {
    /// Seeds that are asked for, and that did not run to their end: nothing can be kept of them. Sorted as they were named.
    pub(super) fn missing(&self, result: &RunResult) -> Vec<u64> {
        match self {
            Self::None | Self::First | Self::Worst => Vec::new(),
            Self::Failing | Self::All => result.failures.iter().map(|f| f.seed).collect(),
            Self::These(list) => {
                let is_run = |seed: &&u64| result.seeds.binary_search(seed).is_ok();
                list.iter().filter(|seed| !is_run(seed)).copied().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_named_by_how_they_ended_or_by_number() {
        let check = |text: &str, expect: Option<Events>| {
            assert_eq!(text.parse::<Events>().ok(), expect, "{text}");
        };
        check("failing", Some(Events::Failing));
        check("all", Some(Events::All));
        check("none", Some(Events::None));
        check("3,1..=2", Some(Events::These(vec![1, 2, 3])));
        check("some", None);
        check("", None);
    }
}
