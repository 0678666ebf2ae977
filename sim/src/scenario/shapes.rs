//! The tables of keys of a scenario, section by section. Faults have a table of their own (`fault::table`).
//!
//! The reader, the JSON Schema, dotted paths and `explain` all go by these. Defaults stand here and nowhere else in words;
//! a test reads them back.

use backroom_collector::config::{
    COLLECTOR,
    quantity::{DURATION, EVENT_RATE, RATE, SIZE},
    shape::{Key, Shape, Ty},
};

use super::{
    parse::{OBSERVE, THAT, WINDOW},
    shop_shapes,
    words::{
        ARRIVALS, CONFIDENCE, DIST_COUNT, DIST_TIME, LOSS, MONEY, NAME, PROPORTION, SEEDS, SERVICE,
        START, TRAFFIC_RATE,
    },
};

/// The whole file.
#[rustfmt::skip]
pub static TOP: Shape = Shape {
    doc: "A scenario: a store, its traffic, what goes wrong, what must hold.",
    keys: &[
        Key::may("schema", Ty::Integer(0, i64::MAX), "1", "Version of the language: 1."),
        Key::may("name", Ty::Word(&NAME), "\"lunch-uplink-cut\"", "Short name; the file's name unless given."),
        Key::may("description", Ty::Text, "\"15 min of dead uplink at the lunch peak\"", "The question that it answers."),
        Key::or("kind", Ty::Choice(&["scenario", "template"]), "\"scenario\"", "A template describes a store and is used by scenarios; it has no start and no end."),
        Key::may("use", Ty::List(&Ty::Text), "[\"stores/qsr-18.toml\"]", "Templates, relative to this file; later ones win, and this file wins over all."),
        Key::may("seed", Ty::Integer(0, i64::MAX), "7", "One seed."),
        Key::may("seeds", Ty::Either(&[Ty::Word(&SEEDS), Ty::Integer(1, 1_000_000), Ty::List(&Ty::Integer(0, i64::MAX))]), "\"1..=20\"", "Several seeds: a range, a count, or a list."),
        Key::may("start", Ty::Word(&START), "\"2025-03-14T11:30:00-05:00\"", "Store-local wall clock at the start of the run."),
        Key::or("warmup", Ty::Word(&DURATION), "\"0s\"", "Time at the start that is not judged; lies inside `duration`."),
        Key::may("duration", Ty::Word(&DURATION), "\"90m\"", "Length of the run."),
        Key::or("fidelity", Ty::Choice(&["packet", "flow"]), "\"packet\"", "Every packet, or fluid flows."),
        Key::may("vars", Ty::Map(&Ty::Any), "{ mttr = \"exp(mean=2h)\" }", "Values that texts refer to as ${vars.NAME}."),
        Key::may("limits", Ty::Table(&LIMITS), "{ wall_time = \"10m\" }", "What a run may cost."),
        Key::may("node", Ty::Named(&NODE), "{ kiosk = { role = \"kiosk\", count = 6 } }", "Groups of equal machines."),
        Key::may("disk", Ty::Named(&DISK), "{ emmc = { size = \"8GiB\", write = \"18MB/s\", fsync = \"4ms\" } }", "Kinds of disks."),
        Key::may("link", Ty::Named(&LINK), "{ uplink = { between = [\"router\", \"hq\"], up = \"2Mbit/s\", down = \"10Mbit/s\", delay = \"17ms\" } }", "Links; up is from the first end to the second."),
        Key::may("class", Ty::Named(&CLASS), "{ payment = { priority = 0 } }", "Traffic classes."),
        Key::may("failover", Ty::Table(&FAILOVER), "{ primary = \"uplink\", backup = \"lte\" }", "How the router chooses its line."),
        Key::may("fleet", Ty::Table(&FLEET), "{ stores = 2000 }", "Many stores."),
        Key::may("hq", Ty::Table(&HQ), "{ ingest = \"20MB/s\" }", "Head office."),
        Key::may("catalog", Ty::Table(&shop_shapes::CATALOG), "{ class = \"media\", menu = { bytes = \"2MB\", publish = \"schedule(10:30)\" } }", "What head office publishes and the store keeps: the menu, and a large set of reference data."),
        Key::may("stock", Ty::Table(&shop_shapes::STOCK), "{ items = 40, start = \"uniform(20, 80)\" }", "What the store has of each item of its menu."),
        Key::may("offers", Ty::Table(&shop_shapes::OFFERS), "{ scans = \"30/h\", class = \"order\" }", "Offers that customers show on their phones."),
        Key::may("traffic", Ty::Named(&TRAFFIC), "{ telemetry = { from = [\"store/*\"], arrivals = \"constant\", rate = \"48KB/s\", class = \"telemetry\" } }", "What the store does: orders, telemetry, media."),
        Key::may("profile", Ty::Named(&PROFILE), "{ lunch-peak = { hours = { 12 = 1.0 } } }", "How traffic changes over hours and days."),
        Key::may("collector", Ty::Table(&COLLECTOR), "{ buffer = { disk = \"512MiB\" } }", "The collector's own configuration."),
        Key::may("fault", Ty::Tables(&ANY_FAULT), "[{ id = \"uplink-cut\", kind = \"link.down\", on = \"uplink\", at = \"12:05\", for = \"15m\" }]", "What goes wrong."),
        Key::may("expect", Ty::Tables(&EXPECT), "[{ id = \"no-order-lost\", that = \"count(order.lost) == 0\" }]", "What must hold."),
        Key::may("oracle", Ty::Tables(&ORACLE), "[{ id = \"fluid\", model = \"fluid_recovery\", fault = \"uplink-cut\", observe = \"recovery(telemetry.backlog, below=256KiB)\", tolerance = \"8%\" }]", "Closed forms that the run is checked against."),
        Key::may("sweep", Ty::Table(&SWEEP), "{ grid = { \"collector.buffer.disk\" = [\"64MiB\", \"128MiB\"] } }", "Settings to vary."),
        Key::may("report", Ty::Table(&REPORT), "{ plots = [\"timeline\"] }", "What the report shows."),
    ],
};

