//! The servers.

use std::path::{Path, PathBuf};

/// A server this folder or the crate brings, as a file beside the runner.
struct Known {
    name: &'static str,
    file: &'static str,
    arguments: &'static [&'static str],
    /// `/chat` is not served.
    is_echo_only: bool,
}

const fn known(
    name: &'static str,
    file: &'static str,
    arguments: &'static [&'static str],
) -> Known {
    Known { name, file, arguments, is_echo_only: false }
}

const fn echo_only(known: Known) -> Known {
    Known { is_echo_only: true, ..known }
}

/// Every known server, in the order of the table. `raw` is first: the others are set against it.
#[rustfmt::skip]
const KNOWN: &[Known] = &[
    known("raw", "raw", &[]),
    echo_only(known("raw_tokio", "raw_tokio", &[])),
    known("sockeye", "examples/echo", &[]),
    known("sockeye_ref", "sockeye_ref", &[]),
    known("sockeye_owned", "sockeye_owned", &[]),
    known("tungstenite", "peer_tungstenite", &[]),
    known("tungstenite_8k", "peer_tungstenite", &["--read-buffer", "8192"]),
    known("fastwebsockets", "peer_fastwebsockets", &[]),
    known("fastwebsockets_batch", "peer_fastwebsockets", &["--batch"]),
    known("tokio_websockets", "peer_tokio_websockets", &[]),
    known("wtx", "peer_wtx", &[]),
    known("soketto", "peer_soketto", &[]),
    known("yawc", "peer_yawc", &[]),
    known("sockudo", "peer_sockudo", &[]),
];

/// A server to run.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: String,
    pub path: PathBuf,
    pub arguments: Vec<String>,
    pub is_echo_only: bool,
}

impl Server {
    /// A server from the command line: `NAME=PATH`, then its arguments, if any.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, command) = text.split_once('=')?;
        let mut words = command.split_whitespace().map(str::to_owned);
        Some(Self {
            name: name.to_owned(),
            path: words.next()?.into(),
            arguments: words.collect(),
            is_echo_only: false,
        })
    }
}

/// The known servers, in `folder`.
pub fn known_in(folder: &Path) -> Vec<Server> {
    let server = |known: &Known| Server {
        name: known.name.to_owned(),
        path: folder.join(known.file),
        arguments: known.arguments.iter().map(ToString::to_string).collect(),
        is_echo_only: known.is_echo_only,
    };
    KNOWN.iter().map(server).collect()
}
