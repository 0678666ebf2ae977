//! Machines, disks, lines, classes, head office, traffic.

use std::{path::PathBuf, time::Duration};

use backroom_collector::config::{
    BitRate, ByteSize, Diagnostic, Fields,
    codes::{E0101, E0102, E0105, E0107},
    did_you_mean,
    fields::report,
    quantity,
    shape::Ty,
    tree::{Node, Table, Value},
};
use indexmap::IndexMap;

use super::{ByName, Cx};
use crate::{
    dist::Dist,
    scenario::{
        ClassSpec, DataCap, Discipline, DiskSpec, Failover, FlowStep, Hq, LinkSpec, Loss, Media,
        Node as Group, OfflinePayments, OnPowerCut, OrderArrivals, Orders, Profile, QueueSpec,
        Role, StandIn, Telemetry, TraceFormat, TraceSpec, codes, merge, replay,
        shapes::{DAYS, GROUP_MAX},
        time::Clock,
        words::{self, Arrivals},
    },
    world::MACHINES_MAX,
};

/// Orders of a store in a second: far above any, and what the engine gets through in bearable time.
const ORDERS_PER_SECOND_MAX: f64 = 10_000.0;

/// Bytes of telemetry of a store in a second.
const TELEMETRY_PER_SECOND_MAX: f64 = 1e9;

/// What the three kinds of traffic resolve to.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) orders: Option<Orders>,
    pub(super) telemetry: Option<Telemetry>,
    pub(super) media: Option<Media>,
}

