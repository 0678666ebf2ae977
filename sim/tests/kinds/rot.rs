//! Rot in the middle of journals: a record that is damaged costs itself, and whoever loses one says so.

use super::*;

/// Scenario: 40 bytes of the broker's files rot while orders wait there for tills that are dead, and it starts again; later both
/// lines are cut, and 40 bytes of each till's files rot while sales and offline payments wait there, and they start again.
/// Guarantees: broker and tills tell what was damaged; no more orders are missing than were told; all others are shown, stored,
/// booked and settled, also those that stand behind the damage.
#[test]
fn a_rotten_record_costs_itself_and_is_told() {
    let text = faults(&[
        "id = \"tills-die\"\nkind = \"node.crash\"\non = \"pos\"\nat = \"+60s\"\nfor = \"40s\"",
        "id = \"broker-rots\"\nkind = \"disk.corrupt\"\non = \"broker\"\nat = \"+90s\"\nbytes = 40",
        "id = \"broker-dies\"\nkind = \"node.crash\"\non = \"broker\"\nat = \"+91s\"\nfor = \"2s\"",
        "id = \"cut\"\nkind = \"link.down\"\non = \"uplink\"\nat = \"+150s\"\nfor = \"60s\"",
        "id = \"cut-too\"\nkind = \"link.down\"\non = \"lte\"\nat = \"+150s\"\nfor = \"60s\"",
        "id = \"tills-rot\"\nkind = \"disk.corrupt\"\non = \"pos\"\nat = \"+200s\"\nbytes = 40",
        "id = \"tills-die-too\"\nkind = \"node.crash\"\non = \"pos\"\nat = \"+201s\"\nfor = \"2s\"",
    ]);
    let scenario = store(&text);
    let run = play::run(&scenario, 1);
    let result = play::judge(&scenario, std::slice::from_ref(&run));
    let played = Played {
        scenario,
        run,
        result,
    };
    let told: Vec<(u64, String, u32)> = played
        .events(|event| match event {
            Event::RecordsDamaged {
                machine,
                records_max,
                ..
            } => Some((*machine, *records_max)),
            _ => None,
        })
        .map(|(at, (machine, records))| {
            let name = played.run.machines[usize::from(machine.0)].clone();
            (at.as_secs(), name, records)
        })
        .collect();
    let who: BTreeSet<(u64, &str)> = told.iter().map(|(at, name, _)| (*at, &name[..])).collect();
    let expect = [(93, "broker"), (203, "pos-1"), (203, "pos-2")];
    assert_eq!(who, BTreeSet::from(expect));
    assert!(told.iter().all(|(.., records)| *records > 0), "{told:?}");

    let accepted = played.orders(|event| match event {
        Event::OrderAccepted { order } => Some(*order),
        _ => None,
    });
    let booked = played.orders(|event| match event {
        Event::SaleBooked { order } => Some(*order),
        _ => None,
    });
    let missing = accepted.keys().filter(|order| !booked.contains_key(*order));
    let (missing, told_in_all) = (missing.count(), told.iter().map(|(.., n)| n).sum::<u32>());
    assert!(missing > 0, "the rot met nothing that was still needed");
    assert!(missing <= told_in_all as usize, "{missing}, told {told:?}");
    assert!(
        missing < accepted.len() / 4,
        "{missing} of {}",
        accepted.len()
    );
    for invariant in &played.result.invariants {
        assert_eq!(invariant.verdict, Verdict::Pass, "{invariant:?}");
    }
    assert!(played.result.notes.iter().all(|note| !note.contains("rot")));
}
