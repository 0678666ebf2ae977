//! Faults of machines that are asked of what is no machine of the store: head office, the store as a whole, the router, a link.
//!
//! Each of these fails in a way of its own, so the way out is the fault that does it. Names that nobody declared are told by
//! `machine`.

use backroom_collector::config::{Diagnostic, tree::Node};

use super::Cx;
use crate::{fault::table::Kind, scenario::codes};

impl Cx<'_> {
    /// Whether a fault of machines is asked of something else that exists; reports it with the fault that is meant.
    pub(super) fn is_misplaced(&self, kind: &Kind, on: &str, node: &Node) -> bool {
        let (label, help) = match on {
            "hq" => (
                "head office is no machine of the store",
                String::from(
                    "head office fails by `hq.reject` (it refuses), `hq.slow` or `region.outage`, its gateway by `hq.gateway_crash`",
                ),
            ),
            "store" => (
                "a store is no machine",
                String::from("name a group; all machines at once: kind = \"store.power_cut\""),
            ),
            "router" => (
                "the router is no machine of the store",
                String::from(
                    "the router fails by `link.down` of its links, by `dns.fail`, or with everything else by `store.power_cut`",
                ),
            ),
            link if self.links.iter().any(|l| l == link) => (
                "this is a link",
                String::from(
                    "links fail by `link.down` and the other `link` kinds: `backroom explain faults`",
                ),
            ),
            _ => return false,
        };
        self.sink.push(
            Diagnostic::error(
                &codes::E0204,
                format!("`{}` cannot act on `{on}`", kind.name),
            )
            .at(node.within(0..on.len()), label)
            .help(help),
        );
        true
    }
}
