//! A timeline for ui.perfetto.dev, in the Trace Event Format: stores are processes, machines are tracks, faults are asynchronous
//! slices, messages are arrows.
//!
//! Source: "Trace Event Format", Duffy et al., 2016 (the JSON that Chrome writes and Perfetto reads). Times are microseconds since
//! the start of the run. An arrow ends at the slices that enclose its two instants, so every end of a message is a slice of its own, one
//! microsecond long: slices of one track nest, and these are too short to overlap.

use serde_json::{Value, json};

/// A place on the timeline: a machine's track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Track {
    /// Index of the process, from [`Timeline::process`].
    pub process: usize,
    /// Index of the track in it.
    pub track: usize,
}

/// What is drawn.
#[derive(Debug, Default)]
pub struct Timeline {
    events: Vec<Value>,
    processes: usize,
    arrows: u64,
}

/// 1 us: visible when zoomed in, and too short to overlap with a neighbour.
const INSTANT_US: f64 = 1.0;

impl Timeline {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A process with its tracks, in the order in which they are to be shown.
    pub fn process(&mut self, name: &str, tracks: &[String]) -> usize {
        let process = self.processes;
        self.processes += 1;
        let pid = process + 1;
        let mut name_of = |what: &str, tid: usize, name: &str| {
            self.events.push(json!({
                "ph": "M", "name": what, "pid": pid, "tid": tid, "args": { "name": name }
            }));
        };
        name_of("process_name", 0, name);
        for (track, name) in tracks.iter().enumerate() {
            name_of("thread_name", track + 1, name);
        }
        for track in 0..tracks.len() {
            self.events.push(json!({
                "ph": "M", "name": "thread_sort_index", "pid": pid, "tid": track + 1,
                "args": { "sort_index": track }
            }));
        }
        process
    }

    /// Something that lasts, on a machine's track. Slices of one track must nest.
    pub fn slice(&mut self, at: Track, name: &str, start_us: f64, end_us: f64) {
        self.events.push(json!({
            "ph": "X", "cat": "machine", "name": name, "pid": at.process + 1, "tid": at.track + 1,
            "ts": start_us, "dur": (end_us - start_us).max(0.0)
        }));
    }

    /// Something that happens at once.
    pub fn instant(&mut self, at: Track, name: &str, at_us: f64) {
        self.slice(at, name, at_us, at_us + INSTANT_US);
    }

    /// Something that lasts and belongs to no machine: a fault. Two of one name may overlap if their `id` differs.
    pub fn fault(&mut self, process: usize, id: u64, name: &str, start_us: f64, end_us: f64) {
        for (ph, ts) in [("b", start_us), ("e", end_us)] {
            self.events.push(json!({
                "ph": ph, "cat": "fault", "name": name, "id": format!("0x{id:x}"),
                "pid": process + 1, "tid": 0, "ts": ts
            }));
        }
    }

    /// An arrow from one instant to a later one; both must be in slices of their tracks.
    pub fn arrow(&mut self, name: &str, from: (Track, f64), to: (Track, f64)) {
        self.arrows += 1;
        let mut end = |ph: &str, (at, us): (Track, f64)| {
            let mut event = json!({
                "ph": ph, "cat": "message", "name": name, "id": self.arrows,
                "pid": at.process + 1, "tid": at.track + 1, "ts": us
            });
            if ph == "f" {
                event["bp"] = "e".into();
            }
            self.events.push(event);
        };
        end("s", from);
        end("f", to);
    }

    /// A value that holds until the next one.
    pub fn counter(&mut self, process: usize, name: &str, at_us: f64, value: f64) {
        self.events.push(json!({
            "ph": "C", "name": name, "pid": process + 1, "tid": 0, "ts": at_us,
            "args": { "value": value }
        }));
    }

    /// The file, as JSON; it is mostly kept compressed.
    pub fn render(&self) -> String {
        let mut out = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
        for (number, event) in self.events.iter().enumerate() {
            if number > 0 {
                out.push_str(",\n");
            }
            out.push_str(&event.to_string());
        }
        out.push_str("\n]}\n");
        out
    }
}

