//! From a tree to a scenario: every name bound, every unit settled, everything wrong told in one go.
//!
//! A part that is wrong is reported and filled with a placeholder, so that the rest can be checked too; a scenario is handed
//! out only if nothing was reported. Next: `store` (machines and lines), `faults` and `kinds`, `judged` (expectations, oracles, sweeps).

mod custom;
mod faults;
mod judged;
mod kinds;
mod misplaced;
mod shop;
mod store;

use std::{cell::RefCell, path::Path, time::Duration};

use backroom_collector::config::{
    self, Diagnostic, Fields, Sink, Sources, Span,
    codes::{E0101, E0105, E0107},
    did_you_mean, quantity,
    tree::{Node, Table, Value},
};
use indexmap::IndexMap;

use super::{
    Fidelity, Scenario, codes,
    merge::Merged,
    parse::{self, Names, QUANTILES},
    shapes,
    time::Clock,
    words,
};
use crate::{dist::Dist, service::Services};

/// What resolution yields besides findings.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The scenario; meaningless if anything was reported as an error.
    pub(super) scenario: Scenario,
    /// What this version cannot run.
    pub(super) refusals: Vec<Diagnostic>,
    /// Points of the sweep; 1 without one.
    pub(super) sweep_points: usize,
    /// Stores of the fleet; 1 without one.
    pub(super) stores: u64,
}

/// Longest run: ten years. What is bounded by a run's length (windows, samples, seconds on a line) stays bounded.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Everything that readers of sections share.
struct Cx<'a> {
    sources: &'a Sources,
    sink: &'a Sink,
    services: &'a Services,
    root: &'a Table,
    top: Fields<'a>,
    is_template: bool,
    /// Names of groups of machines, with how many there are.
    groups: Vec<(String, u32)>,
    disks: Vec<String>,
    links: Vec<String>,
    classes: Vec<String>,
    profiles: Vec<String>,
    regions: Vec<String>,
    clock: Option<Clock>,
    duration: Option<Duration>,
    refusals: RefCell<Vec<Diagnostic>>,
}

/// Resolves a merged tree. Everything wrong goes to `sink`.
pub(super) fn resolve(
    merged: &Merged,
    path: &Path,
    sources: &Sources,
    sink: &Sink,
    services: &Services,
) -> Option<Resolved> {
    let root_node = Node {
        span: Span {
            file: merged.main,
            start: 0,
            end: 0,
        },
        value: Value::Table(merged.table.clone()),
    };
    let top = Fields::open(&root_node, &shapes::TOP, "", sink)?;
    let root = root_node.as_table()?;
    let names_of = |section: &str| -> Vec<String> {
        let table = root.get(section).and_then(Node::as_table);
        table.map_or(Vec::new(), |t| t.entries.keys().cloned().collect())
    };
    let regions = root
        .get("fleet")
        .and_then(|n| n.as_table()?.get("regions")?.as_table())
        .map_or(Vec::new(), |t| t.entries.keys().cloned().collect());
    let mut cx = Cx {
        sources,
        sink,
        services,
        root,
        top,
        is_template: merged.is_template,
        groups: groups(root),
        disks: names_of("disk"),
        links: names_of("link"),
        classes: names_of("class"),
        profiles: names_of("profile"),
        regions,
        clock: None,
        duration: None,
        refusals: RefCell::default(),
    };

    let name = cx.top.string("name");
    if let Some(node) = cx.top.node("name") {
        cx.top.checked("name", node);
    }
    let description = cx.top.string("description").unwrap_or_default();
    let seeds = cx.seeds();
    let start = cx.top.text("start", words::start);
    let warmup = cx
        .top
        .text("warmup", quantity::duration)
        .unwrap_or_default();
    cx.duration = cx.top.text("duration", quantity::duration);
    cx.clock = start.clone().map(|start| Clock { start });
    cx.check_times(warmup);
    let fidelity = cx.fidelity();
    if let Some(node) = cx.top.node("vars") {
        cx.top.checked("vars", node);
    }
    let limits = cx.top.node("limits");
    let limits = limits.and_then(|node| Fields::open(node, &shapes::LIMITS, "limits", sink));
    let limits = limits.as_ref();
    let wall_time_max = limits.and_then(|limits| limits.text("wall_time", quantity::duration));
    let memory_max = limits.and_then(|limits| limits.text("memory", quantity::byte_size));

    let nodes = cx.nodes();
    let disks = cx.disks();
    let links = cx.links();
    let classes = cx.classes();
    let failover = cx.failover();
    let stores = cx.fleet();
    let hq = cx.hq();
    let traffic = cx.traffic();
    let shop = cx.shop(&nodes, traffic.orders.as_ref());
    let collector = cx
        .top
        .node("collector")
        .map_or_else(config::Config::default, |node| {
            config::read(node, "collector", config::Reader::Scenario, sink)
        });
    let quantiles = cx.quantiles();
    let faults = cx.faults();
    let names = cx.names(&quantiles);
    let expects = cx.expects(&names);
    let oracles = cx.oracles(&names);
    let sweep_points = cx.sweep(&names);
    cx.report(&names);

    let scenario = Scenario {
        path: path.to_path_buf(),
        name: name.unwrap_or_else(|| {
            path.file_stem()
                .map_or_else(String::new, |s| s.to_string_lossy().into_owned())
        }),
        description,
        seeds,
        start: start.unwrap_or_default(),
        warmup,
        duration: cx.duration.unwrap_or_default(),
        wall_time_max,
        memory_max,
        fidelity,
        nodes,
        disks,
        links,
        classes,
        failover,
        orders: traffic.orders,
        telemetry: traffic.telemetry,
        media: traffic.media,
        shop,
        collector,
        hq,
        faults,
        expects,
        oracles,
        quantiles,
    };
    Some(Resolved {
        scenario,
        refusals: cx.refusals.into_inner(),
        sweep_points,
        stores,
    })
}

