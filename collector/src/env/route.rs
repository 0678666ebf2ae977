//! Over which network interface the machine reaches the rest of the world: the default route, from `/proc/net`.
//!
//! Behind `OsEnv` only. Where there is no `/proc/net` there is nothing to tell.

use std::fs;

/// `RTF_UP` and `RTF_REJECT` of `linux/route.h`.
const UP: u32 = 0x0001;
const REJECT: u32 = 0x0200;

/// The interface of the default route: of IPv4, or of IPv6 where IPv4 has none.
pub(super) fn read() -> Option<String> {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    v4(&text("/proc/net/route")).or_else(|| v6(&text("/proc/net/ipv6_route")))
}

/// Of `/proc/net/route`: `Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT`, numbers in hex but for the
/// metric.
fn v4(text: &str) -> Option<String> {
    let routes = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let hex = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
        let is_default = hex(1)? == 0 && hex(7)? == 0;
        let metric: u32 = fields.get(6)?.parse().ok()?;
        (is_default && is_used(hex(3)?)).then(|| (metric, fields[0].to_owned()))
    });
    best(routes)
}

/// Of `/proc/net/ipv6_route`: `destination length source length next-hop metric references uses flags interface`, numbers in hex.
fn v6(text: &str) -> Option<String> {
    let routes = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let hex = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
        let destination = fields.first()?;
        let is_any = destination.len() == 32 && destination.bytes().all(|b| b == b'0');
        let is_default = is_any && hex(1)? == 0 && is_used(hex(8)?);
        let interface = *fields.get(9)?;
        (is_default && interface != "lo").then(|| Some((hex(5)?, interface.to_owned())))?
    });
    best(routes)
}

fn is_used(flags: u32) -> bool {
    flags & UP != 0 && flags & REJECT == 0
}

/// The route with the lowest metric; of equals the first.
fn best(routes: impl Iterator<Item = (u32, String)>) -> Option<String> {
    routes
        .min_by_key(|(metric, _)| *metric)
        .map(|(_, interface)| interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let check = |lines: &str, expect: Option<&str>| {
            assert_eq!(v4(&format!("{HEAD}{lines}")).as_deref(), expect, "{lines}");
        };
        let route = |interface: &str, to: &str, flags: &str, metric: u32, mask: &str| {
            format!("{interface}\t{to}\t0101A8C0\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
        };
        let wire = route("eth0", "00000000", "0003", 100, "00000000");
        let radio = route("wwan0", "00000000", "0003", 700, "00000000");
        let lan = route("br0", "0001A8C0", "0001", 0, "00FFFFFF");
        let down = route("eth0", "00000000", "0002", 100, "00000000");
        let half = route("tun0", "00000000", "0003", 0, "00000080");
        check("", None);
        check(&lan, None);
        check(
            &[lan.clone(), radio.clone(), wire.clone()].concat(),
            Some("eth0"),
        );
        check(&[down, radio.clone(), half].concat(), Some("wwan0"));
        check("garbage\n\n\u{fffd} \u{fffd}\neth0\tzz\t", None);
        check(&format!("eth0\t00000000\n{radio}"), Some("wwan0"));
    }

    #[test]
    fn a_machine_with_ipv6_alone_has_a_route_too() {
        let zero = "0".repeat(32);
        let line = |metric: &str, flags: &str, interface: &str| {
            format!(
                "{zero} 00 {zero} 00 fe800000000000000000000000000001 {metric} 00000001 00000000 {flags}     {interface}\n"
            )
        };
        let reject = line("ffffffff", "00200200", "lo");
        let wire = line("00000400", "00450003", "eth0");
        let radio = line("00000100", "00450003", "wwan0");
        assert_eq!(v6(&reject), None);
        assert_eq!(
            v6(&[reject, wire, radio].concat()).as_deref(),
            Some("wwan0")
        );
        assert_eq!(v6("0 0 0\ngarbage"), None);
    }
}