/// What is wrong with a file in this format, by the rules that viewers go by; `None` if nothing is.
///
/// # Errors
/// The first thing that is wrong.
pub fn validate(text: &str) -> Result<(), String> {
    use std::collections::BTreeMap;
    let file: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let events = file["traceEvents"].as_array().ok_or("no traceEvents")?;
    type At = (u64, u64);
    let mut slices: BTreeMap<At, Vec<(f64, f64)>> = BTreeMap::new();
    let (mut named, mut open) = (Vec::new(), BTreeMap::new());
    let mut starts: BTreeMap<String, (At, f64)> = BTreeMap::new();
    let mut ends: Vec<(String, At, f64)> = Vec::new();
    for event in events {
        let ph = event["ph"].as_str().ok_or("an event without ph")?;
        let pid = event["pid"].as_u64().ok_or("an event without pid")?;
        let tid = event["tid"].as_u64().ok_or("an event without tid")?;
        let number = |name: &str| {
            let value = event[name].as_f64().filter(|v| v.is_finite() && *v >= 0.0);
            value.ok_or_else(|| format!("{name} of {event} is not a time"))
        };
        match ph {
            "M" => named.push((pid, tid)),
            "X" => {
                let (ts, dur) = (number("ts")?, number("dur")?);
                slices.entry((pid, tid)).or_default().push((ts, ts + dur));
            }
            "C" => drop(number("ts")?),
            "b" | "e" => {
                let key = (event["cat"].to_string(), event["id"].to_string());
                let ts = number("ts")?;
                match (ph, open.remove(&key)) {
                    ("b", None) => drop(open.insert(key, ts)),
                    ("e", Some(start)) if start <= ts => {}
                    _ => return Err(format!("{event} does not pair")),
                }
            }
            "s" => drop(starts.insert(event["id"].to_string(), ((pid, tid), number("ts")?))),
            "f" => ends.push((event["id"].to_string(), (pid, tid), number("ts")?)),
            other => return Err(format!("ph {other} is not written here")),
        }
        if !named.contains(&(pid, tid)) {
            return Err(format!("{event} is on a track without a name"));
        }
    }
    if let Some((key, _)) = open.first_key_value() {
        return Err(format!("the slice {key:?} has no end"));
    }
    let encloses = |at: &At, ts: f64| {
        slices
            .get(at)
            .is_some_and(|all| all.iter().any(|(a, b)| *a <= ts && ts <= *b))
    };
    for (id, at, ts) in &ends {
        let (from, start) = starts
            .remove(id)
            .ok_or(format!("arrow {id} has no start"))?;
        if start > *ts || !encloses(&from, start) || !encloses(at, *ts) {
            return Err(format!(
                "arrow {id} does not lead from a slice to a later one"
            ));
        }
    }
    if let Some((id, _)) = starts.first_key_value() {
        return Err(format!("arrow {id} has no end"));
    }
    for (at, mut all) in slices {
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
        let mut inside: Vec<f64> = Vec::new();
        for (start, end) in all {
            inside.retain(|outer| *outer > start);
            if inside.last().is_some_and(|outer| end > *outer) {
                return Err(format!("slices of track {at:?} overlap at {start}"));
            }
            inside.push(end);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Timeline, Track, Track) {
        let mut timeline = Timeline::new();
        let tracks = ["kiosk-1".to_owned(), "broker".to_owned()];
        let process = timeline.process("store", &tracks);
        let track = |track| Track { process, track };
        (timeline, track(0), track(1))
    }

    #[test]
    fn a_timeline_is_what_viewers_read() {
        let (mut timeline, kiosk, broker) = two();
        timeline.slice(broker, "down", 50.0, 90.0);
        timeline.fault(0, 7, "cut \"x\"", 10.0, 60.0);
        timeline.fault(0, 8, "cut \"x\"", 20.0, 70.0);
        timeline.instant(kiosk, "placed", 1.0);
        timeline.instant(broker, "accepted", 3.0);
        timeline.arrow("order 1", (kiosk, 1.0), (broker, 3.0));
        timeline.counter(0, "backlog", 5.0, 12.0);
        assert_eq!(validate(&timeline.render()), Ok(()));
        assert_eq!(validate(&Timeline::new().render()), Ok(()));
    }

    #[test]
    fn what_viewers_would_draw_wrong_is_found() {
        let check = |draw: &dyn Fn(&mut Timeline, Track, Track), part: &str| {
            let (mut timeline, kiosk, broker) = two();
            draw(&mut timeline, kiosk, broker);
            let error = validate(&timeline.render()).expect_err(part);
            assert!(error.contains(part), "{error}");
        };
        check(
            &|t, k, _| {
                t.slice(k, "a", 0.0, 5.0);
                t.slice(k, "b", 3.0, 9.0)
            },
            "overlap",
        );
        check(&|t, k, b| t.arrow("x", (k, 1.0), (b, 2.0)), "arrow");
        check(
            &|t, k, b| {
                t.instant(k, "a", 5.0);
                t.instant(b, "b", 1.0);
                t.arrow("x", (k, 5.0), (b, 1.0))
            },
            "later",
        );
        check(
            &|t, _, _| {
                t.fault(0, 1, "a", 1.0, 3.0);
                t.fault(0, 1, "a", 9.0, 3.0)
            },
            "pair",
        );
        check(
            &|t, k, _| t.slice(Track { track: 9, ..k }, "a", 0.0, 5.0),
            "without a name",
        );
        check(&|t, k, _| t.slice(k, "a", f64::NAN, 5.0), "is not a time");
        assert!(validate("{").is_err());
        assert!(validate("[]").is_err());
    }
}
