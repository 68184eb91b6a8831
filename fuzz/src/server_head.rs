//! A server's opening handshake as a whole: what a client says, in any pieces, is answered as its public parts decide one
//! after another, the reader of heads, the upgrade, the origins; and who decides sees the same request. (The server reads
//! what most clients send in a shorter way of its own.)

use std::sync::{Arc, Mutex};

use http::Request;
use sockeye::deflate::Deflate;
use sockeye::handshake::{
    Acceptance, HandshakeError, HeadLimits, HeadReader, Origins, Upgrade, encode_response,
};
use sockeye::net::Answer;
use sockeye::{Acceptor, Config, Error};

use super::source::Source;
use super::wire_client::{Peer, finish};

/// What most requests have.
const LINES: &[u8] = b"Host: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// A byte of what stands there already and of what the server is, a byte of cuts, then what the client says.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let (choice, seed) = (source.byte(), source.byte());
    let rest = source.rest();
    let said = match choice & 3 {
        0 => rest.to_vec(),
        // The other lines of it.
        1 => [b"GET / HTTP/1.1\r\n", LINES, rest].concat(),
        // A target, then other lines.
        _ => {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (target, lines) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
            [b"GET /", target, b" HTTP/1.1\r\n", LINES, lines, b"\r\n"].concat()
        }
    };
    let origins = if choice & 4 == 0 { Origins::SameHost } else { Origins::Any };
    let deflate = if choice & 8 == 0 { Deflate::disabled() } else { Deflate::no_context() };
    let expected = expected(&said, &origins, deflate);
    for seed in [0, 1, seed] {
        assert_eq!(served(&said, seed, (&origins, deflate)), expected);
    }
}

/// What the client is told, who is let in or why not, and which request was decided upon.
#[derive(Debug, PartialEq)]
struct Served {
    told: Vec<u8>,
    verdict: Result<(), HandshakeError>,
    asked: Option<Seen>,
}

/// What is looked at of a request.
#[derive(Debug, PartialEq)]
struct Seen {
    http: String,
    path: String,
    subprotocols: Vec<String>,
    is_upgrade: bool,
}

impl Seen {
    fn of(request: &Request<()>, upgrade: Option<&Upgrade>) -> Self {
        Self {
            http: format!("{:?} {:?}", request.uri(), request.headers()),
            path: request.uri().path().to_owned(),
            subprotocols: upgrade
                .map(|upgrade| upgrade.subprotocols().to_vec())
                .unwrap_or_default(),
            is_upgrade: upgrade.is_some(),
        }
    }
}

fn expected(said: &[u8], origins: &Origins, deflate: Deflate) -> Served {
    let mut asked = None;
    let verdict = judged(said, origins, deflate, &mut asked);
    let told = verdict.clone().unwrap_or_else(|error| {
        let mut told = Vec::new();
        encode_response(&error.to_response(), &mut told);
        told
    });
    Served { told, verdict: verdict.map(drop), asked }
}

/// The answer to one that is let in.
fn judged(
    said: &[u8],
    origins: &Origins,
    deflate: Deflate,
    asked: &mut Option<Seen>,
) -> Result<Vec<u8>, HandshakeError> {
    let mut reader = HeadReader::new(HeadLimits::default());
    reader.receive(said)?.ok_or(HandshakeError::Closed)?;
    let request = reader.request()?;
    let upgrade = match Upgrade::from_request(&request) {
        Ok(upgrade) => upgrade,
        Err(error @ HandshakeError::UpgradeMissing) => {
            *asked = Some(Seen::of(&request, None));
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    origins.check(&request)?;
    *asked = Some(Seen::of(&request, Some(&upgrade)));
    let acceptance = Acceptance::default().deflate(deflate);
    let acceptance = match upgrade.subprotocols().first() {
        Some(first) => acceptance.subprotocol(first.clone()),
        None => acceptance,
    };
    let mut told = Vec::new();
    upgrade.accept(acceptance)?.encode(&mut told);
    Ok(told)
}

fn served(said: &[u8], seed: u8, (origins, deflate): (&Origins, Deflate)) -> Served {
    let asked: Arc<Mutex<Option<Seen>>> = Arc::default();
    let seen = asked.clone();
    let mut config = Config::default();
    config.deflate = deflate;
    let acceptor = Acceptor::new(config).origins(origins.clone()).on_request(move |request| {
        *seen.lock().expect("whole") = Some(Seen {
            path: request.path().to_owned(),
            http: format!("{:?} {:?}", request.http().uri(), request.http().headers()),
            subprotocols: request.subprotocols().to_vec(),
            is_upgrade: request.is_upgrade(),
        });
        let first = request.subprotocols().first().cloned();
        async move {
            match first {
                Some(first) => Answer::Upgrade(Acceptance::default().subprotocol(first)),
                None => Answer::accept(),
            }
        }
    });
    let peer = Peer::new(said, seed);
    let told = peer.told();
    let verdict = match finish(acceptor.accept(peer, None)).map(drop) {
        Ok(()) => Ok(()),
        Err(Error::Handshake(error)) => Err(error),
        // The hook let in who wants a page.
        Err(Error::WebSocketNotEnabled) => Err(HandshakeError::UpgradeMissing),
        Err(other) => panic!("{other:?}"),
    };
    let (told, asked) = (told.lock().expect("whole").clone(), asked.lock().expect("whole").take());
    Served { told, verdict, asked }
}
