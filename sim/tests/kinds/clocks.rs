//! Wall clocks that are wrong: offline payments age by them, so they expire too early, and no more when the clock is right again.

use super::*;

/// Scenario: both lines are cut four times for 30 s, and an offline payment is good for 60 s. In the second outage the tills' clocks
/// run five times as fast, until time service is back; in the fourth they jump two minutes ahead, and are set back later.
/// Guarantees: payments expire in those two and only there: with a clock that is right all of them settle.
#[test]
fn payments_expire_by_a_wrong_clock_and_no_more_when_it_is_right() {
    let outages = [40, 130, 220, 290];
    let mut list = Vec::new();
    for at in outages {
        for link in ["uplink", "lte"] {
            list.push(format!(
                "id = \"cut-{link}-{at}\"\nkind = \"link.down\"\non = \"{link}\"\nat = \"+{at}s\"\nfor = \"30s\""
            ));
        }
    }
    let step = |id: &str, at: u32, by: &str| {
        format!(
            "id = \"{id}\"\nkind = \"clock.step\"\non = \"pos\"\nat = \"+{at}s\"\nby = \"{by}\""
        )
    };
    list.push(
        "id = \"drifts\"\nkind = \"clock.skew\"\non = \"pos\"\nat = \"+128s\"\nfor = \"52s\"\nrate = \"+400%\"".into(),
    );
    list.push(step("ahead", 312, "+120s"));
    list.push(step("back", 345, "-120s"));
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let text = format!(
        "[node.pos.offline_payments]\nmax_age = \"60s\"\n{}",
        faults(&list)
    );
    let played = play(store(&text), 1);
    played.bit("drifts", 128..180);
    let times = |wanted: Payment| -> Vec<u64> {
        let times = played.events(|event| match event {
            Event::PaymentSettled { how, .. } if *how == wanted => Some(()),
            _ => None,
        });
        times.map(|(at, ())| at.as_secs()).collect()
    };
    let (taken, expired, settled) = (
        times(Payment::Offline),
        times(Payment::Expired),
        times(Payment::SettledLater),
    );
    let some = |times: &[u64], window: Range<u64>| times.iter().any(|at| window.contains(at));
    for at in outages {
        assert!(some(&taken, at..at + 40), "{at}: {taken:?}");
    }
    for wrong in [130..200, 312..345] {
        assert!(some(&expired, wrong.clone()), "{wrong:?}: {expired:?}");
    }
    let is_wrong = |at: &u64| (130..200).contains(at) || (312..345).contains(at);
    assert!(expired.iter().all(is_wrong), "{expired:?}");
    for right in [70..120, 250..285] {
        assert!(some(&settled, right.clone()), "{right:?}: {settled:?}");
    }
    assert_eq!(
        taken.len(),
        expired.len() + settled.len(),
        "each ends, and once"
    );
}
