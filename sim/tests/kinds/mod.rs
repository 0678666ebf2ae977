//! The other kinds in the same small store: what each does, that it heals, and that nothing which was promised is lost.
//!
//! - `links`: flapping, a recording, an allowance that is used up;
//! - `machines_and_clocks`: reboots in turn, a pause, a slow disk, clocks that jump and drift;
//! - `clocks`: offline payments that expire by a clock that runs or jumps ahead, and no more when it is right;
//! - `disks`: full, failing, rotten;
//! - `names_and_head_office`: a resolver that fails in four ways, a slow head office, a region that is dark;
//! - `power`: who is dark without a UPS, and what a router without power takes with it;
//! - `rot`: damage in the middle of the journals of broker and tills;
//! - `stand_in`: card payments that nobody answers;
//! - `times`: random and relative times, one machine of a group.

mod clocks;
mod rot;
mod stand_in;

use super::*;

fn fault_table(text: &str) -> String {
    format!("[[fault]]\n{text}\n")
}

fn faults(list: &[&str]) -> String {
    list.iter().map(|text| fault_table(text)).collect()
}

/// When the router went to the backup, and came back.
fn switches(played: &Played) -> Vec<(u64, bool)> {
    let all = played.events(|event| match event {
        Event::Failover { backup } => Some(*backup),
        _ => None,
    });
    all.map(|(at, backup)| (at.as_secs(), backup)).collect()
}

/// Packets a second that a link carried upwards, at most, in whole seconds: bytes.
fn most_upwards(played: &Played, link: &str, seconds: Range<u32>) -> u64 {
    let mut by_second = BTreeMap::<u32, u64>::new();
    let lines = played.run.links.iter();
    for (second, bytes) in lines
        .filter(|l| l.link == link && l.upwards)
        .flat_map(|l| &l.carried)
    {
        *by_second.entry(second).or_default() += bytes;
    }
    let mut most = 0;
    for (second, bytes) in by_second {
        if seconds.contains(&second) {
            most = most.max(bytes);
        }
    }
    most
}

/// Scenario: the uplink flaps for a minute, follows a recording of 48 kbit/s for a minute, and is cut; for 25 s of
/// that the allowance of the backup is used up.
/// Guarantees: traffic goes on in the turns that are up, and the router does not thrash; the recording bounds what is carried; the
/// carrier throttles the backup, and lets it go at the end.
#[test]
fn links() {
    let folder = tempfile::tempdir().expect("a folder");
    let recording = folder.path().join("line.txt");
    std::fs::write(&recording, "0 0.048\n10 0.048\n20 0.048\n").expect("it has room");
    let text = [
        String::from(
            "[failover]\ndata_cap = { bytes = \"1GiB\", per = \"30d\", on_exceed = \"throttle\", to = \"8kbit/s\" }\n",
        ),
        faults(&[
            "id = \"flaps\"\nkind = \"link.flap\"\non = \"uplink\"\nat = \"+40s\"\nfor = \"60s\"\nup_for = \"const(8s)\"\ndown_for = \"const(3s)\"",
            &format!(
                "id = \"recorded\"\nkind = \"link.trace\"\non = \"uplink\"\nat = \"+130s\"\nfor = \"50s\"\ntrace = {{ file = {recording:?}, format = \"cooked\", unit = \"Mbit/s\" }}"
            ),
            "id = \"cut\"\nkind = \"link.down\"\non = \"uplink\"\nat = \"+200s\"\nfor = \"60s\"",
            "id = \"cap\"\nkind = \"link.cap_reached\"\non = \"lte\"\nat = \"after cut.start + 15s\"\nfor = \"25s\"",
        ]),
    ]
    .concat();
    let played = play(store(&text), 1);
    played.bit("flaps", 40..100);
    let down = [40..43, 51..54, 62..65, 73..76, 84..87, 95..98];
    for turn in &down {
        // A packet counts when it is offered; what had been offered before is through.
        let inner = turn.start + 1..turn.end;
        assert_eq!(played.carried("uplink", inner, None), 0, "{turn:?}");
        assert!(played.carried("uplink", turn.end + 1..turn.end + 7, None) > 0);
    }
    let early = switches(&played).into_iter().filter(|(at, _)| *at < 130);
    assert!(early.count() <= 2, "{:?}", switches(&played));

    played.bit("recorded", 130..180);
    let carried = played.carried("uplink", 131..180, Some("telemetry"));
    assert!(carried > 20_000, "{carried}");
    let up: u64 = {
        let lines = played.run.links.iter();
        let lines = lines.filter(|l| l.link == "uplink" && l.upwards);
        let bytes = lines.flat_map(|l| &l.carried);
        bytes
            .filter(|(s, _)| (131..180).contains(s))
            .map(|(_, b)| b)
            .sum()
    };
    assert!(up <= 49 * 6_000 + (256 << 10), "{up} B at 6 kB/s");

    played.bit("cut", 200..260);
    played.bit("cap", 215..240);
    // 8 kbit/s are 1 kB/s; a packet counts when it is offered to the throttled line, so some of what is counted still waits.
    let throttled: u64 = (220..240)
        .map(|s| most_upwards(&played, "lte", s..s + 1))
        .sum();
    assert!(throttled > 0, "orders and payments still go");
    assert!(throttled <= 30_000, "{throttled} B in 20 s");
    let (before, after) = (207..215, 240..260);
    assert!(most_upwards(&played, "lte", before) > 5_000);
    assert!(
        most_upwards(&played, "lte", after) > 8_000,
        "the carrier lets it go"
    );
    let later = played.carried("uplink", 290..350, Some("payment"));
    assert!(later > 10_000, "back on the uplink: {later} B");
}

