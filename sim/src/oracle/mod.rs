//! Closed forms that a run is checked against.
