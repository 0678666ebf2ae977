//! Recorded events for programs and for people: names instead of numbers, times of day instead of offsets.
//!
//! Goes by what an event serialises to, so a new kind of event is told without a line here.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{event::Stamped, metric::windows, scenario::Scenario};

/// Fields that hold a machine's number.
const MACHINES: [&str; 4] = ["at", "kds", "pos", "machine"];

/// Tells the events of one run.
#[derive(Debug)]
pub struct Teller<'a> {
    scenario: &'a Scenario,
    machines: &'a [String],
}

/// Which events are told; everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Name of a machine, or of its group: `kds` is `kds-1`, too.
    pub machine: Option<String>,
    /// Number of an order.
    pub order: Option<u64>,
    /// Since the start of the run; both ends count.
    pub between: Option<(Duration, Duration)>,
}

impl<'a> Teller<'a> {
    /// For the run of a scenario whose machines are called so, by number.
    pub fn new(scenario: &'a Scenario, machines: &'a [String]) -> Self {
        Self { scenario, machines }
    }

    /// `{"at": "kiosk-2", "event": "order_placed", "order": 17, "t": 12.043}`, `t` in seconds since the start; sorted by name.
    pub fn object(&self, stamped: &Stamped) -> BTreeMap<String, Value> {
        let mut out = BTreeMap::new();
        out.insert("t".into(), seconds(stamped.at).into());
        let value = serde_json::to_value(stamped.event).expect("plain data");
        let Value::Object(fields) = value else {
            return out;
        };
        for (name, value) in fields {
            let value = match (&value, value.as_u64()) {
                (_, Some(id)) if MACHINES.contains(&name.as_str()) => self.machine(id).into(),
                (_, Some(fault)) if name == "fault" => self.fault(fault).into(),
                (Value::Object(time), _) => match (time.get("secs"), time.get("nanos")) {
                    (Some(s), Some(n)) => {
                        let (s, n) = (s.as_u64().unwrap_or(0), n.as_u64().unwrap_or(0));
                        seconds(Duration::new(s, n as u32)).into()
                    }
                    _ => value,
                },
                _ => value,
            };
            out.insert(name, value);
        }
        out
    }

    fn machine(&self, id: u64) -> String {
        let name = usize::try_from(id)
            .ok()
            .and_then(|id| self.machines.get(id));
        name.cloned().unwrap_or_else(|| format!("machine {id}"))
    }

    fn fault(&self, index: u64) -> String {
        let fault = usize::try_from(index)
            .ok()
            .and_then(|i| self.scenario.faults.get(i));
        fault.map_or_else(|| format!("fault {index}"), |fault| fault.id.clone())
    }

    /// `12:05:21.043  order_placed  at=kiosk-2 order=17`.
    pub fn line(&self, stamped: &Stamped) -> String {
        let fields = self.object(stamped);
        let whole = Duration::from_secs(stamped.at.as_secs());
        let mut clock = windows::clock(self.scenario, whole);
        if clock.len() == "12:05".len() {
            clock.push_str(":00");
        }
        let event = fields.get("event").and_then(Value::as_str).unwrap_or("");
        let rest: Vec<String> = fields
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "t" | "event"))
            .map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                value => format!("{name}={value}"),
            })
            .collect();
        format!(
            "{clock}.{:03}  {event:<20} {}",
            stamped.at.subsec_millis(),
            rest.join(" ")
        )
        .trim_end()
        .to_owned()
    }

    /// Whether an event is asked for.
    pub fn is_asked(&self, stamped: &Stamped, filter: &Filter) -> bool {
        if let Some((from, to)) = filter.between
            && !(from..=to).contains(&stamped.at)
        {
            return false;
        }
        if filter.machine.is_none() && filter.order.is_none() {
            return true;
        }
        let fields = self.object(stamped);
        let is_order = |order: u64| fields.get("order").and_then(Value::as_u64) == Some(order);
        let is_machine = |wanted: &String| {
            MACHINES
                .iter()
                .filter_map(|name| fields.get(*name))
                .any(|value| {
                    let name = value.as_str().unwrap_or_default();
                    let group = name.rsplit_once('-').map_or(name, |(group, _)| group);
                    name == wanted || group == wanted
                })
        };
        filter.order.is_none_or(is_order) && filter.machine.as_ref().is_none_or(is_machine)
    }
}

/// Seconds to the microsecond: what the engine resolves, and no tail of digits.
fn seconds(at: Duration) -> f64 {
    at.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, MachineId, Payment},
        metric::fixture,
    };

    fn check(filter: &Filter, expect: &[&str]) {
        let scenario = fixture::scenario();
        let machines = ["kiosk-1".to_owned(), "pos-1".into()];
        let teller = Teller::new(&scenario, &machines);
        let at = Duration::from_millis;
        let events = [
            (
                at(1_250),
                Event::OrderPlaced {
                    order: 17,
                    at: MachineId(0),
                },
            ),
            (
                at(2_000),
                Event::PaymentSettled {
                    order: 17,
                    asked_at: at(1_500),
                    how: Payment::Online,
                },
            ),
            (
                at(3_000),
                Event::SaleStored {
                    order: 18,
                    pos: MachineId(1),
                },
            ),
            (at(4_000), Event::Failover { backup: true }),
            (
                at(5_000),
                Event::TicketShown {
                    order: 18,
                    kds: MachineId(9),
                },
            ),
        ];
        let told: Vec<String> = events
            .into_iter()
            .map(|(at, event)| Stamped { at, event })
            .filter(|stamped| teller.is_asked(stamped, filter))
            .map(|stamped| teller.line(&stamped))
            .collect();
        let told: Vec<&str> = told
            .iter()
            .map(|line| line.split_once("  ").expect("a clock").1)
            .collect();
        assert_eq!(told, expect);
    }

    #[test]
    fn events_are_told_with_names_and_filtered() {
        check(
            &Filter {
                order: Some(17),
                ..Filter::default()
            },
            &[
                "order_placed         at=kiosk-1 order=17",
                "payment_settled      asked_at=1.5 how=online order=17",
            ],
        );
        check(
            &Filter {
                machine: Some("pos".into()),
                ..Filter::default()
            },
            &["sale_stored          order=18 pos=pos-1"],
        );
        let ms = Duration::from_millis;
        check(
            &Filter {
                between: Some((ms(4_000), ms(5_000))),
                ..Filter::default()
            },
            &[
                "failover             backup=true",
                "ticket_shown         kds=machine 9 order=18",
            ],
        );
        check(
            &Filter {
                machine: Some("kiosk-1".into()),
                order: Some(18),
                ..Filter::default()
            },
            &[],
        );
    }
}