/// Scenario: the tills reboot in turn; the broker stands still for 20 s, then its disk is slow for 30 s; a till's clock jumps back
/// by 90 s and another machine's runs fast.
/// Guarantees: one till at a time reboots, for its boot time; nothing moves in the pause and all goes on after it without a
/// restart; orders take longer with the slow disk, and not after it; clocks change nothing that was promised.
#[test]
fn machines_and_clocks() {
    use MachineChange::{Rebooted, Started};
    let text = faults(&[
        "id = \"reboots\"\nkind = \"node.reboot\"\non = \"pos\"\nat = \"+40s\"\nevery = \"20s\"\ntimes = 3\npick = \"one, round-robin\"",
        "id = \"still\"\nkind = \"node.pause\"\non = \"broker\"\nat = \"+120s\"\nfor = \"20s\"",
        "id = \"still-within\"\nkind = \"node.pause\"\non = \"broker\"\nat = \"+125s\"\nfor = \"5s\"",
        "id = \"slow\"\nkind = \"disk.slow\"\non = \"broker\"\nat = \"+170s\"\nfor = \"30s\"\nset = { fsync = \"const(900ms)\" }",
        "id = \"steps\"\nkind = \"clock.step\"\non = \"pos\"\nat = \"+230s\"\nby = \"-90s\"\npick = \"one\"",
        "id = \"drifts\"\nkind = \"clock.skew\"\non = \"collector\"\nat = \"+240s\"\nfor = \"60s\"\nrate = \"+2%\"",
    ]);
    let played = play(store(&text), 1);
    let changes = |name: &str| -> Vec<(u64, MachineChange)> {
        let changes = played.changes(name).into_iter();
        changes.map(|(at, what)| (at.as_secs(), what)).collect()
    };
    let first = [
        (5, Started),
        (40, Rebooted),
        (45, Started),
        (80, Rebooted),
        (85, Started),
    ];
    assert_eq!(changes("pos-1"), first);
    assert_eq!(
        changes("pos-2"),
        [(5, Started), (60, Rebooted), (65, Started)]
    );
    let ends = played
        .fault("reboots")
        .into_iter()
        .filter(|(_, begins, _)| !begins);
    assert!(ends.map(|(.., effects)| effects).all(|effects| effects > 0));

    played.bit("still", 120..140);
    assert!(!played.seen(110..120, accepted).is_empty());
    assert!(played.seen(121..140, accepted).is_empty());
    // A segment that was lost as it began comes again after 25 s: the schedule doubles.
    assert!(!played.seen(140..165, accepted).is_empty(), "it goes on");
    assert_eq!(
        changes("broker"),
        [(4, Started)],
        "and was not started again"
    );

    played.bit("slow", 170..200);
    let accepted_after = |seconds: Range<u32>| {
        let placed: BTreeMap<OrderId, Duration> = played
            .events(|event| match event {
                Event::OrderPlaced { order, .. } => Some(*order),
                _ => None,
            })
            .map(|(at, order)| (order, at))
            .collect();
        let taken = played.events(|event| match event {
            Event::OrderAccepted { order } => Some(*order),
            _ => None,
        });
        let window = seconds.start * S..seconds.end * S;
        let delays: Vec<Duration> = taken
            .filter(|(at, _)| window.contains(at))
            .filter_map(|(at, order)| Some(at - *placed.get(&order)?))
            .collect();
        assert!(!delays.is_empty());
        delays.iter().sum::<Duration>() / delays.len() as u32
    };
    assert!(accepted_after(172..200) > 700 * S / 1_000);
    assert!(accepted_after(210..300) < 300 * S / 1_000);
    played.bit("drifts", 240..300);
}

