//! What a fault has to act with, and what faults share that act on one thing.
//!
//! Several faults may hold one link, machine or disk: it is healed when the last of them ends, and where two change the same
//! setting the one that began last wins. [`Layers`] keeps that account; the world itself knows one state only.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::{
    link::Degrade,
    run::one::Director,
    scenario::{Fault, Pick},
    store::Machine,
    world::{SlowDisk, World, seed},
};

/// What faults in force make of things, by name, in the order in which they began.
#[derive(Debug)]
pub(crate) struct Layers<V>(Mutex<Stacks<V>>);

#[derive(Debug)]
struct Stacks<V> {
    by_name: BTreeMap<String, Vec<(u64, V)>>,
    next: u64,
}

impl<V> Default for Layers<V> {
    fn default() -> Self {
        Self(Mutex::new(Stacks {
            by_name: BTreeMap::new(),
            next: 0,
        }))
    }
}

impl<V: Clone> Layers<V> {
    fn stacks(&self) -> MutexGuard<'_, Stacks<V>> {
        self.0
            .lock()
            .expect("one thread, and no panic while it is held")
    }

    /// A fault begins to hold a thing; the number ends it.
    pub(crate) fn put(&self, name: &str, value: V) -> u64 {
        let mut stacks = self.stacks();
        stacks.next += 1;
        let number = stacks.next;
        let stack = stacks.by_name.entry(name.to_owned()).or_default();
        stack.push((number, value));
        number
    }

    /// It holds it no more. Tells whether nothing holds it now.
    pub(crate) fn take(&self, name: &str, number: u64) -> bool {
        let mut stacks = self.stacks();
        let Some(stack) = stacks.by_name.get_mut(name) else {
            return true;
        };
        stack.retain(|(other, _)| *other != number);
        stack.is_empty()
    }

    /// What holds it, the youngest last.
    pub(crate) fn of(&self, name: &str) -> Vec<V> {
        let stacks = self.stacks();
        let stack = stacks.by_name.get(name).into_iter().flatten();
        stack.map(|(_, value)| value.clone()).collect()
    }
}

/// What overlapping faults share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// By link: faults that hold it down.
    pub(crate) down: Layers<()>,
    /// By link: what it is like, upwards and downwards.
    pub(crate) worse: Layers<(Degrade, Degrade)>,
    /// By machine: what its disk is like.
    pub(crate) slow_disks: Layers<SlowDisk>,
    /// By machine: faults that let it stand still.
    pub(crate) still: Layers<()>,
    /// Power cuts that reached the router.
    pub(crate) dark_router: Layers<()>,
    /// Faults that keep head office's gateway from running, and whether each took its power.
    pub(crate) dead_gateway: Layers<bool>,
}

/// One occurrence of a fault, and the store that it meets.
pub(crate) struct Stage<'a> {
    pub(crate) director: &'a Director,
    pub(crate) shared: &'a Shared,
    pub(crate) fault: &'a Fault,
    /// Which occurrence it is, from 0.
    pub(crate) number: usize,
    /// When it begins.
    pub(crate) start: Duration,
    /// When it ends; `None` outlasts the run.
    pub(crate) until: Option<Duration>,
}

impl Stage<'_> {
    pub(crate) fn world(&self) -> &World {
        &self.director.world
    }

    /// Waits for the end; `false` if it outlasts the run, and then nothing is to be healed.
    pub(crate) async fn over(&self) -> bool {
        match self.until {
            Some(end) => {
                tokio::time::sleep_until(self.world().at(end)).await;
                true
            }
            None => false,
        }
    }

    /// Numbers for one purpose of this occurrence.
    pub(crate) fn rng(&self, purpose: &str) -> ChaCha8Rng {
        let number = self.number.to_string();
        let path = ["fault", self.fault.id.as_str(), purpose, &number];
        seed::stream(self.director.seed, &path)
    }

    /// The machines that this occurrence is about, of a group or a machine's name.
    pub(crate) fn machines(&self, node: &str) -> Vec<&Machine> {
        let all = self.director.directory.machines().iter();
        let all: Vec<&Machine> = all.filter(|m| m.group == node || m.name == node).collect();
        if all.is_empty() {
            return all;
        }
        let one = match self.fault.pick {
            Pick::All => return all,
            Pick::One => {
                let path = ["fault", self.fault.id.as_str(), "pick"];
                seed::stream(self.director.seed, &path).random_range(0..all.len())
            }
            Pick::RoundRobin => self.number % all.len(),
            Pick::Random => self.rng("pick").random_range(0..all.len()),
        };
        vec![all[one]]
    }

    /// A link carries nothing from now on; the number ends it.
    pub(crate) fn cut(&self, link: &str) -> u64 {
        let number = self.shared.down.put(link, ());
        self.world().set_link_up(link, false);
        number
    }

    /// It carries again, unless another fault holds it down.
    pub(crate) fn mend(&self, link: &str, number: u64) {
        if self.shared.down.take(link, number) {
            self.world().set_link_up(link, true);
        }
    }

    /// A link is another one until the end; gives the packets that came to it meanwhile.
    pub(crate) async fn change(&self, link: &str, change: (Degrade, Degrade)) -> u64 {
        let met = self.world().met_degraded(link);
        let number = self.shared.worse.put(link, change);
        self.put_into_force(link);
        if !self.over().await {
            return 0;
        }
        self.shared.worse.take(link, number);
        self.put_into_force(link);
        self.world().met_degraded(link) - met
    }

    fn put_into_force(&self, link: &str) {
        let layers = self.shared.worse.of(link).into_iter();
        let all = layers.reduce(|below, above| (below.0.then(above.0), below.1.then(above.1)));
        self.world().degrade_link(link, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_free_when_its_last_holder_goes() {
        let layers = Layers::default();
        let first = layers.put("uplink", 'a');
        let second = layers.put("uplink", 'b');
        layers.put("lte", 'c');
        assert_eq!(layers.of("uplink"), ['a', 'b']);
        assert!(!layers.take("uplink", first));
        assert_eq!(layers.of("uplink"), ['b']);
        assert!(layers.take("uplink", second));
        assert!(layers.of("uplink").is_empty());
        assert_eq!(layers.of("lte"), ['c']);
    }
}
