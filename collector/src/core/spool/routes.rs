//! Routes: where batches go, and which destination has which of them.
//!
//! A batch leaves the disk when every destination that it is for has it. With one destination that is the batch's own
//! note; with several, each one's part is remembered until then: *takes*, by segment, in memory and in journals
//! (`core::takes`). A whole segment that a destination has is one entry, so that weeks in which one of two destinations is
//! down cost as much as there are segments, not batches.
//!
//! - A destination that the configuration does not name holds nothing: what all others have is finished. What it has is remembered
//!   while there are segments of it, so that it goes on where it was if it comes back.
//! - Where no destination is named nothing is finished: the batches wait for one.
//! - What a destination missed, because it was too old for it, counts as its part; a batch that every destination missed is dropped as
//!   too old, any other one is delivered.
//!
//! Next: `turns`, whose turn it is on one route; `outbox`, which picks and ends batches.

use std::{collections::BTreeMap, time::Duration};

use super::{BatchInfo, Entry, Event, Limits, Lost, Segment, Spool, turns::Turns};
use crate::{
    config::{Config, Endpoint, Late, Start},
    core::{
        Mono,
        accounting::DropReason,
        class::ClassName,
        frame::Place,
        lane::{Cuts, Lane},
        losses,
        notes::whole,
        takes::{Has, Take},
    },
    otlp::Signal,
};

/// Most destinations at once.
pub const ROUTES_MAX: usize = 16;

/// Destinations that may be remembered, those that are not configured any more included.
const NAMES_MAX: u8 = 31;

/// A destination of this spool: stays while the spool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteId(u8);

impl RouteId {
    /// The least of all.
    pub(super) const FIRST: Self = Self(0);

    /// Not a destination, and the greatest of all: an operator has the batch.
    pub(super) const OPERATOR: Self = Self(NAMES_MAX);

    pub(super) fn bit(self) -> u32 {
        1 << self.0
    }
}

/// What a destination takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLimits {
    /// Its name.
    pub name: ClassName,
    /// The classes that go there; `None` is all.
    pub classes: Option<Vec<ClassName>>,
    /// The oldest that it takes; `None` is no limit.
    pub age_max: Option<Duration>,
    /// What becomes of what is older.
    pub late: Late,
    /// What of the buffer goes there when it is new.
    pub start: Start,
}

impl RouteLimits {
    /// A destination that takes everything.
    pub fn plain(name: ClassName) -> Self {
        Self {
            name,
            classes: None,
            age_max: None,
            late: Late::Hold,
            start: Start::Oldest,
        }
    }

    /// The destinations of a configuration.
    pub fn of(config: &Config) -> Vec<Self> {
        let route = |(name, endpoint): (ClassName, &Endpoint)| Self {
            name,
            classes: endpoint
                .classes
                .clone()
                .map(|classes| with_losses(config, classes)),
            age_max: endpoint.age_max,
            late: endpoint.late,
            start: endpoint.start,
        };
        config.routes().map(route).collect()
    }
}

/// Who gets logs gets the records of the loss ledger.
fn with_losses(config: &Config, mut classes: Vec<ClassName>) -> Vec<ClassName> {
    let declared = config.classes.iter().filter(|c| c.signal == Signal::Logs);
    let of_logs = declared
        .map(|class| class.name)
        .chain([Signal::Logs.into()]);
    if of_logs.into_iter().any(|class| classes.contains(&class)) {
        classes.push(losses::class());
    }
    classes
}

/// A destination.
#[derive(Debug)]
pub(in crate::core) struct Route {
    pub(super) id: RouteId,
    pub(super) name: ClassName,
    /// `None` where the configuration does not name it.
    pub(super) limits: Option<RouteLimits>,
    /// Whether it was known before this start, or has been told what it missed.
    is_known: bool,
    pub(super) turns: Turns,
    /// When it came back last.
    pub(super) refreshed_at: Option<Mono>,
    delivered: [u64; 3],
}

/// What one destination has of a segment; of batches that are not finished only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::core) struct Taken {
    /// All of it.
    pub(in crate::core) all: Option<Has>,
    /// Batches by offset, unless it has all.
    pub(in crate::core) batches: BTreeMap<u64, Has>,
}

/// How a destination stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteStat {
    /// Its name.
    pub name: ClassName,
    /// Items that it took since the start of the process, by signal.
    pub delivered: [u64; 3],
    /// Items that wait for it in sealed batches; about so many where a segment's headers are not in memory.
    pub waiting_items: u64,
    /// Compressed bytes of them, about.
    pub waiting_bytes: u64,
    /// The part of `waiting_items` that is too old for it, about.
    pub late_items: u64,
    /// Birth of the oldest of them, unix nanoseconds.
    pub oldest_born: Option<u64>,
}