/// Scenario: the collector's disk is full for 50 s, then a fifth of its operations fails for 40 s; then the same share of the
/// broker's and the tills' syncs and writes.
/// Guarantees: tills and kitchen go on while the collector cannot store; whoever stops for its disk is started again; what was
/// acknowledged survives all of it.
#[test]
fn disks() {
    let text = faults(&[
        "id = \"full\"\nkind = \"disk.full\"\non = \"collector\"\nat = \"+40s\"\nfor = \"50s\"",
        "id = \"fails\"\nkind = \"disk.io_error\"\non = \"collector\"\nat = \"+110s\"\nfor = \"40s\"\nshare = \"20%\"",
        "id = \"broker-fails\"\nkind = \"disk.io_error\"\non = \"broker\"\nat = \"+170s\"\nfor = \"20s\"\nshare = \"10%\"\nops = \"syncs\"",
        "id = \"tills-fail\"\nkind = \"disk.io_error\"\non = \"pos\"\nat = \"+220s\"\nfor = \"20s\"\nshare = \"20%\"\nops = \"writes\"",
    ]);
    let played = play(store(&text), 1);
    played.bit("full", 40..90);
    assert!(!played.seen(50..60, accepted).is_empty());
    assert!(!played.seen(100..110, acked).is_empty(), "it heals");
    played.bit("fails", 110..150);
    assert!(!played.seen(165..170, acked).is_empty(), "it heals");
    played.bit("broker-fails", 170..190);
    played.bit("tills-fail", 220..240);
    let restarts = |name: &str| {
        let changes = played.changes(name).into_iter();
        changes
            .filter(|(_, change)| *change == MachineChange::Crashed)
            .count()
    };
    assert!(restarts("pos-1") + restarts("pos-2") > 0);
    assert!(!played.seen(260..270, accepted).is_empty());
}

/// Scenario: 200 bytes of the collector's files rot while the line is cut, and the collector starts again.
/// Guarantees: it finds the damage, ledgers what it loses, and forwards the rest.
#[test]
fn rot_costs_what_it_hits_and_no_more() {
    let text = faults(&[
        "id = \"cut\"\nkind = \"link.down\"\non = \"uplink\"\nat = \"+60s\"\nfor = \"100s\"",
        "id = \"rots\"\nkind = \"disk.corrupt\"\non = \"collector\"\nat = \"+150s\"\nbytes = 6",
        "id = \"dies\"\nkind = \"node.crash\"\non = \"collector\"\nat = \"+151s\"\nfor = \"1s\"",
    ]);
    let scenario = store(&text);
    let run = play::run(&scenario, 1);
    let result = play::judge(&scenario, std::slice::from_ref(&run));
    let lost: u64 = run
        .events
        .iter()
        .filter_map(|stamped| match stamped.event {
            Event::TelemetryDropped { items, .. } => Some(items),
            _ => None,
        })
        .sum();
    let made: u64 = run
        .events
        .iter()
        .filter_map(|stamped| match stamped.event {
            Event::TelemetryMade { count, .. } => Some(u64::from(count)),
            _ => None,
        })
        .sum();
    assert!(lost > 0 && lost < made / 2, "{lost} of {made} items");
    for invariant in &result.invariants {
        assert_eq!(invariant.verdict, Verdict::Pass, "{invariant:?}");
    }
    let idle = result.notes.join("\n");
    assert!(!idle.contains("rots"), "{idle}");
}

