//! The machines of a store, one file each.