#[rustfmt::skip]
pub(super) static LIMITS: Shape = Shape {
    doc: "What a run may cost.",
    keys: &[
        Key::may("wall_time", Ty::Word(&DURATION), "\"10m\"", "Wall-clock time of one seed: beyond it, it is stopped and has no verdict. A slower machine meets it sooner; `--timeout-per-seed` takes its place."),
        Key::may("memory", Ty::Word(&SIZE), "\"1GiB\"", "Memory that the process of a seed may hold (its resident set): beyond it, it is stopped and has no verdict. Held where the system tells it (Linux)."),
    ],
};

/// Most machines of a group.
pub(super) const GROUP_MAX: i64 = 1000;

/// A group of machines.
#[rustfmt::skip]
static NODE: Shape = Shape {
    doc: "A group of equal machines, called NAME-1, NAME-2, …, or NAME where there is one.",
    keys: &[
        Key::need("role", Ty::Choice(&["kiosk", "pos", "broker", "kds", "signage", "collector", "printer", "stock", "catalog", "mobile", "custom"]), "\"kiosk\"", "What they do."),
        Key::or("count", Ty::Integer(1, GROUP_MAX), "1", "How many."),
        Key::or("boot", Ty::Word(&DIST_TIME), "\"const(30s)\"", "Time from power-on to running."),
        Key::may("disk", Ty::Text, "\"emmc\"", "Its kind of disk, from [disk.NAME]."),
        Key::may("service", Ty::Word(&SERVICE), "\"lognormal(p50=2ms, p99=18ms)\"", "Time to serve one message; of a custom machine the name of its program."),
        Key::may("config", Ty::Map(&Ty::Any), "{ every = \"10s\" }", "Custom machines only: what their program is told."),
        Key::may("offline_payments", Ty::Table(&OFFLINE), "{ max_age = \"24h\", max_each = \"50 USD\", max_total = \"2000 USD\" }", "Limits of offline card payments (POS only)."),
        Key::may("stand_in", Ty::Table(&STAND_IN), "{ floor = \"25 USD\", per_card = 3, per_card_total = \"60 USD\", max_age = \"72h\" }", "Limits of card payments that a till approves in head office's place (POS only)."),
        Key::may("printer", Ty::Table(&shop_shapes::PRINTER), "{ line = \"60ms\", roll = 1500 }", "How it prints (printers only)."),
    ],
};

#[rustfmt::skip]
static OFFLINE: Shape = Shape {
    doc: "Limits of offline card payments.",
    keys: &[
        Key::need("max_age", Ty::Word(&DURATION), "\"24h\"", "Age after which a stored payment expires."),
        Key::need("max_each", Ty::Word(&MONEY), "\"50 USD\"", "Largest single payment."),
        Key::need("max_total", Ty::Word(&MONEY), "\"2000 USD\"", "All stored payments of one POS together."),
    ],
};

