//! The classes of findings that both programs share, with the text that explains each.
//!
//! Codes are promises: scripts match them, so a number is never given another meaning. E00 files, E01 values and keys, E07
//! the collector. The simulator adds E02 to E05 and the warnings of scenarios in its own table.

use super::diagnostic::Code;

/// Declares classes of findings and the list `ALL` of them.
#[doc(hidden)]
#[macro_export]
macro_rules! finding_codes {
    ($($name:ident $title:literal $text:literal)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: ", $title, ".")]
            pub static $name: $crate::config::Code =
                $crate::config::Code { id: stringify!($name), title: $title, text: $text };
        )*
        /// All of them, by number.
        pub static ALL: &[&$crate::config::Code] = &[$(&$name),*];
    };
}

finding_codes! {
    E0001 "invalid TOML"
        "The file is not TOML, so nothing in it could be read. Only the first such error is shown: what follows it is often \
         misread. Common causes are a bracket or quote that is not closed and a key that is written twice."
    E0002 "unreadable file"
        "A file could not be read: it does not exist, is a directory, is not UTF-8, or may not be read by this user. Paths in \
         a file are relative to that file."
    E0003 "templates in a circle"
        "A file uses itself, directly or by way of its templates. Templates are read in the order of `use`, and the file that \
         names them is read last and wins."
    E0101 "missing key"
        "A key has no default and must be written. The help line shows one way to write it."
    E0102 "unknown key"
        "A key is not part of the language. It is an error and not a warning because a setting that is misspelt would otherwise \
         silently keep its default."
    E0103 "missing unit"
        "A quantity is a bare number. Nobody can tell whether `timeout = 10` is seconds or minutes, so every quantity carries its \
         unit: durations ms, s, m, h, d; sizes B, kB, MB, KiB, MiB, GiB; lines kbit/s, Mbit/s, kB/s, MB/s; shares % and ppm. \
         Counts are bare numbers."
    E0104 "wrong type"
        "A value is of another type than its key takes: a list where a text belongs, a table where a number belongs."
    E0105 "unreadable value"
        "A text does not follow the grammar of its key. The caret shows the first part that does not fit; units are case \
         sensitive, because b and B, m and M mean different things."
    E0106 "unknown choice"
        "A key takes one of a few words, and this is none of them."
    E0107 "value out of range"
        "A value is of the right kind but cannot be meant: a share above 100 %, a count of zero, a duration of centuries."
    E0108 "unknown schema"
        "The file says that it is written in another version of the language. This program reads `schema = 1`."
    E0109 "unknown variable"
        "A text refers to `${vars.x}`, and `[vars]` has no `x`."
    E0110 "name used twice"
        "Two faults, expectations or oracles carry the same `id`. Names are how windows, `--set` and reports refer to them."
    E0701 "setting for scenarios only"
        "`compress.ratio` is what closed forms and the flow fidelity assume. The collector really compresses, so it refuses a \
         figure that it would ignore."
    E0702 "setting that this version cannot honour"
        "The setting is understood, but this version does not do what it asks for. It is refused rather than ignored."
    E0703 "unusable certificate, key or token file"
        "A file of `listen.tls`, `endpoint.tls`, `listen.bearer_tokens_file` or `endpoint.bearer_token_file` cannot be used: it is missing, it is not PEM, the key \
         is another certificate's, or a setting beside it makes it useless. Paths are relative to the working directory."
    E0704 "setting for a real machine only"
        "A simulated store has no TLS, no tokens and no proxies, and does not pretend to: the setting is refused rather than ignored."
    E0705 "unusable variable of the environment"
        "A variable that stands in for a setting cannot be used. Correct it, or write the setting into the file: the file wins."
}

/// The class with this number, in any case.
pub fn find(id: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|c| c.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_explained() {
        assert!(ALL.windows(2).all(|w| w[0].id < w[1].id));
        assert!(
            ALL.iter()
                .all(|c| c.text.len() > 40 && c.text.ends_with('.'))
        );
        assert_eq!(find("e0103").map(|c| c.title), Some("missing unit"));
    }
}
