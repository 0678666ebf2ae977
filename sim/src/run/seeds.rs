//! Lists of seeds as people write them: `7`, `1,5,9`, `1..=20`.

use std::fmt::Write as _;

/// A run of a million seeds is a typing error, or a job for a sweep.
pub const SEEDS_MAX: u64 = 1_000_000;

/// Reads a list of seeds; sorted, each one once.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn parse(text: &str) -> Result<Vec<u64>, String> {
    let number = |t: &str| {
        t.trim()
            .parse::<u64>()
            .map_err(|_| format!("`{t}` is not a seed; write `7`, `1,5,9` or `1..=20`"))
    };
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let (first, last) = match (part.split_once("..="), part.split_once("..")) {
            (Some((a, b)), _) => (number(a)?, number(b)?),
            (None, Some((a, b))) => (
                number(a)?,
                number(b)?
                    .checked_sub(1)
                    .ok_or_else(|| format!("`{part}` is empty"))?,
            ),
            (None, None) => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(match part.contains("..=") {
                true => format!("`{part}` runs backwards; write `{last}..={first}`"),
                false => format!("`{part}` is empty"),
            });
        }
        if last - first >= SEEDS_MAX || seeds.len() as u64 >= SEEDS_MAX {
            return Err(format!("`{part}` is more than {SEEDS_MAX} seeds"));
        }
        seeds.extend(first..=last);
    }
    seeds.sort_unstable();
    seeds.dedup();
    Ok(seeds)
}

/// Sorted seeds in the shortest form that [`parse`] reads: `1..=20,25`.
pub fn show(seeds: &[u64]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < seeds.len() {
        let first = seeds[at];
        let mut last = first;
        while seeds
            .get(at + 1)
            .is_some_and(|next| last.checked_add(1) == Some(*next))
        {
            at += 1;
            last = seeds[at];
        }
        at += 1;
        let comma = if text.is_empty() { "" } else { "," };
        let _ = match last - first {
            0 => write!(text, "{comma}{first}"),
            1 => write!(text, "{comma}{first},{last}"),
            _ => write!(text, "{comma}{first}..={last}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_as_lists_and_ranges_and_shown_as_such() {
        let check = |text: &str, expect: Option<&[u64]>, shown: &str| {
            let seeds = parse(text);
            assert_eq!(seeds.as_deref().ok(), expect, "{text}");
            if let Ok(seeds) = seeds {
                assert_eq!(show(&seeds), shown);
                assert_eq!(parse(&show(&seeds)), Ok(seeds));
            }
        };
        check("7", Some(&[7]), "7");
        check("1..=3", Some(&[1, 2, 3]), "1..=3");
        check("1..3", Some(&[1, 2]), "1,2");
        check("5, 1,5", Some(&[1, 5]), "1,5");
        check("9,1..=4,6", Some(&[1, 2, 3, 4, 6, 9]), "1..=4,6,9");
        check("0..0", None, "");
        check("x", None, "");
        check("1..=99999999999", None, "");
        assert_eq!(
            parse("3..=1"),
            Err("`3..=1` runs backwards; write `1..=3`".into())
        );
        let top = u64::MAX;
        check(&format!("{top}"), Some(&[top]), &format!("{top}"));
    }
}
