//! What the telemetry of a store says: transactions, log records and metrics with varied values.
//!
//! Templates and words are few and values are many, as in the field; the mix is tuned so that it compresses as measured
//! telemetry of stores does (see the test in `pool`). Times count from [`EPOCH_NANOS`]; a parent is written as the index of
//! its span in the transaction.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
        metric::Data, number_data_point,
    },
    trace::v1::{Span, Status, span::Event},
};
use rand::{Rng, RngExt as _};
use rand_chacha::ChaCha8Rng;

use super::{items::ItemId, pool::EPOCH_NANOS, sdk::item_attribute};
use crate::event::MachineId;

const ROUTES: [&str; 12] = [
    "/v1/orders",
    "/v1/orders/{id}",
    "/v1/orders/{id}/items",
    "/v1/menu",
    "/v1/menu/{category}",
    "/v1/offers/scan",
    "/v1/loyalty/{member}",
    "/v1/payments/authorize",
    "/v1/payments/{id}/capture",
    "/v1/kitchen/tickets",
    "/v1/inventory/reserve",
    "/healthz",
];
const SERVICES: [&str; 7] = [
    "order-api",
    "menu-service",
    "payment-gateway",
    "kitchen-router",
    "loyalty",
    "inventory",
    "receipt-printer",
];
const STATEMENTS: [&str; 8] = [
    "SELECT id, status, total FROM orders WHERE id = $1",
    "INSERT INTO order_items (order_id, sku, qty, price) VALUES ($1, $2, $3, $4)",
    "UPDATE orders SET status = $2, updated_at = now() WHERE id = $1",
    "SELECT sku, name, price, available FROM menu_items WHERE category = $1 AND daypart = $2",
    "SELECT on_hand FROM stock WHERE sku = $1 FOR UPDATE",
    "UPDATE stock SET on_hand = on_hand - $2 WHERE sku = $1",
    "INSERT INTO outbox (kind, payload, created_at) VALUES ($1, $2, now())",
    "SELECT id, discount FROM offers WHERE code = $1 AND valid_until > now()",
];
const ITEMS: [&str; 16] = [
    "burger-classic",
    "burger-double",
    "chicken-wrap",
    "fries-large",
    "fries-medium",
    "salad-caesar",
    "nuggets-9",
    "cola-zero-500",
    "orange-juice",
    "coffee-flat-white",
    "muffin-blueberry",
    "ice-cream-vanilla",
    "kids-menu",
    "onion-rings",
    "water-still",
    "shake-strawberry",
];
const LOGGERS: [&str; 6] = [
    "com.store.order.OrderController",
    "com.store.kitchen.TicketPrinter",
    "com.store.payment.TerminalSession",
    "com.store.menu.MenuCache",
    "com.store.sync.OutboxWorker",
    "com.store.device.Heartbeat",
];

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    any(key, Value::StringValue(value.into()))
}

fn int(key: &str, value: i64) -> KeyValue {
    any(key, Value::IntValue(value))
}

fn any(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn one<'a>(rng: &mut ChaCha8Rng, of: &[&'a str]) -> &'a str {
    of[rng.random_range(0..of.len())]
}

