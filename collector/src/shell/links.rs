//! Which line profile holds, what may go over it, and the count of what it was used for.
//!
//! Asks the environment for the default route, keeps the file [`BUDGET_FILE`], and tells spool and pacer what follows. The decisions
//! stand in `core::link` and `core::budget`. Next: `exporter`, which pays before it sends.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    shared::{Shared, State},
    store::sleep_until,
};
use crate::{
    config::{Config, Link},
    core::{
        Mono,
        budget::{self, Account, Written},
        class::ClassName,
        link::{self, Gate},
    },
    env::{Disk, Env, File, Open},
};

/// The file of the counters, in the buffer's directory.
pub const BUDGET_FILE: &str = "budget";

/// How often the default route is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Pause of a batch that may not go, or whose bytes could not be written down.
const PAUSE: Duration = Duration::from_secs(30);

/// What is written down ahead of a budget: a 256th, so that a kill costs less than half a per cent of it, and no less than a few
/// requests, so that not each one waits for a sync.
fn ahead(budget_bytes: u64) -> u64 {
    (budget_bytes / 256).clamp(64 << 10, 8 << 20)
}

/// What is known of the lines.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// The profile that holds.
    active: Option<ClassName>,
    /// The interface of the default route, where it is asked for.
    interface: Option<String>,
    /// The one that was known last: while there is no route, no other line has taken over.
    known: Option<String>,
    /// Grows when another line takes over; see [`Links::route`].
    route: u64,
    accounts: BTreeMap<ClassName, Account>,
    /// For each line what counts as used up though a rest is left, because a request found no room in it, and in which period.
    short: BTreeMap<ClassName, (i64, u64)>,
    /// Whether the counters were read.
    is_loaded: bool,
    /// What was told last.
    told: Option<(ClassName, Option<String>, Gate)>,
}

/// Bytes that a request has paid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    link: ClassName,
    bytes: u64,
    /// What it costs if it has to go out again.
    again: u64,
}

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) used: u64,
    pub(super) bytes: u64,
    /// When the period ends, seconds since 1970.
    pub(super) ends: i64,
}

impl Links {
    /// The profile that holds.
    pub(super) fn active(&self) -> Option<ClassName> {
        self.active
    }

    /// A number for the line that is in use, which grows when another one takes over: another profile holds, or the default route
    /// has another interface. Connections that were opened before stay with the old line, and are left.
    pub(super) fn route(&self) -> u64 {
        self.route
    }

    /// Notes which profile holds; whether that is another line than before.
    fn take_over(&mut self, active: Option<ClassName>) -> bool {
        let is_elsewhere = self.interface.is_some() && self.interface != self.known;
        let has_changed = active != self.active;
        if is_elsewhere {
            self.known.clone_from(&self.interface);
        }
        self.active = active;
        self.route += u64::from(has_changed || is_elsewhere);
        has_changed
    }

    /// How the budget of a profile stands; `None` where it has none.
    pub(super) fn standing(&self, config: &Config, link: &Link, unix_now: i64) -> Option<Standing> {
        let plan = link.budget.as_ref()?;
        let (began, ends) = link::period(plan.per, &zone(config), unix_now);
        let account = self.accounts.get(&link.name);
        let account = account.filter(|account| account.period >= began);
        Some(Standing {
            used: account.map_or(0, |account| account.used),
            bytes: plan.bytes.0,
            ends,
        })
    }

    /// What may go over a line now.
    fn gate(&mut self, config: &Config, link: &Link, unix_now: i64) -> Gate {
        let mut used = 0;
        if let Some(plan) = &link.budget {
            if !self.is_loaded {
                return Gate::Only(Vec::new());
            }
            let (began, _) = link::period(plan.per, &zone(config), unix_now);
            let account = self.accounts.entry(link.name).or_default();
            account.roll(began, unix_now);
            let short = self.short.get(&link.name);
            let short = short.filter(|(period, _)| *period == account.period);
            used = short.map_or(account.used, |(_, short)| account.used.max(*short));
        }
        link::gate(link, &zone(config), unix_now, used)
    }
}

