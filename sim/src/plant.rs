//! Planted bugs: mistakes that the search must find, as a canary shows that a mine's air is watched.
//!
//! Each is one that real programs have made. No scenario can ask for one: `fuzz` and `shrink` have a hidden option, which their tests and
//! the measurement of the search use. What is planted is behind [`Options::plant`](crate::run::one::Options), nowhere else.

use crate::scenario::Role;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// A till's outbox believes that what was written is durable: a loss of power takes what was not synced.
    OutboxForgets,
    /// The broker acknowledges a message before its journal has it, and writes when 64 KiB have come together, as brokers do whose
    /// persistence is a snapshot now and then.
    BrokerAcksEarly,
    /// The collector drops what is oldest when its buffer is full, and tells nobody.
    CollectorDropsSilently,
}

/// What a journal does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JournalBug {
    /// It never syncs what it appends.
    NeverSyncs,
    /// It answers before it has written.
    AnswersEarly,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::OutboxForgets,
        Self::BrokerAcksEarly,
        Self::CollectorDropsSilently,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::OutboxForgets => "outbox-forgets",
            Self::BrokerAcksEarly => "broker-acks-early",
            Self::CollectorDropsSilently => "collector-drops-silently",
        }
    }

    /// What the journal of a machine of this role does wrong.
    pub(crate) fn in_journal(self, role: Role) -> Option<JournalBug> {
        match (self, role) {
            (Self::OutboxForgets, Role::Pos) => Some(JournalBug::NeverSyncs),
            (Self::BrokerAcksEarly, Role::Broker) => Some(JournalBug::AnswersEarly),
            _ => None,
        }
    }
}
