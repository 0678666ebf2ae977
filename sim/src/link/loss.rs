//! Which packets do not arrive. Independent losses, or bursts: a chain of two states, changed per packet
//! (Gilbert 1960, Elliott 1963). Closed form T12: mean loss `h * p / (p + r)`, mean burst `1 / r` packets.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::scenario::Loss;

/// The chain's state. Survives a change of parameters, so that a fault does not restart a burst.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossState {
    bad: bool,
}

impl LossState {
    /// Whether the next packet is lost.
    pub fn next(&mut self, loss: &Loss, rng: &mut ChaCha8Rng) -> bool {
        match *loss {
            Loss::Bernoulli(share) => hit(share, rng),
            Loss::Gilbert { enter, leave, loss } => {
                let change = if self.bad { leave } else { enter };
                self.bad ^= hit(change, rng);
                self.bad && hit(loss, rng)
            }
        }
    }
}

/// No draw where the answer is certain: a line without loss costs nothing.
fn hit(probability: f64, rng: &mut ChaCha8Rng) -> bool {
    match probability {
        p if p <= 0.0 => false,
        p if p >= 1.0 => true,
        p => rng.random::<f64>() < p,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    const PACKETS: u32 = 2_000_000;

    /// Share of packets lost, and mean length of a run of lost packets.
    fn measure(loss: Loss) -> (f64, f64) {
        let (mut rng, mut state) = (ChaCha8Rng::seed_from_u64(7), LossState::default());
        let (mut lost, mut bursts, mut before) = (0u32, 0u32, false);
        for _ in 0..PACKETS {
            let now = state.next(&loss, &mut rng);
            lost += u32::from(now);
            bursts += u32::from(now && !before);
            before = now;
        }
        (
            f64::from(lost) / f64::from(PACKETS),
            f64::from(lost) / f64::from(bursts.max(1)),
        )
    }

    fn near(got: f64, expect: f64, tolerance: f64) {
        assert!(
            (got / expect - 1.0).abs() < tolerance,
            "{got}, expected {expect} within {tolerance}"
        );
    }

    /// T12 on both lines of the quick-service store, and with a certain loss in the bad state.
    #[test]
    fn gilbert_losses_agree_with_the_closed_form() {
        for (enter, leave, loss) in [(0.0002, 0.2, 0.6), (0.002, 0.1, 0.5), (0.01, 0.25, 1.0)] {
            let (share, _) = measure(Loss::Gilbert { enter, leave, loss });
            // Standard error: about bursts^-1/2, and there are at least 400 of them.
            let tolerance = 4.0 / (f64::from(PACKETS) * enter).sqrt();
            near(share, loss * enter / (enter + leave), tolerance);
        }
        let (_, burst) = measure(Loss::Gilbert {
            enter: 0.01,
            leave: 0.25,
            loss: 1.0,
        });
        near(burst, 4.0, 0.02);
    }

    #[test]
    fn independent_losses_have_their_share() {
        near(measure(Loss::Bernoulli(0.001)).0, 0.001, 0.08);
        assert_eq!(measure(Loss::Bernoulli(0.0)).0, 0.0);
        assert_eq!(measure(Loss::Bernoulli(1.0)).0, 1.0);
    }
}
