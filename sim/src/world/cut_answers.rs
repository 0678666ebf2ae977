//! Lines that reset connections when answers come back: begun and ended by a fault, done by `net`.

use super::{World, net};
use crate::fault::cut_answers::Cuts;

impl World {
    /// From now on answers over every line of this link's name reset their connections; the number ends it.
    ///
    /// # Panics
    /// If the world does not have the class.
    pub fn cut_answers(&self, link: &str, cuts: &Cuts) -> u64 {
        let lines = self.lines(link);
        let class = cuts.class.as_ref().map(|class| {
            let index = self.0.classes.iter().position(|known| known == class);
            index.expect("scenarios are checked for classes that are not declared") as u8
        });
        let mut net = self.caught_up();
        let numbers = net.lines.iter().flat_map(|line| &line.cuts);
        let number = numbers.map(|cut| cut.number + 1).max().unwrap_or(0);
        let cut = net::Cut {
            number,
            share: cuts.share,
            class,
        };
        for line in lines {
            net.lines[line].cuts.push(cut);
        }
        number
    }

    /// What [`World::cut_answers`] began ends.
    pub fn mend_answers(&self, link: &str, number: u64) {
        let lines = self.lines(link);
        let mut net = self.caught_up();
        for line in lines {
            net.lines[line].cuts.retain(|cut| cut.number != number);
        }
    }

    /// Connections over this link that were reset when an answer came back: whether a fault bit.
    pub fn cut_on(&self, link: &str) -> u64 {
        let lines = self.lines(link);
        let net = self.caught_up();
        lines.iter().map(|line| net.lines[*line].cut).sum()
    }
}
