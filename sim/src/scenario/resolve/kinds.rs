//! What a kind of fault makes of its own settings: one arm for each kind of the table.
//!
//! Not here: when it happens and to whom (`faults`), and what it then does (`crate::fault`).

use std::time::Duration;

use backroom_collector::config::{
    BitRate, Diagnostic, Fields, Span,
    codes::E0107,
    did_you_mean, quantity,
    tree::{Node, Value},
};
use indexmap::IndexMap;

use super::Cx;
use crate::{
    fault::{
        captive_portal, cut_answers::Cuts, disk_io_error, dns_fail, hq_reject, hq_slow, table::Kind,
    },
    scenario::{FaultKind, codes, words},
    world::{DiskOp, NamesFail, SlowDisk},
};

impl Cx<'_> {
    /// The traffic class that a fault is for.
    fn class_of(&self, f: &Fields<'_>) -> Option<String> {
        let class = f.string("class")?;
        let node = f.node("class")?;
        self.declared(
            "class",
            &class,
            node,
            self.classes.iter().map(String::as_str),
        );
        Some(class)
    }

    /// What happens, to what is called `on`. What is wrong is told, and filled with a placeholder.
    pub(super) fn what(
        &self,
        f: &Fields<'_>,
        kind: &'static Kind,
        on: String,
        id: &str,
    ) -> FaultKind {
        let set = match kind.key("set") {
            Some(_) => f.fields("set"),
            None => None,
        };
        let set = set.as_ref();
        match kind.name {
            "link.down" => FaultKind::LinkDown { link: on },
            "link.flap" => {
                let turn = |key| {
                    let dist = self.dist_time(f, key, crate::dist::Dist::Const(1.0));
                    if f.has(key) && dist.mean() <= 0.0 {
                        self.sink.push(
                            Diagnostic::error(&E0107, format!("`{key}` lasts some time"))
                                .at(f.key_span(key), "no time at all"),
                        );
                    }
                    dist
                };
                FaultKind::LinkFlap {
                    link: on,
                    up_for: turn("up_for"),
                    down_for: turn("down_for"),
                }
            }
            "link.degrade" => {
                let changed = FaultKind::LinkDegrade {
                    link: on,
                    up: set.and_then(|s| s.text("up", quantity::bit_rate)),
                    down: set.and_then(|s| s.text("down", quantity::bit_rate)),
                    delay: set.and_then(|s| s.text("delay", words::dist_time)),
                    loss: set.and_then(|s| s.text("loss", words::loss)),
                };
                self.changes_something(set);
                changed
            }
            "link.captive_portal" => FaultKind::LinkCaptivePortal {
                link: on,
                answer: f
                    .choice("answer", &captive_portal::ANSWERS)
                    .unwrap_or_default(),
            },
            "link.cut_answers" => FaultKind::LinkCutAnswers {
                link: on,
                cuts: Cuts {
                    share: f.text("share", quantity::proportion).unwrap_or(1.0),
                    class: self.class_of(f),
                },
            },
            "link.cap_reached" => FaultKind::LinkCapReached { link: on },
            "link.trace" => match f.fields("trace").and_then(|trace| self.trace(&trace)) {
                Some(trace) => FaultKind::LinkTrace { link: on, trace },
                None => FaultKind::LinkDown { link: on },
            },
            "dns.fail" => FaultKind::DnsFail(
                f.choice("mode", &dns_fail::MODES)
                    .unwrap_or(NamesFail::ServFail),
            ),
            "node.crash" => FaultKind::NodeCrash { node: on },
            "node.reboot" => FaultKind::NodeReboot { node: on },
            "node.pause" => FaultKind::NodePause { node: on },
            "store.power_cut" => FaultKind::StorePowerCut { ups: self.ups(f) },
            "disk.full" => FaultKind::DiskFull {
                node: on,
                leave_bytes: f.text("leave", quantity::byte_size).map_or(0, |s| s.0),
            },
            "disk.slow" => {
                let slow = SlowDisk {
                    fsync: set.and_then(|s| s.text("fsync", words::dist_time)),
                    write_bytes_per_second: set.and_then(|s| self.rate(s, "write")),
                };
                self.changes_something(set);
                FaultKind::DiskSlow { node: on, slow }
            }
            "disk.corrupt" => FaultKind::DiskCorrupt {
                node: on,
                bytes: f
                    .integer("bytes")
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or(1),
            },
            "disk.io_error" => FaultKind::DiskIoError {
                node: on,
                ops: f
                    .choice("ops", &disk_io_error::OPS)
                    .unwrap_or(DiskOp::FALLIBLE),
                share: f.text("share", quantity::proportion).unwrap_or(0.0),
            },
            "clock.step" => {
                let seconds = f.text("by", quantity::signed_seconds).unwrap_or(0.0);
                FaultKind::ClockStep {
                    node: on,
                    by_nanos: (seconds * 1e9) as i64,
                }
            }
            "clock.skew" => FaultKind::ClockSkew {
                node: on,
                rate: f.text("rate", quantity::share).unwrap_or(0.0),
            },
            "hq.reject" => FaultKind::HqReject(hq_reject::Rule {
                status: f
                    .integer("status")
                    .and_then(|status| status.try_into().ok())
                    .unwrap_or(503),
                share: f.text("share", quantity::proportion).unwrap_or(1.0),
                retry_after: f.text("retry_after", quantity::duration),
                service: f.choice("service", &hq_reject::Service::ALL).flatten(),
                link: None,
            }),
            "hq.slow" => {
                let slow = hq_slow::Slow {
                    auth: set.and_then(|s| s.text("auth", words::dist_time)),
                    ingest_bytes_per_second: set.and_then(|s| self.rate(s, "ingest")),
                };
                self.changes_something(set);
                FaultKind::HqSlow(slow)
            }
            "hq.gateway_crash" => {
                self.needs_gateway(f);
                FaultKind::HqGatewayCrash {
                    loses_power: f.bool("power").unwrap_or(false),
                }
            }
            "region.outage" => {
                let region = on.strip_prefix("region:").unwrap_or(&on).to_owned();
                FaultKind::RegionOutage {
                    is_ours: self.has_stores(&region),
                    region,
                    heal: f.text("heal", words::dist_time),
                }
            }
            other => unreachable!("{other} of fault {id} is in the table and not here"),
        }
    }

    /// Bytes a second; reports a rate of nothing.
    fn rate(&self, f: &Fields<'_>, key: &str) -> Option<f64> {
        let rate = f.text(key, quantity::bit_rate)?;
        if rate == BitRate(0) {
            self.sink.push(
                Diagnostic::error(&E0107, format!("`{key}` cannot be zero"))
                    .at(f.key_span(key), "nothing would ever be written or taken in"),
            );
            return None;
        }
        Some(rate.bytes_per_second())
    }

    /// Reports a fault of a gateway that head office does not have.
    fn needs_gateway(&self, f: &Fields<'_>) {
        let hq = self.root.get("hq").and_then(|hq| hq.as_table());
        let gateway = hq.and_then(|hq| hq.get("gateway"));
        if gateway.is_none_or(|it| !matches!(it.value, Value::Bool(true))) {
            self.sink.push(
                Diagnostic::error(&codes::E0204, "head office has no gateway")
                    .at(f.key_span("kind"), "there is nothing that could crash")
                    .help("declare it with `gateway = true` in `[hq]`".to_owned()),
            );
        }
    }

    /// Reports a `set` that changes nothing.
    fn changes_something(&self, set: Option<&Fields<'_>>) {
        let Some(set) = set.filter(|set| set.table().entries.is_empty()) else {
            return;
        };
        self.sink.push(
            Diagnostic::error(&codes::E0203, "`set` changes nothing")
                .at(set.span(), "nothing would be different"),
        );
    }

    /// Whether a region has the store that is run: one of a fleet of one.
    fn has_stores(&self, region: &str) -> bool {
        let regions = self.root.get("fleet").and_then(|fleet| {
            let regions = fleet.as_table()?.get("regions")?.as_table()?;
            regions.get(region).map(|count| count.value.clone())
        });
        matches!(regions, Some(Value::Integer(n)) if n > 0)
    }

    /// What runs on without power, and for how long.
    fn ups(&self, f: &Fields<'_>) -> IndexMap<String, Duration> {
        let mut ups = IndexMap::new();
        let Some(node) = f.node("ups") else {
            return ups;
        };
        f.checked("ups", node);
        for (name, entry) in node.as_table().into_iter().flat_map(|t| &t.entries) {
            self.has_ups(name, &entry.node, entry.key);
            let time = entry.node.as_text().map(quantity::duration);
            if let Some(Ok(time)) = time {
                ups.insert(name.clone(), time);
            }
        }
        ups
    }

    /// A machine with an uninterruptible supply: a group, one of its machines, or the router.
    fn has_ups(&self, name: &str, _: &Node, key: Span) {
        let is_one = self.is_one_of_a_group(name);
        let known = self.groups.iter().map(|(g, _)| g.as_str());
        let known: Vec<&str> = known.chain(["router"]).collect();
        if !is_one && !known.contains(&name) {
            self.sink.push(
                Diagnostic::error(&codes::E0204, format!("there is no machine `{name}`"))
                    .at(key, "not declared")
                    .help(did_you_mean(name, known, "declared")),
            );
        }
    }
}
