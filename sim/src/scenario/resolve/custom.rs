//! Custom services: whether there is one of the name, and whether it takes its configuration.

use backroom_collector::config::{
    Diagnostic, Fields,
    codes::{E0101, E0105, E0107},
    did_you_mean,
};

use super::Cx;
use crate::{
    dist::Dist,
    scenario::{Role, codes, words},
    service::Configured,
};

impl Cx<'_> {
    /// What `service` says: the time to serve one message, or for a custom machine the name of its program.
    pub(super) fn service(&self, f: &Fields<'_>, role: Role) -> (Option<Dist>, Option<Configured>) {
        if role == Role::Custom {
            return (None, self.custom(f));
        }
        if f.has("config") {
            self.sink.push(
                Diagnostic::error(&E0107, "only a custom machine has a `config`")
                    .at(f.key_span("config"), "this has a role of its own")
                    .help(String::from(
                        "write role = \"custom\" and service = \"NAME\"",
                    )),
            );
        }
        (f.text("service", words::dist_time), None)
    }

    fn custom(&self, f: &Fields<'_>) -> Option<Configured> {
        let Some(node) = f.node("service") else {
            self.sink.push(
                Diagnostic::error(&E0101, format!("`{}` needs `service`", f.place()))
                    .at(f.span(), "a custom machine without a program")
                    .help(self.services_help("")),
            );
            return None;
        };
        let name = f.string("service")?;
        let Some(found) = self.services.configure(&name, f.node("config")) else {
            self.sink.push(
                Diagnostic::error(&codes::E0204, format!("there is no service `{name}`"))
                    .at(node.within(0..name.len()), "this program does not know it")
                    .help(self.services_help(&name)),
            );
            return None;
        };
        match found {
            Ok(configured) => Some(configured),
            Err(wrong) => {
                let config = f.node("config").map_or(f.span(), |n| n.span);
                self.sink.push(
                    Diagnostic::error(&E0105, format!("`{}.config`: {wrong}", f.place())).at(
                        wrong.span.unwrap_or(config),
                        format!("service `{name}` does not take this"),
                    ),
                );
                None
            }
        }
    }

    fn services_help(&self, name: &str) -> String {
        let names: Vec<&str> = self.services.names().collect();
        match names.is_empty() {
            true => String::from(
                "this program has no custom services: build one that calls backroom_sim::cli::main_with, see docs/library.md",
            ),
            false => did_you_mean(name, names, "it knows").unwrap_or_default(),
        }
    }
}
