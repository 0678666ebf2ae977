//! The table of fault kinds: what each is called, what it acts on, which settings it takes.
//!
//! Scenarios are checked by it, `explain faults` prints it, and the schema is made from it. What a kind does in a run is
//! decided by its own file in this folder; a new kind is one entry here, one file there, and one line each in
//! `scenario::resolve::kinds` and `run::faults`.

use backroom_collector::config::{
    quantity::{DURATION, RATE, SHARE, SIGNED_DURATION, SIZE},
    shape::{Key, Shape, Ty},
};

use crate::scenario::{
    shapes::TRACE,
    time::{AT, FOR},
    words::{DIST_TIME, LOSS, NAME, PROPORTION},
};

/// One kind of fault.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub doc: &'static str,
    /// What it acts on.
    pub on: Target,
    /// How it ends.
    pub lasts: Lasts,
    /// Its own settings, besides [`COMMON`].
    pub settings: &'static [Key],
}

/// What a fault acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A link.
    Link,
    /// A group of machines, or one of them.
    Node,
    /// The router.
    Router,
    /// The whole store.
    Store,
    /// Head office.
    Hq,
    /// `region:NAME`.
    Region,
}

impl Target {
    /// Its word in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "a link",
            Self::Node => "a machine or a group of them",
            Self::Router => "router",
            Self::Store => "store",
            Self::Hq => "hq",
            Self::Region => "region:NAME",
        }
    }
}

/// How a fault ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// It needs `for`.
    Needed,
    /// It may have `for`; otherwise it outlasts the run.
    Optional,
    /// It happens at an instant, or ends by itself.
    Instant,
}

/// Settings of every kind.
#[rustfmt::skip]
pub static COMMON: &[Key] = COMMON_KEYS;

#[rustfmt::skip]
pub(crate) const COMMON_KEYS: &[Key] = &[
    Key::need("id", Ty::Word(&NAME), "\"uplink-cut\"", "Its name; windows, times and --set refer to it."),
    Key::need("kind", Ty::Text, "\"link.down\"", "What happens; `backroom explain faults` lists the kinds."),
    Key::need("on", Ty::Text, "\"uplink\"", "What it happens to: a link, a machine or group, router, store, hq, or region:NAME."),
    Key::may("at", Ty::Word(&AT), "\"12:05\"", "When it begins: a store-local time of day, an offset from the start, or a time relative to another fault."),
    Key::may("for", Ty::Word(&FOR), "\"15m\"", "How long it lasts."),
    Key::may("every", Ty::Word(&DURATION), "\"4m\"", "Interval at which it happens again."),
    Key::may("times", Ty::Integer(1, 100_000), "4", "How often it happens at most; to the end of the run unless given."),
    Key::may("pick", Ty::Choice(PICKS), "\"one, round-robin\"", "Which machines of a group it happens to each time; all unless given."),
    Key::may("mtbf", Ty::Word(&DIST_TIME), "\"exp(mean=30d)\"", "Time between the end of one and the next, drawn anew each time by the seed, instead of `at`."),
    Key::may("mttr", Ty::Word(&DIST_TIME), "\"exp(mean=2h)\"", "How long each lasts, drawn anew each time by the seed, instead of `for`."),
];

/// Which machines of a group.
pub static PICKS: &[&str] = &["all", "one", "one, round-robin", "one, random"];

static DEGRADE: Shape = Shape {
    doc: "What is different while it lasts; the rest stays as declared.",
    keys: &[
        Key::may("up", Ty::Word(&RATE), "\"96kbit/s\"", "Capacity upwards."),
        Key::may(
            "down",
            Ty::Word(&RATE),
            "\"1Mbit/s\"",
            "Capacity downwards.",
        ),
        Key::may(
            "delay",
            Ty::Word(&DIST_TIME),
            "\"lognormal(p50=180ms, p99=2500ms)\"",
            "One-way delay.",
        ),
        Key::may("loss", Ty::Word(&LOSS), "\"6%\"", "Packet loss."),
    ],
};

static SLOW_DISK: Shape = Shape {
    doc: "What is different while it lasts; the rest stays as declared.",
    keys: &[
        Key::may(
            "fsync",
            Ty::Word(&DIST_TIME),
            "\"lognormal(p50=120ms, p99=1800ms)\"",
            "Time of one fsync.",
        ),
        Key::may(
            "write",
            Ty::Word(&RATE),
            "\"400kB/s\"",
            "Sequential write rate.",
        ),
    ],
};