#[rustfmt::skip]
static STAND_IN: Shape = Shape {
    doc: "Limits of card payments that a till approves in head office's place, when nobody answers.",
    keys: &[
        Key::need("floor", Ty::Word(&MONEY), "\"25 USD\"", "Largest single payment: the floor limit."),
        Key::need("per_card", Ty::Integer(1, 1000), "3", "Approvals of one till for one card within the window."),
        Key::need("per_card_total", Ty::Word(&MONEY), "\"60 USD\"", "Their sum."),
        Key::or("within", Ty::Word(&DURATION), "\"24h\"", "The window of both limits, by the till's wall clock."),
        Key::need("max_age", Ty::Word(&DURATION), "\"72h\"", "Age after which an approval that head office has not heard of expires."),
        Key::or("cards", Ty::Integer(1, 100_000_000), "5000", "Different cards that customers pay with, each as likely as any other."),
    ],
};

#[rustfmt::skip]
static DISK: Shape = Shape {
    doc: "A kind of disk.",
    keys: &[
        Key::need("size", Ty::Word(&SIZE), "\"8GiB\"", "Its size."),
        Key::may("free", Ty::Word(&SIZE), "\"3GiB\"", "Free space at the start; all of it unless given."),
        Key::need("write", Ty::Word(&RATE), "\"18MB/s\"", "Sequential write rate."),
        Key::need("fsync", Ty::Word(&DIST_TIME), "\"lognormal(p50=4ms, p99=60ms)\"", "Time of one fsync."),
        Key::or("on_power_cut", Ty::Choice(&["lose-unsynced", "tear-last-block", "keep"]), "\"lose-unsynced\"", "What becomes of unsynced data."),
    ],
};

#[rustfmt::skip]
static LINK: Shape = Shape {
    doc: "A link; up is from the first end to the second.",
    keys: &[
        Key::need("between", Ty::List(&Ty::Text), "[\"router\", \"hq\"]", "Both ends: store/*, router, hq, or a machine."),
        Key::or("role", Ty::Choice(&["primary", "backup"]), "\"primary\"", "Whether it is a backup line."),
        Key::need("up", Ty::Word(&RATE), "\"2Mbit/s\"", "Capacity upwards."),
        Key::need("down", Ty::Word(&RATE), "\"10Mbit/s\"", "Capacity downwards."),
        Key::need("delay", Ty::Word(&DIST_TIME), "\"lognormal(p50=17ms, p99=71ms)\"", "One-way delay."),
        Key::or("loss", Ty::Word(&LOSS), "\"0%\"", "Packet loss."),
        Key::may("queue", Ty::Table(&QUEUE), "{ bytes = \"256KiB\", discipline = \"priority\" }", "The buffer in front of the line."),
        Key::may("trace", Ty::Table(&TRACE), "{ file = \"line.txt\", format = \"cooked\", unit = \"Mbit/s\" }", "A recorded throughput that replaces `up` and `down`."),
    ],
};

#[rustfmt::skip]
static QUEUE: Shape = Shape {
    doc: "The buffer in front of a line.",
    keys: &[
        Key::or("bytes", Ty::Word(&SIZE), "\"256KiB\"", "Bytes that may wait."),
        Key::or("discipline", Ty::Choice(&["fifo", "priority"]), "\"fifo\"", "Who goes first: the longest waiting, or the class with the lowest number."),
    ],
};

/// A recording.
#[rustfmt::skip]
pub static TRACE: Shape = Shape {
    doc: "A recorded throughput.",
    keys: &[
        Key::need("file", Ty::Text, "\"traces/line.txt\"", "The recording, relative to this file; in --set relative to the working directory."),
        Key::or("format", Ty::Choice(&["cooked", "mahimahi"]), "\"cooked\"", "Lines of `seconds<TAB>throughput`, or of milliseconds that are opportunities for 1,500 bytes."),
        Key::or("unit", Ty::Choice(TRACE_UNITS), "\"Mbit/s\"", "Unit of the throughput in a cooked file."),
        Key::or("loop", Ty::Bool, "true", "Whether it starts over at its end; otherwise the last value stays."),
        Key::may("pick", Ty::Choice(&["first", "random"]), "\"random\"", "Which file, where `file` names several."),
    ],
};

