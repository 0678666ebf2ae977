//! Parts that belong together, and parts that do not.

use super::*;
use crate::run::outcome::Cost;

fn outcome(seed: u64) -> SeedOutcome {
    SeedOutcome {
        seed,
        trace_hash: format!("{seed:016x}"),
        samples: vec![],
        physics: vec![],
        oracles: vec![],
        findings: vec![],
        timeline: vec![],
        pending: vec![],
        idle_faults: vec![],
        plots: None,
        cost: Cost::default(),
    }
}

fn header(seeds: &str, shard: Option<(u32, u32)>) -> Header {
    Header {
        version: VERSION,
        tool_version: "1.2.3".into(),
        scenario: "lunch".into(),
        lock_crc32c: "00000000".into(),
        sets: vec![],
        mtu: 1500,
        hash_payloads: false,
        verified: false,
        seeds: seeds.into(),
        shard: shard.map(|(index, count)| Shard { index, count }),
        places: Places {
            file: "lunch.toml".into(),
            expects: vec![],
            oracles: vec![],
        },
    }
}

/// A shard that ran all of its seeds.
fn part(header: Header) -> Part {
    let all = seeds::parse(&header.seeds).expect("seeds");
    let mine = |seed: &u64| {
        header
            .shard
            .is_none_or(|s| s.owns("lunch", &seed.to_string()))
    };
    Part {
        folder: header
            .shard
            .map_or("all".into(), |s| format!("part-{}", s.index))
            .into(),
        outcomes: all
            .into_iter()
            .filter(mine)
            .map(|s| (s, outcome(s)))
            .collect(),
        failures: BTreeMap::new(),
        differences: vec![],
        torn: false,
        header,
    }
}

fn parts(count: u32) -> Vec<Part> {
    (1..=count)
        .map(|index| part(header("1..=20", Some((index, count)))))
        .collect()
}

fn check(parts: Vec<Part>, expect: Result<(usize, &[&str]), &str>) {
    match (Shards::of(parts), expect) {
        (Ok(all), Ok((outcomes, missing))) => {
            let sorted = all.outcomes.is_sorted_by_key(|o| o.seed);
            assert!(sorted, "in the order of seeds");
            assert_eq!(all.outcomes.len(), outcomes);
            assert_eq!(all.missing.len(), missing.len(), "{:?}", all.missing);
            for (got, part) in all.missing.iter().zip(missing) {
                assert!(got.contains(part), "{got}");
            }
        }
        (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
        (got, expect) => panic!("{got:?} instead of {expect:?}"),
    }
}

#[test]
fn all_shards_are_all_seeds() {
    check(parts(1), Ok((20, &[])));
    check(parts(3), Ok((20, &[])));
    let mut backwards = parts(4);
    backwards.reverse();
    check(backwards, Ok((20, &[])));
    check(vec![part(header("1..=20", None))], Ok((20, &[])));
}

#[test]
fn what_is_missing_is_named() {
    let mut two = parts(3);
    let seeds = two[1].outcomes.len();
    two.remove(1);
    check(two, Ok((20 - seeds, &["shard 2/3 is missing: seeds "])));
    let mut stopped = parts(3);
    let last = *stopped[0].outcomes.keys().last().expect("it has seeds");
    stopped[0].outcomes.remove(&last);
    stopped[0].torn = true;
    check(
        stopped,
        Ok((19, &["part-1 was stopped before its end", "is torn"])),
    );
}

#[test]
fn what_does_not_belong_together_is_refused() {
    check(vec![], Err("nothing to merge"));
    let mut twice = parts(2);
    twice.push(part(header("1..=20", Some((2, 2)))));
    check(twice, Err("both shard 2/2"));
    let overlap = vec![
        part(header("1..=20", Some((1, 2)))),
        part(header("1..=20", None)),
    ];
    check(overlap, Err("these shards overlap"));
    let other = |change: fn(&mut Header)| {
        let mut all = parts(2);
        change(&mut all[1].header);
        all
    };
    check(
        other(|h| h.tool_version = "1.2.4".into()),
        Err("its version of backroom is `1.2.4`, that of the first one is `1.2.3`"),
    );
    check(other(|h| h.lock_crc32c = "1".into()), Err("lock file"));
    check(other(|h| h.seeds = "1..=21".into()), Err("seeds"));
    check(other(|h| h.sets = vec!["a=1".into()]), Err("--set"));
    check(other(|h| h.verified = true), Err("--verify"));
}

#[test]
fn logs_are_read_back_and_garbage_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE);
    let line = |line: &Line| serde_json::to_string(line).expect("plain data") + "\n";
    let first = line(&Line::Run(Box::new(header("1..=3", None))));
    let seed = line(&Line::Seed(Box::new(outcome(2))));
    let check = |text: String, expect: Result<(usize, bool), &str>| {
        std::fs::write(&path, text).expect("written");
        match (read(folder.path()), expect) {
            (Ok(part), Ok(expect)) => assert_eq!((part.outcomes.len(), part.torn), expect),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, expect) => panic!("{got:?} instead of {expect:?}"),
        }
    };
    check(format!("{first}{seed}"), Ok((1, false)));
    check(format!("{first}{seed}{}", &seed[..9]), Ok((1, true)));
    check(
        format!("{first}{seed}{seed}"),
        Err("line 3 tells seed 2 a second time"),
    );
    check(format!("{first}{first}"), Err("begins a second run"));
    check(seed.clone(), Err("does not say what was run"));
    check(String::new(), Err("does not say what was run"));
    check("\0\0\0\n".into(), Err("line 1"));
    check(
        first.replace("\"version\":1", "\"version\":9"),
        Err("version 9"),
    );
}
