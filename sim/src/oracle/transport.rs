//! T7 and T8, what TCP makes of a line: slow start, request and reply with few in flight, and throughput under loss.
//!
//! For live networks: the simulated machines' TCP has a fixed window of 64 KiB and no congestion control.

use super::{Refusal, assume};

/// A transfer over a fresh connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transfer {
    /// Bytes to send.
    pub bytes: f64,
    /// Round trip, seconds.
    pub rtt: f64,
    /// Capacity, bits per second.
    pub bits_per_second: f64,
    /// First window, segments; 10 today (RFC 6928).
    pub first_window: f64,
    /// Bytes of a segment.
    pub mss: f64,
    /// Round trips before the first byte: 1 TCP, 2 with TLS 1.3.
    pub handshakes: f64,
}

/// T7: seconds from connecting to the acknowledgement of the last byte.
///
/// The window doubles each round until it covers the line (`C * RTT`), from there on the line is full. Each byte acknowledged
/// (RFC 3465); with delayed acknowledgements without it the window grows by half only.
pub fn transfer_time(transfer: &Transfer) -> f64 {
    let Transfer {
        bytes,
        rtt,
        bits_per_second,
        first_window,
        mss,
        handshakes,
    } = *transfer;
    let capacity = bits_per_second / 8.0;
    let (mut window, mut left, mut rounds) = (first_window * mss, bytes, 0.0);
    while window < capacity * rtt && left > 0.0 {
        left -= window;
        window *= 2.0;
        rounds += 1.0;
    }
    let full = if left > 0.0 {
        left / capacity + rtt
    } else {
        0.0
    };
    handshakes * rtt + rounds * rtt + full
}

/// T7: bytes per second of request and reply with `inflight` requests of `bytes` each: `n * b / (RTT + b / C)`, at most `C`.
pub fn request_rate(inflight: f64, bytes: f64, rtt: f64, bits_per_second: f64) -> f64 {
    let capacity = bits_per_second / 8.0;
    (inflight * bytes / (rtt + bytes / capacity)).min(capacity)
}

/// T8: bits per second of one connection at a loss of `p`: `MSS / RTT * sqrt(3/2) / sqrt(p)`, `sqrt(3/4)` with delayed
/// acknowledgements (Mathis, Semke, Mahdavi, Ott 1997).
///
/// # Errors
/// Refuses at a loss above 2 %, where timeouts decide (use RFC 3819's form), and without loss, where the line does.
pub fn mathis(mss: f64, rtt: f64, p: f64, delayed_ack: bool) -> Result<f64, Refusal> {
    assume(p > 0.0 && p <= 0.02, || {
        format!("a loss of {p} is not above 0 and at most 0.02")
    })?;
    let constant: f64 = if delayed_ack { 0.75 } else { 1.5 };
    Ok(mss * 8.0 / rtt * (constant / p).sqrt())
}

#[cfg(test)]
mod tests {
    use super::{super::near, *};

    #[test]
    fn a_megabyte_over_ten_megabit_takes_1_078_seconds() {
        let transfer = Transfer {
            bytes: 1e6,
            rtt: 0.06,
            bits_per_second: 10e6,
            first_window: 10.0,
            mss: 1460.0,
            handshakes: 2.0,
        };
        near(transfer_time(&transfer), 1.078, 1e-3);
        // Fits into the first window: two handshakes and one round.
        near(
            transfer_time(&Transfer {
                bytes: 1e4,
                ..transfer
            }),
            0.18,
            1e-12,
        );
    }

    #[test]
    fn few_requests_in_flight_bind() {
        near(request_rate(1.0, 1000.0, 0.1, 1e6), 1000.0 / 0.108, 1e-12);
        near(request_rate(1000.0, 1000.0, 0.1, 1e6), 125_000.0, 1e-12);
    }

    #[test]
    fn loss_bounds_a_connection() {
        near(
            mathis(1460.0, 0.06, 0.001, false).expect("in range"),
            7.5e6,
            0.01,
        );
        near(
            mathis(1460.0, 0.06, 0.001, true).expect("in range"),
            5.3e6,
            0.01,
        );
        assert!(mathis(1460.0, 0.06, 0.05, false).is_err());
        assert!(mathis(1460.0, 0.06, 0.0, false).is_err());
    }
}