fn bytes<const N: usize>(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = vec![0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn order(rng: &mut ChaCha8Rng) -> String {
    format!("ord-{:08x}", rng.random::<u32>())
}

/// A path as it was asked for: the route with its holes filled.
fn path(rng: &mut ChaCha8Rng, route: &str) -> String {
    route
        .replace("{id}", &order(rng))
        .replace(
            "{category}",
            one(rng, &["burgers", "sides", "drinks", "desserts"]),
        )
        .replace(
            "{member}",
            &rng.random_range(10_000_000..99_999_999_u32).to_string(),
        )
}

fn status(rng: &mut ChaCha8Rng) -> i64 {
    [200, 200, 200, 200, 200, 200, 201, 204, 404, 503][rng.random_range(0..10)]
}

/// The spans of one transaction, the root first: a request, and what it called.
pub(super) fn transaction(rng: &mut ChaCha8Rng) -> Vec<Span> {
    let trace_id = bytes::<16>(rng);
    let children = rng.random_range(2..7_u64);
    let route = one(rng, &ROUTES);
    let mut at = rng.random_range(0..900_000_000_u64);
    let start = at;
    let mut spans = Vec::new();
    for child in 1..=children {
        at += rng.random_range(50_000..4_000_000);
        let took = rng.random_range(200_000..30_000_000);
        let parent = if child > 2 && rng.random_bool(0.4) {
            child - 1
        } else {
            0
        };
        spans.push(call(rng, &trace_id, parent, at, at + took));
        at += took;
    }
    let code = status(rng);
    let root = Span {
        trace_id,
        span_id: vec![0; 8],
        name: format!("{} {route}", one(rng, &["GET", "POST", "PUT"])),
        kind: 2,
        start_time_unix_nano: EPOCH_NANOS + start,
        end_time_unix_nano: EPOCH_NANOS + at + rng.random_range(10_000..900_000),
        attributes: vec![
            text("http.request.method", one(rng, &["GET", "POST", "PUT"])),
            text("http.route", route),
            text("url.path", path(rng, route)),
            int("http.response.status_code", code),
            text(
                "server.address",
                format!("{}.store.local", one(rng, &SERVICES)),
            ),
            int("server.port", 8080),
            text("network.protocol.version", "1.1"),
            text("user_agent.original", "kiosk-shell/4.12.1 (linux; arm64)"),
            text(
                "client.address",
                format!("10.20.4.{}", rng.random_range(10..60)),
            ),
            int("http.response.body.size", rng.random_range(40..9_000)),
        ],
        status: Some(Status {
            code: if code >= 500 { 2 } else { 0 },
            ..Default::default()
        }),
        flags: 0x101,
        ..Default::default()
    };
    spans.insert(0, root);
    spans
}

fn call(rng: &mut ChaCha8Rng, trace_id: &[u8], parent: u64, start: u64, end: u64) -> Span {
    let mut span = Span {
        trace_id: trace_id.to_vec(),
        span_id: vec![0; 8],
        parent_span_id: parent.to_be_bytes().to_vec(),
        start_time_unix_nano: EPOCH_NANOS + start,
        end_time_unix_nano: EPOCH_NANOS + end,
        status: Some(Status::default()),
        flags: 0x101,
        ..Default::default()
    };
    match rng.random_range(0..5) {
        0 | 1 => {
            let statement = one(rng, &STATEMENTS);
            span.kind = 3;
            span.name = statement
                .split(' ')
                .take(1)
                .chain(["store"])
                .collect::<Vec<_>>()
                .join(" ");
            span.attributes = vec![
                text("db.system.name", "postgresql"),
                text("db.namespace", "store"),
                text("db.query.text", statement),
                int("db.response.returned_rows", rng.random_range(0..12)),
                text("server.address", "db.store.local"),
                text(
                    "thread.name",
                    format!("pool-2-thread-{}", rng.random_range(1..9)),
                ),
            ];
        }
        2 => {
            span.kind = 4;
            span.name = "orders publish".to_owned();
            span.attributes = vec![
                text("messaging.system", "mqtt"),
                text("messaging.operation.name", "publish"),
                text(
                    "messaging.destination.name",
                    format!("orders/pos-{}", rng.random_range(1..5)),
                ),
                int("messaging.message.body.size", rng.random_range(400..1_600)),
                text("messaging.message.id", order(rng)),
            ];
        }
        3 => {
            let service = one(rng, &SERVICES);
            let route = one(rng, &ROUTES);
            span.kind = 3;
            span.name = format!("POST {service}");
            span.attributes = vec![
                text("http.request.method", "POST"),
                text(
                    "url.full",
                    format!("http://{service}.store.local:8080{}", path(rng, route)),
                ),
                int("http.response.status_code", status(rng)),
                text("peer.service", service),
                int("http.request.resend_count", rng.random_range(0..2)),
            ];
        }
        _ => {
            span.kind = 1;
            span.name = one(
                rng,
                &[
                    "cart.price",
                    "offer.validate",
                    "tax.compute",
                    "ticket.render",
                    "stock.reserve",
                ],
            )
            .to_owned();
            span.attributes = vec![
                text("order.id", order(rng)),
                text("item.sku", one(rng, &ITEMS)),
                int("item.quantity", rng.random_range(1..5)),
                int("order.total_cents", rng.random_range(190..9_000)),
                text(
                    "code.function.name",
                    format!("{}.{}", one(rng, &LOGGERS), span.name),
                ),
            ];
            if rng.random_bool(0.3) {
                span.events = vec![Event {
                    time_unix_nano: EPOCH_NANOS + start + (end - start) / 2,
                    name: "cache.miss".to_owned(),
                    attributes: vec![text("cache.key", format!("menu:{}", one(rng, &ITEMS)))],
                    ..Default::default()
                }];
            }
        }
    }
    span
}

/// One log record.
pub(super) fn record(rng: &mut ChaCha8Rng) -> LogRecord {
    let at = EPOCH_NANOS + rng.random_range(0..999_000_000_u64);
    let (severity, name) = [
        (9, "INFO"),
        (9, "INFO"),
        (9, "INFO"),
        (5, "DEBUG"),
        (13, "WARN"),
    ][rng.random_range(0..5)];
    let body = match rng.random_range(0..8) {
        0 => format!(
            "order {} confirmed: {} items, total {}.{:02} USD, took {}.{} ms",
            order(rng),
            rng.random_range(1..7),
            rng.random_range(2..60),
            rng.random_range(0..100),
            rng.random_range(3..90),
            rng.random_range(0..10),
        ),
        1 => format!(
            "ticket {} shown on station {} after {} ms",
            rng.random_range(100..999),
            one(rng, &["grill", "fryer", "drinks", "assembly"]),
            rng.random_range(20..900),
        ),
        2 => format!(
            "terminal {:04x}-{:04x} approved {} cents, auth code {:06}",
            rng.random::<u16>(),
            rng.random::<u16>(),
            rng.random_range(190..9_000),
            rng.random_range(0..1_000_000),
        ),
        3 => format!(
            "{} {} {} {}B {}ms",
            one(rng, &["GET", "POST", "PUT"]),
            {
                let route = one(rng, &ROUTES);
                path(rng, route)
            },
            status(rng),
            rng.random_range(40..9_000),
            rng.random_range(1..400),
        ),
        4 => format!(
            "stock of {} is down to {}, reorder at {}",
            one(rng, &ITEMS),
            rng.random_range(0..40),
            rng.random_range(5..20),
        ),
        5 => format!(
            "cache refreshed: {} entries, {} evicted, generation {}",
            rng.random_range(200..900),
            rng.random_range(0..80),
            rng.random::<u32>(),
        ),
        6 => format!(
            "heartbeat from {}-{}: cpu {}%, mem {} MiB, temp {} C",
            one(rng, &["kiosk", "pos", "kds", "signage"]),
            rng.random_range(1..7),
            rng.random_range(2..97),
            rng.random_range(180..1_900),
            rng.random_range(38..71),
        ),
        _ => format!(
            "outbox batch {:08x} of {} records sent in {} ms",
            rng.random::<u32>(),
            rng.random_range(1..17),
            rng.random_range(20..800),
        ),
    };
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at + rng.random_range(1_000..400_000),
        severity_number: severity,
        severity_text: name.to_owned(),
        body: Some(AnyValue {
            value: Some(Value::StringValue(body)),
        }),
        attributes: vec![
            text("log.logger", one(rng, &LOGGERS)),
            text("thread.name", format!("worker-{}", rng.random_range(1..17))),
            int("code.line.number", rng.random_range(20..600)),
            text("log.iostream", "stdout"),
        ],
        flags: 1,
        // Most lines are written outside of a transaction.
        trace_id: if rng.random_bool(0.4) {
            bytes::<16>(rng)
        } else {
            Vec::new()
        },
        span_id: vec![0; 8],
        ..Default::default()
    }
}

/// One metric with its points.
pub(super) fn metric(rng: &mut ChaCha8Rng) -> Metric {
    let first = rng.random_range(0..ROUTES.len());
    let count = rng.random_range(3..9);
    match rng.random_range(0..4) {
        0 | 1 => Metric {
            name: "http.server.request.duration".to_owned(),
            description: "Duration of HTTP server requests.".to_owned(),
            unit: "s".to_owned(),
            data: Some(Data::Histogram(Histogram {
                data_points: (0..count)
                    .map(|n| latencies(rng, ROUTES[(first + n) % ROUTES.len()]))
                    .collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            })),
            ..Default::default()
        },
        2 => Metric {
            name: "store.orders.items".to_owned(),
            description: "Items sold, by article.".to_owned(),
            unit: "{item}".to_owned(),
            data: Some(Data::Sum(Sum {
                data_points: (0..count + 4)
                    .map(|n| {
                        let value = number_data_point::Value::AsInt(rng.random_range(0..4_000));
                        let sku = text("item.sku", ITEMS[(first + n) % ITEMS.len()]);
                        point(value, vec![sku, text("store.channel", "kiosk")])
                    })
                    .collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            })),
            ..Default::default()
        },
        _ => Metric {
            name: one(
                rng,
                &[
                    "system.cpu.utilization",
                    "system.memory.usage",
                    "jvm.memory.used",
                ],
            )
            .to_owned(),
            description: "Sampled every export.".to_owned(),
            unit: "1".to_owned(),
            data: Some(Data::Gauge(Gauge {
                data_points: (0..count)
                    .map(|n| {
                        let percent = f64::from(rng.random_range(0..1_000_u16)) / 1_000.0;
                        let state = [
                            "user", "system", "idle", "iowait", "irq", "nice", "steal", "guest",
                        ][n % 8];
                        point(
                            number_data_point::Value::AsDouble(percent),
                            vec![
                                text("cpu.mode", state),
                                int("cpu.logical_number", (n % 4) as i64),
                            ],
                        )
                    })
                    .collect(),
            })),
            ..Default::default()
        },
    }
}

/// Its id is overwritten when it is used; the place is nine bytes whatever it holds.
fn identified(attributes: Vec<KeyValue>) -> Vec<KeyValue> {
    let id = ItemId {
        machine: MachineId(0),
        seq: 0,
    };
    let mut all = vec![item_attribute(id)];
    all.extend(attributes);
    all
}

fn point(value: number_data_point::Value, attributes: Vec<KeyValue>) -> NumberDataPoint {
    NumberDataPoint {
        attributes: identified(attributes),
        start_time_unix_nano: EPOCH_NANOS,
        time_unix_nano: EPOCH_NANOS,
        value: Some(value),
        ..Default::default()
    }
}

fn latencies(rng: &mut ChaCha8Rng, route: &str) -> HistogramDataPoint {
    let bounds = [
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    ];
    let peak = rng.random_range(1..6_usize);
    let busy = rng.random_range(1..900_u64);
    let bucket_counts: Vec<u64> = (0..=bounds.len())
        .map(|n| busy >> (2 * n.abs_diff(peak)).min(63))
        .collect();
    let count = bucket_counts.iter().sum();
    HistogramDataPoint {
        attributes: identified(vec![
            text("http.request.method", one(rng, &["GET", "POST"])),
            text("http.route", route),
            int("http.response.status_code", status(rng)),
            text("url.scheme", "http"),
        ]),
        start_time_unix_nano: EPOCH_NANOS,
        time_unix_nano: EPOCH_NANOS,
        count,
        sum: Some((count as f64 * bounds[peak] * 1_000.0).round() / 1_000.0),
        bucket_counts,
        explicit_bounds: bounds.to_vec(),
        min: Some(0.001),
        max: Some(bounds[(peak + 3).min(13)]),
        ..Default::default()
    }
}
