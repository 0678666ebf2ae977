//! "Did you mean": the nearest of some names to one that is not among them.

/// The name that was probably meant; `None` where nothing is near.
///
/// Near is a Damerau-Levenshtein distance of at most a third of the length (a swapped pair of letters counts once); failing
/// that, a Jaro-Winkler similarity of at least 0.85, which finds names with the same beginning and another ending.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = given.to_lowercase();
    let mut by_distance: Option<(usize, &str)> = None;
    let mut by_likeness: Option<(f64, &str)> = None;
    for name in known {
        let candidate = name.to_lowercase();
        let distance = strsim::damerau_levenshtein(&lower, &candidate);
        if distance <= (lower.chars().count() / 3).max(1)
            && distance < candidate.chars().count()
            && by_distance.is_none_or(|(best, _)| distance < best)
        {
            by_distance = Some((distance, name));
        }
        let likeness = strsim::jaro_winkler(&lower, &candidate);
        if likeness >= 0.85 && by_likeness.is_none_or(|(best, _)| likeness > best) {
            by_likeness = Some((likeness, name));
        }
    }
    by_distance
        .map(|(_, name)| name)
        .or(by_likeness.map(|(_, name)| name))
}

/// "did you mean `x`?", or what there is: "declared: a, b, c" with the names sorted and at most a dozen of them.
pub fn did_you_mean<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> Option<String> {
    let mut known: Vec<&str> = known.into_iter().collect();
    if let Some(name) = nearest(given, known.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    if known.is_empty() {
        return None;
    }
    known.sort_unstable();
    known.dedup();
    let more = if known.len() > 12 { ", …" } else { "" };
    known.truncate(12);
    Some(format!("{otherwise}: {}{more}", listed(&known)))
}

/// Words in a row; in backticks where one has a comma of its own, which nobody could tell from the others.
pub(super) fn listed(words: &[&str]) -> String {
    match words.iter().any(|w| w.contains(',')) {
        true => format!("`{}`", words.join("`, `")),
        false => words.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found_and_others_are_not() {
        let check = |given: &str, known: &[&str], expect: Option<&str>| {
            assert_eq!(nearest(given, known.iter().copied()), expect, "{given}");
        };
        check("fro", &["id", "on", "at", "for", "every"], Some("for"));
        check(
            "durration",
            &["description", "duration", "start"],
            Some("duration"),
        );
        check("link.dwon", &["link.flap", "link.down"], Some("link.down"));
        check("router", &["lan", "lte", "uplink"], None);
        check(
            "order.to_kitchen",
            &["order.lost", "order.e2e", "order.to_kds", "telemetry.lag"],
            Some("order.to_kds"),
        );
        check("UPLINK", &["uplink"], Some("uplink"));
        check("x", &["a", "b"], None);
    }

    #[test]
    fn without_a_near_miss_the_names_are_listed_in_order() {
        assert_eq!(
            did_you_mean("router", ["uplink", "lan", "lte"], "declared").as_deref(),
            Some("declared: lan, lte, uplink")
        );
        assert_eq!(did_you_mean("router", [], "declared"), None);
    }
}
