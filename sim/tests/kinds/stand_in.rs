//! Card payments that head office does not answer: approved by the till in its place, stored unapproved, or declined.

use super::*;

/// Scenario: both lines are cut for 90 s; tills approve up to 30 USD, twice a card, of twenty cards; issuers decline a fifth of all
/// payments; an approval is good for 60 s. A till crashes in the middle.
/// Guarantees: who is asked declines some; without an answer some are approved, and some that break a limit are stored; each of
/// them ends once, and none earlier than the line is back but by its age: too old, declined after all, or settled.
#[test]
fn a_payment_without_an_answer_ends_once() {
    let text = [
        String::from(
            "[node.pos]\nstand_in = { floor = \"30 USD\", per_card = 2, per_card_total = \"40 USD\", max_age = \"60s\", cards = 20 }\n[hq]\ndeclines = \"20%\"\n",
        ),
        faults(&[
            "id = \"cut\"\nkind = \"link.down\"\non = \"uplink\"\nat = \"+120s\"\nfor = \"90s\"",
            "id = \"cut-too\"\nkind = \"link.down\"\non = \"lte\"\nat = \"+120s\"\nfor = \"90s\"",
            "id = \"dies\"\nkind = \"node.crash\"\non = \"pos-1\"\nat = \"+170s\"\nfor = \"2s\"",
        ]),
    ]
    .concat();
    let played = play(store(&text), 1);
    let all: Vec<(u64, OrderId, Payment)> = played
        .events(|event| match event {
            Event::PaymentSettled { order, how, .. } => Some((*order, *how)),
            _ => None,
        })
        .map(|(at, (order, how))| (at.as_secs(), order, how))
        .collect();
    let orders = |which: &[Payment]| -> BTreeSet<OrderId> {
        let which = all.iter().filter(|(.., how)| which.contains(how));
        which.map(|(_, order, _)| *order).collect()
    };
    let times = |which: Payment| -> Vec<u64> {
        let which = all.iter().filter(|(.., how)| *how == which);
        which.map(|(at, ..)| *at).collect()
    };
    let ends = [
        Payment::SettledLater,
        Payment::DeclinedLater,
        Payment::Expired,
    ];
    for how in [Payment::Online, Payment::Refused] {
        assert!(times(how).iter().any(|at| *at < 120), "{how:?}");
        assert!(times(how).iter().any(|at| *at > 230), "{how:?}");
    }
    for how in [Payment::StandIn, Payment::Offline] {
        // The answer is waited for as long as the flow says.
        assert!(
            times(how).iter().all(|at| (120..225).contains(at)),
            "{how:?}"
        );
    }
    let (approved, stored) = (orders(&[Payment::StandIn]), orders(&[Payment::Offline]));
    assert!(approved.len() > 5, "{}", approved.len());
    // Twenty cards, twice each, at each of two tills.
    assert!(approved.len() <= 80, "{}", approved.len());
    assert!(!stored.is_empty(), "some broke a limit");
    assert!(approved.is_disjoint(&stored));
    for how in ends {
        assert!(!times(how).is_empty(), "{how:?}");
        assert!(times(how).iter().all(|at| *at >= 210), "{how:?}");
    }
    let ended: usize = ends.iter().map(|how| orders(&[*how]).len()).sum();
    let open: BTreeSet<OrderId> = approved.union(&stored).copied().collect();
    assert_eq!(orders(&ends), open, "each ends");
    assert_eq!(ended, open.len(), "and once");
    assert!(orders(&[Payment::Expired]).is_subset(&approved));
}