static SLOW_HQ: Shape = Shape {
    doc: "What is different while it lasts; the rest stays as declared.",
    keys: &[
        Key::may(
            "auth",
            Ty::Word(&DIST_TIME),
            "\"lognormal(p50=2s, p99=9s)\"",
            "Time to authorise a payment.",
        ),
        Key::may("ingest", Ty::Word(&RATE), "\"1MB/s\"", "What it takes in."),
    ],
};

/// All kinds.
#[rustfmt::skip]
pub static FAULTS: &[Kind] = &[
    Kind { name: "link.down", doc: "The link carries nothing in either direction; packets on their way are lost or wait for a retransmission.", on: Target::Link, lasts: Lasts::Needed, settings: &[] },
    Kind { name: "link.flap", doc: "The link goes up and down by turns.", on: Target::Link, lasts: Lasts::Needed, settings: &[
        Key::need("up_for", Ty::Word(&DIST_TIME), "\"exp(mean=13s)\"", "How long it is up each time."),
        Key::need("down_for", Ty::Word(&DIST_TIME), "\"exp(mean=6s)\"", "How long it is down each time."),
    ] },
    Kind { name: "link.degrade", doc: "The link is slower, longer or lossier than declared: a brownout.", on: Target::Link, lasts: Lasts::Needed, settings: &[
        Key::need("set", Ty::Table(&DEGRADE), "{ up = \"96kbit/s\", loss = \"6%\" }", "What is different while it lasts."),
    ] },
    Kind { name: "link.captive_portal", doc: "Connections succeed and lead to a login page: TCP connects, TLS sees the wrong certificate, HTTP gets 302.", on: Target::Link, lasts: Lasts::Needed, settings: &[
        Key::or("answer", Ty::Choice(&["redirect", "page", "certificate"]), "\"redirect\"", "What a request gets: 302 to the login page, the page itself with 200, or, before it is sent, a certificate for another name."),
    ] },
    Kind { name: "link.cut_answers", doc: "Connections are reset when an answer comes back: the request was taken, and nobody hears of it.", on: Target::Link, lasts: Lasts::Needed, settings: &[
        Key::need("share", Ty::Word(&PROPORTION), "\"20%\"", "Share of packets with data towards the store that reset their connection."),
        Key::may("class", Ty::Text, "\"telemetry\"", "Only packets of this traffic class; all unless given."),
    ] },
    Kind { name: "link.cap_reached", doc: "The data allowance of the link is used up.", on: Target::Link, lasts: Lasts::Needed, settings: &[] },
    Kind { name: "link.trace", doc: "The link's capacity follows a recording.", on: Target::Link, lasts: Lasts::Optional, settings: &[
        Key::need("trace", Ty::Table(&TRACE), "{ file = \"line.txt\", format = \"cooked\", unit = \"Mbit/s\" }", "The recording."),
    ] },
    Kind { name: "dns.fail", doc: "Names are not resolved.", on: Target::Router, lasts: Lasts::Needed, settings: &[
        Key::or("mode", Ty::Choice(&["servfail", "timeout", "nxdomain", "stale"]), "\"servfail\"", "How it fails."),
    ] },
    Kind { name: "node.crash", doc: "The program on a machine dies: memory is lost, the disk is kept; it starts again at the end.", on: Target::Node, lasts: Lasts::Needed, settings: &[] },
    Kind { name: "node.reboot", doc: "A machine restarts in order: programs stop, disks are synced, it boots again.", on: Target::Node, lasts: Lasts::Instant, settings: &[] },
    Kind { name: "node.pause", doc: "A machine stands still and then goes on: alive, but nothing moves.", on: Target::Node, lasts: Lasts::Needed, settings: &[] },
    Kind { name: "store.power_cut", doc: "The power goes: memory and unsynced writes are lost; machines boot when it is back.", on: Target::Store, lasts: Lasts::Needed, settings: &[
        Key::may("ups", Ty::Map(&Ty::Word(&DURATION)), "{ router = \"10m\" }", "Machines that run on, and for how long."),
    ] },
    Kind { name: "disk.full", doc: "Something else fills the disk of a machine.", on: Target::Node, lasts: Lasts::Needed, settings: &[
        Key::or("leave", Ty::Word(&SIZE), "\"0B\"", "Space that stays free."),
    ] },
    Kind { name: "disk.slow", doc: "The disk of a machine is slow.", on: Target::Node, lasts: Lasts::Needed, settings: &[
        Key::need("set", Ty::Table(&SLOW_DISK), "{ fsync = \"lognormal(p50=120ms, p99=1800ms)\" }", "What is different while it lasts."),
    ] },
    Kind { name: "disk.corrupt", doc: "Bytes that a machine has stored rot; a program sees it when it reads them.", on: Target::Node, lasts: Lasts::Instant, settings: &[
        Key::or("bytes", Ty::Integer(1, 1_000_000), "1", "How many, on each machine."),
    ] },
    Kind { name: "disk.io_error", doc: "A share of a disk's operations fails.", on: Target::Node, lasts: Lasts::Needed, settings: &[
        Key::need("share", Ty::Word(&PROPORTION), "\"1%\"", "Share of operations that fail."),
        Key::or("ops", Ty::Choice(&["all", "reads", "writes", "syncs"]), "\"all\"", "Which of them."),
    ] },
    Kind { name: "clock.step", doc: "The wall clock of a machine jumps.", on: Target::Node, lasts: Lasts::Instant, settings: &[
        Key::need("by", Ty::Word(&SIGNED_DURATION), "\"-90s\"", "How far."),
    ] },
    Kind { name: "clock.skew", doc: "The wall clock of a machine runs fast or slow.", on: Target::Node, lasts: Lasts::Needed, settings: &[
        Key::need("rate", Ty::Word(&SHARE), "\"+180ppm\"", "How fast it drifts."),
    ] },
    Kind { name: "hq.reject", doc: "Head office refuses requests.", on: Target::Hq, lasts: Lasts::Needed, settings: &[
        Key::or("status", Ty::Integer(400, 599), "503", "The HTTP status of its refusals."),
        Key::need("share", Ty::Word(&PROPORTION), "\"100%\"", "Share of requests that it refuses."),
        Key::may("retry_after", Ty::Word(&DURATION), "\"30s\"", "What its Retry-After says."),
        Key::or("service", Ty::Choice(&["all", "payment", "sync", "telemetry", "catalog"]), "\"all\"", "Which of its services refuses."),
    ] },
    Kind { name: "hq.slow", doc: "Head office is slow.", on: Target::Hq, lasts: Lasts::Needed, settings: &[
        Key::need("set", Ty::Table(&SLOW_HQ), "{ auth = \"lognormal(p50=2s, p99=9s)\" }", "What is different while it lasts."),
    ] },
    Kind { name: "hq.gateway_crash", doc: "The program of head office's gateway dies: memory is lost, the disk is kept; it starts again at the end.", on: Target::Hq, lasts: Lasts::Needed, settings: &[
        Key::or("power", Ty::Bool, "false", "Whether it loses power too: what is not synced is lost, and no connection is closed."),
    ] },
    Kind { name: "region.outage", doc: "All stores of a region lose their primary line.", on: Target::Region, lasts: Lasts::Needed, settings: &[
        Key::may("heal", Ty::Word(&DIST_TIME), "\"uniform(0s, 20s)\"", "How much later each store sees its end."),
    ] },
];

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    FAULTS.iter().find(|k| k.name == name)
}

impl Kind {
    /// The setting of this name, common ones included.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        COMMON.iter().chain(self.settings).find(|k| k.name == name)
    }

    /// All settings, common ones first.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        COMMON.iter().chain(self.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_twenty_two_kinds_in_the_order_of_what_they_act_on() {
        assert_eq!(FAULTS.len(), 22);
        let mut families: Vec<_> = FAULTS
            .iter()
            .filter_map(|k| k.name.split('.').next())
            .collect();
        families.dedup();
        let expect = [
            "link", "dns", "node", "store", "disk", "clock", "hq", "region",
        ];
        assert_eq!(families, expect);
    }

    #[test]
    fn no_kind_hides_a_common_setting() {
        for kind in FAULTS {
            assert!(kind.doc.ends_with('.'), "{}", kind.name);
            for key in kind.settings {
                assert!(
                    COMMON.iter().all(|c| c.name != key.name),
                    "{}.{}",
                    kind.name,
                    key.name
                );
            }
        }
    }
}
