//! What a journal remembers about destinations: which has which batch that others still wait for.
//!
//! Payload of a *takes* frame: `n: u32`, n groups of (segment u64, destination 16 bytes, has u8, `k: u32`, k offsets u32 in units
//! of 32 bytes). `has` is 0 where it missed them (they were too old for it, or older than itself), 1 where it took them. `k` of all
//! ones stands for the whole segment. Segment 0 stands for no segment: that the destination is known. Little endian.
//!
//! In every journal such a frame follows the checkpoint with all of it, so that older journals can go. Frames only add up: what a
//! destination has once it has for ever. Next: `recovery`, which reads them; `spool::routes`, which makes them.

use std::collections::BTreeMap;

use super::{
    class::{ClassName, NAME_BYTES_MAX},
    frame::Place,
    notes::whole,
};

/// What a destination has of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Has {
    /// It does not get it.
    Missed = 0,
    /// It took it.
    It = 1,
}

/// One destination's part of a batch is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    /// The batch, or the [`whole`] segment.
    pub place: Place,
    /// The destination.
    pub route: ClassName,
    /// What it has.
    pub has: Has,
}

/// Frames stand at multiples of this.
const UNIT: u64 = 32;

const NO_SEGMENT: u64 = 0;
const WHOLE: u32 = u32::MAX;

impl Take {
    /// That a destination is known.
    pub fn known(route: ClassName) -> Self {
        Self {
            place: whole(NO_SEGMENT),
            route,
            has: Has::Missed,
        }
    }

    /// Whether it says no more than that the destination is known.
    pub fn is_known(&self) -> bool {
        self.place.file == NO_SEGMENT
    }
}

/// The payload of a takes frame.
pub fn encode(takes: impl IntoIterator<Item = Take>) -> Vec<u8> {
    let mut groups: BTreeMap<(u64, ClassName, Has), Vec<u32>> = BTreeMap::new();
    for take in takes {
        let offsets = groups
            .entry((take.place.file, take.route, take.has))
            .or_default();
        if take.place == whole(take.place.file) {
            *offsets = vec![WHOLE];
        } else if offsets.first() != Some(&WHOLE) {
            // A segment has 64 MiB at most.
            offsets.push((take.place.offset / UNIT) as u32);
        }
    }
    let mut out = Vec::new();
    out.extend((groups.len() as u32).to_le_bytes());
    for ((file, route, has), offsets) in groups {
        out.extend(file.to_le_bytes());
        out.extend(route.to_bytes());
        out.push(has as u8);
        if offsets == [WHOLE] {
            out.extend(WHOLE.to_le_bytes());
            continue;
        }
        out.extend((offsets.len() as u32).to_le_bytes());
        for offset in offsets {
            out.extend(offset.to_le_bytes());
        }
    }
    out
}

/// Reads such a payload; `None` if it is not one.
pub fn decode(payload: &[u8]) -> Option<Vec<Take>> {
    let mut at = payload;
    let mut takes = Vec::new();
    for _ in 0..u32::from_le_bytes(chunk(&mut at)?) {
        let file = u64::from_le_bytes(chunk(&mut at)?);
        let route = ClassName::from_bytes(chunk::<NAME_BYTES_MAX>(&mut at)?)?;
        let [has] = chunk::<1>(&mut at)?;
        let has = match has {
            0 => Has::Missed,
            1 => Has::It,
            _ => return None,
        };
        match u32::from_le_bytes(chunk(&mut at)?) {
            WHOLE => takes.push(Take {
                place: whole(file),
                route,
                has,
            }),
            count => {
                for _ in 0..count {
                    let offset = u64::from(u32::from_le_bytes(chunk(&mut at)?)) * UNIT;
                    let place = Place { file, offset };
                    takes.push(Take { place, route, has });
                }
            }
        }
    }
    at.is_empty().then_some(takes)
}

fn chunk<const N: usize>(at: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = at.split_first_chunk::<N>()?;
    *at = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take((file, offset, route, is_whole, has): (u64, u64, usize, bool, bool)) -> Take {
        let offset = offset * UNIT;
        Take {
            place: if is_whole {
                whole(file)
            } else {
                Place { file, offset }
            },
            route: ClassName::new(["hq", "backup"][route]).unwrap(),
            has: if has { Has::It } else { Has::Missed },
        }
    }

    proptest! {
        /// What is read says the same, and whatever else stands there is refused, not believed and no panic.
        #[test]
        fn is_read_as_written(
            takes in prop::collection::vec((0..4_u64, 0..1000_u64, 0..2_usize, prop::bool::weighted(0.1), any::<bool>()), 0..60),
            noise in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let takes: Vec<Take> = takes.into_iter().map(take).collect();
            let read = decode(&encode(takes.clone())).expect("it was written");
            let covers = |all: &[Take], one: &Take| {
                all.iter().any(|other| {
                    let is_place = other.place == one.place || other.place == whole(one.place.file);
                    is_place && (other.route, other.has) == (one.route, one.has)
                })
            };
            prop_assert!(takes.iter().all(|one| covers(&read, one)));
            prop_assert!(read.iter().all(|one| covers(&takes, one)));
            let mut cut = encode(takes);
            cut.pop();
            prop_assert_eq!(decode(&cut), None);
            decode(&noise);
        }
    }
}