/// Groups of machines and how many there are, as far as that can be read.
fn groups(root: &Table) -> Vec<(String, u32)> {
    let Some(table) = root.get("node").and_then(Node::as_table) else {
        return Vec::new();
    };
    let count = |node: &Node| match node
        .as_table()
        .and_then(|t| t.get("count"))
        .map(|n| &n.value)
    {
        Some(Value::Integer(n)) => u32::try_from(*n).unwrap_or(1),
        _ => 1,
    };
    table
        .entries
        .iter()
        .map(|(name, entry)| (name.clone(), count(&entry.node)))
        .collect()
}

impl Cx<'_> {
    /// Something that the language has and this version cannot run.
    fn refuse(&self, span: Span, what: impl Into<String>) {
        self.refusals.borrow_mut().push(
            Diagnostic::error(&codes::E0210, what).at(span, "checked, but not run in this version"),
        );
    }

    /// Whether a name is declared; reports it if not.
    fn declared<'n>(
        &self,
        what: &str,
        name: &str,
        node: &Node,
        known: impl IntoIterator<Item = &'n str>,
    ) -> bool {
        let known: Vec<&str> = known.into_iter().collect();
        if known.contains(&name) {
            return true;
        }
        self.sink.push(
            Diagnostic::error(&codes::E0204, format!("there is no {what} `{name}`"))
                .at(node.within(0..name.len()), "not declared")
                .help(did_you_mean(name, known, "declared")),
        );
        false
    }

    /// A text that refers to something declared.
    fn reference(&self, fields: &Fields<'_>, key: &str, what: &str, known: &[String]) -> String {
        let Some(name) = fields.string(key) else {
            return String::new();
        };
        if let Some(node) = fields.node(key) {
            self.declared(what, &name, node, known.iter().map(String::as_str));
        }
        name
    }

    /// Whether a name is a group of machines, one of its machines, or one of `also`; reports it if not.
    fn machine(&self, name: &str, node: &Node, also: &[&str]) -> bool {
        if self.is_one_of_a_group(name) {
            return true;
        }
        if let Some((group, count)) = self.group_of(name) {
            let help = match count {
                1 => format!("`{group}` is one machine, called `{group}`"),
                n => format!("`{group}` has {n}: `{group}-1` to `{group}-{n}`"),
            };
            self.sink.push(
                Diagnostic::error(&codes::E0204, format!("there is no machine `{name}`"))
                    .at(node.within(0..name.len()), "not declared")
                    .help(help),
            );
            return false;
        }
        let known = self.groups.iter().map(|(g, _)| g.as_str());
        self.declared("machine", name, node, known.chain(also.iter().copied()))
    }

    /// The group that a name such as `pos-9` is of, and how many machines that has; `None` where a group itself is called so.
    fn group_of(&self, name: &str) -> Option<&(String, u32)> {
        let is_a_group = self.groups.iter().any(|(g, _)| g == name);
        let numbered = self.numbered(name).filter(|_| !is_a_group);
        numbered.map(|(group, _)| group)
    }

    /// Whether a name is that of one machine of a group: `pos-2`.
    fn is_one_of_a_group(&self, name: &str) -> bool {
        let numbered = self.numbered(name);
        numbered.is_some_and(|((_, count), n)| *count > 1 && (1..=*count).contains(&n))
    }

    /// A group and the number that stands behind its name, whether there are so many or not.
    fn numbered(&self, name: &str) -> Option<(&(String, u32), u32)> {
        let (group, number) = name.rsplit_once('-')?;
        let number = number.parse().ok()?;
        let found = self.groups.iter().find(|(g, _)| g == group)?;
        Some((found, number))
    }

    fn seeds(&self) -> Vec<u64> {
        let one = self.top.integer("seed").map(|n| vec![n as u64]);
        let several = self.top.node("seeds").and_then(|node| {
            self.top.checked("seeds", node)?;
            match &node.value {
                Value::Integer(n) => Some((1..=*n as u64).collect()),
                Value::Array(list) if list.is_empty() => {
                    self.sink.push(
                        Diagnostic::error(&E0107, "`seeds` is empty").at(node.span, "no seed"),
                    );
                    None
                }
                Value::Array(list) => Some(
                    list.iter()
                        .filter_map(|n| match n.value {
                            Value::Integer(n) => Some(n as u64),
                            _ => None,
                        })
                        .collect(),
                ),
                _ => self.top.text("seeds", words::seeds),
            }
        });
        several.or(one).unwrap_or_else(|| vec![1])
    }

    fn check_times(&self, warmup: Duration) {
        for key in ["start", "duration"] {
            if !self.is_template && !self.top.has(key) {
                let example = shapes::TOP.key(key).map_or("", |k| k.example);
                self.sink.push(
                    Diagnostic::error(&E0101, format!("`{key}` is missing"))
                        .at(self.top.span(), "expected in this file")
                        .help(format!("add `{key} = {example}`")),
                );
            }
        }
        let Some(duration) = self.duration else {
            return;
        };
        if duration.is_zero() {
            let span = self
                .top
                .node("duration")
                .map_or(self.top.span(), |n| n.span);
            self.sink.push(
                Diagnostic::error(&E0107, "`duration` cannot be zero")
                    .at(span, "nothing would happen"),
            );
        } else if duration > DURATION_MAX {
            let span = self
                .top
                .node("duration")
                .map_or(self.top.span(), |n| n.span);
            self.sink.push(
                Diagnostic::error(&E0107, "a run lasts at most 10 years")
                    .at(span, "longer than any store keeps its hardware")
                    .help(String::from(
                        "a quarter or a year shows what a century does; more seeds show more",
                    )),
            );
        } else if warmup >= duration {
            let span = self.top.node("warmup").map_or(self.top.span(), |n| n.span);
            self.sink.push(
                Diagnostic::error(&E0107, "the warm-up lasts as long as the run")
                    .at(span, "nothing would be judged"),
            );
        }
    }

    fn fidelity(&self) -> Fidelity {
        let words = [("packet", Fidelity::Packet), ("flow", Fidelity::Flow)];
        let fidelity = self
            .top
            .choice("fidelity", &words)
            .unwrap_or(Fidelity::Packet);
        if let (Fidelity::Flow, Some(node)) = (fidelity, self.top.node("fidelity")) {
            self.refuse(node.span, "runs with `fidelity = \"flow\"`");
        }
        fidelity
    }

    /// Quantiles that are kept: the usual ones and those of `report.quantiles`.
    fn quantiles(&self) -> Vec<f64> {
        let mut list: Vec<f64> = QUANTILES.iter().map(|(_, q)| *q).collect();
        let node = self
            .root
            .get("report")
            .and_then(|n| n.as_table()?.get("quantiles"));
        if let Some(Value::Array(items)) = node.map(|n| &n.value) {
            for item in items {
                let Some(text) = item.as_text() else { continue };
                match parse::quantile(text) {
                    Some(q) if list.iter().all(|k| (k - q).abs() > 1e-9) => list.push(q),
                    Some(_) => {}
                    None => self.sink.push(
                        Diagnostic::error(&E0105, format!("`{text}` is not a percentile"))
                            .at(item.within(0..text.len()), "expected a name such as p99.5"),
                    ),
                }
            }
        }
        list.sort_by(f64::total_cmp);
        list
    }

    /// What names in expectations may refer to.
    fn names(&self, quantiles: &[f64]) -> Names {
        Names {
            faults: Some(self.fault_ids()),
            links: Some(self.links.clone()),
            classes: Some(self.classes.clone()),
            regions: Some(self.regions.clone()),
            quantiles: quantiles.to_vec(),
            clock: self.clock.clone(),
        }
    }

    fn fault_ids(&self) -> Vec<String> {
        self.root
            .tables("fault")
            .filter_map(|n| n.as_table()?.text("id"))
            .map(str::to_owned)
            .collect()
    }

    /// A time distribution, or a placeholder.
    fn dist_time(&self, fields: &Fields<'_>, key: &str, default: Dist) -> Dist {
        fields.text(key, words::dist_time).unwrap_or(default)
    }
}

/// A map by name.
type ByName<T> = IndexMap<String, T>;
