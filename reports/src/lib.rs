//! What a run says: the result type, and one file per output format.