/// Units of recordings.
pub static TRACE_UNITS: &[&str] = &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "B/s", "kB/s", "MB/s"];

#[rustfmt::skip]
static CLASS: Shape = Shape {
    doc: "A traffic class.",
    keys: &[
        Key::need("priority", Ty::Integer(0, 255), "1", "Lower goes first."),
        Key::or("max_share", Ty::Word(&PROPORTION), "\"100%\"", "Largest share of the line."),
    ],
};

#[rustfmt::skip]
static FAILOVER: Shape = Shape {
    doc: "How the router chooses its line.",
    keys: &[
        Key::need("primary", Ty::Text, "\"uplink\"", "The link that is used while it is well."),
        Key::need("backup", Ty::Text, "\"lte\"", "The link that is used while the primary is not."),
        Key::may("detect", Ty::Table(&DETECT), "{ probe = \"2s\", fails = 3 }", "When the primary counts as down."),
        Key::or("switch", Ty::Word(&DIST_TIME), "\"const(0s)\"", "Time from detection to the backup carrying traffic."),
        Key::may("failback", Ty::Table(&FAILBACK), "{ stable_for = \"60s\" }", "When the router goes back."),
        Key::may("allow", Ty::List(&Ty::Text), "[\"payment\", \"order\"]", "Classes that the backup may carry; all unless given."),
        Key::may("data_cap", Ty::Table(&DATA_CAP), "{ bytes = \"2GiB\", per = \"30d\" }", "Data allowance of the backup."),
    ],
};

#[rustfmt::skip]
static DETECT: Shape = Shape {
    doc: "When the primary counts as down.",
    keys: &[
        Key::or("probe", Ty::Word(&DURATION), "\"2s\"", "Interval between probes."),
        Key::or("fails", Ty::Integer(1, 1000), "3", "Probes that fail in a row."),
    ],
};

#[rustfmt::skip]
static FAILBACK: Shape = Shape {
    doc: "When the router goes back to the primary.",
    keys: &[Key::or("stable_for", Ty::Word(&DURATION), "\"60s\"", "Time that the primary must be well before.")],
};

#[rustfmt::skip]
static DATA_CAP: Shape = Shape {
    doc: "A data allowance.",
    keys: &[
        Key::need("bytes", Ty::Word(&SIZE), "\"2GiB\"", "The allowance."),
        Key::or("per", Ty::Word(&DURATION), "\"30d\"", "Its period."),
        Key::or("on_exceed", Ty::Choice(&["throttle", "block"]), "\"block\"", "What happens when it is used up."),
        Key::may("to", Ty::Word(&RATE), "\"128kbit/s\"", "Rate once it is used up, with `on_exceed = \"throttle\"`."),
    ],
};

#[rustfmt::skip]
static FLEET: Shape = Shape {
    doc: "Many stores.",
    keys: &[
        Key::need("stores", Ty::Integer(1, 10_000_000), "2000", "How many."),
        Key::may("regions", Ty::Map(&Ty::Integer(0, 10_000_000)), "{ gulf = 320 }", "Stores by region."),
        Key::may("vary", Ty::Map(&Ty::Text), "{ \"link.uplink.up\" = \"choice(1Mbit/s:20%, 2Mbit/s:80%)\" }", "Settings that differ from store to store."),
        Key::may("detail", Ty::Map(&Ty::Integer(0, 10_000_000)), "{ full = 24, flow = 1976 }", "How many are computed packet by packet (full) and as fluid flows (flow)."),
    ],
};

#[rustfmt::skip]
static HQ: Shape = Shape {
    doc: "Head office.",
    keys: &[
        Key::or("ingest", Ty::Word(&RATE), "\"20MB/s\"", "What it takes in."),
        Key::or("accepts", Ty::Word(&EVENT_RATE), "\"50/s\"", "New sessions."),
        Key::or("idle_timeout", Ty::Word(&DURATION), "\"10m\"", "Silence after which its services close a connection: a till that then asks again looks the name up and connects anew. 75 s is nginx's default, 60 s that of load balancers in clouds. A gateway has its own."),
        Key::or("auth", Ty::Word(&DIST_TIME), "\"lognormal(p50=120ms, p99=900ms)\"", "Time to authorise a payment."),
        Key::or("declines", Ty::Word(&PROPORTION), "\"0%\"", "Share of card payments that their issuers decline, asked at once or later."),
        Key::or("gateway", Ty::Bool, "false", "Whether a gateway stands in front of the OTLP sink: the collector's own code with role = \"gateway\", which drops what stores send again."),
    ],
};

