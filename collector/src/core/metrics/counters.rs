//! What is counted while requests come and go. The shell adds to it where things happen; nothing here knows a name or a
//! label of an encoding beyond its own words.

use super::histogram::{BYTES, COUNTS, Histogram, SECONDS};

/// Declares an enum whose variants are indices into an array, each with the word that metrics use.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$what])* $variant,)* }

        impl $name {
            /// All of them, in the order of their indices.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word that metrics use.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// What became of a request.
    Outcome {
        /// It is durable and was acknowledged.
        Accepted = "accepted",
        /// It was acknowledged and thrown away: the buffer is full and drops what is newest.
        Discarded = "discarded",
        /// It is not a request of OTLP, or did not come whole.
        Invalid = "invalid",
        /// It is larger than `listen.body_bytes_max`.
        TooLarge = "too_large",
        /// It carries no token that is known here.
        Unauthorized = "unauthorized",
        /// Too much is in flight, or waits for the disk.
        Memory = "memory",
        /// The buffer is full.
        Full = "full",
        /// The disk failed.
        Disk = "disk",
    }
}

words! {
    /// What the answer to a request of ours meant, by the verdicts of `core::verdict`.
    Tried {
        /// Taken, whole.
        Delivered = "delivered",
        /// Taken, but for some items that the receiver rejects for good.
        Partial = "partial",
        /// The path failed: tried again after a back-off.
        Path = "path",
        /// Something on the path will not let anything through for a while: probed slowly.
        Suspended = "suspended",
        /// The encoding was refused: tried again with another one.
        Codec = "codec",
        /// The payload was refused: halved, down to the item that is to blame.
        Payload = "payload",
    }
}

words! {
    /// What became of a report of the collector's own metrics.
    Reported {
        /// It is in the buffer.
        Stored = "stored",
        /// The buffer was full, or the disk failed: this report is skipped, the next one holds the same counters.
        Skipped = "skipped",
    }
}

words! {
    /// What a gateway made of the range that a request carries.
    Relayed {
        /// All of it was new.
        New = "new",
        /// A part of it was new, and was taken.
        Part = "part",
        /// All of it was here before.
        Repeat = "repeat",
        /// It carries none: it was taken as it is, each time.
        NoRange = "no_range",
        /// It carries one that cannot be read, or that is not of so many items: the same.
        BadRange = "bad_range",
    }
}

/// Counts since the start of the process.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Requests taken in, by [`Outcome`].
    pub requests: [u64; Outcome::ALL.len()],
    /// From the head of a request to its answer.
    pub request_seconds: Histogram,
    /// Connections that stand now.
    pub connections: u64,
    /// Bytes written by each group commit.
    pub commit_bytes: Histogram,
    /// Requests in each group commit that held any.
    pub commit_requests: Histogram,
    /// Each sync of a file.
    pub fsync_seconds: Histogram,
    /// Requests sent, by what the answer meant ([`Tried`]).
    pub attempts: [u64; Tried::ALL.len()],
    /// From the start of a request of ours to its answer; those without an answer are not in it.
    pub answer_seconds: Histogram,
    /// Sent on the wire, headers of HTTP, TCP and IPv4 included (`core::pacing`).
    pub wire_bytes: u64,
    /// The level that was chosen for the batch sealed last; 0 where none was.
    pub level: u64,
    /// How often the destination went down.
    pub outages: u64,
    /// Reports of the collector's own metrics, by [`Reported`].
    pub reports: [u64; Reported::ALL.len()],
    /// Requests taken in by a gateway, by [`Relayed`].
    pub relayed: [u64; Relayed::ALL.len()],
    /// Items that a gateway dropped as repeats, by signal.
    pub repeated_items: [u64; 3],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: [0; _],
            request_seconds: Histogram::new(&SECONDS),
            connections: 0,
            commit_bytes: Histogram::new(&BYTES),
            commit_requests: Histogram::new(&COUNTS),
            fsync_seconds: Histogram::new(&SECONDS),
            attempts: [0; _],
            answer_seconds: Histogram::new(&SECONDS),
            wire_bytes: 0,
            level: 0,
            outages: 0,
            reports: [0; _],
            relayed: [0; _],
            repeated_items: [0; 3],
        }
    }
}

impl Counters {
    /// Counts requests.
    pub fn request(&mut self, outcome: Outcome, count: u64) {
        self.requests[outcome as usize] += count;
    }

    /// Counts a request of ours.
    pub fn attempt(&mut self, tried: Tried) {
        self.attempts[tried as usize] += 1;
    }

    /// Counts a request at a gateway.
    pub fn relay(&mut self, relayed: Relayed) {
        self.relayed[relayed as usize] += 1;
    }

    /// Counts a report.
    pub fn report(&mut self, reported: Reported) {
        self.reports[reported as usize] += 1;
    }
}