impl Segment {
    /// Batches that a destination does not have.
    pub(super) fn waiting_for(&self, route: RouteId) -> u64 {
        match self.taken.get(&route) {
            None => self.batches,
            Some(Taken { all: Some(_), .. }) => 0,
            Some(taken) => self.batches.saturating_sub(taken.batches.len() as u64),
        }
    }

    /// Whether a destination has a batch.
    pub(super) fn has(&self, route: RouteId, offset: u64) -> Option<Has> {
        let taken = self.taken.get(&route)?;
        taken.all.or_else(|| taken.batches.get(&offset).copied())
    }

    /// Makes one entry of a segment that will not grow, and of which a destination has all.
    pub(super) fn join_taken(&mut self) {
        let batches = self.batches;
        for taken in self.taken.values_mut() {
            let first = taken.batches.values().next().copied();
            let is_all = batches > 0 && taken.batches.len() as u64 == batches;
            if is_all && taken.batches.values().all(|has| Some(*has) == first) {
                taken.all = first;
                taken.batches.clear();
            }
        }
    }
}

impl Spool {
    /// The destination of a name that is configured.
    pub fn route(&self, name: ClassName) -> Option<RouteId> {
        let mut routes = self.routes.iter();
        let route = routes.find(|route| route.name == name && route.limits.is_some());
        route.map(|route| route.id)
    }

    pub(super) fn route_mut(&mut self, id: RouteId) -> Option<&mut Route> {
        self.routes.iter_mut().find(|route| route.id == id)
    }

    /// The destination of a name, known from the disk or the configuration; made if it is new, `None` if there are too many.
    pub(in crate::core) fn route_named(&mut self, name: ClassName) -> Option<RouteId> {
        if let Some(route) = self.routes.iter().find(|route| route.name == name) {
            return Some(route.id);
        }
        let is_free = |id: &RouteId| {
            let is_under_way = |sending: &super::Sending| sending.by & id.bit() != 0;
            self.routes.iter().all(|route| route.id != *id)
                && !self.sending.values().any(is_under_way)
        };
        let id = (0..NAMES_MAX).map(RouteId).find(is_free)?;
        self.routes.push(Route {
            id,
            name,
            limits: None,
            is_known: false,
            turns: Turns::default(),
            refreshed_at: None,
            delivered: [0; 3],
        });
        Some(id)
    }

    /// A destination that a journal knows: it is not new.
    pub(in crate::core) fn know_route(&mut self, name: ClassName) {
        if let Some(id) = self.route_named(name)
            && let Some(route) = self.route_mut(id)
        {
            route.is_known = true;
        }
    }

    /// Takes over the destinations of the limits: new ones get their start, those that are gone hold nothing any more.
    pub(in crate::core) fn set_routes(&mut self, limits: &Limits) {
        for route in &mut self.routes {
            route.limits = None;
        }
        for limits in limits.routes.iter().take(ROUTES_MAX) {
            let Some(id) = self.route_named(limits.name) else {
                continue;
            };
            let route = self.route_mut(id).expect("made above");
            let is_new = !std::mem::replace(&mut route.is_known, true);
            route.limits = Some(limits.clone());
            if is_new && limits.start == Start::Now {
                self.miss_everything(id);
            }
        }
        // A name that nothing speaks of any more makes room for another one.
        let segments = &self.segments;
        self.routes.retain(|route| {
            let is_met = || segments.values().any(|s| s.taken.contains_key(&route.id));
            route.limits.is_some() || is_met()
        });
        self.settle_all();
    }

    /// What is stored is not for that destination.
    fn miss_everything(&mut self, id: RouteId) {
        let name = self.route_mut(id).expect("it is one of ours").name;
        self.takes.push(Take::known(name));
        let mut missed = Vec::new();
        for (number, segment) in &mut self.segments {
            let taken = segment.taken.entry(id).or_default();
            match &segment.entries {
                // It may be written to at this moment.
                Some(entries) => {
                    let left = entries.iter().map(|entry| entry.offset);
                    for offset in left.filter(|offset| !segment.finished.contains(offset)) {
                        taken.batches.insert(offset, Has::Missed);
                        let file = *number;
                        missed.push(Place { file, offset });
                    }
                }
                None => {
                    taken.all = Some(Has::Missed);
                    missed.push(whole(*number));
                }
            }
        }
        let take = |place| Take {
            place,
            route: name,
            has: Has::Missed,
        };
        self.takes.extend(missed.into_iter().map(take));
    }

