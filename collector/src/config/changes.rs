//! What differs between two configurations, key by key, and which of it a running collector can take.
//!
//! The configuration is taken apart without `..`: a new key does not compile until it stands here, and so somebody has decided
//! whether it can change live. Next: `shell::reload`, which applies what can.

use std::fmt::Debug;

use super::model::{Batch, Buffer, Compress, Config, Gateway, Listen, Retry, Send, Telemetry};

/// Keys that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// A running collector takes them.
    pub live: Vec<&'static str>,
    /// They need a restart.
    pub fixed: Vec<&'static str>,
}

/// Compares two configurations.
pub fn changes(old: &Config, new: &Config) -> Changes {
    let mut changes = Changes::default();
    for (before, after) in keys(old).into_iter().zip(keys(new)) {
        if before.value != after.value {
            let list = if before.is_live {
                &mut changes.live
            } else {
                &mut changes.fixed
            };
            list.push(before.name);
        }
    }
    changes
}

struct Key {
    name: &'static str,
    is_live: bool,
    value: String,
}

fn live(name: &'static str, value: &dyn Debug) -> Key {
    Key {
        name,
        is_live: true,
        value: format!("{value:?}"),
    }
}

fn fixed(name: &'static str, value: &dyn Debug) -> Key {
    Key {
        is_live: false,
        ..live(name, value)
    }
}

fn keys(config: &Config) -> Vec<Key> {
    let Config {
        role,
        gateway:
            Gateway {
                horizon,
                stores_max,
                stale_after,
                series_max,
            },
        listen:
            Listen {
                http,
                grpc,
                tls,
                bearer_tokens_file,
                body_bytes_max,
                inflight_bytes_max,
            },
        endpoint,
        destinations,
        buffer:
            Buffer {
                dir,
                disk,
                on_full,
                durability,
            },
        classes,
        links,
        compress: Compress {
            codec,
            is_auto,
            ratio,
        },
        batch: Batch {
            bytes,
            delay,
            delay_down,
        },
        send:
            Send {
                inflight,
                max_rate,
                yield_delay,
                link,
                time_zone,
                order,
                live_window,
                backfill_share,
            },
        retry: Retry { backoff, give_up },
        telemetry:
            Telemetry {
                metrics_interval,
                losses,
                resource,
            },
    } = config;
    vec![
        // What it remembers was read, or not, at the start.
        fixed("role", role),
        live("gateway.horizon", horizon),
        live("gateway.stores_max", stores_max),
        live("gateway.stale_after", stale_after),
        live("gateway.series_max", series_max),
        // A listener cannot move without refusing somebody, and a typing error would cut off the store.
        fixed("listen.http", http),
        fixed("listen.grpc", grpc),
        // The paths; what stands in the files is read again when it changes.
        fixed("listen.tls", tls),
        fixed("listen.bearer_tokens_file", bearer_tokens_file),
        live("listen.body_bytes_max", body_bytes_max),
        live("listen.inflight_bytes_max", inflight_bytes_max),
        live("endpoint", endpoint),
        live("destination", destinations),
        // What is acknowledged stands there.
        fixed("buffer.dir", dir),
        live("buffer.disk", disk),
        live("buffer.on_full", on_full),
        live("buffer.durability", durability),
        live("class", classes),
        live("link", links),
        live("compress.codec", &(codec, is_auto)),
        live("compress.ratio", ratio),
        live("batch.bytes", bytes),
        live("batch.delay", delay),
        live("batch.delay_down", delay_down),
        live("send.inflight", inflight),
        live("send.max_rate", max_rate),
        live("send.yield", yield_delay),
        live("send.link", link),
        live("send.time_zone", time_zone),
        live("send.order", order),
        live("send.live_window", live_window),
        live("send.backfill_share", backfill_share),
        live("retry.backoff", backoff),
        live("retry.give_up", give_up),
        live("telemetry.metrics_interval", metrics_interval),
        live("telemetry.losses", losses),
        live("telemetry.resource", resource),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{COLLECTOR, load_text, shape::Ty};

    #[test]
    fn what_differs_is_told_by_key() {
        let check = |text: &str, live: &[&str], fixed: &[&str]| {
            let new = load_text("x.toml", text).expect(text);
            let changes = changes(&Config::default(), &new);
            assert_eq!((&changes.live[..], &changes.fixed[..]), (live, fixed));
        };
        check("", &[], &[]);
        check("buffer.disk = \"1GiB\"", &[], &[]);
        check("buffer.disk = \"2GiB\"", &["buffer.disk"], &[]);
        check("endpoint = \"http://hq\"", &["endpoint"], &[]);
        check(
            "listen.http = \"127.0.0.1:1\"\nbuffer.dir = \"x\"\nsend.inflight = 3",
            &["send.inflight"],
            &["listen.http", "buffer.dir"],
        );
    }

    /// The names are those of the language.
    #[test]
    fn every_key_is_one_of_the_file() {
        for key in keys(&Config::default()) {
            let mut shape = &COLLECTOR;
            for part in key.name.split('.') {
                let found = shape.key(part).unwrap_or_else(|| panic!("{}", key.name));
                if let Ty::Table(inner) = &found.ty {
                    shape = inner;
                }
            }
        }
    }
}