#[rustfmt::skip]
static TRAFFIC: Shape = Shape {
    doc: "What the store does. Three names have a meaning: orders, telemetry, media.",
    keys: &[
        Key::need("from", Ty::List(&Ty::Text), "[\"kiosk\", \"pos\"]", "Who causes it: groups, store/*, or hq."),
        Key::may("to", Ty::List(&Ty::Text), "[\"signage\"]", "Who receives it."),
        Key::need("arrivals", Ty::Word(&ARRIVALS), "\"poisson\"", "When it happens."),
        Key::may("rate", Ty::Either(&[Ty::Word(&TRAFFIC_RATE), Ty::Table(&RATE_PROFILE)]), "\"48KB/s\"", "How much, of the whole store: a rate, or a profile with its peak."),
        Key::may("every", Ty::Word(&DURATION), "\"5s\"", "Telemetry: interval between two exports of a machine; 5s unless given."),
        Key::may("items", Ty::Word(&DIST_COUNT), "\"geometric(mean=2.2)\"", "Orders: items in an order."),
        Key::may("flow", Ty::List(&Ty::Table(&FLOW)), "[{ msg = \"order.placed\", to = \"broker\", bytes = \"1200B\", class = \"order\" }]", "Orders: what an order causes, in order."),
        Key::may("bytes", Ty::Word(&SIZE), "\"350MB\"", "Media: size. Telemetry that is listed: size of each arrival, of the whole store."),
        Key::may("class", Ty::Text, "\"telemetry\"", "Its traffic class."),
    ],
};

#[rustfmt::skip]
static RATE_PROFILE: Shape = Shape {
    doc: "A rate that changes over the day.",
    keys: &[
        Key::need("profile", Ty::Text, "\"lunch-peak\"", "The profile, from [profile.NAME]."),
        Key::need("peak", Ty::Word(&TRAFFIC_RATE), "\"180/h\"", "The rate where the profile is 1."),
    ],
};

/// One message of an order's flow.
#[rustfmt::skip]
pub static FLOW: Shape = Shape {
    doc: "One message of an order's flow.",
    keys: &[
        Key::need("msg", Ty::Choice(&["order.placed", "ticket.fire", "payment.auth", "order.sync", "receipt.print"]), "\"order.placed\"", "What it is."),
        Key::need("to", Ty::Text, "\"broker\"", "A group of machines, or hq."),
        Key::need("bytes", Ty::Word(&SIZE), "\"1200B\"", "Size of the message."),
        Key::or("reply", Ty::Word(&SIZE), "\"0B\"", "Size of the answer."),
        Key::need("class", Ty::Text, "\"order\"", "Its traffic class."),
        Key::may("timeout", Ty::Word(&DURATION), "\"8s\"", "Limit for the answer."),
        Key::may("offline", Ty::Choice(&["store-and-forward"]), "\"store-and-forward\"", "What happens when head office cannot be reached."),
        Key::or("durable", Ty::Bool, "false", "Whether it goes through the durable outbox."),
    ],
};

/// Keys of `days` of a profile.
pub(super) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[rustfmt::skip]
static PROFILE: Shape = Shape {
    doc: "Share of the busiest hour, store-local time.",
    keys: &[
        Key::need("hours", Ty::Map(&Ty::Number(0.0, 100.0)), "{ 12 = 1.0 }", "By hour of the day; 0 where an hour is not given."),
        Key::may("days", Ty::Map(&Ty::Number(0.0, 100.0)), "{ fri = 1.15, sun = 0.0 }", "By day of the week; 1 where a day is not given."),
    ],
};

/// A fault of any kind; the reader goes by the table of kinds.
static ANY_FAULT: Shape = Shape {
    doc: "Something that goes wrong.",
    keys: crate::fault::table::COMMON_KEYS,
};

