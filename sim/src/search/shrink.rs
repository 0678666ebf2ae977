//! The smallest scenario that still fails the same check: fewer faults, shorter, fewer machines, less traffic, fewer settings, rounder
//! numbers.
//!
//! Delta debugging (Zeller and Hildebrandt, IEEE TSE 28(2), 2002) over faults, then greedy deletion level by level of the tree
//! (hierarchical delta debugging, Misherghi and Su, ICSE 2006), then bisection of numbers over round values. It knows documents and
//! whether they fail; who runs them is `trial`'s. Candidates are tried in a fixed order and the first that fails is taken, so the
//! result does not depend on how many are run at once.

use std::collections::BTreeSet;

use super::{
    check::{Check, Failure},
    doc::{Doc, Place, Step, Value, place},
    numbers,
    trial::{Stop, Tried, Tries},
};

/// Rounds over all passes: each one that changes something may open the way for another. Three are usual.
const ROUNDS_MAX: usize = 6;

/// What must stay as it is: what a file is and how it is found.
const KEPT: [&str; 8] = [
    "schema",
    "name",
    "description",
    "seed",
    "start",
    "duration",
    "fault",
    "expect",
];

/// Is told the smallest so far, and how many runs are left.
type Told<'t> = Box<dyn Fn(&Doc, usize) + 't>;

/// A scenario that fails, while it gets smaller.
pub struct Shrinker<'t, T> {
    tries: &'t mut T,
    check: Check,
    /// The smallest so far.
    pub best: Doc,
    /// What its check says.
    pub failure: Failure,
    /// Runs that are left.
    left: usize,
    /// What was tried: passes meet the same candidates again. At most as many as runs, and what is no scenario.
    seen: BTreeSet<String>,
    /// Whoever wants to know how far it is.
    told: Told<'t>,
}

/// What came of it.
#[derive(Debug)]
pub struct Shrunk {
    /// The smallest scenario that was found.
    pub doc: Doc,
    /// What its check says.
    pub failure: Failure,
    /// Runs that it took, as if one had been tried after the other: at most as many as were allowed, however many ran at once.
    pub runs: usize,
    /// Why it may be not the smallest there is; `None` if no single step makes it smaller.
    pub stopped: Option<Stop>,
}

/// How large a document is, for people: faults, machines, length, settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Entries of `[[fault]]`.
    pub faults: usize,
    /// Machines of the store.
    pub machines: i64,
    /// Length, as it is written.
    pub duration: String,
    /// Values that are neither tables nor lists.
    pub settings: usize,
}

impl Size {
    /// Of a document.
    pub fn of(doc: &Doc) -> Self {
        let nodes = doc.root().get("node").and_then(Value::table);
        let count = |node: &Value| match node.table().and_then(|t| t.get("count")) {
            Some(Value::Integer(n)) => *n,
            _ => 1,
        };
        let duration = doc.root().get("duration").and_then(Value::text);
        Self {
            faults: doc.list("fault").len(),
            machines: nodes.into_iter().flat_map(|n| n.values()).map(count).sum(),
            duration: duration.unwrap_or_default().to_owned(),
            settings: doc.leaves().len(),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let many = |n: usize, what: &str| match n {
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        };
        let machines = usize::try_from(self.machines).unwrap_or_default();
        write!(
            f,
            "{}, {}, {}, {}",
            many(self.faults, "fault"),
            many(machines, "machine"),
            self.duration,
            many(self.settings, "setting")
        )
    }
}

/// Shrinks `doc`, which fails by `failure`, in at most `runs` runs; `told` hears of each smaller one with the runs that are left.
pub fn shrink<'t, T: Tries>(
    tries: &'t mut T,
    doc: Doc,
    failure: Failure,
    runs: usize,
    told: impl Fn(&Doc, usize) + 't,
) -> Shrunk {
    let mut shrinker = Shrinker {
        tries,
        check: failure.check.clone(),
        best: doc,
        failure,
        left: runs,
        seen: BTreeSet::new(),
        told: Box::new(told),
    };
    let stopped = shrinker.run().err();
    Shrunk {
        doc: shrinker.best,
        failure: shrinker.failure,
        runs: runs - shrinker.left,
        stopped,
    }
}

