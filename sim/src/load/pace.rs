//! When requests are due: at a fixed rate, whatever became of earlier ones.
//!
//! Sans-IO. A request takes the time that its items (or bytes) take at the rate, and the next one is due after it. The account runs
//! from the start, so nothing drifts.

use std::time::Duration;

use backroom_collector::config::quantity;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Items a second, of all stores together.
    Items(f64),
    /// Bytes a second before compression, of all stores together.
    Bytes(f64),
    /// As fast as the target takes them: each connection sends when it has its answer. A *closed* load: a slow target meets less of it.
    Max,
}

/// Most that can be asked for: beyond it a mistake is more likely than a machine.
const ITEMS_MAX: f64 = 1e9;

impl Rate {
    /// Reads `10000items/s`, `48KB/s`, `10Mbit/s` or `max`.
    ///
    /// # Errors
    /// What is wrong, and how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        const HOW: &str = "write 10000items/s, 48KB/s, 10Mbit/s or max";
        let text = text.trim();
        if text == "max" {
            return Ok(Self::Max);
        }
        if let Some(number) = text.strip_suffix("items/s") {
            let number: f64 = number
                .trim()
                .parse()
                .map_err(|_| format!("`{number}` is not a number of items; {HOW}"))?;
            return match number > 0.0 && number <= ITEMS_MAX {
                true => Ok(Self::Items(number)),
                false => Err(format!(
                    "{number} items/s is not within 0 and {ITEMS_MAX:.0}; {HOW}"
                )),
            };
        }
        let rate = quantity::bit_rate(text)
            .map_err(|error| format!("{}; {HOW}", error.title.replace("{key}", text)))?;
        match rate.bytes_per_second() {
            bytes if bytes > 0.0 => Ok(Self::Bytes(bytes)),
            _ => Err(format!("`{text}` sends nothing; {HOW}")),
        }
    }
}

/// The schedule of one load.
#[derive(Clone, Debug)]
pub struct Pace {
    rate: Rate,
    /// Seconds from the start to the next request.
    due: f64,
    items: u64,
    bytes: u64,
}

impl Pace {
    /// A schedule whose first request is due at the start.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            due: 0.0,
            items: 0,
            bytes: 0,
        }
    }

    /// When the next request is due, since the start; `None` where there is no rate: when a connection is free.
    pub fn due(&self) -> Option<Duration> {
        match self.rate {
            Rate::Max => None,
            Rate::Items(_) | Rate::Bytes(_) => Some(Duration::from_secs_f64(self.due)),
        }
    }

    /// The next request has so many items and bytes.
    pub fn take(&mut self, items: u64, bytes: u64) {
        self.items += items;
        self.bytes += bytes;
        self.due = match self.rate {
            Rate::Max => 0.0,
            Rate::Items(rate) => self.items as f64 / rate,
            Rate::Bytes(rate) => self.bytes as f64 / rate,
        };
    }

    /// Items that are due within the first `elapsed`: those taken, and at the mean size of those taken, those that were not.
    pub fn due_items(&self, elapsed: Duration) -> u64 {
        let elapsed = elapsed.as_secs_f64();
        match self.rate {
            _ if self.due <= 0.0 || elapsed <= self.due => self.items,
            Rate::Max => self.items,
            Rate::Items(rate) => (rate * elapsed) as u64,
            Rate::Bytes(_) => (self.items as f64 * elapsed / self.due) as u64,
        }
    }

    /// Items a second; for a rate in bytes, at the mean size of what was taken. `None` without a rate.
    pub fn items_per_second(&self) -> Option<f64> {
        match self.rate {
            Rate::Max => None,
            Rate::Items(rate) => Some(rate),
            Rate::Bytes(rate) => Some(rate * self.items as f64 / self.bytes.max(1) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let check = |text: &str, expect: Rate| assert_eq!(Rate::parse(text), Ok(expect), "{text}");
        check("10000items/s", Rate::Items(10_000.0));
        check("0.5 items/s", Rate::Items(0.5));
        check("48KB/s", Rate::Bytes(48_000.0));
        check("8Mbit/s", Rate::Bytes(1e6));
        check("max", Rate::Max);
    }

    #[test]
    fn what_is_no_rate_is_refused_with_the_way_out() {
        let check = |text: &str, why: &str| {
            let said = Rate::parse(text).expect_err(text);
            assert!(
                said.contains(why) && said.contains("write 10000items/s"),
                "{said}"
            );
        };
        check("fast", "`fast`");
        check("10000", "unit");
        check("-1items/s", "not within");
        check("NaNitems/s", "not within");
        check("infitems/s", "not within");
        check("items/s", "not a number of items");
        check("0KB/s", "sends nothing");
        check("10items/h", "items/h");
        check("", "");
    }

    /// Guarantees: the n-th request is due when everything before it is due to have been sent, however slow the target is.
    #[test]
    fn requests_are_due_by_the_rate_alone() {
        let mut pace = Pace::new(Rate::Items(100.0));
        let mut due = Vec::new();
        for items in [50, 25, 1, 24] {
            due.push(pace.due().expect("it has a rate").as_secs_f64());
            pace.take(items, 1);
        }
        assert_eq!(due, [0.0, 0.5, 0.75, 0.76]);
        assert_eq!(pace.due(), Some(Duration::from_secs(1)));
        assert_eq!(pace.due_items(Duration::from_millis(500)), 100);
        assert_eq!(pace.due_items(Duration::from_secs(3)), 300);

        let mut pace = Pace::new(Rate::Bytes(1_000.0));
        pace.take(10, 500);
        assert_eq!(pace.due(), Some(Duration::from_millis(500)));
        assert_eq!(pace.due_items(Duration::from_secs(2)), 40);
        assert_eq!(pace.items_per_second(), Some(20.0));

        let mut pace = Pace::new(Rate::Max);
        pace.take(10, 500);
        assert_eq!(pace.due(), None);
        assert_eq!(pace.due_items(Duration::from_secs(2)), 10);
    }
}
