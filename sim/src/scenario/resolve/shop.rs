//! Menu, stock, offers, printers: what they say, and whether the store has the machines that they need.

use std::time::Duration;

use backroom_collector::config::{
    ByteSize, Diagnostic, Fields,
    codes::{E0101, E0107},
    quantity::{self, show_bytes},
    tree::{Node as Value, Table},
};

use super::{ByName, Cx};
use crate::{
    dist::Dist,
    scenario::{
        Node, Orders, Role,
        shop::{
            CHUNK_BYTES, CHUNKS_MAX, Catalog, Offers, Printer, Publication, SET_BYTES_MAX, Shop,
            Stock,
        },
        words::{self, Arrivals},
    },
};

/// Chunk of a set unless told otherwise.
const CHUNK: ByteSize = ByteSize(64 << 10);

impl Cx<'_> {
    /// The printer of a group.
    pub(super) fn printer(&self, f: &Fields<'_>, role: Role) -> Option<Printer> {
        let default = Printer::default();
        if f.has("printer") && role != Role::Printer {
            self.sink.push(
                Diagnostic::error(&E0107, "only a printer prints")
                    .at(f.key_span("printer"), "this is no printer")
                    .help(String::from("write role = \"printer\"")),
            );
        }
        let Some(p) = f.fields("printer") else {
            return (role == Role::Printer).then_some(default);
        };
        Some(Printer {
            line: self.dist_time(&p, "line", default.line),
            roll: p
                .integer("roll")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(default.roll),
            refill: self.dist_time(&p, "refill", default.refill),
        })
    }

    /// The three tables, and what they need.
    pub(super) fn shop(&self, nodes: &ByName<Node>, orders: Option<&Orders>) -> Shop {
        let shop = Shop {
            stock: self.top.fields("stock").map(|f| self.stock(&f)),
            catalog: self.top.fields("catalog").map(|f| self.catalog(&f)),
            offers: self.top.fields("offers").map(|f| self.offers(&f)),
        };
        if self.is_template {
            return shop;
        }
        let needs = [
            ("stock", Role::Stock, "stock"),
            ("catalog", Role::Catalog, "catalog"),
            ("offers", Role::Mobile, "mobile"),
            ("offers", Role::Catalog, "catalog"),
        ];
        for (table, role, word) in needs {
            if self.top.has(table) && !nodes.values().any(|n| n.role == role) {
                self.sink.push(
                    Diagnostic::error(&E0101, format!("`{table}` needs a machine for it"))
                        .at(
                            self.top.key_span(table),
                            format!("no machine has the role {word}"),
                        )
                        .help(format!("add [node.{word}] with role = \"{word}\"")),
                );
            }
        }
        let tables = [
            (Role::Stock, "stock", self.top.has("stock")),
            (Role::Catalog, "catalog", self.top.has("catalog")),
            (Role::Mobile, "offers", self.top.has("offers")),
        ];
        for (role, table, is_there) in tables {
            let idle = nodes.iter().find(|(_, n)| n.role == role);
            if let (Some((name, _)), false) = (idle, is_there) {
                self.sink.push(
                    Diagnostic::error(&E0101, format!("`{name}` has nothing to do"))
                        .at(self.node_span(name), format!("there is no [{table}]"))
                        .help(format!("add [{table}], or leave the machine out")),
                );
            }
        }
        let prints = orders.is_some_and(|o| o.flow.iter().any(|step| step.msg == "receipt.print"));
        let idle = nodes.iter().find(|(_, n)| n.role == Role::Printer);
        if let (Some((name, _)), false) = (idle, prints) {
            self.sink.push(
                Diagnostic::error(&E0101, format!("`{name}` has nothing to do"))
                    .at(self.node_span(name), "no order prints a receipt")
                    .help(String::from(
                        "add { msg = \"receipt.print\", to = \"printer\", bytes = \"700B\", class = \"order\" } to traffic.orders.flow",
                    )),
            );
        }
        for role in [Role::Stock, Role::Catalog] {
            let all: Vec<_> = nodes.iter().filter(|(_, n)| n.role == role).collect();
            let count: u32 = all.iter().map(|(_, n)| n.count).sum();
            if let (Some((name, _)), true) = (all.last(), count > 1) {
                self.sink.push(
                    Diagnostic::error(&E0107, format!("a store has one {}", word(role)))
                        .at(self.node_span(name), format!("these are {count}")),
                );
            }
        }
        if shop.offers.is_some() && shop.catalog.as_ref().is_some_and(|c| c.menu.is_none()) {
            self.sink
                .push(Diagnostic::error(&E0101, "offers come with the menu").at(
                    self.top.key_span("offers"),
                    "there is no [catalog.menu] to bring them",
                ));
        }
        if let Some(catalog) = &shop.catalog {
            self.catalog_fits(catalog, nodes);
        }
        shop
    }

    /// Where `[node.NAME]` is written.
    fn node_span(&self, name: &str) -> backroom_collector::config::Span {
        let nodes = self.root.get("node").and_then(Value::as_table);
        let entry = nodes.and_then(|t: &Table| t.entries.get(name));
        entry.map_or(self.top.span(), |entry| entry.key)
    }

    /// A set is kept twice while a version comes in. What a disk cannot hold is told here, and not by a full disk at night.
    fn catalog_fits(&self, catalog: &Catalog, nodes: &ByName<Node>) {
        let sets = [&catalog.menu, &catalog.reference];
        let bytes: u64 = sets.into_iter().flatten().map(|p| p.bytes.0 * 2).sum();
        let Some((name, node)) = nodes.iter().find(|(_, n)| n.role == Role::Catalog) else {
            return;
        };
        let free = match &node.disk {
            Some(disk) => self.disk_free(disk),
            None => Some(8 << 30),
        };
        if let Some(free) = free.filter(|free| *free < bytes) {
            self.sink.push(
                Diagnostic::error(&E0107, "the catalog does not fit on its disk")
                    .at(
                        self.node_span(name),
                        format!("has {} free", show_bytes(free as f64)),
                    )
                    .help(format!(
                        "both versions of its sets take {}: give it a [disk.NAME] with more, or publish less",
                        show_bytes(bytes as f64)
                    )),
            );
        }
    }

    fn disk_free(&self, name: &str) -> Option<u64> {
        let disks = self.root.get("disk")?.as_table()?;
        let disk = disks.get(name)?.as_table()?;
        let text = disk.text("free").or_else(|| disk.text("size"))?;
        quantity::byte_size(text).ok().map(|size| size.0)
    }

    fn stock(&self, f: &Fields<'_>) -> Stock {
        Stock {
            items: f
                .integer("items")
                .and_then(|n| u16::try_from(n).ok())
                .unwrap_or(40),
            start: f
                .text("start", words::dist_count)
                .unwrap_or(Dist::Uniform(40.0, 120.0)),
            restock: f.text("restock", words::dist_time),
        }
    }

    fn catalog(&self, f: &Fields<'_>) -> Catalog {
        let poll = f
            .text("poll", quantity::duration)
            .unwrap_or(Duration::from_secs(60));
        if let (true, Some(node)) = (poll < Duration::from_secs(1), f.node("poll")) {
            self.sink.push(
                Diagnostic::error(&E0107, "`poll` is out of range")
                    .at(node.span, "less than 1s: the store would ask without end"),
            );
        }
        Catalog {
            class: self.reference(f, "class", "class", &self.classes),
            poll,
            menu: f.fields("menu").and_then(|p| self.publication(&p)),
            reference: f.fields("reference").and_then(|p| self.publication(&p)),
        }
    }

    fn publication(&self, f: &Fields<'_>) -> Option<Publication> {
        let bytes = f.text("bytes", quantity::byte_size);
        let chunk = f.text("chunk", quantity::byte_size).unwrap_or(CHUNK);
        if let (Some(node), Some(bytes)) = (f.node("bytes"), bytes) {
            let problem = match bytes.0 {
                0 => Some(("nothing would be published", String::from("at least 1B"))),
                n if n > SET_BYTES_MAX => {
                    Some(("more than 64GiB", String::from("a set has at most 64GiB")))
                }
                n if n.div_ceil(chunk.0.max(1)) > CHUNKS_MAX => Some((
                    "more than 65536 chunks",
                    format!(
                        "chunks of {} or more would do",
                        show_bytes(n.div_ceil(CHUNKS_MAX) as f64)
                    ),
                )),
                _ => None,
            };
            if let Some((label, help)) = problem {
                self.sink.push(
                    Diagnostic::error(&E0107, format!("`{}.bytes` is out of range", f.place()))
                        .at(node.span, label)
                        .help(help),
                );
            }
        }
        if let (Some(node), false) = (f.node("chunk"), CHUNK_BYTES.contains(&chunk.0)) {
            self.sink.push(
                Diagnostic::error(&E0107, format!("`{}.chunk` is out of range", f.place()))
                    .at(node.span, "not within 4KiB and 4MiB"),
            );
        }
        let at = match (f.text("publish", words::arrivals), f.node("publish")) {
            (Some(Arrivals::Schedule(times)), _) => times
                .into_iter()
                .map(|t| Duration::from_secs(t.into()))
                .collect(),
            (Some(_), Some(node)) => {
                self.sink.push(
                    Diagnostic::error(&E0107, "a publication has its times")
                        .at(node.span, "not a schedule")
                        .help(String::from("write publish = \"schedule(10:30)\"")),
                );
                Vec::new()
            }
            _ => Vec::new(),
        };
        Some(Publication {
            bytes: bytes?,
            chunk,
            at,
            changed: f.text("changed", quantity::proportion).unwrap_or(0.1),
        })
    }

    fn offers(&self, f: &Fields<'_>) -> Offers {
        let small = |key: &str, default: u16| {
            f.integer(key)
                .and_then(|n| u16::try_from(n).ok())
                .unwrap_or(default)
        };
        Offers {
            count: small("count", 20),
            valid_for: small("valid_for", 2),
            scans_per_hour: f
                .text("scans", quantity::events_per_second)
                .unwrap_or_default()
                * 3600.0,
            reused: f.text("reused", quantity::proportion).unwrap_or(0.05),
            class: self.reference(f, "class", "class", &self.classes),
        }
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Stock => "stock",
        _ => "catalog",
    }
}
