//! Receivers, exporter and spool over an `Env`: performs what `core` decides.