fn zone(config: &Config) -> TimeZone {
    config.send.time_zone.clone().unwrap_or(TimeZone::UTC)
}

impl State {
    /// A request goes out again, over a connection of its own.
    pub(super) fn pay_again(&mut self, charge: Option<Charge>) {
        if let Some(charge) = charge
            && let Some(account) = self.links.accounts.get_mut(&charge.link)
        {
            account.add(charge.again);
        }
    }

    /// The profile that holds.
    pub(super) fn link<'c>(&self, config: &'c Config) -> Option<&'c Link> {
        let active = self.links.active?;
        config.links.iter().find(|link| link.name == active)
    }

    /// Goes by the profile that fits, as of now. Returns what to tell an operator, if anything has changed.
    pub(super) fn set_link(&mut self, now: Mono, config: &Config, unix_now: i64) -> Option<String> {
        let found = link::choose(config, self.links.interface.as_deref());
        let name = found.map(|link| link.name);
        if self.links.take_over(name) {
            // What was learned is of another line.
            for outlet in &mut self.outlets {
                outlet.line.forget();
            }
        }
        let gate = found.map_or(Gate::Open, |link| self.links.gate(config, link, unix_now));
        self.spool.set_gate(gate.clone());
        self.set_pace(now, config);
        let told = found.map(|link| (link.name, self.links.interface.clone(), gate));
        if told == self.links.told {
            return None;
        }
        self.links.told = told;
        Some(match found {
            None => "no link profile holds; [send] does".to_owned(),
            Some(link) => self.describe_link(config, link, unix_now),
        })
    }

    fn describe_link(&self, config: &Config, link: &Link, unix_now: i64) -> String {
        let what = match self.spool.gate() {
            Gate::Open => "everything may go".to_owned(),
            Gate::Only(classes) if classes.is_empty() => "nothing may go".to_owned(),
            Gate::Only(classes) => {
                let names: Vec<&str> = classes.iter().map(ClassName::as_str).collect();
                format!("only {} may go", names.join(", "))
            }
        };
        let on = self.links.interface.as_ref();
        let on = on.map_or(String::new(), |interface| format!(" ({interface})"));
        let budget = self.links.standing(config, link, unix_now);
        let budget = budget.map_or(String::new(), |it| {
            let ends = Timestamp::from_second(it.ends).unwrap_or(Timestamp::MAX);
            let Standing { used, bytes, .. } = it;
            format!("; {used} of {bytes} bytes are used until {ends}")
        });
        format!("the line is {}{on}: {what}{budget}", link.name)
    }
}

impl<E: Env> Shared<E> {
    fn unix_seconds(&self) -> i64 {
        i64::try_from(self.env.unix_time().as_secs()).unwrap_or(i64::MAX)
    }

    /// Asks which line it is, and goes by its profile.
    pub(super) async fn look_at_line(&self) {
        let config = self.config();
        let has_budget = config.links.iter().any(|link| link.budget.is_some());
        if has_budget && !self.lock().links.is_loaded {
            self.load_budgets(&config).await;
        }
        let interface = self.interface(&config);
        self.lock().links.interface = interface;
        self.go_by_line();
    }

    /// The interface of the default route, where a profile asks for it.
    fn interface(&self, config: &Config) -> Option<String> {
        let wants_it =
            config.send.link.is_none() && config.links.iter().any(|link| link.interface.is_some());
        wants_it.then(|| self.env.default_route()).flatten()
    }

    /// Goes by the profile that fits what is known.
    pub(super) fn go_by_line(&self) {
        let (now, unix_now, config) = (self.now(), self.unix_seconds(), self.config());
        let (told, has_moved) = {
            let mut state = self.lock();
            let before = state.links.route;
            let told = state.set_link(now, &config, unix_now);
            (told, state.links.route != before)
        };
        if let Some(told) = &told {
            self.observer.notice(told);
        }
        if told.is_some() || has_moved {
            self.send.notify_waiters();
        }
    }

