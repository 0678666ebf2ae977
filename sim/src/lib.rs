//! Deterministic simulator of occasionally connected stores.
//!
//! A scenario ([`scenario`]) describes a store, its lines, what goes wrong and what must hold. A [`world`] runs the store's
//! machines ([`store`]), real asynchronous programs over simulated sockets and disks, under scripted faults ([`fault`]);
//! what they did is recorded as events ([`event`]), judged by metrics ([`metric`]), invariants ([`invariant`]) and
//! closed forms ([`oracle`]), and told by the `reports` crate.
//!
//! Beside the simulation: [`load`] and [`sink`], the two ends of a load on real sockets.
//!
//! As a library: [`lab`] runs scenarios in your tests, [`service`] lets programs of yours join a store. See `docs/library.md`.

pub mod cli;
pub mod dist;
pub mod event;
pub mod fault;
pub mod invariant;
pub mod lab;
pub mod link;
pub mod load;
pub mod metric;
pub mod oracle;
pub mod plan;
pub mod plant;
pub mod plot;
pub mod run;
pub mod scenario;
pub mod search;
pub mod seconds;
pub mod service;
pub mod sink;
pub mod spill;
pub mod store;
pub mod world;
