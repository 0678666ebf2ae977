//! What the simulator costs: packets a second, quiet time, building a world, worlds that a core can carry; classic turmoil beside it.
//!
//! Processor time of a thread of its own, the best of some runs in turns: whatever else the machine does makes a run longer, never shorter.

use std::{fmt::Write as _, time::Duration};

use crate::{
    TICK, classic, cpu,
    exchange::Exchange,
    ours::{self, Access},
};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Runs of each; the best one counts.
    pub runs: u32,
    /// Requests of a machine where packets are counted.
    pub requests: u32,
    /// Requests of a machine, one every ten seconds, where classic turmoil runs beside.
    pub beside: u32,
}

impl Effort {
    /// For a page.
    pub const FULL: Self = Self {
        runs: 10,
        requests: 400,
        beside: 12,
    };
}

/// The least processor time of `runs` runs.
fn least(runs: u32, work: impl Fn() + Sync) -> f64 {
    let mut least = Duration::MAX;
    for _ in 0..runs.max(1) {
        least = least.min(cpu::of(&work).1);
    }
    least.as_secs_f64()
}

/// The tables.
pub fn tables(effort: &Effort) -> String {
    let mut out = String::from(
        "## Packets\n\nMachines that ask head office back to back, 250 bytes there and 40 back, over a line of 20 ms.\n\n\
         | machines | access | packets | packets a second | microseconds each |\n|---|---|---|---|---|\n",
    );
    for access in [Access::Perfect, Access::Lan] {
        for hosts in [4, 12, 24] {
            let exchange = Exchange {
                hosts,
                requests: effort.requests,
                every: Duration::ZERO,
                ..Exchange::default()
            };
            let spec = ours::world_of(&exchange, access);
            let (_, report) = ours::run(&exchange, access);
            let seconds = least(effort.runs, || drop(ours::play(&spec, exchange)));
            let packets = report.packets as f64;
            let _ = writeln!(
                out,
                "| {hosts} | {} | {} | {} | {:.2} |",
                format!("{access:?}").to_lowercase(),
                report.packets,
                backroom_reports::human::count((packets / seconds).round()),
                seconds / packets * 1e6
            );
        }
    }

    let spread = |times: u32| Exchange {
        requests: effort.requests,
        every: Duration::from_secs(1) * times,
        ..Exchange::default()
    };
    let play = |exchange: Exchange| {
        let spec = ours::world_of(&exchange, Access::Perfect);
        move || drop(ours::play(&spec, exchange))
    };
    let once = least(effort.runs, play(spread(1)));
    let ten = least(effort.runs, play(spread(10)));
    let _ = write!(
        out,
        "\n## Quiet time\n\nThe same exchanges over ten times the time took {:.2} times the processor ({:.2} ms, {:.2} ms).\n",
        ten / once,
        once * 1e3,
        ten * 1e3
    );

    let exchange = Exchange {
        requests: effort.beside,
        ..Exchange::default()
    };
    let simulated = exchange.every.as_secs_f64() * f64::from(exchange.requests);
    let ours_seconds = least(effort.runs, play(exchange));
    let classic = least(effort.runs.min(3), || drop(classic::run(&exchange, TICK)));
    let row = |name: &str, seconds: f64| {
        format!(
            "| {name} | {:.2} | {} | {} |\n",
            seconds * 1e3,
            backroom_reports::human::count((simulated / seconds).round()),
            backroom_reports::human::count((seconds / ours_seconds).round()),
        )
    };
    let _ = write!(
        out,
        "\n## Beside classic turmoil\n\nTwelve machines, a request each every ten seconds, for {simulated} simulated seconds. *Worlds a core* is how many such stores one core carries in real time.\n\n\
         | engine | processor, ms | worlds a core | times the processor |\n|---|---|---|---|\n{}{}",
        row("backroom", ours_seconds),
        row("turmoil 0.7, ticks of 1 ms", classic)
    );

    out.push_str(
        "\n## A world that only starts and ends\n\n| machines | microseconds |\n|---|---|\n",
    );
    for hosts in [4, 18, 60] {
        let exchange = Exchange {
            hosts,
            ..Exchange::default()
        };
        let spec = ours::world_of(&exchange, Access::Lan);
        let seconds = least(effort.runs, || {
            backroom_sim::world::run(&spec, |_| async {})
                .map(drop)
                .expect("no recordings")
        });
        let _ = writeln!(out, "| {hosts} | {:.0} |", seconds * 1e6);
    }
    out
}

/// What the page does not tell.
pub const LIMITS: &[&str] = &[
    "These machines only ask and answer. What a whole store costs, packet by packet: `cargo run --release -p backroom-benches --example profile -- SCENARIO`.",
    "Classic turmoil has no bandwidth, no loss that TCP survives, and no disk; with ticks of 10 ms it is ten times as fast and falsifies round trips.",
    "Memory is not measured here.",
];
