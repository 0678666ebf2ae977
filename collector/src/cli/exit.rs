//! What the process says when it ends: one constant a meaning, after `sysexits.h` where that has a word.

/// It did what was asked; for `run`, it was stopped by a signal.
pub const OK: u8 = 0;
/// It looked, and something is wrong: damage in the buffer, a finding of `doctor`, a batch that was not delivered.
pub const FINDINGS: u8 = 1;
/// The command line is wrong (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// The configuration or an export file is wrong (`EX_DATAERR`).
pub const DATA: u8 = 65;
/// A file that was named is not there or cannot be read (`EX_NOINPUT`).
pub const NO_INPUT: u8 = 66;
/// Nobody answers: no collector runs there, or the destination does not take anything (`EX_UNAVAILABLE`).
pub const UNAVAILABLE: u8 = 69;
/// A bug of ours (`EX_SOFTWARE`).
pub const SOFTWARE: u8 = 70;
/// The operating system refuses: the address is taken, no random bytes (`EX_OSERR`).
pub const OS: u8 = 71;
/// A file cannot be written: the buffer, which another process may have; an export (`EX_CANTCREAT`).
pub const CANNOT_WRITE: u8 = 73;
/// Stopped with work left; the same command goes on (`EX_TEMPFAIL`).
pub const UNFINISHED: u8 = 75;
/// Interrupted: 128 + SIGINT. For `run`: the second SIGINT or SIGTERM did not let it finish.
pub const INTERRUPTED: u8 = 130;
/// Terminated before it could finish: 128 + SIGTERM.
pub const TERMINATED: u8 = 143;

/// What `--help` says of them.
pub(super) const HELP: &str = "\
Exit codes: 0 done (for `run`: stopped by a signal), 1 something is wrong with what was looked at, 64 command line, \
65 configuration or export file, 66 missing file, 69 nobody answers, 70 internal error, 71 the operating system \
refuses, 73 cannot write, 75 stopped with work left, 130 interrupted, 143 terminated before it could finish.";