/// What must hold.
#[rustfmt::skip]
pub static EXPECT: Shape = Shape {
    doc: "Something that must hold.",
    keys: &[
        Key::need("id", Ty::Word(&NAME), "\"no-order-lost\"", "Its name."),
        Key::need("that", Ty::Word(&THAT), "\"count(order.lost) == 0\"", "What must hold."),
        Key::or("window", Ty::Word(&WINDOW), "\"whole run\"", "When it is judged."),
        Key::or("severity", Ty::Choice(&["error", "warn"]), "\"error\"", "Whether a failure fails the run, or is only shown."),
        Key::may("min_samples", Ty::Integer(1, i64::MAX), "30", "Samples that a percentile needs: 100 for p99 and above and 30 otherwise, unless given."),
        Key::may("confidence", Ty::Word(&CONFIDENCE), "\"95%\"", "How sure the verdict must be, else it is inconclusive; without it the verdict is on the value itself."),
    ],
};

/// A closed form to be checked.
#[rustfmt::skip]
pub static ORACLE: Shape = Shape {
    doc: "A closed form that the run is checked against.",
    keys: &[
        Key::need("id", Ty::Word(&NAME), "\"fluid-recovery\"", "Its name."),
        Key::need("model", Ty::Text, "\"fluid_recovery\"", "The closed form."),
        Key::may("fault", Ty::Text, "\"uplink-cut\"", "The fault that it is about; `queue_wait` is about none."),
        Key::need("observe", Ty::Word(&OBSERVE), "\"recovery(telemetry.backlog, below=256KiB)\"", "What is observed in the run."),
        Key::need("tolerance", Ty::Word(&PROPORTION), "\"8%\"", "How far the run may be from the theory, in either direction."),
        Key::may("when", Ty::Map(&Ty::Any), "{ \"vars.mttr\" = \"exp(mean=2h)\" }", "Settings for which the closed form holds; it is skipped for others."),
    ],
};

#[rustfmt::skip]
static SWEEP: Shape = Shape {
    doc: "Settings to vary, and how.",
    keys: &[
        Key::need("grid", Ty::Map(&Ty::Any), "{ \"collector.buffer.disk\" = [\"64MiB\", \"128MiB\"] }", "Values by dotted path; every combination is run."),
        Key::may("skip", Ty::List(&Ty::Map(&Ty::Any)), "[{ \"hq.ingest\" = \"14MB/s\" }]", "Combinations to leave out."),
        Key::may("seeds_per_point", Ty::Integer(1, 1_000_000), "400", "Seeds of each combination; those of the scenario unless given."),
        Key::or("order", Ty::Choice(&["as-written", "coarse-to-fine"]), "\"as-written\"", "Which combinations run first."),
        Key::may("stop_when", Ty::Table(&STOP_WHEN), "{ half_width = \"10%\", of = \"ratio(telemetry.dropped, telemetry.generated)\" }", "When a combination has had enough seeds."),
    ],
};

#[rustfmt::skip]
static STOP_WHEN: Shape = Shape {
    doc: "When a combination has had enough seeds.",
    keys: &[
        Key::need("half_width", Ty::Word(&PROPORTION), "\"10%\"", "Half width of the confidence interval, relative to the value."),
        Key::need("of", Ty::Word(&OBSERVE), "\"ratio(telemetry.dropped, telemetry.generated)\"", "What is measured."),
    ],
};

#[rustfmt::skip]
static REPORT: Shape = Shape {
    doc: "What the report shows.",
    keys: &[
        Key::may("plots", Ty::List(&Ty::Choice(&[
            "timeline", "backlog", "latency-quantiles", "link-bytes-by-class", "clock-error", "sweep-heatmap",
            "loss-vs-buffer", "lag-ccdf", "hq-load", "recovery-cdf",
        ])), "[\"timeline\", \"backlog\"]", "Plots, in order."),
        Key::may("attach", Ty::List(&Ty::Choice(&["perfetto", "hlog"])), "[\"perfetto\"]", "Files beside the report."),
        Key::may("rows", Ty::Text, "\"hq.ingest\"", "Sweeps: the setting in rows."),
        Key::may("columns", Ty::Text, "\"collector.retry.backoff\"", "Sweeps: the setting in columns."),
        Key::may("cell", Ty::Text, "\"p95(recovery(telemetry.backlog, below=256KiB))\"", "Sweeps: what a cell shows."),
        Key::may("baseline", Ty::Text, "\"runs/buffer-sizing/main\"", "The run to compare with."),
        Key::may("answer", Ty::Text, "\"smallest collector.buffer.disk where one-in-ten-thousand passes\"", "Sweeps: the question to answer."),
        Key::may("quantiles", Ty::List(&Ty::Text), "[\"p99.5\"]", "Percentiles to keep besides p50, p75, p90, p95, p99 and p999."),
    ],
};