impl Cx<'_> {
    pub(super) fn nodes(&self) -> ByName<Group> {
        let roles = [
            ("kiosk", Role::Kiosk),
            ("pos", Role::Pos),
            ("broker", Role::Broker),
            ("kds", Role::Kds),
            ("signage", Role::Signage),
            ("collector", Role::Collector),
            ("printer", Role::Printer),
            ("stock", Role::Stock),
            ("catalog", Role::Catalog),
            ("mobile", Role::Mobile),
            ("custom", Role::Custom),
        ];
        let mut nodes = IndexMap::new();
        let mut total = 0_u64;
        for (name, key, f) in self.top.named("node") {
            if matches!(name.as_str(), "store" | "router" | "hq" | "gateway") {
                self.sink.push(
                    Diagnostic::error(&E0107, format!("`{name}` exists without being declared"))
                        .at(key, "a name with a meaning"),
                );
            }
            if let Err(err) = words::name(&name) {
                self.sink
                    .push(Diagnostic::error(err.code, err.title).at(key, err.label));
            }
            let disk = f
                .has("disk")
                .then(|| self.reference(&f, "disk", "disk", &self.disks));
            let offline_payments = f.fields("offline_payments").and_then(|f| {
                Some(OfflinePayments {
                    max_age: f.text("max_age", quantity::duration)?,
                    max_each: f.text("max_each", words::money)?,
                    max_total: f.text("max_total", words::money)?,
                })
            });
            let stand_in = f.fields("stand_in").and_then(|f| self.stand_in(&f));
            let role = f.choice("role", &roles).unwrap_or(Role::Kiosk);
            let (service, custom) = self.service(&f, role);
            let node = Group {
                role,
                count: self.machines(&f),
                boot: self.dist_time(&f, "boot", Dist::Const(30.0)),
                disk,
                service,
                offline_payments,
                stand_in,
                printer: self.printer(&f, role),
                custom,
            };
            for key in ["offline_payments", "stand_in"] {
                if f.has(key) && node.role != Role::Pos {
                    self.sink.push(
                        Diagnostic::error(&E0107, "only a POS takes payments")
                            .at(f.key_span(key), "this is no POS"),
                    );
                }
            }
            total += u64::from(node.count);
            // The router is none of a world's machines, head office is.
            if total >= MACHINES_MAX as u64 && total - u64::from(node.count) < MACHINES_MAX as u64 {
                self.refuse(
                    f.node("count").map_or(key, |n| n.span),
                    format!(
                        "has {total} machines or more; a store has at most {}",
                        MACHINES_MAX - 1
                    ),
                );
            }
            nodes.insert(name, node);
        }
        nodes
    }

    /// How many machines a group has; 1 where that was not to be read.
    fn machines(&self, f: &Fields<'_>) -> u32 {
        if let Some(node) = f.node("count")
            && let Value::Integer(n) = node.value
            && !(1..=GROUP_MAX).contains(&n)
        {
            let help = match n < 1 {
                true => String::from("leave the whole table out where there is none"),
                false => format!(
                    "a store runs with at most {}; more customers are a higher `rate`, more stores are `[fleet] stores`",
                    MACHINES_MAX - 1
                ),
            };
            self.sink.push(
                Diagnostic::error(&E0107, "`count` is out of range")
                    .at(node.span, format!("not within 1 and {GROUP_MAX}"))
                    .help(help),
            );
            return 1;
        }
        f.integer("count")
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(1)
    }

    fn stand_in(&self, f: &Fields<'_>) -> Option<StandIn> {
        let whole = |key: &str| f.integer(key).and_then(|n| u32::try_from(n).ok());
        let limits = StandIn {
            floor: f.text("floor", words::money)?,
            per_card: whole("per_card")?,
            per_card_total: f.text("per_card_total", words::money)?,
            within: f
                .text("within", quantity::duration)
                .unwrap_or(Duration::from_secs(24 * 3600)),
            max_age: f.text("max_age", quantity::duration)?,
            cards: whole("cards").unwrap_or(5000),
        };
        if limits.per_card_total < limits.floor {
            let title = "no payment as large as `floor` could be approved";
            self.sink.push(
                Diagnostic::error(&E0107, title)
                    .at(f.key_span("per_card_total"), "less than `floor`")
                    .see(f.key_span("floor"), "the floor limit"),
            );
        }
        Some(limits)
    }

    pub(super) fn disks(&self) -> ByName<DiskSpec> {
        let on_power_cut = [
            ("lose-unsynced", OnPowerCut::LoseUnsynced),
            ("tear-last-block", OnPowerCut::TearLastBlock),
            ("keep", OnPowerCut::Keep),
        ];
        let mut disks = IndexMap::new();
        for (name, _, f) in self.top.named("disk") {
            let size = f.text("size", quantity::byte_size).unwrap_or_default();
            let free = f.text("free", quantity::byte_size).unwrap_or(size);
            if let (true, Some(node)) = (free > size, f.node("free")) {
                self.sink.push(
                    Diagnostic::error(&E0107, "more space is free than there is")
                        .at(node.span, "more than `size`"),
                );
            }
            let disk = DiskSpec {
                size,
                free,
                write_bytes_per_second: self.positive_rate(&f, "write").bytes_per_second(),
                fsync: self.dist_time(&f, "fsync", Dist::Const(0.0)),
                on_power_cut: f
                    .choice("on_power_cut", &on_power_cut)
                    .unwrap_or(OnPowerCut::LoseUnsynced),
            };
            disks.insert(name, disk);
        }
        disks
    }

    /// A rate that must be more than zero; 1 bit/s where it cannot be read.
    fn positive_rate(&self, f: &Fields<'_>, key: &str) -> BitRate {
        let rate = f.text(key, quantity::bit_rate);
        if let (Some(BitRate(0)), Some(node)) = (rate, f.node(key)) {
            self.sink.push(
                Diagnostic::error(&E0107, format!("`{key}` cannot be zero"))
                    .at(node.span, "nothing would ever get through")
                    .help(String::from("a dead line is a fault: kind = \"link.down\"")),
            );
        }
        rate.unwrap_or(BitRate(1))
    }

    pub(super) fn links(&self) -> ByName<LinkSpec> {
        let mut links = IndexMap::new();
        for (name, key, f) in self.top.named("link") {
            if let Err(err) = words::name(&name) {
                self.sink
                    .push(Diagnostic::error(err.code, err.title).at(key, err.label));
            }
            let link = LinkSpec {
                between: self.between(&f),
                backup: f
                    .choice("role", &[("primary", false), ("backup", true)])
                    .unwrap_or(false),
                up: self.positive_rate(&f, "up"),
                down: self.positive_rate(&f, "down"),
                delay: self.dist_time(&f, "delay", Dist::Const(0.0)),
                loss: f.text("loss", words::loss).unwrap_or(Loss::Bernoulli(0.0)),
                queue: queue(&f),
                trace: f.fields("trace").and_then(|f| self.trace(&f)),
            };
            links.insert(name, link);
        }
        links
    }

    /// Both ends of a link.
    fn between(&self, f: &Fields<'_>) -> (String, String) {
        let Some(ends) = f.strings("between") else {
            return Default::default();
        };
        for (name, node) in &ends {
            self.machine(name, node, &["store/*", "router", "hq"]);
        }
        match ends.as_slice() {
            [(a, _), (b, node)] if a == b => {
                self.sink.push(
                    Diagnostic::error(&E0107, "a link leads from one place to another")
                        .at(node.span, "the same end twice")
                        .help(String::from(
                            "write between = [\"router\", \"hq\"], or [\"store/*\", \"router\"] inside the store",
                        )),
                );
                Default::default()
            }
            [(a, _), (b, _)] => (a.clone(), b.clone()),
            _ => {
                if let Some(node) = f.node("between") {
                    self.sink.push(
                        Diagnostic::error(&E0107, "a link has two ends")
                            .at(node.span, format!("this has {}", ends.len()))
                            .help(String::from("write between = [\"router\", \"hq\"]")),
                    );
                }
                Default::default()
            }
        }
    }

    /// The recording of a link. A file that is not there is an error: the link could not run.
    pub(super) fn trace(&self, f: &Fields<'_>) -> Option<TraceSpec> {
        let node = f.node("file")?;
        let name = f.string("file")?;
        let file = self.recording(node, &name)?;
        let is_one_of_several = f.has("pick") || name.contains(['*', '?']);
        if is_one_of_several {
            self.refuse(node.span, "picks one of several recordings");
        }
        let formats = [
            ("cooked", TraceFormat::Cooked),
            ("mahimahi", TraceFormat::Mahimahi),
        ];
        let spec = TraceSpec {
            file,
            format: f.choice("format", &formats).unwrap_or(TraceFormat::Cooked),
            unit_bits_per_second: f.choice("unit", crate::link::units()).unwrap_or(1e6),
            repeat: f.bool("loop").unwrap_or(true),
        };
        // What `check` accepts must start: a recording is read here, as it will be when a link plays it.
        if let (false, Err(err)) = (is_one_of_several, crate::link::load(&spec)) {
            let line = err.line.map_or(String::new(), |n| format!("line {n}: "));
            self.sink.push(
                Diagnostic::error(&codes::E0115, format!("`{name}` cannot be played"))
                    .at(node.within(0..name.len()), format!("{line}{}", err.message))
                    .help(String::from(
                        "`format` says how to read it; `backroom trace import` reads other shapes and writes one that fits",
                    )),
            );
            return None;
        }
        Some(spec)
    }

    /// Where a recording is; reports one that is not there. Patterns are looked up when they are needed.
    pub(super) fn recording(&self, node: &Node, name: &str) -> Option<PathBuf> {
        let file = merge::path_from(self.sources, node, name);
        if name.contains(['*', '?']) {
            let folder = file
                .ancestors()
                .find(|p| !p.to_string_lossy().contains(['*', '?']));
            if folder.is_none_or(|p| !p.is_dir()) {
                self.sink.push(
                    Diagnostic::warning(&codes::W0606, format!("no recording matches `{name}`"))
                        .at(node.within(0..name.len()), "nothing there yet"),
                );
            }
        } else if !file.is_file() {
            self.sink.push(
                Diagnostic::error(
                    &codes::E0112,
                    format!("there is no file `{}`", file.display()),
                )
                .at(node.within(0..name.len()), "not found"),
            );
            return None;
        }
        Some(file)
    }

    pub(super) fn classes(&self) -> ByName<ClassSpec> {
        let mut classes = IndexMap::new();
        for (name, _, f) in self.top.named("class") {
            let class = ClassSpec {
                priority: f
                    .integer("priority")
                    .and_then(|n| u8::try_from(n).ok())
                    .unwrap_or_default(),
                max_share: f.text("max_share", quantity::proportion).unwrap_or(1.0),
            };
            classes.insert(name, class);
        }
        classes
    }

    pub(super) fn failover(&self) -> Option<Failover> {
        self.top.node("failover")?;
        let f = self.top.fields("failover")?;
        let detect = f.fields("detect");
        let allow = match f.has("allow") {
            true => f.strings("allow").unwrap_or_default(),
            false => Vec::new(),
        };
        for (name, node) in &allow {
            self.declared("class", name, node, self.classes.iter().map(String::as_str));
        }
        Some(Failover {
            primary: self.reference(&f, "primary", "link", &self.links),
            backup: self.reference(&f, "backup", "link", &self.links),
            probe: detect
                .as_ref()
                .and_then(|d| d.text("probe", quantity::duration))
                .unwrap_or(Duration::from_secs(2)),
            fails: detect
                .as_ref()
                .and_then(|d| d.integer("fails"))
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(3),
            switch: self.dist_time(&f, "switch", Dist::Const(0.0)),
            stable_for: f
                .fields("failback")
                .and_then(|b| b.text("stable_for", quantity::duration))
                .unwrap_or(Duration::from_secs(60)),
            allow: match f.has("allow") {
                true => allow.into_iter().map(|(name, _)| name).collect(),
                false => self.classes.clone(),
            },
            data_cap: f.fields("data_cap").and_then(|c| self.data_cap(&c)),
        })
    }

    fn data_cap(&self, f: &Fields<'_>) -> Option<DataCap> {
        let throttles = f
            .choice("on_exceed", &[("throttle", true), ("block", false)])
            .unwrap_or(false);
        let to = f.text("to", quantity::bit_rate);
        if throttles && !f.has("to") {
            self.sink.push(
                Diagnostic::error(&E0101, "a throttled line needs a rate")
                    .at(f.key_span("on_exceed"), "throttled to what?")
                    .help(String::from("add `to = \"128kbit/s\"`")),
            );
        }
        Some(DataCap {
            bytes: f.text("bytes", quantity::byte_size)?,
            per: f
                .text("per", quantity::duration)
                .unwrap_or(Duration::from_secs(30 * 86_400)),
            throttle_to: to.filter(|_| throttles),
        })
    }

    pub(super) fn hq(&self) -> Hq {
        let default_auth = Dist::LogNormal {
            p50: 0.12,
            p99: 0.9,
        };
        let f = self.top.fields("hq");
        let f = f.as_ref();
        Hq {
            ingest_bytes_per_second: f
                .and_then(|f| f.text("ingest", quantity::bit_rate))
                .unwrap_or(BitRate(160_000_000))
                .bytes_per_second(),
            accepts_per_second: f
                .and_then(|f| f.text("accepts", quantity::events_per_second))
                .unwrap_or(50.0),
            idle_timeout: f
                .and_then(|f| self.idle_timeout(f))
                .unwrap_or(Duration::from_secs(600)),
            auth: f.map_or(default_auth.clone(), |f| {
                self.dist_time(f, "auth", default_auth)
            }),
            declines: f
                .and_then(|f| f.text("declines", quantity::proportion))
                .unwrap_or(0.0),
            gateway: f.and_then(|f| f.bool("gateway")).unwrap_or(false),
        }
    }

    fn idle_timeout(&self, f: &Fields<'_>) -> Option<Duration> {
        let silence = f.text("idle_timeout", quantity::duration)?;
        if let (true, Some(node)) = (silence < Duration::from_secs(1), f.node("idle_timeout")) {
            self.sink.push(
                Diagnostic::error(&E0107, "`idle_timeout` is out of range")
                    .at(
                        node.span,
                        "less than 1s: a slow client would never be heard",
                    )
                    .help(String::from(
                        "nginx closes after \"75s\"; \"10m\" is the default here",
                    )),
            );
            return None;
        }
        Some(silence)
    }

    pub(super) fn traffic(&self) -> Traffic {
        let profiles = self.profiles();
        let mut traffic = Traffic::default();
        for (name, key, f) in self.top.named("traffic") {
            let from = self.parties(&f, "from");
            let to = match f.has("to") {
                true => self.parties(&f, "to"),
                false => Vec::new(),
            };
            let arrivals = f.text("arrivals", words::arrivals);
            match name.as_str() {
                "orders" => traffic.orders = self.orders(&f, from, arrivals, &profiles),
                "telemetry" => {
                    traffic.telemetry = self.telemetry(&f, from, arrivals, &profiles);
                }
                "media" => {
                    if let Some(Arrivals::Schedule(times)) = &arrivals {
                        let at = times.iter().map(|t| Duration::from_secs((*t).into()));
                        traffic.media = self.media(&f, at.collect(), to);
                    } else if let (Some(_), Some(node)) = (&arrivals, f.node("arrivals")) {
                        self.refuse(node.span, "sends media other than by `schedule`");
                    }
                }
                _ => {
                    f.check_all();
                    self.refuse(
                        key,
                        format!("has traffic other than orders, telemetry and media: `{name}`"),
                    );
                }
            }
        }
        traffic
    }

    /// Who sends or receives: groups, `store/*`, hq.
    fn parties(&self, f: &Fields<'_>, key: &str) -> Vec<String> {
        let list = f.strings(key).unwrap_or_default();
        for (name, node) in &list {
            self.machine(name, node, &["store/*", "hq"]);
        }
        list.into_iter().map(|(name, _)| name).collect()
    }

    /// Reports keys that this kind of traffic cannot do without; whether all are there.
    fn needs(&self, f: &Fields<'_>, keys: &[&str]) -> bool {
        for key in keys.iter().filter(|k| !f.has(k)) {
            self.sink.push(
                Diagnostic::error(&E0101, format!("`{}` needs `{key}`", f.place()))
                    .at(f.span(), format!("no `{key}` here")),
            );
        }
        keys.iter().all(|k| f.has(k))
    }

    /// Whether arrivals are listed, which have no rate, and whether all keys are there that the one or the other needs.
    fn has_rate_or_list(
        &self,
        f: &Fields<'_>,
        arrivals: &Option<Arrivals>,
        with_rate: &[&str],
        with_list: &[&str],
    ) -> (bool, bool) {
        let is_listed = matches!(
            arrivals,
            Some(Arrivals::Schedule(_) | Arrivals::Replay { .. })
        );
        let complete = match is_listed {
            true => self.needs(f, with_list),
            false => self.needs(f, &[&["rate"], with_rate].concat()),
        };
        // A template's rate cannot be taken away by the file that lists arrivals in its place.
        let beside = || f.key_span("rate").file == f.key_span("arrivals").file;
        if is_listed && f.has("rate") && beside() {
            let what = f.place();
            let what = what.rsplit('.').next().unwrap_or_default();
            self.sink.push(
                Diagnostic::error(
                    &codes::E0209,
                    format!("{what} that are listed have no rate"),
                )
                .at(f.key_span("rate"), "a rate")
                .see(f.key_span("arrivals"), "a list"),
            );
        }
        (is_listed, complete)
    }

    /// A rate, plain or of a profile's peak.
    fn arrival_rate(
        &self,
        f: &Fields<'_>,
        profiles: &ByName<Profile>,
        plain: impl Fn(&Fields<'_>) -> Option<f64>,
        peak: impl Fn(&Fields<'_>) -> Option<f64>,
    ) -> (Option<f64>, Option<Profile>) {
        match f.node("rate").and_then(Node::as_table) {
            Some(_) => {
                let Some(r) = f.fields("rate") else {
                    return (None, None);
                };
                let name = self.reference(&r, "profile", "profile", &self.profiles);
                (peak(&r), profiles.get(&name).cloned())
            }
            None => (plain(f), None),
        }
    }

    /// Reports a rate of traffic that no store has and no run would ever get through: a slip of its unit, as a rule.
    fn at_most(&self, f: &Fields<'_>, rate: Option<f64>, most: f64, label: &str) {
        let Some(node) = f.node("rate").filter(|_| rate.is_some_and(|r| r > most)) else {
            return;
        };
        self.sink.push(
            Diagnostic::error(&E0107, "no store has so much traffic")
                .at(node.span, label)
                .help(String::from(
                    "a busy restaurant has 180/h orders and 48KB/s of telemetry; is the unit right?",
                )),
        );
    }

    fn orders(
        &self,
        f: &Fields<'_>,
        from: Vec<String>,
        arrivals: Option<Arrivals>,
        profiles: &ByName<Profile>,
    ) -> Option<Orders> {
        let (_, complete) = self.has_rate_or_list(f, &arrivals, &["flow"], &["flow"]);
        let peak = |f: &Fields<'_>, key: &str| f.text(key, quantity::events_per_second);
        let (peak, profile) =
            self.arrival_rate(f, profiles, |f| peak(f, "rate"), |r| peak(r, "peak"));
        let mut flow = Vec::new();
        for node in f.items("flow") {
            let Some(step) = Fields::open(node, &crate::scenario::shapes::FLOW, "flow", self.sink)
            else {
                continue;
            };
            flow.extend(self.flow_step(&step));
        }
        self.at_most(
            f,
            peak,
            ORDERS_PER_SECOND_MAX,
            "more than 10000 customers a second",
        );
        let arrivals = self.order_arrivals(f, arrivals?)?;
        let peak = match arrivals {
            OrderArrivals::At(_) => 0.0,
            _ => peak?,
        };
        complete.then_some(Orders {
            from,
            arrivals,
            peak_per_hour: peak * 3600.0,
            profile,
            items: f
                .text("items", words::dist_count)
                .unwrap_or(Dist::Const(1.0)),
            flow,
        })
    }

    /// When customers come, with recordings read.
    fn order_arrivals(&self, f: &Fields<'_>, arrivals: Arrivals) -> Option<OrderArrivals> {
        Some(match arrivals {
            Arrivals::Poisson => OrderArrivals::Poisson,
            Arrivals::Constant => OrderArrivals::Constant,
            Arrivals::NegBin { dispersion, per } => OrderArrivals::NegBin { dispersion, per },
            Arrivals::Mmpp { calm, rush, factor } => OrderArrivals::Mmpp { calm, rush, factor },
            Arrivals::Schedule(times) => {
                // A template has no clock: whoever uses it has.
                let (Some(clock), Some(duration)) = (&self.clock, self.duration) else {
                    return Some(OrderArrivals::At(Vec::new().into()));
                };
                self.scheduled(f, &times, clock, duration)?
            }
            Arrivals::Replay { file, column } => {
                let node = f.node("arrivals")?;
                let path = self.file_in(node, &file)?;
                let (Some(clock), Some(duration)) = (&self.clock, self.duration) else {
                    return Some(OrderArrivals::At(Vec::new().into()));
                };
                match replay::read(&path, &column, clock, duration) {
                    Ok(all) => OrderArrivals::At(all.into()),
                    Err(why) => {
                        let title = format!("cannot replay `{}`: {why}", path.display());
                        let text = node.as_text().unwrap_or_default();
                        self.sink.push(
                            Diagnostic::error(&E0105, title)
                                .at(node.within(0..text.len()), "recorded arrivals"),
                        );
                        return None;
                    }
                }
            }
        })
    }

    /// All occurrences of times of day within the run.
    fn scheduled(
        &self,
        f: &Fields<'_>,
        times: &[u32],
        clock: &Clock,
        duration: Duration,
    ) -> Option<OrderArrivals> {
        let mut all = Vec::new();
        for second in times {
            let mut at = clock.first(*second);
            while at < duration {
                all.push(at);
                at = clock.next(*second, at + Duration::from_secs(1));
                if all.len() > replay::ARRIVALS_MAX {
                    let span = f.node("arrivals").map_or(f.span(), |n| n.span);
                    let most = replay::ARRIVALS_MAX;
                    self.sink.push(
                        Diagnostic::error(&E0107, format!("more than {most} arrivals in this run"))
                            .at(span, "too many")
                            .help(String::from("shorten `duration`, or give a rate")),
                    );
                    return None;
                }
            }
        }
        all.sort_unstable();
        Some(OrderArrivals::At(all.into()))
    }

    /// A file that a word within a text names; reports one that is not there.
    fn file_in(&self, node: &Node, name: &str) -> Option<PathBuf> {
        let path = merge::path_from(self.sources, node, name);
        if path.is_file() {
            return Some(path);
        }
        let text = node.as_text().unwrap_or_default();
        let at = text.find(name).unwrap_or_default();
        self.sink.push(
            Diagnostic::error(
                &codes::E0112,
                format!("there is no file `{}`", path.display()),
            )
            .at(node.within(at..at + name.len()), "not found"),
        );
        None
    }

    fn flow_step(&self, f: &Fields<'_>) -> Option<FlowStep> {
        let messages = [
            ("order.placed", "order.placed"),
            ("ticket.fire", "ticket.fire"),
            ("payment.auth", "payment.auth"),
            ("order.sync", "order.sync"),
            ("receipt.print", "receipt.print"),
        ];
        let msg = f.choice("msg", &messages);
        let to = f.string("to");
        if let (Some(to), Some(node)) = (&to, f.node("to")) {
            self.machine(to, node, &["hq"]);
        }
        let class = self.reference(f, "class", "class", &self.classes);
        let bytes = f.text("bytes", quantity::byte_size);
        let reply = f.text("reply", quantity::byte_size).unwrap_or_default();
        let timeout = f.text("timeout", quantity::duration);
        let offline = f.choice("offline", &[("store-and-forward", true)]);
        let durable = f.bool("durable").unwrap_or(false);
        Some(FlowStep {
            msg: msg?.to_owned(),
            to: to?,
            bytes: bytes?,
            reply,
            class,
            timeout,
            store_and_forward: offline.unwrap_or(false),
            durable,
        })
    }

    fn telemetry(
        &self,
        f: &Fields<'_>,
        from: Vec<String>,
        arrivals: Option<Arrivals>,
        profiles: &ByName<Profile>,
    ) -> Option<Telemetry> {
        let (is_listed, complete) =
            self.has_rate_or_list(f, &arrivals, &["class"], &["bytes", "class"]);
        if !is_listed && f.has("bytes") {
            self.sink.push(
                Diagnostic::error(&codes::E0209, "telemetry with a rate has no size")
                    .at(f.key_span("bytes"), "a size")
                    .help(String::from(
                        "`bytes` is the size of each listed arrival: write arrivals = \"schedule(23:00)\"",
                    )),
            );
        }
        let (rate, profile) = self.arrival_rate(
            f,
            profiles,
            |f| {
                f.text("rate", quantity::bit_rate)
                    .map(BitRate::bytes_per_second)
            },
            |r| {
                r.text("peak", quantity::bit_rate)
                    .map(BitRate::bytes_per_second)
            },
        );
        self.at_most(f, rate, TELEMETRY_PER_SECOND_MAX, "more than 1 GB/s");
        let every = f
            .text("every", quantity::duration)
            .unwrap_or(Duration::from_secs(5));
        if let (true, Some(node)) = (every.is_zero(), f.node("every")) {
            self.sink.push(
                Diagnostic::error(&E0107, "`every` cannot be zero")
                    .at(node.span, "machines would export without end"),
            );
        }
        let class = match f.has("class") {
            true => self.reference(f, "class", "class", &self.classes),
            false => String::new(),
        };
        let arrivals = self.order_arrivals(f, arrivals?)?;
        let (bytes_per_second, bytes_each) = match arrivals {
            OrderArrivals::At(_) => (0.0, f.text("bytes", quantity::byte_size)?),
            _ => (rate?, ByteSize(0)),
        };
        complete.then_some(Telemetry {
            from,
            bytes_per_second,
            arrivals,
            profile: profile.filter(|_| !is_listed),
            bytes_each,
            every,
            class,
        })
    }

    fn media(&self, f: &Fields<'_>, at: Vec<Duration>, to: Vec<String>) -> Option<Media> {
        let complete = self.needs(f, &["to", "bytes", "class"]);
        let class = match f.has("class") {
            true => self.reference(f, "class", "class", &self.classes),
            false => String::new(),
        };
        complete.then_some(Media {
            at,
            to,
            bytes: f.text("bytes", quantity::byte_size)?,
            class,
        })
    }

    fn profiles(&self) -> ByName<Profile> {
        let mut profiles = IndexMap::new();
        for (name, _, f) in self.top.named("profile") {
            let mut profile = Profile {
                hours: [0.0; 24],
                days: [1.0; 7],
            };
            let hours: Vec<(String, usize)> = (0..24)
                .flat_map(|h| [(format!("{h:02}"), h), (h.to_string(), h)])
                .collect();
            self.shares(&f, "hours", &hours, &mut profile.hours);
            let days: Vec<(String, usize)> = DAYS
                .iter()
                .enumerate()
                .map(|(i, d)| ((*d).to_owned(), i))
                .collect();
            self.shares(&f, "days", &days, &mut profile.days);
            profiles.insert(name, profile);
        }
        profiles
    }

    /// Numbers by hour or by day.
    fn shares(&self, f: &Fields<'_>, key: &str, slots: &[(String, usize)], out: &mut [f64]) {
        let Some(node) = f.node(key) else { return };
        if f.checked(key, node).is_none() {
            return;
        }
        let table: &Table = match node.as_table() {
            Some(table) => table,
            None => return,
        };
        for (name, entry) in &table.entries {
            let value = match entry.node.value {
                Value::Integer(n) => n as f64,
                Value::Float(n) => n,
                _ => continue,
            };
            match slots.iter().find(|(slot, _)| slot == name) {
                Some((_, i)) => out[*i] = value,
                None => self.sink.push(
                    Diagnostic::error(&E0102, format!("unknown key `{name}`"))
                        .at(entry.key, format!("not one of `{key}`"))
                        .help(did_you_mean(
                            name,
                            slots
                                .iter()
                                .map(|(s, _)| s.as_str())
                                .filter(|s| s.len() > 1),
                            "it takes",
                        )),
                ),
            }
        }
    }

    pub(super) fn fleet(&self) -> u64 {
        let Some(node) = self.top.node("fleet") else {
            return 1;
        };
        let Some(f) = self.top.fields("fleet") else {
            return 1;
        };
        let stores = f.integer("stores").unwrap_or(1);
        for key in ["regions", "detail"] {
            let Some(node) = f.node(key) else { continue };
            if f.checked(key, node).is_none() {
                continue;
            }
            let numbers = node.as_table().into_iter().flat_map(|t| t.entries.values());
            let sum: i64 = numbers
                .filter_map(|e| match e.node.value {
                    Value::Integer(n) => Some(n),
                    _ => None,
                })
                .sum();
            if sum != stores {
                self.sink.push(
                    Diagnostic::error(
                        &E0107,
                        format!("`{key}` has {sum} stores, the fleet {stores}"),
                    )
                    .at(node.span, format!("these are {sum}")),
                );
            }
        }
        if let Some(vary) = f.node("vary") {
            self.vary(&f, vary);
        }
        // A fleet of one store is that store, with a region to belong to.
        if stores != 1 || f.has("vary") || f.has("detail") {
            self.refuse(node.span, "has a fleet of stores");
        }
        u64::try_from(stores).unwrap_or(1)
    }

    /// Settings that differ from store to store: `choice(1Mbit/s:20%, …)`.
    fn vary(&self, f: &Fields<'_>, node: &Node) {
        if f.checked("vary", node).is_none() {
            return;
        }
        let entries = node.as_table().into_iter().flat_map(|t| &t.entries);
        for (name, entry) in entries {
            let raw = self.sources.text(entry.key);
            let path = crate::scenario::paths::DottedPath::of_key(name, entry.key, raw);
            let Some(ty) = path.ty(self.root, "the fleet varies", self.sink) else {
                continue;
            };
            let Some(text) = entry.node.as_text() else {
                continue;
            };
            if let Err(err) = choice(text, &ty) {
                report(name, &entry.node, err, self.sink);
            }
        }
    }
}

fn queue(f: &Fields<'_>) -> QueueSpec {
    let disciplines = [
        ("fifo", Discipline::Fifo),
        ("priority", Discipline::Priority),
    ];
    let q = f.fields("queue");
    let q = q.as_ref();
    QueueSpec {
        bytes: q
            .and_then(|q| q.text("bytes", quantity::byte_size))
            .unwrap_or(ByteSize(256 << 10)),
        discipline: q
            .and_then(|q| q.choice("discipline", &disciplines))
            .unwrap_or(Discipline::Fifo),
    }
}

/// `choice(1Mbit/s:20%, 2Mbit/s:80%)`: values of a type, with shares that add up to 100 %.
fn choice(text: &str, ty: &Ty) -> Result<(), backroom_collector::config::grammar::TextError> {
    use backroom_collector::config::grammar::{Call, TextError};
    let call = Call::parse(text)?;
    if call.name.text != "choice" || call.args.is_empty() {
        return Err(TextError::new(
            &E0105,
            call.name.range(),
            "`{key}` is not a choice",
            "expected choice(VALUE:SHARE, …)",
        )
        .help(String::from("write choice(1Mbit/s:20%, 2Mbit/s:80%)")));
    }
    let mut sum = 0.0;
    for (_, value) in &call.args {
        let Some((value, share)) = value.split_once(':') else {
            let label = "expected VALUE:SHARE";
            return Err(TextError::new(
                &E0105,
                value.range(),
                "a choice has shares",
                label,
            ));
        };
        if let Some(grammar) = ty.grammar() {
            value.parse(grammar.check)?;
        }
        sum += share.parse(quantity::proportion)?;
    }
    if (sum - 1.0).abs() > 1e-6 {
        return Err(TextError::new(
            &E0107,
            call.name.range(),
            format!("the shares add up to {:.1}%", sum * 100.0),
            "expected 100%",
        ));
    }
    Ok(())
}