    /// Reads the counters. What cannot be read counts as used up, for nobody knows better.
    async fn load_budgets(&self, config: &Config) {
        let path = self.dir.join(BUDGET_FILE);
        let read = self.env.disk().read(&path, budget::FILE_BYTES as u64).await;
        let (read, why) = match read {
            Ok(bytes) => (budget::decode(&bytes), "it is damaged".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (budget::Read::Missing, String::new())
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                (budget::Read::Damaged, error.to_string())
            }
            // Until it can be read nothing goes over a line with a budget; it is tried again.
            Err(error) => {
                let notice = format!("read {}: {error}; trying again", path.display());
                return self.observer.notice(&notice);
            }
        };
        let mut sequence = self.budget.lock().await;
        let mut state = self.lock();
        let links = &mut state.links;
        match read {
            budget::Read::Missing => {}
            budget::Read::Whole(number, written) => {
                *sequence = number;
                let found = written.into_iter();
                let found =
                    found.map(|(name, (period, used))| (name, Account::found(period, used)));
                links.accounts = found.collect();
            }
            budget::Read::Damaged => {
                let unix_now = self.unix_seconds();
                for link in &config.links {
                    if let Some(plan) = &link.budget {
                        let (began, _) = link::period(plan.per, &zone(config), unix_now);
                        let account = Account::found(began, plan.bytes.0);
                        links.accounts.insert(link.name, account);
                    }
                }
                let path = path.display();
                let notice = format!(
                    "read {path}: {why}; budgets count as used up until their periods end: to begin at 0, stop the collector and remove it"
                );
                self.observer.notice(&notice);
            }
        }
        links.is_loaded = true;
    }

    /// Looks whether another line has taken over since the last look: seconds of what was meant for the old one are not free.
    pub(super) async fn notice_line(&self) {
        let config = self.config();
        if !config.links.is_empty() && self.interface(&config) != self.lock().links.interface {
            self.look_at_line().await;
        }
    }

    /// Pays for a request of a class that is about to go out, bytes of `core::budget`; `again` is what it costs to send it over
    /// another connection, if it may come to that. `Ok(None)` where the line has no budget. Call [`Shared::notice_line`] before.
    ///
    /// # Errors
    /// When to try again, if it may not go.
    pub(super) async fn pay(
        &self,
        class: ClassName,
        bytes: u64,
        again: u64,
    ) -> Result<Option<Charge>, Mono> {
        let config = self.config();
        if config.links.is_empty() {
            return Ok(None);
        }
        let later = self.now().after(PAUSE);
        // Each turn but the last writes down what the next one takes; others may take it first.
        for _ in 0..8 {
            let config = self.config();
            let unix_now = self.unix_seconds();
            let is_too_much = {
                let mut state = self.lock();
                let state = &mut *state;
                if !state.spool.gate().lets(class) {
                    return Err(later);
                }
                let Some(link) = state.link(&config) else {
                    return Ok(None);
                };
                let Some(plan) = &link.budget else {
                    return Ok(None);
                };
                let (began, _) = link::period(plan.per, &zone(&config), unix_now);
                let account = state.links.accounts.entry(link.name).or_default();
                account.roll(began, unix_now);
                let limit = link::limit(link, class);
                let is_too_much = account.used.saturating_add(bytes) > limit;
                if is_too_much {
                    // The rest is too small for it. Without this every batch would be read to find that out.
                    let period = account.period;
                    let short = state.links.short.entry(link.name).or_default();
                    *short = match *short {
                        (of, most) if of == period => (period, most.max(limit)),
                        _ => (period, limit),
                    };
                } else if account.take(bytes, again) {
                    let link = link.name;
                    return Ok(Some(Charge { link, bytes, again }));
                }
                is_too_much
            };
            if is_too_much {
                self.go_by_line();
                return Err(later);
            }
            if let Err(error) = self.write_budgets(Some(bytes + again)).await {
                let path = self.dir.join(BUDGET_FILE);
                let notice = format!(
                    "write {}: {error}; nothing goes over a line with a budget until it works",
                    path.display()
                );
                self.observer.notice(&notice);
                return Err(later);
            }
        }
        Err(self.now())
    }

