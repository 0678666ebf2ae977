//! What the process says when it ends. One constant a meaning, and which one wins where several meet.

use crate::{RunResult, Severity, Verdict};

/// All expectations, oracles and invariants hold.
pub const OK: i32 = 0;
/// An expectation failed: what CI should block on.
pub const FAILED: i32 = 1;
/// Something could not be judged: too few samples, or the interval straddles the limit.
pub const INCONCLUSIVE: i32 = 2;
/// An invariant or an oracle failed, or two runs of a seed differ: suspect the model or our code, not the store.
pub const SUSPECT: i32 = 3;
/// Worse than the baseline.
pub const REGRESSION: i32 = 4;
/// The command line is wrong (`EX_USAGE`).
pub const USAGE: i32 = 64;
/// The scenario is wrong (`EX_DATAERR`).
pub const BAD_SCENARIO: i32 = 65;
/// A file that was named is not there (`EX_NOINPUT`).
pub const NO_INPUT: i32 = 66;
/// A panic or another error of ours (`EX_SOFTWARE`).
pub const INTERNAL: i32 = 70;
/// A result cannot be written (`EX_CANTCREAT`).
pub const CANNOT_WRITE: i32 = 73;
/// Stopped with work left; `--resume` goes on (`EX_TEMPFAIL`).
pub const UNFINISHED: i32 = 75;
/// Interrupted; a partial report is written (128 + SIGINT).
pub const INTERRUPTED: i32 = 130;

/// Where several outcomes meet, the first of these is told. What keeps a run from starting comes before all of them.
pub const PRECEDENCE: [i32; 12] = [
    USAGE,
    BAD_SCENARIO,
    NO_INPUT,
    INTERRUPTED,
    INTERNAL,
    CANNOT_WRITE,
    SUSPECT,
    FAILED,
    REGRESSION,
    INCONCLUSIVE,
    UNFINISHED,
    OK,
];

/// The code that wins; [`OK`] if there is none.
///
/// # Panics
/// If a code is not in [`PRECEDENCE`].
pub fn first(codes: impl IntoIterator<Item = i32>) -> i32 {
    let rank = |code: i32| {
        let at = PRECEDENCE.iter().position(|c| *c == code);
        at.unwrap_or_else(|| panic!("exit code {code} has no rank"))
    };
    codes
        .into_iter()
        .min_by_key(|code| rank(*code))
        .unwrap_or(OK)
}

/// What an inconclusive verdict does: `--inconclusive=pass|fail`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inconclusive {
    /// Exit code 2.
    #[default]
    Tell,
    /// As if it held.
    Pass,
    /// As if it had failed.
    Fail,
}

/// What a finished run says, by its verdicts alone.
pub fn of_run(result: &RunResult, inconclusive: Inconclusive) -> i32 {
    let unsure = match inconclusive {
        Inconclusive::Tell => INCONCLUSIVE,
        Inconclusive::Pass => OK,
        Inconclusive::Fail => FAILED,
    };
    let expectations = result
        .expectations
        .iter()
        .map(|e| match (e.verdict, e.severity) {
            (Verdict::Pass | Verdict::Skipped, _) | (_, Severity::Warn) => OK,
            (Verdict::Fail, Severity::Error) => FAILED,
            (Verdict::Inconclusive, Severity::Error) => unsure,
        });
    let checks = result.oracles.iter().map(|o| o.verdict);
    let checks = checks
        .chain(result.invariants.iter().map(|i| i.verdict))
        .map(|verdict| match verdict {
            Verdict::Pass | Verdict::Skipped => OK,
            Verdict::Fail => SUSPECT,
            Verdict::Inconclusive => unsure,
        });
    // A seed without an end is judged by nobody: the others cannot make up for it.
    let failures = result.failures.iter().map(|_| INTERNAL);
    first(expectations.chain(checks).chain(failures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_list_wins() {
        assert_eq!(first([]), OK);
        assert_eq!(first([0, 75, 2]), INCONCLUSIVE);
        assert_eq!(first([2, 4, 1]), FAILED);
        assert_eq!(first([1, 3]), SUSPECT);
        assert_eq!(first([3, 73, 70, 130]), INTERRUPTED);
    }

    #[test]
    #[should_panic(expected = "exit code 5 has no rank")]
    fn an_unknown_code_is_our_bug() {
        first([5]);
    }
}
