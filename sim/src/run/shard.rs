//! Which part of the work is this machine's: `--shard 2/8`, or what a CI or batch engine says in its variables.
//!
//! Work is assigned by a hash of what it is, not by its place in a list: a seed more, or a scenario more, leaves the others
//! where they are. Nothing here schedules: every machine runs its part and `backroom merge` puts the parts together.

use serde::{Deserialize, Serialize};

/// One of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// 1-based.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

/// 10,000: Slurm arrays end near it; more shards than that is a typing error.
pub const COUNT_MAX: u32 = 10_000;

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// An engine: the variables that tell a part its place.
struct Engine {
    name: &'static str,
    index: &'static str,
    count: &'static str,
    /// Number of the first part; a variable, or a constant.
    first: First,
    /// What to do where only the index is there.
    advice: &'static str,
}

enum First {
    Is(u32),
    /// Variables of the first number and of the step.
    In(&'static str, &'static str),
}

const ENGINES: [Engine; 4] = [
    Engine {
        name: "a Kubernetes Indexed Job",
        index: "JOB_COMPLETION_INDEX",
        count: "JOB_COMPLETION_COUNT",
        first: First::Is(0),
        advice: "Kubernetes sets the index only: give the container JOB_COMPLETION_COUNT with the value of `completions`",
    },
    Engine {
        name: "a Slurm array",
        index: "SLURM_ARRAY_TASK_ID",
        count: "SLURM_ARRAY_TASK_COUNT",
        first: First::In("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"),
        advice: "pass the environment of the array on to the program",
    },
    Engine {
        name: "a GitHub Actions matrix",
        index: "STRATEGY_JOB_INDEX",
        count: "STRATEGY_JOB_TOTAL",
        first: First::Is(0),
        advice: "set STRATEGY_JOB_TOTAL: ${{ strategy.job-total }} beside it",
    },
    Engine {
        name: "a GitLab or CircleCI-style parallel job",
        index: "CI_NODE_INDEX",
        count: "CI_NODE_TOTAL",
        first: First::Is(1),
        advice: "set CI_NODE_TOTAL too",
    },
];