/// The smallest part of `all` that still fails, with `make` a document of a part: `ddmin`. Gives the part.
///
/// # Errors
/// If it has to stop; `shrinker.best` is the smallest by then.
fn ddmin<T: Tries, I: Clone>(
    shrinker: &mut Shrinker<'_, T>,
    all: Vec<I>,
    make: &dyn Fn(&[I]) -> Doc,
) -> Result<Vec<I>, Stop> {
    let mut kept = all;
    if kept.is_empty() || shrinker.first(vec![make(&[])])?.is_some() {
        return Ok(Vec::new());
    }
    let mut parts = 2_usize;
    while kept.len() > 1 {
        let size = kept.len().div_ceil(parts);
        let chunks: Vec<Vec<I>> = kept.chunks(size).map(<[I]>::to_vec).collect();
        let without = |at: usize| -> Vec<I> {
            let rest = chunks.iter().enumerate().filter(|(i, _)| *i != at);
            rest.flat_map(|(_, c)| c.iter().cloned()).collect()
        };
        let mut smaller: Vec<Vec<I>> = chunks.clone();
        if chunks.len() > 2 {
            smaller.extend((0..chunks.len()).map(without));
        }
        let docs = smaller.iter().map(|part| make(part)).collect();
        match shrinker.first(docs)? {
            Some(at) => {
                let is_complement = at >= chunks.len();
                kept = smaller.swap_remove(at);
                parts = match is_complement {
                    true => (parts - 1).max(2),
                    false => 2,
                };
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(kept.len()),
        }
    }
    Ok(kept)
}

/// The smallest set of changes with which a document still fails.
///
/// # Errors
/// If it has to stop, with the smallest set by then.
pub fn fewest_changes<T: Tries, I: Clone>(
    tries: &mut T,
    all: Vec<I>,
    failure: Failure,
    runs: usize,
    make: &dyn Fn(&[I]) -> Doc,
) -> Shrunk {
    let mut shrinker = Shrinker {
        tries,
        check: failure.check.clone(),
        best: make(&all),
        failure,
        left: runs,
        seen: BTreeSet::new(),
        told: Box::new(|_, _| {}),
    };
    let stopped = ddmin(&mut shrinker, all, make).err();
    Shrunk {
        doc: shrinker.best,
        failure: shrinker.failure,
        runs: runs - shrinker.left,
        stopped,
    }
}

impl<T: Tries> Shrinker<'_, T> {
    fn run(&mut self) -> Result<(), Stop> {
        self.judge_only_this()?;
        for _ in 0..ROUNDS_MAX {
            let before = self.best.clone();
            self.fewer_faults()?;
            self.smaller_numbers(&[place(&["duration"])])?;
            self.smaller_numbers(&self.traffic())?;
            self.fewer_machines()?;
            self.fewer_parts()?;
            let times = self.times_of_faults();
            self.smaller_numbers(&times)?;
            self.smaller_numbers(&[place(&["duration"]), place(&["warmup"])])?;
            self.rounder_numbers()?;
            if self.best == before {
                break;
            }
        }
        Ok(())
    }

    /// The first of `docs` that fails the same check; it becomes the best.
    fn first(&mut self, docs: Vec<Doc>) -> Result<Option<usize>, Stop> {
        let mut queue = docs.into_iter().enumerate();
        loop {
            let mut chunk: Vec<(usize, Doc, String)> = Vec::new();
            while chunk.len() < self.tries.parallel().max(1) {
                let Some((at, doc)) = queue.next() else { break };
                let text = doc.print();
                let is_new = !self.seen.contains(&text) && chunk.iter().all(|c| c.2 != text);
                if is_new && doc != self.best {
                    chunk.push((at, doc, text));
                }
            }
            if chunk.is_empty() {
                return Ok(None);
            }
            if self.left == 0 {
                return Err(Stop::Runs);
            }
            let docs: Vec<Doc> = chunk.iter().map(|(_, doc, _)| doc.clone()).collect();
            let tried = self.tries.all(&docs)?;
            // As if one had been tried after the other: how many run at once decides nothing.
            for ((at, doc, text), tried) in chunk.into_iter().zip(tried) {
                self.seen.insert(text);
                if matches!(tried, Tried::Invalid) {
                    continue;
                }
                if self.left == 0 {
                    return Err(Stop::Runs);
                }
                self.left -= 1;
                // One that was stopped at a limit has cost a run, and says nothing.
                let Tried::Ran(ran) = tried else { continue };
                let same = ran.failures.into_iter().find(|f| f.check == self.check);
                if let Some(failure) = same {
                    self.best = doc;
                    self.failure = failure;
                    (self.told)(&self.best, self.left);
                    return Ok(Some(at));
                }
            }
        }
    }

    /// Expectations and closed forms that are not the one that fails.
    fn judge_only_this(&mut self) -> Result<(), Stop> {
        let mut doc = self.best.clone();
        let keep = |list: &mut Vec<Value>, id: Option<&str>| {
            list.retain(|entry| {
                let own = entry.table().and_then(|t| t.get("id")?.text());
                own == id && id.is_some()
            });
        };
        let (oracle, expect) = match &self.check {
            Check::Oracle(id) => (Some(id.as_str()), None),
            Check::Expect(id) => (None, Some(id.as_str())),
            _ => (None, None),
        };
        keep(doc.list_mut("oracle"), oracle);
        keep(doc.list_mut("expect"), expect);
        doc.tidy();
        self.first(vec![doc])?;
        Ok(())
    }

    fn fewer_faults(&mut self) -> Result<(), Stop> {
        let base = self.best.clone();
        let all = base.list("fault").to_vec();
        let make = |faults: &[Value]| {
            let mut doc = base.clone();
            *doc.list_mut("fault") = faults.to_vec();
            doc.tidy();
            doc
        };
        ddmin(self, all, &make)?;
        Ok(())
    }

    /// Groups of one machine where there are several, or fewer of them.
    fn fewer_machines(&mut self) -> Result<(), Stop> {
        let nodes = self.best.root().get("node").and_then(Value::table);
        let names: Vec<String> = nodes.map_or(Vec::new(), |n| n.keys().cloned().collect());
        for name in names {
            self.smaller_numbers(&[place(&["node", &name, "count"])])?;
        }
        Ok(())
    }

    /// Takes out whatever is not needed, from whole sections to single settings: level by level, and along each one after the other.
    fn fewer_parts(&mut self) -> Result<(), Stop> {
        let mut steps = 1;
        loop {
            let mut at = 0;
            loop {
                let places = self.best.places(steps);
                if places.is_empty() {
                    return Ok(());
                }
                let chunk = self.tries.parallel().max(1);
                let next: Vec<(usize, Place)> = (at..places.len())
                    .filter(|i| may_go(&places[*i]))
                    .take(chunk)
                    .map(|i| (i, places[i].clone()))
                    .collect();
                let Some((last, _)) = next.last() else { break };
                let last = *last;
                let docs = next.iter().map(|(_, place)| {
                    let mut doc = self.best.clone();
                    doc.remove(place);
                    doc.tidy();
                    doc
                });
                // What stood behind the one that is gone stands in its place now.
                at = match self.first(docs.collect())? {
                    Some(i) => next[i].0,
                    None => last + 1,
                };
            }
            steps += 1;
        }
    }

    /// Rates and sizes of traffic: less of it makes every further run cheaper.
    fn traffic(&self) -> Vec<Place> {
        let all = self.best.leaves().into_iter();
        all.filter(|place| {
            let key = |at: usize| match place.get(at) {
                Some(Step::Key(key)) => key.as_str(),
                _ => "",
            };
            // What an order's messages hold is no load to speak of.
            let is_whole = place.len() == 3 && key(2) == "bytes";
            key(0) == "traffic" && (matches!(key(place.len() - 1), "rate" | "peak") || is_whole)
        })
        .collect()
    }

    fn times_of_faults(&self) -> Vec<Place> {
        let faults = 0..self.best.list("fault").len();
        let of = |at: usize, key: &str| {
            vec![
                Step::Key("fault".into()),
                Step::At(at),
                Step::Key(key.into()),
            ]
        };
        faults
            .flat_map(|at| ["times", "every", "for", "at"].map(|key| of(at, key)))
            .collect()
    }

    /// Each of these values as small as it can be among round ones: the smallest first, then by bisection.
    fn smaller_numbers(&mut self, places: &[Place]) -> Result<(), Stop> {
        for place in places {
            let Some(value) = self.best.get(place) else {
                continue;
            };
            let values = numbers::smaller(value);
            if values.is_empty() || self.with(place, &values[0])? {
                continue;
            }
            // `values[low]` does not fail, what is beyond the last one does.
            let (mut low, mut high) = (0, values.len());
            while low + 1 < high {
                let middle = low.midpoint(high);
                match self.with(place, &values[middle])? {
                    true => high = middle,
                    false => low = middle,
                }
            }
        }
        Ok(())
    }

    /// Every number rounder, but for those of expectations: another limit is another question.
    fn rounder_numbers(&mut self) -> Result<(), Stop> {
        for place in self.best.leaves() {
            let first = match &place[0] {
                Step::Key(key) => key.as_str(),
                Step::At(_) => "",
            };
            let is_fixed = KEPT.contains(&first) && !matches!(first, "fault" | "duration");
            if is_fixed || first == "oracle" {
                continue;
            }
            let Some(value) = self.best.get(&place) else {
                continue;
            };
            for simpler in numbers::rounder(value) {
                if self.with(&place, &simpler)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether the best one still fails with another value; then that is the best.
    fn with(&mut self, place: &Place, value: &Value) -> Result<bool, Stop> {
        let mut doc = self.best.clone();
        if !doc.set(place, value.clone()) {
            return Ok(false);
        }
        Ok(self.first(vec![doc])?.is_some())
    }
}

/// Whether a part may be taken out by itself. Faults and what is judged have passes of their own, but for settings of faults.
fn may_go(place: &[Step]) -> bool {
    let Some(Step::Key(first)) = place.first() else {
        return false;
    };
    match first.as_str() {
        "fault" => place.len() > 2,
        "oracle" => false,
        first => !KEPT.contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::trial::Ran;

    /// Fails by `DELIVERY-1` while a predicate holds, and by another invariant otherwise.
    struct Model {
        fails: fn(&Doc) -> bool,
        parallel: usize,
        runs: usize,
    }

    impl Tries for Model {
        fn parallel(&self) -> usize {
            self.parallel
        }

        fn all(&mut self, docs: &[Doc]) -> Result<Vec<Tried>, Stop> {
            assert!(docs.len() <= self.parallel);
            self.runs += docs.len();
            let one = |doc: &Doc| match doc.root().contains_key("node") {
                false => Tried::Invalid,
                true => {
                    let id = if (self.fails)(doc) {
                        "DELIVERY-1"
                    } else {
                        "ORDER-1"
                    };
                    Tried::Ran(Ran {
                        failures: vec![failure(id)],
                        ..Ran::default()
                    })
                }
            };
            Ok(docs.iter().map(one).collect())
        }
    }

    fn failure(id: &str) -> Failure {
        Failure {
            check: Check::Invariant(id.into()),
            message: String::new(),
        }
    }

    const LARGE: &str = "schema = 1\nduration = \"5397s\"\nwarmup = \"10m\"\n\
        [node.kiosk]\nrole = \"kiosk\"\ncount = 6\n[node.pos]\nrole = \"pos\"\ncount = 4\n\
        [link.lte]\nup = \"1371kbit/s\"\ndelay = \"lognormal(p50=38ms, p99=240ms)\"\n\
        [traffic.orders]\nrate = \"1800/h\"\n\
        [[fault]]\nid = \"a\"\nat = \"+700s\"\nfor = \"37s\"\n[[fault]]\nid = \"b\"\nat = \"+12s\"\n[[fault]]\nid = \"c\"\n[[fault]]\nid = \"d\"\n\
        [[expect]]\nid = \"x\"\nthat = \"count(order.lost) == 0\"\n";

    fn check(fails: fn(&Doc) -> bool, expect: &str) {
        let mut results = Vec::new();
        for parallel in [1, 3] {
            let mut model = Model {
                fails,
                parallel,
                runs: 0,
            };
            let doc = Doc::parse(LARGE).expect("TOML");
            assert!(fails(&doc), "it fails to begin with");
            let shrunk = shrink(&mut model, doc, failure("DELIVERY-1"), 1000, |_, _| {});
            assert!(shrunk.stopped.is_none(), "{:?}", shrunk.stopped);
            assert!(model.runs < 200, "{} runs", model.runs);
            assert!(fails(&shrunk.doc));
            results.push((shrunk.doc.print(), shrunk.runs));
        }
        assert_eq!(results[0].0, expect);
        assert_eq!(results[0], results[1], "whatever is run at once");
    }

    fn has(doc: &Doc, ids: &[&str]) -> bool {
        let all = doc.ids("fault");
        ids.iter().all(|id| all.iter().any(|a| a == id))
    }

    fn seconds(doc: &Doc) -> u64 {
        let text = doc.root().get("duration").and_then(Value::text);
        let time = text.and_then(|t| backroom_collector::config::quantity::duration(t).ok());
        time.map_or(0, |t| t.as_secs())
    }

    #[test]
    fn what_is_not_needed_goes() {
        check(
            |doc| has(doc, &["a", "c"]),
            "schema = 1\nduration = \"100ms\"\n\n[[fault]]\nid = \"a\"\n\n[[fault]]\nid = \"c\"\n",
        );
        check(
            |doc| doc.get(&place(&["link", "lte", "up"])).is_some() && seconds(doc) > 400,
            "schema = 1\nduration = \"10m\"\n\n[link.lte]\nup = \"1000kbit/s\"\n",
        );
    }

    #[test]
    fn counts_and_times_are_bisected_over_round_values() {
        check(
            |doc| {
                let count = match doc.get(&place(&["node", "pos", "count"])) {
                    Some(Value::Integer(n)) => *n,
                    _ => 1,
                };
                count >= 2 && has(doc, &["a"]) && {
                    let at = doc.list("fault")[0]
                        .table()
                        .and_then(|t| t.get("for")?.text());
                    at.is_some_and(|t| !t.ends_with("ms") && t != "1s")
                }
            },
            "schema = 1\nduration = \"100ms\"\n\n[node.pos]\ncount = 2\n\n[[fault]]\nid = \"a\"\nfor = \"2s\"\n",
        );
    }

    #[test]
    fn it_stops_when_it_is_told_to_and_gives_what_it_has() {
        let mut model = Model {
            fails: |doc| has(doc, &["b"]),
            parallel: 2,
            runs: 0,
        };
        let doc = Doc::parse(LARGE).expect("TOML");
        let shrunk = shrink(&mut model, doc.clone(), failure("DELIVERY-1"), 6, |_, _| {});
        assert!(matches!(shrunk.stopped, Some(Stop::Runs)));
        assert!(model.runs <= 7, "{}", model.runs);
        assert_eq!(shrunk.runs, 6, "those that were allowed");
        assert!(has(&shrunk.doc, &["b"]));
        assert!(Size::of(&shrunk.doc).faults < 4);
        assert_eq!(
            Size::of(&doc).to_string(),
            "4 faults, 10 machines, 5397s, 19 settings"
        );
    }
}
