//! What each link carried, lost and saw, by direction and class: counted by `net`, told when the world has ended.

use super::Way;
use crate::{seconds::Seconds, spill::Scratch};

/// What all lines of one link did in one direction and class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Wire bytes that it carried.
    pub bytes: Seconds,
    /// Packets that were lost on the line or refused by its full queue.
    pub lost: Seconds,
    /// Packets that came to it while it was up, lost ones included.
    pub packets: Seconds,
}

impl Carried {
    fn new(scratch: &Scratch) -> Self {
        Self {
            bytes: Seconds::new(scratch),
            lost: Seconds::new(scratch),
            packets: Seconds::new(scratch),
        }
    }

    /// Whether there was no traffic.
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.lost.is_empty()
    }
}

/// All of them.
pub(super) struct Accounts {
    classes: usize,
    all: Vec<Carried>,
}

impl Accounts {
    /// For so many links, and classes including that of everything else; what is old goes to `scratch`.
    pub(super) fn new(links: usize, classes: usize, scratch: &Scratch) -> Self {
        let all = (0..links * 2 * classes).map(|_| Carried::new(scratch));
        Self {
            classes,
            all: all.collect(),
        }
    }

    /// The same, of nothing yet, into another file.
    pub(super) fn emptied(&self, scratch: &Scratch) -> Self {
        let all = self.all.iter().map(|_| Carried::new(scratch));
        Self {
            classes: self.classes,
            all: all.collect(),
        }
    }

    /// That of a link, a direction and a class.
    pub(super) fn of(&mut self, link: usize, way: Way, class: u8) -> &mut Carried {
        &mut self.all[(2 * link + way as usize) * self.classes + usize::from(class)]
    }

    /// Link, direction, class; without those that carried nothing.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (usize, Way, u8, Carried)> {
        let classes = self.classes;
        let all = std::mem::take(&mut self.all).into_iter().enumerate();
        all.filter(|(_, carried)| !carried.is_empty())
            .map(move |(index, carried)| {
                let way = match (index / classes) % 2 {
                    0 => Way::Up,
                    _ => Way::Down,
                };
                (index / classes / 2, way, (index % classes) as u8, carried)
            })
    }
}