impl Shard {
    /// Reads `2/8`, or `auto` with the variables that `env` knows.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        if text == "auto" {
            return Self::of_engine(env);
        }
        let parts = text.split_once('/');
        let number = |t: &str| t.trim().parse::<u32>().ok();
        let parts = parts.and_then(|(i, n)| Some((number(i)?, number(n)?)));
        match parts {
            Some((index, count)) => Self::new(index, count)
                .map_err(|why| format!("`{text}`: {why}; write 2/8 for the second of eight")),
            None => Err(format!(
                "`{text}` is not a shard; write 2/8 for the second of eight, or auto"
            )),
        }
    }

    fn new(index: u32, count: u32) -> Result<Self, String> {
        match (index, count) {
            (_, 0) => Err("there are no shards".into()),
            (_, n) if n > COUNT_MAX => Err(format!("more than {COUNT_MAX} shards")),
            (0, _) => Err("shards are counted from 1".into()),
            (i, n) if i > n => Err(format!("there are only {n} shards")),
            (index, count) => Ok(Self { index, count }),
        }
    }

    fn of_engine(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |name: &str| env(name).filter(|v| !v.is_empty());
        let here: Vec<&Engine> = ENGINES.iter().filter(|e| get(e.index).is_some()).collect();
        let engine = match here.as_slice() {
            [one] => one,
            [] => {
                let names: Vec<&str> = ENGINES.iter().map(|e| e.index).collect();
                return Err(format!(
                    "auto: no engine has told this process its place; none of {} is set",
                    names.join(", ")
                ));
            }
            several => {
                let names: Vec<&str> = several.iter().map(|e| e.index).collect();
                return Err(format!(
                    "auto: {} are set; write --shard i/n",
                    names.join(" and ")
                ));
            }
        };
        let number = |name: &str| -> Result<u32, String> {
            let Some(value) = get(name) else {
                return Err(format!(
                    "auto: {} is set, as in {}, and {name} is not; {}",
                    engine.index, engine.name, engine.advice
                ));
            };
            let parsed = value.trim().parse();
            parsed.map_err(|_| format!("auto: {name} is `{value}`, which is not a number"))
        };
        let (index, count) = (number(engine.index)?, number(engine.count)?);
        let place = match engine.first {
            First::Is(first) => index.checked_sub(first),
            First::In(first, step) => {
                let step = get(step).map_or(Ok(1), |_| number(step))?;
                let past = index.checked_sub(number(first)?);
                past.filter(|past| step > 0 && past % step == 0)
                    .map(|past| past / step)
            }
        };
        let place = place.ok_or_else(|| {
            format!(
                "auto: {} = {index} is not a place in {}",
                engine.index, engine.name
            )
        })?;
        Self::new(place.saturating_add(1), count).map_err(|why| {
            format!(
                "auto: {} = {index}, {} = {count}: {why}",
                engine.index, engine.count
            )
        })
    }

    /// Whether a piece of work is this part's. `key` names the piece within its scenario: a seed, a point of a sweep.
    ///
    /// Stable over versions, machines and lists: CRC32C of `scenario`, a zero byte and `key`, spread by a multiplication.
    pub fn owns(self, scenario: &str, key: &str) -> bool {
        let mut bytes = scenario.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(key.as_bytes());
        // The golden ratio of 64 bits: neighbouring checksums go apart.
        let spread = u64::from(crc32c::crc32c(&bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (spread >> 32) % u64::from(self.count) == u64::from(self.index - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, env: &[(&str, &str)], expect: Result<(u32, u32), &str>) {
        let get = |name: &str| {
            let found = env.iter().find(|(n, _)| *n == name);
            found.map(|(_, v)| (*v).to_owned())
        };
        match (Shard::parse(text, &get), expect) {
            (Ok(shard), Ok(expect)) => assert_eq!((shard.index, shard.count), expect, "{text}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (got, expect) => panic!("{text} with {env:?}: {got:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn shards_are_written_from_one() {
        check("2/8", &[], Ok((2, 8)));
        check("1/1", &[], Ok((1, 1)));
        check("0/8", &[], Err("counted from 1"));
        check("9/8", &[], Err("only 8"));
        check("1/0", &[], Err("no shards"));
        check("1/99999", &[], Err("more than"));
        check("two/8", &[], Err("not a shard"));
        check("", &[], Err("not a shard"));
    }

    #[test]
    fn engines_are_known_by_their_variables() {
        check(
            "auto",
            &[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETION_COUNT", "4")],
            Ok((1, 4)),
        );
        check(
            "auto",
            &[("JOB_COMPLETION_INDEX", "0")],
            Err("give the container JOB_COMPLETION_COUNT"),
        );
        let slurm = |id: &'static str| {
            [
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_COUNT", "4"),
                ("SLURM_ARRAY_TASK_MIN", "10"),
                ("SLURM_ARRAY_TASK_STEP", "5"),
            ]
        };
        check("auto", &slurm("20"), Ok((3, 4)));
        check("auto", &slurm("12"), Err("not a place"));
        check("auto", &slurm("9"), Err("not a place"));
        check(
            "auto",
            &[("STRATEGY_JOB_INDEX", "3"), ("STRATEGY_JOB_TOTAL", "4")],
            Ok((4, 4)),
        );
        check(
            "auto",
            &[("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "2")],
            Ok((1, 2)),
        );
        check(
            "auto",
            &[("CI_NODE_INDEX", "x"), ("CI_NODE_TOTAL", "2")],
            Err("`x`"),
        );
        check("auto", &[], Err("none of JOB_COMPLETION_INDEX"));
        check(
            "auto",
            &[("CI_NODE_INDEX", "1"), ("STRATEGY_JOB_INDEX", "3")],
            Err("write --shard"),
        );
    }

    #[test]
    fn every_seed_has_one_shard_and_shards_are_even() {
        let mut counts = [0_u32; 7];
        for seed in 0..7_000_u64 {
            let owners: Vec<u32> = (1..=7)
                .filter(|index| {
                    Shard {
                        index: *index,
                        count: 7,
                    }
                    .owns("lunch", &seed.to_string())
                })
                .collect();
            assert_eq!(owners.len(), 1, "seed {seed}");
            counts[owners[0] as usize - 1] += 1;
        }
        assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
        // Written down so that no version moves seeds to other shards.
        let second = Shard { index: 2, count: 3 };
        let seeds: Vec<u64> = (1..=12)
            .filter(|seed| second.owns("lunch-uplink-cut", &seed.to_string()))
            .collect();
        assert_eq!(seeds, [1, 4, 5, 8, 9, 10]);
    }
}
