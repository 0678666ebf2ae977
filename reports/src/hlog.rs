//! HdrHistogram interval logs: latencies by second, for the tools that read them.
//!
//! Source: the log format of HdrHistogram (Tene), version 1.3, as the `hdrhistogram` crate writes it. Values are microseconds; the log's
//! maximum is divided so that it reads in milliseconds. Times are seconds since the start of the run.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, Tag},
    },
};

/// A latency at an instant: since the start of the run, its length, and how many such.
pub type Sample = (Duration, Duration, u64);

/// A day in microseconds: what is longer counts as that.
const VALUE_US_MAX: u64 = 24 * 3600 * 1_000_000;

/// The log of one metric.
///
/// # Errors
/// If the writer of histograms refuses, which its own histograms give it no reason to.
pub fn render(metric: &str, samples: &[Sample]) -> Result<Vec<u8>, String> {
    let mut seconds: BTreeMap<u64, Histogram<u64>> = BTreeMap::new();
    for (at, length, count) in samples {
        let us = u64::try_from(length.as_micros()).unwrap_or(VALUE_US_MAX);
        let us = us.clamp(1, VALUE_US_MAX);
        let histogram = match seconds.entry(at.as_secs()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                // 3 digits: a thousandth of the value, as is usual.
                let new = Histogram::new_with_bounds(1, VALUE_US_MAX, 3);
                entry.insert(new.map_err(|error| error.to_string())?)
            }
        };
        histogram.saturating_record_n(us, *count);
    }
    let mut out = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    let mut log = builder
        .add_comment("backroom: microseconds of simulated time")
        .with_start_time(SystemTime::UNIX_EPOCH)
        .with_base_time(SystemTime::UNIX_EPOCH)
        .with_max_value_divisor(1_000.0)
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|error| error.to_string())?;
    for (second, histogram) in &seconds {
        let (start, length) = (Duration::from_secs(*second), Duration::from_secs(1));
        log.write_histogram(histogram, start, length, Tag::new(metric))
            .map_err(|error| format!("{error:?}"))?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    };

    use super::*;

    #[test]
    fn a_log_reads_back_by_second() {
        let ms = Duration::from_millis;
        let samples = [
            (ms(500), ms(7), 3),
            (ms(900), ms(9), 1),
            (ms(2_100), ms(1_500), 1),
            (ms(2_200), Duration::from_secs(999_999), 1),
        ];
        let log = render("order.to_kds", &samples).expect("it is written");
        let mut read = Vec::new();
        for entry in IntervalLogIterator::new(&log) {
            if let LogEntry::Interval(interval) = entry.expect("it reads") {
                assert_eq!(
                    interval.tag().map(|t| t.as_str().to_owned()),
                    Some("order.to_kds".into())
                );
                let bytes = {
                    use base64::Engine as _;
                    base64::engine::general_purpose::STANDARD
                        .decode(interval.encoded_histogram())
                        .expect("base64")
                };
                let histogram: Histogram<u64> = Deserializer::new()
                    .deserialize(&mut std::io::Cursor::new(bytes))
                    .expect("a histogram");
                read.push((
                    interval.start_timestamp().as_secs(),
                    histogram.len(),
                    histogram.max() / 1000,
                ));
            }
        }
        assert_eq!(read.len(), 2);
        assert_eq!(read[0], (0, 4, 9));
        assert_eq!((read[1].0, read[1].1), (2, 2));
        assert!(render("x", &[]).expect("an empty log").starts_with(b"#"));
    }
}