    /// What destinations have of all that is stored, for a journal that is to follow all others.
    pub(super) fn all_takes(&mut self) -> Vec<Take> {
        let numbers: Vec<u64> = self.segments.keys().copied().collect();
        for number in numbers {
            if !self.is_written(number)
                && let Some(segment) = self.segments.get_mut(&number)
            {
                segment.join_taken();
            }
        }
        let mut takes = Vec::new();
        for route in &self.routes {
            let is_late_comer = |limits: &RouteLimits| limits.start == Start::Now;
            if route.limits.as_ref().is_some_and(is_late_comer) {
                takes.push(Take::known(route.name));
            }
            let (name, id) = (route.name, route.id);
            let take = move |place, has| Take {
                place,
                route: name,
                has,
            };
            for (number, segment) in &self.segments {
                let Some(taken) = segment.taken.get(&id) else {
                    continue;
                };
                takes.extend(taken.all.map(|has| take(whole(*number), has)));
                let place = |offset: &u64| Place {
                    file: *number,
                    offset: *offset,
                };
                let batches = taken.batches.iter();
                takes.extend(batches.map(|(offset, has)| take(place(offset), *has)));
            }
        }
        takes
    }

    /// What journals know about a destination's part of segments that are still there.
    pub(in crate::core) fn restore_takes(&mut self, takes: impl Iterator<Item = Take>) {
        for take in takes {
            let Place { file, offset } = take.place;
            if take.is_known() {
                self.know_route(take.route);
                continue;
            }
            if !self.segments.contains_key(&file) {
                continue;
            }
            self.know_route(take.route);
            let Some(id) = self.route_named(take.route) else {
                continue;
            };
            let segment = self.segments.get_mut(&file).expect("looked at above");
            let taken = segment.taken.entry(id).or_default();
            if take.place == whole(file) {
                taken.all = taken.all.max(Some(take.has));
                taken.batches.clear();
            } else if taken.all.is_none() && !segment.finished.contains(&offset) {
                let has = taken.batches.entry(offset).or_insert(take.has);
                *has = take.has.max(*has);
            }
        }
    }

