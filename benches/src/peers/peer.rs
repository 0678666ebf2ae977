//! Who is compared: programs, configurations, and what each promises of what it has acknowledged.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// One way to run a program.
#[derive(Debug)]
pub struct Peer {
    /// Its row in the table.
    pub name: &'static str,
    /// Names of its program.
    pub programs: &'static [&'static str],
    /// What its buffer is in this comparison.
    pub buffer: &'static str,
    /// Its configuration: the file's name, and the text with `{names}` to fill in. `None` has everything on its command line.
    pub config: Option<(&'static str, &'static str)>,
    /// Names to fill in, beside those of the place.
    pub settings: &'static [(&'static str, &'static str)],
    /// Its arguments, filled in likewise; `{config}` is the path of the file.
    pub arguments: &'static [&'static str],
}

const BACKROOM: &str = include_str!("../../peers/backroom.toml");
const OTELCOL: &str = include_str!("../../peers/otelcol.yaml");
const FLUENT_BIT: &str = include_str!("../../peers/fluent-bit.yaml");
const VECTOR: &str = include_str!("../../peers/vector.yaml");

/// All of them; ratios are to the first that is there.
pub static PEERS: &[Peer] = &[
    Peer {
        name: "backroom",
        programs: &["backroom-collector"],
        buffer: "disk, fsync before the answer",
        config: Some(("backroom.toml", BACKROOM)),
        settings: &[("durability", "fsync"), ("codec", "gzip:6")],
        arguments: &["run", "--config", "{config}"],
    },
    Peer {
        name: "backroom, zstd",
        programs: &["backroom-collector"],
        buffer: "disk, fsync before the answer",
        config: Some(("backroom.toml", BACKROOM)),
        settings: &[("durability", "fsync"), ("codec", "zstd:1")],
        arguments: &["run", "--config", "{config}"],
    },
    Peer {
        name: "backroom, no fsync",
        programs: &["backroom-collector"],
        buffer: "disk, written before the answer",
        config: Some(("backroom.toml", BACKROOM)),
        settings: &[("durability", "os"), ("codec", "gzip:6")],
        arguments: &["run", "--config", "{config}"],
    },
    Peer {
        name: "otelcol",
        programs: &["otelcol", "otelcol-contrib"],
        buffer: "disk, written before the answer",
        config: Some(("otelcol.yaml", OTELCOL)),
        settings: &[("fsync", "false")],
        arguments: &["--config={config}"],
    },
    Peer {
        name: "otelcol, fsync",
        programs: &["otelcol", "otelcol-contrib"],
        buffer: "disk, fsync before the answer",
        config: Some(("otelcol.yaml", OTELCOL)),
        settings: &[("fsync", "true")],
        arguments: &["--config={config}"],
    },
    Peer {
        name: "rotel",
        programs: &["rotel-agent", "rotel"],
        buffer: "memory",
        config: None,
        settings: &[],
        arguments: &[
            "start",
            "--otlp-http-endpoint",
            "{http}",
            "--otlp-grpc-endpoint",
            "{grpc}",
            "--exporter",
            "otlp",
            "--otlp-exporter-protocol",
            "http",
            "--otlp-exporter-endpoint",
            "http://{sink}",
            "--otlp-exporter-compression",
            "gzip",
            "--otlp-exporter-retry-initial-backoff",
            "500ms",
            "--otlp-exporter-retry-max-backoff",
            "5s",
            "--otlp-exporter-retry-max-elapsed-time",
            "24h",
        ],
    },
    Peer {
        name: "fluent-bit",
        programs: &["fluent-bit"],
        buffer: "disk, synced after the answer",
        config: Some(("fluent-bit.yaml", FLUENT_BIT)),
        settings: &[],
        arguments: &["--config={config}"],
    },
    Peer {
        name: "vector",
        programs: &["vector"],
        buffer: "disk, synced after the answer",
        config: Some(("vector.yaml", VECTOR)),
        settings: &[],
        arguments: &["--quiet", "--config-yaml", "{config}"],
    },
];

/// Where one runs: its folder, and addresses.
#[derive(Clone, Debug)]
pub struct Place {
    /// What it keeps, and nothing else.
    pub dir: PathBuf,
    /// Its configuration and what it tells.
    pub home: PathBuf,
    /// Where it takes OTLP/HTTP.
    pub http: SocketAddr,
    /// Where it takes OTLP/gRPC, if it insists.
    pub grpc: SocketAddr,
    /// Where it sends to.
    pub sink: SocketAddr,
}