/// Scenario: the resolver fails in each of its four ways while a till starts again and has to look head office up; then payments
/// take 3 s; then the region is dark, and this store sees the end 10 s later.
/// Guarantees: cards are taken offline meanwhile and settled; all is as before afterwards.
#[test]
fn names_and_head_office() {
    let mut list = Vec::new();
    for (at, mode) in [
        (40, "servfail"),
        (65, "nxdomain"),
        (90, "timeout"),
        (115, "stale"),
    ] {
        list.push(format!(
            "id = \"{mode}\"\nkind = \"dns.fail\"\non = \"router\"\nat = \"+{at}s\"\nfor = \"15s\"\nmode = \"{mode}\""
        ));
        list.push(format!(
            "id = \"dies-in-{mode}\"\nkind = \"node.crash\"\non = \"pos\"\nat = \"+{}s\"\nfor = \"1s\"",
            at + 1
        ));
    }
    list.push(
        "id = \"slow\"\nkind = \"hq.slow\"\non = \"hq\"\nat = \"+170s\"\nfor = \"40s\"\nset = { auth = \"const(3s)\", ingest = \"2kB/s\" }".into(),
    );
    list.push(
        "id = \"gulf-dark\"\nkind = \"region.outage\"\non = \"region:gulf\"\nat = \"+250s\"\nfor = \"30s\"\nheal = \"const(10s)\"".into(),
    );
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let text = format!(
        "[fleet]\nstores = 1\nregions = {{ gulf = 1 }}\n{}",
        faults(&list)
    );
    let played = play(store(&text), 1);
    let offline = |event: &Event| {
        matches!(
            event,
            Event::PaymentSettled {
                how: Payment::Offline,
                ..
            }
        )
    };
    let online = |event: &Event| {
        matches!(
            event,
            Event::PaymentSettled {
                how: Payment::Online,
                ..
            }
        )
    };
    for (at, mode) in [
        (40, "servfail"),
        (65, "nxdomain"),
        (90, "timeout"),
        (115, "stale"),
    ] {
        played.bit(mode, at..at + 15);
        assert!(!played.seen(at + 2..at + 16, offline).is_empty(), "{mode}");
        assert!(played.seen(at + 3..at + 15, online).is_empty(), "{mode}");
    }
    assert!(!played.seen(150..165, online).is_empty(), "they heal");
    played.bit("slow", 170..210);
    assert!(played.payment_mean(171..205) > 3 * S);
    assert!(played.payment_mean(215..245) < S / 2);
    let (begin, end) = (played.fault("gulf-dark")[0], played.fault("gulf-dark")[1]);
    assert_eq!((begin.0.as_secs(), end.0.as_secs()), (250, 290));
    assert_eq!(played.carried("uplink", 251..290, None), 0);
    assert!(played.carried("uplink", 291..300, None) > 0);
}

/// Scenario: all but the kiosks, the broker and the tills are on a UPS or not, with and without the router.
/// Guarantees: without the router the LAN is dead, too: nothing is accepted, though broker, kiosks and tills have power.
#[test]
fn power() {
    for (with_router, accepts) in [(false, false), (true, true)] {
        let router = if with_router { ", router = \"1h\"" } else { "" };
        let text = faults(&[&format!(
            "id = \"dark\"\nkind = \"store.power_cut\"\non = \"store\"\nat = \"+60s\"\nfor = \"30s\"\nups = {{ kiosk = \"1h\", pos = \"1h\", broker = \"1h\", kds = \"1h\"{router} }}"
        )]);
        let played = play(store(&text), 1);
        played.bit("dark", 60..90);
        let seen = !played.seen(62..90, accepted).is_empty();
        assert_eq!(seen, accepts, "router on a UPS: {with_router}");
        assert!(!played.seen(92..150, accepted).is_empty());
        let lines = ["lan", "uplink", "lte"];
        let carried: u64 = lines.iter().map(|l| played.carried(l, 62..90, None)).sum();
        assert_eq!(carried > 0, accepts);
    }
}

/// Scenario: outages at random times, with an allowance that is used up 5 s after each begins.
/// Guarantees: seeds have times of their own, the same ones each time; expectations, timeline and events agree about them.
#[test]
fn times() {
    let text = format!(
        "{}\n[[expect]]\nid = \"during\"\nthat = \"count(order.lost) == 0\"\nwindow = \"during outages\"\n",
        faults(&[
            "id = \"outages\"\nkind = \"link.down\"\non = \"uplink\"\nmtbf = \"exp(mean=60s)\"\nmttr = \"uniform(4s, 12s)\"\ntimes = 3",
            "id = \"cap\"\nkind = \"link.cap_reached\"\non = \"lte\"\nat = \"after outages.start + 5s\"\nfor = \"until outages.end\"",
        ])
    );
    let scenario = store(&text);
    assert!(scenario.faults[0].windows.is_empty(), "no seed yet");
    let mut seen = BTreeSet::new();
    for seed in [1, 2] {
        let played = play(Arc::clone(&scenario), seed);
        let settled = scenario.of_seed(seed);
        let expect: Vec<u64> = settled.faults[0]
            .windows
            .iter()
            .map(|w| w.start.as_millis() as u64)
            .collect();
        assert!((2..=3).contains(&expect.len()), "{expect:?}");
        let begins = played.fault("outages").into_iter();
        let begins: Vec<u64> = begins
            .filter(|(_, begins, _)| *begins)
            .map(|(at, ..)| at.as_millis() as u64)
            .collect();
        for (begin, window) in begins.iter().zip(&expect) {
            assert!(begin.abs_diff(*window) <= 1, "{begins:?} {expect:?}");
        }
        let cuts = played.result.timeline.iter();
        assert_eq!(
            cuts.filter(|m| m.text.starts_with("outages (")).count(),
            expect.len().min(12)
        );
        assert!(seen.insert(expect), "seeds differ");
    }
}