    /// A request has ended. Where nothing of it went out, only the try to connect is paid for.
    pub(super) fn paid(&self, charge: Option<Charge>, went_out: bool, connection_bytes: u64) {
        if let Some(charge) = charge
            && let Some(account) = self.lock().links.accounts.get_mut(&charge.link)
        {
            account.release(charge.again);
            if !went_out {
                account.give_back(charge.bytes.saturating_sub(connection_bytes));
            }
        }
    }

    /// Writes down what is used: with a lease for the line that is in use, so that `bytes` may be taken, or exactly.
    pub(super) async fn write_budgets(&self, bytes: Option<u64>) -> io::Result<()> {
        let mut sequence = self.budget.lock().await;
        let config = self.config();
        let (written, leased): (Written, _) = {
            let state = self.lock();
            let lease = state.link(&config).zip(bytes).and_then(|(link, bytes)| {
                let plan = link.budget.as_ref()?;
                let account = state.links.accounts.get(&link.name)?;
                let lease = account.lease(bytes, ahead(plan.bytes.0));
                Some((link.name, account.period, lease))
            });
            let counts = |account: &Account| match bytes {
                Some(_) => account.written(),
                None => account.used,
            };
            let all = state.links.accounts.iter();
            let all = all.map(|(name, account)| (*name, (account.period, counts(account))));
            let mut written: Written = all.collect();
            if let Some((name, period, lease)) = lease {
                written.insert(name, (period, lease));
            }
            (written, lease)
        };
        let slot = budget::encode(*sequence + 1, &written);
        let path = self.dir.join(BUDGET_FILE);
        let disk = self.env.disk();
        let is_new = *sequence == 0;
        let how = if is_new {
            Open::Create
        } else {
            Open::ReadWrite
        };
        let file = disk.open(&path, how).await?;
        let offset = budget::slot_offset(*sequence + 1);
        file.write_at(offset, Bytes::from(slot)).await?;
        file.sync().await?;
        if is_new {
            disk.sync_dir(&self.dir).await?;
        }
        let bytes = budget::FILE_BYTES as u64;
        self.lock().spool.hold_small(BUDGET_FILE, bytes);
        *sequence += 1;
        if let Some((name, period, lease)) = leased
            && let Some(account) = self.lock().links.accounts.get_mut(&name)
        {
            account.leased(period, lease);
        }
        Ok(())
    }

    /// The exact count, at the end: then a restart costs nothing of the budget.
    pub(super) async fn close_budgets(&self) {
        let is_used = self.lock().links.accounts.values().any(|it| it.used > 0);
        if is_used && let Err(error) = self.write_budgets(None).await {
            let path = self.dir.join(BUDGET_FILE);
            let notice = format!(
                "write {}: {error}; it says more than was used",
                path.display()
            );
            self.observer.notice(&notice);
        }
    }
}

/// Looks at the line every few seconds and when the bell rings, until the end.
pub(super) async fn watch<E: Env>(shared: Arc<Shared<E>>) {
    loop {
        if shared.lock().is_stopping {
            return;
        }
        let has_links = !shared.config().links.is_empty();
        if has_links {
            shared.look_at_line().await;
        }
        // Windows and periods begin with a minute.
        let to_minute = link::seconds_to_minute(shared.unix_seconds());
        let pause = LOOK.min(Duration::from_secs(to_minute.unsigned_abs()));
        let until = has_links.then(|| tokio::time::Instant::now() + pause);
        tokio::select! {
            biased;
            () = shared.line.notified() => {}
            () = sleep_until(until) => {}
        }
    }
}