impl Peer {
    /// Its program: in the folder `first`, beside this program, or in `PATH`. `None` if it is not there.
    pub fn program(&self, first: Option<&Path>) -> Option<PathBuf> {
        let own = std::env::current_exe().ok();
        // target/release/examples/peers, and target/release/backroom-collector.
        let beside = own.iter().flat_map(|exe| exe.ancestors().skip(1).take(2));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = first
            .into_iter()
            .chain(beside)
            .map(Path::to_owned)
            .chain(std::env::split_paths(&path))
            .collect();
        let files = folders
            .iter()
            .flat_map(|folder| self.programs.iter().map(|program| folder.join(program)));
        files.into_iter().find(|file| is_program(file))
    }

    /// Writes its configuration into the place's home, and gives its arguments.
    ///
    /// # Errors
    /// If the file cannot be written, or a `{name}` has nothing to be filled in with.
    pub fn configure(&self, place: &Place) -> Result<Vec<String>, String> {
        let mut names = BTreeMap::from([
            ("dir", place.dir.display().to_string()),
            ("http", place.http.to_string()),
            ("http_host", place.http.ip().to_string()),
            ("http_port", place.http.port().to_string()),
            ("grpc", place.grpc.to_string()),
            ("sink", place.sink.to_string()),
            ("sink_host", place.sink.ip().to_string()),
            ("sink_port", place.sink.port().to_string()),
        ]);
        names.extend(
            self.settings
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        if let Some((file, text)) = self.config {
            let path = place.home.join(file);
            let text = fill(text, &names).map_err(|name| format!("{file}: what is `{name}`?"))?;
            std::fs::write(&path, text).map_err(|e| format!("write {}: {e}", path.display()))?;
            names.insert("config", path.display().to_string());
        }
        let arguments = self.arguments.iter().map(|text| fill(text, &names));
        arguments
            .collect::<Result<_, _>>()
            .map_err(|name| format!("arguments of {}: what is `{name}`?", self.name))
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(file);
    metadata.is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Fills in `{names}`; the first that is not known is the error. What is not a word in braces stays, and so do comments.
fn fill(text: &str, names: &BTreeMap<&str, String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() + 100);
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('#') {
            out.push_str(line);
            continue;
        }
        let mut rest = line;
        while let Some(open) = rest.find('{') {
            let (before, after) = rest.split_at(open + 1);
            let word = after.split_once('}').map(|(word, _)| word).filter(|word| {
                !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            });
            match word {
                None => {
                    out.push_str(before);
                    rest = after;
                }
                Some(word) => {
                    let value = names.get(word).ok_or_else(|| word.to_owned())?;
                    out.push_str(&before[..open]);
                    out.push_str(value);
                    rest = &after[word.len() + 1..];
                }
            }
        }
        out.push_str(rest);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path) -> Place {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Place {
            dir: dir.to_owned(),
            home: dir.to_owned(),
            http: address(1),
            grpc: address(2),
            sink: address(3),
        }
    }

    /// Guarantees: nothing is left to fill in, and the collector takes its own file.
    #[test]
    fn every_peer_can_be_configured() {
        let dir = tempfile::tempdir().expect("a directory");
        for peer in PEERS {
            let arguments = peer.configure(&place(dir.path())).expect(peer.name);
            assert!(!arguments.is_empty(), "{}", peer.name);
            let Some((file, _)) = peer.config else {
                assert!(arguments.iter().any(|a| a.contains("127.0.0.1:3")));
                continue;
            };
            let text = std::fs::read_to_string(dir.path().join(file)).expect(file);
            assert!(text.contains("127.0.0.1"), "{text}");
            if file == "backroom.toml"
                && let Err(report) = backroom_collector::config::load_text(file, &text)
            {
                panic!("{report}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let names = BTreeMap::from([("a", "1".to_owned())]);
        assert_eq!(
            fill("# {x}\nb = { c = \"{a}\" } {\n", &names),
            Ok("# {x}\nb = { c = \"1\" } {\n".into())
        );
        assert_eq!(fill("{a}{b}", &names), Err("b".into()));
    }

    #[test]
    fn a_program_that_is_not_there_is_not_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let peer = Peer {
            programs: &["no-such-program-of-anybody"],
            ..PEERS[0]
        };
        assert_eq!(peer.program(Some(dir.path())), None);
        let file = dir.path().join(peer.programs[0]);
        std::fs::write(&file, "").expect("written");
        assert_eq!(
            peer.program(Some(dir.path())),
            None,
            "it cannot be executed"
        );
    }
}
