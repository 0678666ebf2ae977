//! `backroom plan`: what a store needs for an outage, or which outage it survives.

use std::time::Duration;

use backroom_collector::config::{BitRate, ByteSize, quantity};
use backroom_reports::{exit, json, plan as page};

use crate::plan::{
    self, Question, check,
    stores::{self, STORES, Store},
};

/// Answer a capacity planner: buffer, share of the line, recovery, backup data and loss, by closed forms and by simulation.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    backroom plan --outage 14d --line 5Mbit/s --target-recovery 8h\n  \
    backroom plan --disk 512MiB --line 2Mbit/s --share 13%")]
pub(super) struct Args {
    /// Kind of store; its figures stand on the page.
    #[arg(long, value_name = "STORE", default_value = "quick-service", value_parser = store)]
    store: Store,

    /// The outage to survive.
    #[arg(long, value_name = "TIME", value_parser = time, required_unless_present = "disk")]
    outage: Option<Duration>,

    /// Upstream capacity of the line.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    line: BitRate,

    /// Time in which the backlog must be gone once the line is back.
    #[arg(long, value_name = "TIME", value_parser = time)]
    target_recovery: Option<Duration>,

    /// Share of the line that telemetry may take; what the target needs unless told otherwise, or half.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    share: Option<f64>,

    /// Size of the buffer: which outage does it survive?
    #[arg(long, value_name = "SIZE", value_parser = size)]
    disk: Option<ByteSize>,

    /// Raw telemetry of the whole store per second, in place of the store's figure.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    telemetry: Option<ByteSize>,

    /// Raw bytes over compressed bytes, in place of the store's figure; 1 to 1000.
    #[arg(long, value_name = "N", value_parser = ratio)]
    ratio: Option<f64>,

    /// Mean time between two outages.
    #[arg(long, value_name = "TIME", value_parser = time)]
    mtbf: Option<Duration>,

    /// Mean length of an outage.
    #[arg(long, value_name = "TIME", value_parser = time)]
    mttr: Option<Duration>,

    /// Data that the backup line may carry in 30 days.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    allowance: Option<ByteSize>,

    /// Share of telemetry that may be lost over the years; 0.01% unless told otherwise.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    target_loss: Option<f64>,

    /// Closed forms only.
    #[arg(long)]
    no_simulate: bool,

    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn store(text: &str) -> Result<Store, String> {
    let names: Vec<&str> = STORES.iter().map(|s| s.name).collect();
    let unknown = || {
        format!(
            "there is no store `{text}`, expected one of {}",
            names.join(", ")
        )
    };
    stores::find(text).copied().ok_or_else(unknown)
}

/// The message of a quantity that cannot be read; it leaves a place for its key.
fn said(text: &str, title: &str) -> String {
    title.replace("{key}", text)
}

/// A hundred years: beyond it a clock, not a buffer, is the question.
const TIME_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = quantity::duration(text).map_err(|e| said(text, &e.title))?;
    match time {
        time if time.is_zero() => Err("it must last".into()),
        time if time > TIME_MAX => Err("at most 36500d".into()),
        time => Ok(time),
    }
}

fn rate(text: &str) -> Result<BitRate, String> {
    match quantity::bit_rate(text).map_err(|e| said(text, &e.title))? {
        BitRate(0) => Err("a line of 0 bit/s carries nothing".into()),
        rate => Ok(rate),
    }
}

pub(super) fn size(text: &str) -> Result<ByteSize, String> {
    match quantity::byte_size(text).map_err(|e| said(text, &e.title))? {
        ByteSize(0) => Err("it must be more than nothing".into()),
        size => Ok(size),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match quantity::share(text).map_err(|e| said(text, &e.title))? {
        share if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected more than 0% and at most 100%".into()),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is not a number"))?;
    match (1.0..=1000.0).contains(&ratio) {
        true => Ok(ratio),
        false => Err("expected 1 to 1000".into()),
    }
}

pub(super) fn run(args: &Args) -> i32 {
    let mut store = args.store;
    let seconds = |d: Duration| d.as_secs_f64();
    store.telemetry_bytes_per_second = args
        .telemetry
        .map_or(store.telemetry_bytes_per_second, |t| t.0 as f64);
    store.compression_ratio = args.ratio.unwrap_or(store.compression_ratio);
    store.mtbf_seconds = args.mtbf.map_or(store.mtbf_seconds, seconds);
    store.mttr_seconds = args.mttr.map_or(store.mttr_seconds, seconds);
    store.allowance_bytes = args.allowance.map_or(store.allowance_bytes, |a| a.0 as f64);
    let question = Question {
        store,
        outage: args.outage.map(seconds),
        line: args.line.bytes_per_second(),
        share: args.share,
        target: args.target_recovery.map(seconds),
        disk: args.disk.map(|d| d.0 as f64),
        loss_target: args.target_loss.unwrap_or(plan::LOSS_TARGET),
    };
    let mut plan = plan::answer(&question);
    let mut code = exit::OK;
    if !args.no_simulate
        && let Err(why) = check::add(&mut plan, &question)
    {
        eprintln!("error: {why}; the closed forms stand alone, as with --no-simulate");
        code = exit::INTERNAL;
    }
    let text = match args.json {
        true => json::render_plan(&plan),
        false => page::render(&plan),
    };
    super::check::put(&text);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_cannot_be_are_refused() {
        let check = |refused: Option<String>, why: &str| {
            let said = refused.expect("it is refused");
            assert!(said.contains(why), "{said}");
        };
        check(
            store("palace").err(),
            "expected one of quick-service, grocery, agency-office",
        );
        check(time("0s").err(), "it must last");
        check(time("200000d").err(), "century");
        check(time("soon").err(), "`soon`");
        check(rate("0bit/s").err(), "carries nothing");
        check(rate("2Mbit").err(), "not a unit of data rate");
        check(size("0B").err(), "more than nothing");
        check(share("0%").err(), "");
        check(ratio("0.5").err(), "1 to 1000");
        check(ratio("NaN").err(), "1 to 1000");
        assert_eq!(share("13%"), Ok(0.13));
    }
}
