//! T12, losses in bursts: the chain of two states that the line model plays (Gilbert 1960, Elliott 1963).

/// Mean loss `h * p / (p + r)`: `p` good to bad, `r` bad to good, `h` loss in the bad state, all per packet.
pub fn gilbert_mean(p: f64, r: f64, h: f64) -> f64 {
    if p == 0.0 { 0.0 } else { h * p / (p + r) }
}

/// Mean length of a stay in the bad state, packets: `1 / r`.
pub fn gilbert_burst(r: f64) -> f64 {
    1.0 / r
}

#[cfg(test)]
mod tests {
    use super::{super::near, *};

    #[test]
    fn the_lines_of_the_quick_service_store() {
        near(gilbert_mean(0.0002, 0.2, 0.6), 5.994e-4, 1e-4);
        near(gilbert_mean(0.002, 0.1, 0.5), 9.804e-3, 1e-4);
        assert_eq!(gilbert_mean(0.0, 0.0, 1.0), 0.0);
        assert_eq!(gilbert_burst(0.2), 5.0);
    }
}