    /// The destinations that a class goes to.
    fn wanted(&self, class: ClassName) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(move |route| {
            let limits = route.limits.as_ref();
            limits.is_some_and(|limits| limits.wants(class))
        })
    }

    /// Whether a destination still wants what is in a segment.
    pub(super) fn is_wanted_by(&self, id: RouteId, number: u64) -> bool {
        let class = self.segments.get(&number).map(|segment| segment.class);
        class.is_some_and(|class| self.wanted(class).any(|route| route.id == id))
    }

    /// How a batch ends if every destination that it is for has its part: whether one took it. `None` if one has not.
    fn outcome(&self, segment: &Segment, offset: u64) -> Option<Has> {
        let mut outcome = None;
        for route in self.wanted(segment.class) {
            let has = segment.has(route.id, offset)?;
            outcome = outcome.max(Some(has));
        }
        outcome
    }

    /// A destination has its part of a batch that is stored; the batch ends if it was the last one.
    ///
    /// What it rejected or put aside is told here, and counts if it was the last one: an item that another one took is
    /// delivered.
    pub(super) fn take(&mut self, id: RouteId, number: u64, entry: &Entry, has: Has, aside: Aside) {
        let Some(segment) = self.segments.get_mut(&number) else {
            return;
        };
        let (class, is_doomed) = (segment.class, segment.doomed.is_some());
        let (signal, count) = (entry.header.range.signal, entry.header.range.count);
        let offset = entry.offset;
        let place = Place {
            file: number,
            offset,
        };
        self.suspended.remove(&(place, id));
        // One that is gone leaves nothing: its number may be another one's tomorrow.
        let route = self.routes.iter_mut().find(|route| route.id == id);
        let name = route.map(|route| {
            segment
                .taken
                .entry(id)
                .or_default()
                .batches
                .insert(offset, has);
            if has == Has::It {
                route.delivered[signal.index()] += count - aside.rejected - aside.quarantined;
            }
            route.name
        });
        let outcome = self.outcome(&self.segments[&number], offset);
        let nobody_else = self.wanted(class).next().is_none();
        let is_under_way = self.sending.contains_key(&place);
        match outcome {
            // One that is gone may have taken what all others were to miss.
            Some(outcome) => self.end(number, entry, outcome.max(has), aside),
            // It was configured when it began, or what is left is dropped as soon as nothing of it is under way.
            None if nobody_else || is_doomed && !is_under_way => {
                self.end(number, entry, has, aside);
            }
            None => self
                .takes
                .extend(name.map(|route| Take { place, route, has })),
        }
    }

    /// Every destination has its part of a batch.
    fn end(&mut self, number: u64, entry: &Entry, outcome: Has, aside: Aside) {
        let Aside {
            rejected,
            quarantined,
        } = aside;
        let range = entry.header.range;
        match outcome {
            Has::Missed => {
                let lost = Lost::of(&entry.header, range.count, DropReason::TooOld);
                self.lose(number, lost);
            }
            Has::It => {
                self.accounting.quarantine(range.signal, quarantined);
                self.accounting
                    .deliver(range.signal, range.count - quarantined - rejected);
                let lost = Lost::of(&entry.header, rejected, DropReason::Refused);
                self.lose(number, lost);
                self.events
                    .push(Event::Delivered(BatchInfo::of(&entry.header)));
            }
        }
        self.finish(number, entry);
    }

    /// Ends what every destination has that it is for, after destinations have changed.
    pub(in crate::core) fn settle_all(&mut self) {
        let numbers: Vec<u64> = self.segments.keys().copied().collect();
        for number in numbers {
            self.settle(number);
        }
    }

    /// The same for one segment.
    pub(super) fn settle(&mut self, number: u64) {
        let Some(segment) = self.segments.get(&number) else {
            return;
        };
        let is_idle = self
            .sending
            .range(super::outbox::place_range(number))
            .next()
            .is_none();
        let is_out = segment.batches == 0 || segment.doomed.is_some();
        if is_out || self.wanted(segment.class).next().is_none() {
            return;
        }
        if let Some(entries) = &segment.entries {
            let ended = entries.iter().filter_map(|entry| {
                let place = Place {
                    file: number,
                    offset: entry.offset,
                };
                let is_left =
                    !segment.finished.contains(&entry.offset) && !self.sending.contains_key(&place);
                let outcome = self.outcome(segment, entry.offset).filter(|_| is_left)?;
                Some((*entry, outcome))
            });
            let ended: Vec<(Entry, Has)> = ended.collect();
            for (entry, outcome) in ended {
                self.end(number, &entry, outcome, Aside::default());
            }
            return;
        }
        let is_settled = self
            .wanted(segment.class)
            .all(|route| segment.waiting_for(route.id) == 0);
        if is_idle && is_settled && !self.is_written(number) {
            let is_delivered = self.wanted(segment.class).any(|route| {
                let taken = segment.taken.get(&route.id);
                taken.is_some_and(|taken| {
                    taken.all != Some(Has::Missed)
                        && taken.batches.values().all(|has| *has == Has::It)
                })
            });
            self.end_segment(number, (!is_delivered).then_some(DropReason::TooOld));
        }
    }

    /// How each destination stands, in the order of the configuration.
    pub fn routes(&self, unix_now: u64) -> impl Iterator<Item = RouteStat> {
        self.routes.iter().filter_map(move |route| {
            let limits = route.limits.as_ref()?;
            let cuts = Cuts::at(unix_now, None, limits.age_max);
            let mut stat = RouteStat {
                name: route.name,
                delivered: route.delivered,
                waiting_items: 0,
                waiting_bytes: 0,
                late_items: 0,
                oldest_born: None,
            };
            let segments = self.segments.values();
            let live = segments.filter(|s| s.doomed.is_none() && limits.wants(s.class));
            for segment in live {
                stat.add(segment, route.id, &cuts);
            }
            Some(stat)
        })
    }
}

impl RouteLimits {
    pub(super) fn wants(&self, class: ClassName) -> bool {
        let classes = self.classes.as_ref();
        classes.is_none_or(|classes| classes.contains(&class))
    }
}

impl RouteStat {
    fn add(&mut self, segment: &Segment, route: RouteId, cuts: &Cuts) {
        let waiting = segment.waiting_for(route);
        if waiting == 0 {
            return;
        }
        let part = |sum: u64| sum * waiting / segment.batches.max(1);
        let items = part(segment.items.iter().sum());
        self.waiting_items += items;
        self.waiting_bytes += part(segment.payload_bytes);
        let births = &segment.births;
        let oldest = self
            .oldest_born
            .map_or(births.oldest, |born| born.min(births.oldest));
        self.oldest_born = Some(oldest);
        if births.youngest_start < cuts.late {
            self.late_items += items;
        } else if let Some(entries) = &segment.entries {
            let late = entries.iter().filter(|entry| {
                let header = &entry.header;
                !segment.finished.contains(&entry.offset)
                    && segment.has(route, entry.offset).is_none()
                    && cuts.lane(header.born_min, header.born_max) == Lane::Late
            });
            self.late_items += late.map(|entry| entry.header.range.count).sum::<u64>();
        }
    }

    /// Items that it took, all signals.
    pub fn delivered_total(&self) -> u64 {
        Signal::ALL
            .iter()
            .map(|signal| self.delivered[signal.index()])
            .sum()
    }
}

/// Items of a batch that were not delivered with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aside {
    pub(super) rejected: u64,
    pub(super) quarantined: u64,
}
