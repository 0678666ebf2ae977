//! The classes of findings about scenarios: faults (E02), expectations (E03), closed forms (E04), sweeps and `--set` (E05),
//! and the warnings (W06). What both programs share stands in `backroom_collector::config::codes`.

use backroom_collector::{
    config::{Code, codes},
    finding_codes,
};

finding_codes! {
    E0111 "unknown distribution"
        "A distribution is written as a small call with figures that people know: const(30s), uniform(35s, 70s), \
         exp(mean=2h), lognormal(p50=17ms, p99=71ms), geometric(mean=2.2). A plain quantity is a constant."
    E0112 "missing file"
        "A file that the scenario names does not exist. Paths in a file are relative to that file; paths in --set are relative \
         to the working directory."
    E0113 "bad clock"
        "`start` is the store's own wall clock at the start of the run, with its offset: 2025-03-14T11:30:00-05:00, or with a \
         time zone: 2025-03-14T11:30:00-05:00[America/Chicago]."
    E0114 "template instead of scenario"
        "A template describes a store and has no start, no end and nothing to judge. Name a scenario that uses it."
    E0115 "unusable recording"
        "A recording of a line is not in the format that the scenario says, or nothing of it can be played: cooked files have \
         lines of seconds and throughput, mahimahi files one number of milliseconds a line. At most 64 MiB are read."
    E0201 "unknown fault kind"
        "No fault is called that. `backroom explain faults` lists the kinds and their settings."
    E0202 "unknown fault setting"
        "This kind of fault has no such setting. `backroom explain faults` lists what each kind takes; `id`, `kind`, `on`, `at`, \
         `for`, `every`, `times`, `pick`, `mtbf` and `mttr` are common to all."
    E0203 "missing fault setting"
        "This kind of fault needs a setting that is not there. Every fault has an end, or says `for = \"forever\"`."
    E0204 "not declared"
        "A name refers to a link, node, disk, class, profile or region that no file declares. `store`, `router` and `hq` exist \
         without being declared. Or it is declared and is something else: a link where a machine belongs, or `hq`, which fails by \
         faults of its own (`hq.reject`, `hq.slow`, `region.outage`)."
    E0205 "fault never happens"
        "The fault begins when the run is over. A time of day is the first one at or after `start`; an offset such as \"+45m\" \
         counts from `start`."
    E0206 "unreadable time"
        "A time is a store-local clock (\"12:05\"), an offset from the start (\"+45m\"), or relative to another fault \
         (\"after uplink-cut.end + 10m\"); an end is a duration, \"until X.end\", \"until 12:20\" or \"forever\"."
    E0207 "times in a circle"
        "Faults wait for each other: each one's time is relative to the next one's."
    E0208 "unknown fault"
        "A window, a time or an oracle refers to a fault by its `id`, and no fault has that id."
    E0209 "contradicting settings"
        "Two settings exclude each other: a fault happens `at` a time, or at random with `mtbf` and `mttr`; it cannot end before \
         it begins or begin again before it has ended; a file has one `seed` or several `seeds`."
    E0210 "not run in this version"
        "The file is right, and `check` accepts it, but this version cannot run all of it. A run is refused rather than played \
         without the part that is missing."
    E0301 "unknown metric"
        "No metric is called that. `backroom explain metrics` lists them, with their units and what starts and stops each."
    E0302 "percentile is not kept"
        "Percentiles are kept for a few quantiles only: p50, p75, p90, p95, p99, p999, and those that `report.quantiles` adds."
    E0303 "unreadable expectation"
        "An expectation is FUNCTION(METRIC, ...) COMPARISON LIMIT: p99(order.to_kds) < 1500ms."
    E0304 "unknown function"
        "The functions are count, sum, mean, min, max, last, delta, rate, ratio, share, gap, recovery, time_to, and percentiles \
         such as p99."
    E0305 "assignment for comparison"
        "`=` assigns, and an expectation compares: write ==, !=, <, <=, > or >=."
    E0306 "unit mismatch"
        "Both sides of a comparison must be of one kind: times with times, sizes with sizes, shares with shares."
    E0307 "unknown dimension"
        "A metric is narrowed by its dimensions, such as class=telemetry, and this metric has no such dimension."
    E0308 "unreadable window"
        "A window is one of: during F [from +d] [for d], after F [for d], between HH:MM and HH:MM [except F, ...], \
         outside faults, whole run, at end."
    E0309 "function does not fit the metric"
        "Percentiles and shares need samples, `last` needs a level, `recovery` needs a level to fall below. `backroom explain \
         metrics` says what each metric is."
    E0401 "unknown model"
        "No closed form is called that. An oracle compares a run with one of the closed forms that this version knows."
    E0501 "unknown path"
        "A sweep, a condition or a variation names a dotted path that is not in the language, or a part of it that no file \
         declares."
    E0502 "bad path in --set"
        "`--set PATH=VALUE` changes a setting of something that is declared: fault.uplink-cut.for=40m, \
         link.uplink.up=4Mbit/s, expect.caught-up.that='...'. Faults, expectations and oracles are found by their id."
    E0503 "bad --set"
        "`--set` takes PATH=VALUE. The value is TOML, or a plain text: 40m is \"40m\"."
    W0601 "backlog never drains"
        "More telemetry arrives than the collector may send, so a backlog grows for ever. The warning names the rate at which it \
         breaks even."
    W0602 "expectation can never be judged"
        "The window of the expectation never happens, or it will hardly have as many samples in it as the function needs. Run more \
         seeds, widen the window, or set `min_samples` lower and know what that means."
    W0603 "oracle is skipped"
        "The `when` of an oracle does not hold for these settings, or at some points of the sweep, so its closed form is not compared there."
    W0604 "faults overlap"
        "Two faults change the same link at the same time; the one that began last wins."
    W0605 "allowance is too small"
        "The data allowance of the backup line lasts for less time at the full rate of the line than the primary line is out within one \
         period of the allowance, and the backup may carry what fills it: telemetry, media, or very many orders."
    W0606 "no recording found"
        "No recording is there yet. It is looked for again when a run needs it."
}

/// The class with this number, in any case, of all that exist.
pub fn find(id: &str) -> Option<&'static Code> {
    all().find(|c| c.id.eq_ignore_ascii_case(id))
}

/// All classes that exist, by number.
pub fn all() -> impl Iterator<Item = &'static Code> {
    let mut list: Vec<&'static Code> = codes::ALL.iter().chain(ALL).copied().collect();
    list.sort_by_key(|c| c.id);
    list.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_used_twice_and_each_is_explained() {
        let list: Vec<_> = all().collect();
        assert!(list.windows(2).all(|w| w[0].id < w[1].id));
        assert!(list.iter().all(|c| c.text.ends_with('.')));
        assert_eq!(find("e0204").map(|c| c.title), Some("not declared"));
    }
}
