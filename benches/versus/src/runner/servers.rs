//! The servers.

use std::path::{Path, PathBuf};

use super::rows::Row;
use crate::deflate::Deflate;

/// A server this folder or the crate brings, as a file beside the runner.
struct Known {
    name: &'static str,
    file: &'static str,
    arguments: &'static [&'static str],
    /// What the file is to run, in the folder `peers`: it is an interpreter.
    script: Option<&'static str>,
    /// `/chat` is not served.
    is_echo_only: bool,
    deflate: &'static [Deflate],
}

const ALONE: &[Deflate] = &[Deflate::NoContext];
const BOTH: &[Deflate] = &[Deflate::NoContext, Deflate::Takeover];

const fn known(
    name: &'static str,
    file: &'static str,
    arguments: &'static [&'static str],
) -> Known {
    Known { name, file, arguments, script: None, is_echo_only: false, deflate: &[] }
}

const fn echo_only(known: Known) -> Known {
    Known { is_echo_only: true, ..known }
}

const fn deflating(known: Known, deflate: &'static [Deflate]) -> Known {
    Known { deflate, ..known }
}

const fn script(known: Known, script: &'static str) -> Known {
    Known { script: Some(script), ..known }
}

/// Every known server, in the order of the table. `raw` is first: the others are set against it.
#[rustfmt::skip]
const KNOWN: &[Known] = &[
    known("raw", "raw", &[]),
    echo_only(known("raw_tokio", "raw_tokio", &[])),
    deflating(known("sockeye", "examples/echo", &[]), BOTH),
    known("sockeye_ref", "sockeye_ref", &[]),
    known("sockeye_owned", "sockeye_owned", &[]),
    known("tungstenite", "peer_tungstenite", &[]),
    known("tungstenite_8k", "peer_tungstenite", &["--read-buffer", "8192"]),
    known("fastwebsockets", "peer_fastwebsockets", &[]),
    known("fastwebsockets_batch", "peer_fastwebsockets", &["--batch"]),
    known("tokio_websockets", "peer_tokio_websockets", &[]),
    deflating(known("wtx", "peer_wtx", &[]), ALONE),
    known("soketto", "peer_soketto", &[]),
    deflating(known("yawc", "peer_yawc", &[]), BOTH),
    deflating(known("sockudo", "peer_sockudo", &[]), BOTH),
    deflating(known("gorilla", "peer_gorilla", &[]), ALONE),
    deflating(script(known("bun", "bun", &[]), "bun.js"), BOTH),
];

/// A server to run.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: String,
    pub path: PathBuf,
    pub arguments: Vec<String>,
    is_echo_only: bool,
    deflate: &'static [Deflate],
}

impl Server {
    /// A server from the command line: `NAME=PATH`, then its arguments, if any. It is asked for everything.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, command) = text.split_once('=')?;
        let mut words = command.split_whitespace().map(str::to_owned);
        Some(Self {
            name: name.to_owned(),
            path: words.next()?.into(),
            arguments: words.collect(),
            is_echo_only: false,
            deflate: BOTH,
        })
    }

    /// One of which only results are there.
    pub fn named(name: &str) -> Self {
        let (name, path, arguments) = (name.to_owned(), PathBuf::new(), Vec::new());
        Self { name, path, arguments, is_echo_only: false, deflate: BOTH }
    }

    /// Whether it can answer the load.
    pub fn serves(&self, row: &Row) -> bool {
        let has_chat = !self.is_echo_only || !row.load.starts_with("broadcast");
        has_chat && row.deflate.is_none_or(|deflate| self.deflate.contains(&deflate))
    }
}

/// The known servers, in `folder`.
pub fn known_in(folder: &Path) -> Vec<Server> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let server = |known: &Known| {
        let script = known.script.map(|script| scripts.join(script).display().to_string());
        let arguments = known.arguments.iter().map(ToString::to_string);
        Server {
            name: known.name.to_owned(),
            path: folder.join(known.file),
            arguments: script.into_iter().chain(arguments).collect(),
            is_echo_only: known.is_echo_only,
            deflate: known.deflate,
        }
    };
    KNOWN.iter().map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::rows::ROWS;

    #[test]
    fn raw_compresses_nothing_and_a_server_of_the_command_line_is_asked_for_all() {
        let known = known_in(Path::new("x"));
        let other = Server::parse("a=b c").unwrap();
        for row in ROWS {
            assert_eq!(known[0].serves(row), row.deflate.is_none(), "{}", row.name);
            assert!(other.serves(row));
        }
        let bun = known.iter().find(|server| server.name == "bun").unwrap();
        assert!(bun.arguments[0].ends_with("peers/bun.js"));
    }
}
