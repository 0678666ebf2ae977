//! Tables that other programs have written: `recordings` of arrivals and of throughput are columns of them.
//!
//! Cells are parted by a tab, a semicolon or a comma, whichever the first row has; lines that begin with `#` are comments. What a
//! cell means is decided by who reads it.

/// A reader of the rows, the first one included: whether that holds names is for its reader to see.
pub(crate) fn rows(text: &str) -> csv::Reader<&[u8]> {
    let first = text.lines().find(|l| !l.is_empty() && !l.starts_with('#'));
    let first = first.unwrap_or_default();
    let delimiter = ['\t', ';', ','].into_iter().find(|d| first.contains(*d));
    csv::ReaderBuilder::new()
        .delimiter(delimiter.unwrap_or(',') as u8)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes())
}

/// The index of a column by its name in the first row, or by its number from 1, which that row may be too short for.
pub(crate) fn find(asked: &str, first: &csv::StringRecord) -> Option<usize> {
    let named = first.iter().position(|cell| cell == asked);
    let numbered = asked.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    named.or(numbered)
}

/// Its first 20 cells, for a message that a column is not there.
pub(crate) fn known(first: &csv::StringRecord) -> String {
    let known: Vec<&str> = first.iter().take(20).collect();
    known.join(", ")
}
