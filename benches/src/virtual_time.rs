//! Virtual time as a criterion measurement: how long something takes in a simulated world, not on this machine.
//!
//! A simulated time is exact: the same scenario and seed give the same value on every machine, so its spread is zero and any
//! change is a change of the code. Use it with `iter_custom`, which says what the world's clock has shown.

use std::time::Duration;

use criterion::{
    Throughput,
    measurement::{Measurement, ValueFormatter},
};

/// Time of a simulated world, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct VirtualTime;

impl Measurement for VirtualTime {
    type Intermediate = ();
    type Value = Duration;

    fn start(&self) {
        panic!("virtual time does not pass by itself: use `Bencher::iter_custom`");
    }

    fn end(&self, (): ()) -> Duration {
        Duration::ZERO
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e3
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Milliseconds
    }
}

/// Shows virtual milliseconds in the unit that suits them.
struct Milliseconds;

impl ValueFormatter for Milliseconds {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (unit, divisor) = match typical {
            t if t < 1e3 => ("virtual ms", 1.0),
            t if t < 120e3 => ("virtual s", 1e3),
            t if t < 120.0 * 60e3 => ("virtual min", 60e3),
            _ => ("virtual h", 3600e3),
        };
        values.iter_mut().for_each(|v| *v /= divisor);
        unit
    }

    fn scale_throughputs(
        &self,
        _: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let (amount, unit) = match *throughput {
            Throughput::Bytes(n) | Throughput::BytesDecimal(n) => (n, "B/virtual s"),
            Throughput::Bits(n) => (n, "bit/virtual s"),
            Throughput::Elements(n) => (n, "elem/virtual s"),
            Throughput::ElementsAndBytes { elements, .. } => (elements, "elem/virtual s"),
        };
        values
            .iter_mut()
            .for_each(|v| *v = amount as f64 / (*v / 1e3));
        unit
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "virtual ms"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_unit_that_suits_them() {
        let check = |ms: u64, expect: &str| {
            let value = VirtualTime.to_f64(&Duration::from_millis(ms));
            let shown = VirtualTime.formatter().format_value(value);
            assert_eq!(shown.trim(), expect);
        };
        check(40, "40.000 virtual ms");
        check(90_500, "90.500 virtual s");
        check(1_500_000, "25.000 virtual min");
        check(14 * 24 * 3_600_000, "336.00 virtual h");
    }

    #[test]
    fn throughput_is_by_virtual_second() {
        let mut values = [2_000.0];
        let unit = VirtualTime.formatter().scale_throughputs(
            2_000.0,
            &Throughput::Bytes(500),
            &mut values,
        );
        assert_eq!((values[0], unit), (250.0, "B/virtual s"));
    }
}
